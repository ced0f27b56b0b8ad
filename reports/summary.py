"""The findings in plain language: one answer to each question an owner asks. Shared by all formats.

Every sentence is a sequence of own words and pieces of data (`text.Data`), so that each format can isolate and escape
what came from outside. "Inconclusive" is always said as what it is: the test could not tell.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..audit.evidence import Evidence, Finding
from .readings import AttackPoint, Reading, State, state, worst
from .text import Data, Sentence, count, cut, decimals, number, percent, plural, points

FURTHER = (
    ("takeover", "What can someone who takes accounts over make them show?"),
    ("rewriting", "Can the owner of an item lift it by rewriting its title?"),
    ("defense", "Does a defence help?"),
    ("certificate", "What can fake users provably not change?"),
    ("unlearning", "Is a deletion request honoured?"),
    ("privacy", "Can an outsider tell what the model was trained on?"),
    ("attributes", "What does the model tell about users' attributes?"),
    ("extraction", "Can the model be copied by asking it?"),
    ("simulate", "What becomes of an attack over rounds of retraining?"),
)
"""Questions that are answered where the audit asked them; "what was not tested" names the others."""

_TOLD = {
    "defense": "defense.best.log2_rank_shift", "certificate": "certified_share", "unlearning": "least_residual",
    "simulate": "target_share",
}  # fmt: skip
"""Evidence id or measure that answers the question, where the largest number would not."""

ANSWER_LIMIT = 80
"""Characters of a title or name inside a sentence."""


@dataclass(frozen=True)
class Answer:
    """A question with its state, the short answer in bold, the sentences after it, and the section that shows more."""

    question: str
    state: State
    lead: str
    sentences: Sequence[Sentence]
    section: str


def counts(reading: Reading) -> dict[State, int]:
    """Findings by state, all statuses named even where none is, "measured" only if there are any."""
    found = Counter(state(finding) for finding in reading.findings)
    always: tuple[State, ...] = ("fail", "inconclusive", "not_run", "waived", "pass")
    return {name: found[name] for name in always} | ({"measured": n} if (n := found["measured"]) else {})


def verdict_sentences(reading: Reading) -> list[Sentence]:
    """What the verdict rests on, in one or two sentences."""
    run, findings = reading.run, reading.findings
    gating = [finding for finding in findings if finding.severity == "error"]
    failed = sum(finding.status == "fail" for finding in gating)
    open_ = sum(finding.status == "inconclusive" for finding in gating)
    sentences: list[Sentence] = []
    if run.verdict == "fail":
        sentences.append([f"{plural(failed, 'finding')} broke a bound that the policy treats as an error."])
    elif run.verdict == "pass" and (excused := sum(finding.status == "waived" for finding in gating)):
        many = plural(excused, "finding that is excused", "findings that are excused")
        sentences.append([f"But for {many}, by a waiver or by the baseline, no bound that the policy treats as an "
                          "error was broken in what was tested."])  # fmt: skip
    elif run.verdict == "pass":
        sentences.append(["No bound that the policy treats as an error was broken in what was tested."])
    elif not any(finding.status in ("pass", "fail", "inconclusive") for finding in findings):
        sentences.append(["Nothing could be judged, and that is no success."])
    else:
        sentences.append(["The tests could not tell whether all bounds of the policy hold."])
    if open_ and run.verdict != "inconclusive":
        sentences.append([f"For {count(open_)} more the test could not tell."])
    warned = sum(finding.status == "fail" and finding.severity != "error" for finding in findings)
    if warned:
        broke = plural(warned, "bound that only warns was broken", "bounds that only warn were broken")
        sentences.append([f"{broke}; the verdict does not rest on {'it' if warned == 1 else 'them'}."])
    if run.status == "incomplete":
        what = f"{plural(len(run.failures), 'cell')} ended in an error" if run.failures else "it was still running"
        sentences.append([f"The audit did not finish: {what}."])
    return sentences


def answers(reading: Reading) -> list[Answer]:
    """One answer to each question, in the order in which an owner asks them."""
    return [
        _attack(reading, "promotion", "Can fake users push an item?"),
        _attack(reading, "demotion", "Can fake users bury an item?"),
        _baselines(reading),
        _exposure(reading),
        *(_further(reading, check, question) for check, question in FURTHER if reading.knows(check)),
        _reproduction(reading),
    ]


def _weigh(findings: Sequence[Finding]) -> tuple[State, list[Finding], list[Sentence]]:
    """A question's state, the findings it rests on, and a sentence on those that only warn.

    Like the verdict it rests on findings of severity error, on all others only where there is none of these.
    """
    judged = [finding for finding in findings if state(finding) not in ("not_run", "measured")]
    gating = [finding for finding in judged if finding.severity == "error"]
    if not gating:
        overall = worst(state(finding) for finding in findings)
        only = overall in ("fail", "inconclusive")
        return overall, judged, [["The bounds here only warn: the verdict does not rest on them."]] if only else []
    minor = Counter(finding.status for finding in judged if finding.severity != "error")
    told = [f"{count(n)} {word}" for n, word in (
        (minor["fail"], "broken"), (minor["inconclusive"], "could not be told"),
    ) if n]  # fmt: skip
    more: list[Sentence] = [[f"Of the bounds that only warn: {', '.join(told)}."]] if told else []
    return worst(state(finding) for finding in gating), gating, more


def _missing(reading: Reading, check: str, question: str, section: str) -> Answer:
    """For a check without a judged number: not run, and why."""
    reasons = [entry.reason for entry in reading.run.skipped if entry.check == check]
    reasons += [finding.reason for finding in reading.of_check(check) if finding.status == "not_run"]
    sentence: Sentence = ["The policy of this audit does not include it."]
    if reasons:
        sentence = ["Reason: ", Data(cut(reasons[0], ANSWER_LIMIT * 2)), "."]
    return Answer(question, "not_run", "Not tested.", [sentence], section)


def _attack(reading: Reading, check: str, question: str) -> Answer:
    findings = reading.of_check(check)
    moved = [f for f in findings if f.measure.startswith("hr@") or f.measure == "log2_rank_shift"]
    overall, judged, more = _weigh(moved or findings)
    if overall == "not_run":
        return _missing(reading, check, question, check)
    ids = {finding.id for finding in judged}
    shown = [p for p in reading.hit_rates(check) if p.state == overall and p.estimate is not None]
    shown = [point for point in shown if point.id in ids or not ids]
    of = f"{plural(len(judged), 'judged case')} (attack, attack size, item group, measure)"
    n = sum(state(finding) == overall for finding in judged)
    leads: dict[State, str] = {
        "fail": "Yes.",
        "inconclusive": "Cannot tell.",
        "waived": "Waived.",
        "pass": "Not in this test.",
        "measured": "Measured, not judged.",
    }
    sentences: list[Sentence] = []
    strongest = _strongest(shown)
    if strongest is not None:
        sentences.append(_hit_rate(strongest, "Strongest case: " if overall != "pass" else "Largest effect: "))
        if strongest.clone is not None and overall == "fail":
            sentences.append(
                ["With as many accounts cloned from genuine users instead: ", percent(strongest.clone), "."]
            )
    elif judged:
        sentences.append(_number(judged[0]))
    if overall == "fail":
        sentences.append([f"{count(n)} of {of} broke their bound."])
    elif overall == "inconclusive":
        sentences.append([f"None of {of} clearly broke its bound; for {count(n)} the interval contains the bound."])
    elif overall == "waived":
        sentences.append([f"{count(n)} of {of} are excused, by a waiver or the baseline; no other broke its bound."])
    elif overall == "pass":
        sentences.append([f"None of {of} broke its bound; other attackers, budgets and targets were not tested."])
    else:
        sentences.append(["No rule of the policy sets a bound."])
    cost = [f for f in findings if f.measure.startswith("ndcg@") and f.status == "fail"]
    if moved and cost:
        sentences.append([f"{plural(len(cost), 'bound')} on the utility of genuine users under attack broken."])
    return Answer(question, overall, leads[overall], [*sentences, *more], check)


def _further(reading: Reading, check: str, question: str) -> Answer:
    """The answer to one of `FURTHER`: its most telling numbers, and how many bounds hold."""
    findings = reading.of_check(check)
    overall, judged, more = _weigh(findings)
    found = [one for one in reading.run.evidence if one.check == check and one.estimate is not None]
    if overall == "not_run":
        if not found:
            return _missing(reading, check, question, check)
        overall = "measured"
    leads: dict[State, str] = {
        "fail": "A bound is broken.", "inconclusive": "Cannot tell.", "waived": "Waived.",
        "pass": "Within its bounds.", "measured": "Measured, not judged.",
    }  # fmt: skip
    bounds = overall
    telling = [finding for finding in judged or findings if state(finding) == bounds and finding.estimate is not None]
    hits = [finding for finding in telling if finding.measure.startswith("hr@")] or telling
    lead = leads[overall]
    if check == "defense":
        overall, lead = _helps(reading, overall, lead)
    sentences: list[Sentence] = []
    if hits:
        sentences.append(_number(max(hits, key=lambda finding: finding.estimate or 0.0)))
    told = [one for one in found if _TOLD.get(check) in (one.id, one.measure)]
    told.sort(key=lambda one: -(one.estimate or 0.0))
    sentences += [_number(one) for one in (told if len(told) < 3 else [told[0], told[-1]])]
    if judged:
        n = sum(state(finding) == bounds for finding in judged)
        word = {"fail": "broken", "inconclusive": "open", "waived": "waived"}.get(bounds, "kept")
        sentences.append([f"{count(n)} of {plural(len(judged), 'bound')} {word}."])
    return Answer(question, overall, lead, [*sentences, *more], check)


def _helps(reading: Reading, overall: State, lead: str) -> tuple[State, str]:
    """What is answered where the bounds hold: they are on what attacks leave, which may be little without a defence."""
    best = next((one for one in reading.run.evidence if one.id == "defense.best.log2_rank_shift"), None)
    if overall not in ("pass", "measured") or best is None:
        return overall, lead
    if best.estimate is None:
        return "measured", "None was measured whole at a tolerated loss of utility."
    name, attack, size = (best.details.get(key) for key in ("defense", "attack", "size"))
    taken = reading.by_id.get(f"defense.{name}.{attack}.{size}.taken")
    low = None if taken is None or taken.interval is None else taken.interval[0]
    if name == "none":
        return "measured", "None of those tested."
    if low is None or low <= 0 or best.details.get("attack_known") is True:
        return "measured", "Not shown."
    return overall, "Yes, within the tolerated loss of utility."


def _strongest(points_: Sequence[AttackPoint]) -> AttackPoint | None:
    def effect(point: AttackPoint) -> float:
        value = point.estimate or 0.0
        return value if point.worse == "higher" else -value

    return max(points_, key=effect, default=None)


def _hit_rate(point: AttackPoint, start: str) -> Sentence:
    """Where an attack brings a target, against the control, with interval and bound of the change."""
    names = (point.attack, point.size, point.stratum, point.measure.removeprefix("hr@"))
    attack, size, stratum, k = (Data(cut(name, ANSWER_LIMIT)) for name in names)
    parts: list[str | Data] = [start, attack, " accounts at attack size ", size, ": a target item of the ", stratum]
    parts += [" group is in the top ", k, f" of {percent(point.attacked)} of the eligible users, "]
    parts.append(f"against {percent(point.control)} without the attack")
    signed = point.sign > 0
    tail = [f"{'change' if signed else 'loss'} {points(point.estimate, signed=signed)} percentage points"]
    if point.low is not None and point.high is not None:
        tail.append(f"interval {points(point.low, signed=signed)} to {points(point.high, signed=signed)}")
    if point.bound is not None:
        tail.append(f"bound {points(point.bound, signed=signed)}")
    return [*parts, f" ({'; '.join(tail)})."]


def _number(found: Finding | Evidence) -> Sentence:
    """A title with its estimate and, of a finding, interval and bound."""
    low, high = (found.interval if isinstance(found, Finding) else None) or (None, None)
    bound = found.bound if isinstance(found, Finding) else None
    places = decimals(found.estimate, low, high, bound)
    text = f": {number(found.estimate, places)}"
    if low is not None:
        text += f", interval {number(low, places)} to {number(high, places)}"
    if bound is not None:
        text += f", bound {number(bound, places)}"
    return [Data(cut(found.title, ANSWER_LIMIT * 2)), f"{text}."]


def _baselines(reading: Reading) -> Answer:
    question, section = "Is it better than trivial baselines?", "utility"
    compared = [finding for finding in reading.of_check("quality") if ".minus." in finding.id]
    overall, weighed, more = _weigh(compared)
    judged = [finding for finding in compared if state(finding) != "not_run"]
    if not judged:
        return _missing(reading, "quality", question, section)
    ends = [finding.interval or (0.0, 0.0) for finding in weighed if state(finding) == overall]
    leads: dict[State, str] = {
        # a bound need not be zero: better and worse are said of the interval, not of the bound
        "fail": "No." if any(high < 0 for _, high in ends) else "Not by as much as the policy asks.",
        "inconclusive": "Cannot tell.",
        "waived": "Waived.",
        "pass": _kept([finding.interval or (0.0, 0.0) for finding in judged]),
        "measured": "Measured, not judged.",
    }
    sentences: list[Sentence] = []
    by_state: dict[State, list[Finding]] = {}
    for finding in judged:
        by_state.setdefault(state(finding), []).append(finding)
    for name, text in (
        ("fail", "It does not reach its bound against "),
        ("inconclusive", "The test could not tell it from "),
        ("waived", "Waived against "),
        ("pass", "It keeps its bound against "),
        ("measured", "No bound is set against "),
    ):
        if name in by_state:
            sentences.append([text, *_references(by_state[name]), "."])
    return Answer(question, overall, leads[overall], [*sentences, *more], section)


def _kept(ends: Sequence[tuple[float, float]]) -> str:
    """The lead where bounds are kept: a baseline whose bound only warns, and which is better, is not passed over."""
    if all(low > 0 for low, _ in ends):
        return "Yes."
    return "Not than all of them." if any(high < 0 for _, high in ends) else "Not shown, but its bounds are kept."


def _references(findings: Sequence[Finding]) -> list[str | Data]:
    parts: list[str | Data] = []
    for n, finding in enumerate(findings):
        measure, _, name = finding.id.removeprefix("quality.").partition(".minus.")
        places = decimals(finding.estimate, *(finding.interval or ()))
        parts += [", " if n else "", Data(cut(name, ANSWER_LIMIT)), " ("]
        parts += [Data(cut(_upper(measure), ANSWER_LIMIT)), f" {number(finding.estimate, places, signed=True)}"]
        if finding.interval:
            low, high = (number(end, places, signed=True) for end in finding.interval)
            parts.append(f", interval {low} to {high}")
        parts.append(")")
    return parts


def _exposure(reading: Reading) -> Answer:
    question, section = "Which items never get shown?", "exposure"
    shown = reading.exposure
    findings = reading.of_check("exposure")
    overall, _, more = _weigh(findings)
    if shown is None or shown.never_shown is None or not shown.items:
        told = [finding for finding in findings if state(finding) != "not_run"]
        if not told:
            return _missing(reading, "exposure", question, section)
        return Answer(question, overall, "Not counted.", [_number(told[0])], section)
    if overall == "not_run":
        overall = "measured"
    k = re.search(r"@(\d{1,6})", shown.evidence.id)
    where = f"nobody’s top {k[1]}" if k else "nobody’s list"
    lead = f"{count(shown.never_shown)} of {count(shown.items)} items ({percent(shown.never_shown / shown.items)})."
    sentences: list[Sentence] = [[f"That many appear in {where}."]]
    hidden = [item for item in shown.least if item.count == 0 and item.train_events]
    if hidden:
        title, events = Data(cut(hidden[0].title, ANSWER_LIMIT)), count(hidden[0].train_events or 0)
        sentences.append(["The best known of them is ", title, f", with {events} events in the training data."])
    judged: dict[State, str] = {
        "fail": "Exposure breaks a bound of the policy.",
        "inconclusive": "For at least one exposure measure the test could not tell.",
        "waived": "A broken bound on exposure is excused, by a waiver or the baseline.",
        "pass": "Every exposure measure that was judged keeps its bound.",
        "measured": "The policy sets no bound.",
    }
    sentences.append([judged[overall]])
    return Answer(question, overall, lead, [*sentences, *more], section)


def _reproduction(reading: Reading) -> Answer:
    question, section = "Did the checkpoint reproduce its own metrics?", "utility"
    card = reading.run.target.reproduced
    finding = reading.by_id.get("quality.reproduction")
    evidence = next((e for e in reading.run.evidence if e.id == "quality.reproduction"), None)
    if evidence is None or evidence.estimate is None:
        missing = evidence.missing if evidence is not None else None
        if finding is None and missing is not None:
            return Answer(question, "not_run", "Not tested.", [["Reason: ", Data(cut(missing, 160)), "."]], section)
        return _missing(reading, "quality", question, section)
    overall: State = state(finding) if finding else "measured"
    lead = {True: "Yes.", False: "No.", None: "Cannot tell."}[card]
    if evidence.details.get("proof"):
        return Answer(question, overall, lead, [[Data(cut(str(evidence.details["proof"]), 160)), "."]], section)
    largest = number(evidence.estimate) if evidence.estimate else "none"
    sentence: Sentence = [
        f"{plural(evidence.n, 'metric')} stored with the checkpoint "
        f"{'was' if evidence.n == 1 else 'were'} computed again; largest difference: {largest}."
    ]
    if card is False:
        why = "Either the data, the split or the identifiers differ from those it was trained with, or the file does."
        return Answer(question, overall, lead, [sentence, [why]], section)
    return Answer(question, overall, lead, [sentence], section)


def _upper(measure: str) -> str:
    """Field's spelling of common metrics: ndcg@20 -> NDCG@20."""
    name, at, k = measure.partition("@")
    return name.upper() + at + k if name in ("hr", "ndcg", "mrr") else measure
