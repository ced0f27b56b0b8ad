"""The report for auditors and regulators as a document, from the record of a run alone.

Its order is that of audit reports under Delegated Regulation (EU) 2024/436: scope, criteria, methods, findings,
residual risk, limits, annexes. It states test results under the rules of a policy and draws no legal conclusion.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ...audit.evidence import AuditRun, Finding
from ..html import policy_rules, policy_waivers
from ..method import GLOSSARY, limits, method
from ..readings import ORDER, WORDS, Reading, state
from ..summary import Answer, answers, counts, verdict_sentences
from ..text import Data, Sentence, count, cut, percent, plural, when
from . import annex, results
from .document import Blanks, Block, Bullets, Document, Paragraph, Section, Table, plain
from .edition import EDITIONS, Edition
from .threats import ALWAYS, THREATS

RULES, WAIVERS = 200, 200
"""Rows of the policy that are printed at most."""


def document(run: AuditRun, audience: str = "regulator") -> Document:
    """The whole report for an audience, a key of `edition.EDITIONS`."""
    reading, edition = Reading(run), EDITIONS[audience]
    target = run.target
    facts: list[tuple[str, Sentence]] = [
        ("Verdict under the policy", [WORDS[run.verdict] + (", incomplete" if run.status == "incomplete" else "")]),
        ("System", [Data(cut(target.name, 120)), ", a ", Data(cut(target.family, 40)), " recommender"]),
        ("Audited", [Data(when(run.started))]),
        ("Policy", [Data(run.policy_digest)]),
        ("Evidence", [Data(run.evidence_digest or "none yet")]),
    ]
    sections = [
        _summary(reading, edition),
        _scope(run, edition),
        _criteria(run, edition),
        _coverage(reading, edition),
        _methods(reading, edition),
        results.findings(reading, edition),
        results.residual(reading, edition),
        _limits(reading, edition),
        results.clauses(run),
        _auditor(),
        _glossary(),
        *annex.sections(run, edition),
    ]
    return Document(
        ["Record of tests: ", Data(cut(target.name, 120))], facts, run.started, edition.left_out, sections,
        attached=edition.details,
    )  # fmt: skip


def _summary(reading: Reading, edition: Edition) -> Section:
    blocks: list[Block] = [Paragraph(sentence) for sentence in verdict_sentences(reading)]
    tally = ", ".join(f"{count(n)} {WORDS[name].lower()}" for name, n in counts(reading).items())
    blocks.append(Paragraph([f"Findings: {tally}. “Inconclusive” means that the test could not tell."]))
    rows: list[list[Sentence]] = [
        [[answer.question], [WORDS[answer.state]], [answer.lead, " ", *_joined(_open(answer, edition))]]
        for answer in answers(reading)
    ]
    blocks.append(Table("Answers in short", ("Question", "Result", "Why"), rows, (0.3, 0.15, 0.55)))
    blocks.append(
        Paragraph(
            ["This record holds results of tests. It is no audit opinion, and nothing in it says that a law is "
             "complied with or broken."]
        )
    )  # fmt: skip
    return Section("summary", "Summary", blocks)


def _open(answer: Answer, edition: Edition) -> Sequence[Sentence]:
    """The sentences of an answer; none where they would say how to manipulate."""
    return answer.sentences if edition.shows(answer.section) else ()


def _joined(sentences: Sequence[Sentence]) -> Sentence:
    found: list[str | Data] = []
    for sentence in sentences:
        found += [" " if found else "", *sentence]
    return found


def _scope(run: AuditRun, edition: Edition) -> Section:
    target = run.target
    rows: list[list[Sentence]] = [
        [["Name"], [Data(cut(target.name, 200))]],
        [["Kind"], [Data(cut(target.family, 60)), " recommender"]],
        [["Where it comes from"], [Data(cut(target.origin, 120)) if target.origin else "trained by recaudit"]],
        [["Fingerprint of the model"], [Data(target.model_fingerprint)]],
        [["Fingerprint of the data"], [Data(target.data_fingerprint)]],
        [["Users, items"], [f"{count(target.users)}, {count(target.items)}"]],
        [["Events to train, validate, test"],
         [f"{count(target.train_events)}, {count(target.valid_events)}, {count(target.test_events)}"]],
        [["How events were held out"], [Data(cut(target.split, 120))]],
        [["Stored figures come out again"], [_reproduced(target.reproduced)]],
    ]  # fmt: skip
    if target.verified is not None:
        proved = "proved to be its own" if target.verified else "assumed, not proved: nothing here can pass"
        rows.append([["Users, items and split"], [proved]])
    if edition.details:
        model = target.recipe.get("model")
        rows.append([["Recipe"], [Data(cut(f"{model}: {target.recipe.get('config')}", 900))]])
    table = Table("The system as tested", ("Property", "Value"), rows, (0.32, 0.68))
    data: list[Sentence] = [
        ["All users with held-out events are measured; lists rank the whole catalogue."],
        ["What the data leave out (people who never came, events that were not recorded, periods outside them) is left "
         "out of every number here; whether the sample stands for the service is for its owner to show."],
    ]  # fmt: skip
    around: Sentence = [
        "Filters, business rules, advertising and the interface around the model are outside the scope."
    ]
    return Section("scope", "Scope and system", [table, Bullets([*data, around])])


def _reproduced(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "none are stored"}[value]


def _criteria(run: AuditRun, edition: Edition) -> Section:
    rules = policy_rules(run)
    rows: list[list[Sentence]] = [
        [_named(rule["select"], rule["select"], edition), [Data(cut(rule["bound"], 40))],
         [Data(cut(rule["severity"], 20))], _named(rule["select"], rule["reason"] or "none given", edition),
         [Data(cut(rule["author"] or "none named", 60))]]
        for rule in rules[:RULES]
    ]  # fmt: skip
    said: list[Block] = [
        Paragraph(
            ["The policy is the method declared before the tests: its SHA-256 was taken before this run computed a "
             "cell, and every bound in it has a reason. Cells that an earlier run in the same folder had computed are "
             "used again if all that determines them is the same. A finding passes or fails only if its whole "
             "interval lies on one side of the bound. Findings of severity “error” decide the verdict."]
        ),
        Table("Bounds (materiality thresholds)", ("Evidence", "Bound", "Severity", "Reason", "Author"), rows,
              (0.3, 0.1, 0.1, 0.36, 0.14), frozenset({1}), max(0, len(rules) - RULES)),
        Paragraph(["Changes to the method during this run: none are recorded. What earlier runs in the same folder "
                   "were asked is not part of this record."]),
    ]  # fmt: skip
    waivers = policy_waivers(run)
    if waivers:
        cells: list[list[Sentence]] = [
            [
                _named(entry["check"], entry["check"], edition),
                [Data(cut(entry["owner"], 200))],
                _named(entry["check"], entry["reason"], edition),
                [Data(cut(entry["expires"], 40))],
            ]
            for entry in waivers[:WAIVERS]
        ]
        said.append(Table("Waivers", ("Finding", "Owner", "Reason", "Last day"), cells, (0.3, 0.15, 0.4, 0.15),
                          hidden=max(0, len(waivers) - WAIVERS)))  # fmt: skip
    else:
        said.append(Paragraph(["The policy waives nothing."]))
    return Section("criteria", "Criteria and materiality", said)


def _named(check: str, words: str, edition: Edition) -> Sentence:
    """Words of the policy on a check, or that they are withheld."""
    if edition.shows(check):
        return [Data(cut(words, 300))]
    return [f"withheld ({THREATS[first].area.lower() if (first := check.split('.')[0]) in THREATS else 'a check'})"]


def _coverage(reading: Reading, edition: Edition) -> Section:
    """Every area with what became of it: what was not tested stands beside what was."""
    run = reading.run
    asked = dict.fromkeys([*ALWAYS, *(e.check for e in run.evidence), *(entry.check for entry in run.skipped)])
    reasons = {entry.check: entry.reason for entry in run.skipped}
    rows: list[list[Sentence]] = []
    for check in asked:
        if check == "waivers":
            continue
        tested = [e for e in run.evidence if e.check == check and e.estimate is not None]
        found = reading.of_check(check)
        area = THREATS[check].area if check in THREATS else None
        name: Sentence = [area] if area else [Data(cut(check, 60))]
        if tested:
            tally = _tally(found)
            rows.append([name, ["tested"], [f"{plural(len(tested), 'quantity', 'quantities')}; {tally}"]])
        else:
            missing = next((e.missing for e in run.evidence if e.check == check and e.missing), None)
            why = reasons.get(check) or missing
            told: str | Data = Data(cut(why, 300)) if why else _unasked(run, check)
            rows.append([name, ["NOT TESTED"], [told if edition.shows(check) or not why else "the reason is withheld"]])
    for failure in run.failures[:20]:
        cell: Sentence = [Data(cut(failure.label, 80))] if edition.details else ["a cell"]
        rows.append(
            [
                cell,
                ["COULD NOT FINISH"],
                [Data(cut(failure.error, 200)) if edition.details else "the error is withheld"],
            ]
        )
    table = Table("What was tested and what was not", ("Area", "Tested", "Findings, or why not"), rows,
                  (0.28, 0.17, 0.55), hidden=max(0, len(run.failures) - 20))  # fmt: skip
    return Section("coverage", "What was tested, and what was not", [table])


def _unasked(run: AuditRun, check: str) -> str:
    """Why an area was not tested of which neither evidence nor a reason is there."""
    asked = run.policy.get("checks")
    own = asked.get(check) if isinstance(asked, dict) else None
    off = isinstance(own, dict) and own.get("enabled") is False
    return "the policy switches it off" if off else "the policy does not ask for it"


def _tally(findings: Sequence[Finding]) -> str:
    """Findings by status in words."""
    found = Counter(state(finding) for finding in findings)
    return ", ".join(f"{count(found[name])} {WORDS[name].lower()}" for name in ORDER if found[name]) or "no bound on it"


def _methods(reading: Reading, edition: Edition) -> Section:
    checks = dict.fromkeys(e.check for e in reading.run.evidence)
    parts = []
    for check in checks:
        threat = THREATS.get(check)
        if threat is None:
            continue
        rows: list[list[Sentence]] = [
            [["Question"], [threat.question]], [["Who acts"], [threat.actor]], [["What they know"], [threat.knows]],
            [["What they can do"], [threat.can]], [["What is measured"], [threat.measured]],
            [["What a good result does not show"], [threat.not_shown]],
        ]  # fmt: skip
        table = Table(f"Threat model: {threat.area.lower()}", ("Part", "Description"), rows, (0.28, 0.72))
        parts.append(Section(f"method-{check}", threat.area, [table]))
    return Section(
        "methods", "Methods and threat models", [Bullets(_guarded(method(reading), reading, edition))], parts
    )


def _limits(reading: Reading, edition: Edition) -> Section:
    blocks: list[Block] = [
        Paragraph(["What these tests cannot show:"]),
        Bullets(_guarded(limits(reading), reading, edition)),
    ]
    effects = sorted({f.mde for f in reading.run.findings if f.mde is not None and f.measure.startswith("hr@")})
    if effects:
        blocks.append(
            Paragraph(
                [f"Detection risk: an effect on hit rates of {percent(effects[-1])} of the users would have been seen "
                 "in four of five repeats of the coarsest test; smaller ones may hide."]
            )
        )  # fmt: skip
    return Section("limits", "Limits", blocks)


def _guarded(lines: Sequence[Sentence], reading: Reading, edition: Edition) -> list[Sentence]:
    """The sentences without those that say how accounts were made or which attacks were tried."""
    if edition.details:
        return list(lines)
    attacks = {cut(point.attack, 40) for point in reading.points}
    kept = [
        line for line in lines
        if not any(isinstance(part, Data) and part.value in attacks for part in line)
        and not plain(line).startswith("Fake accounts hold")
    ]  # fmt: skip
    return (
        [*kept, ["Which attacks were tried is left out of this edition; others were not tried."]] if attacks else kept
    )


def _auditor() -> Section:
    labels = (
        "Auditing organisation", "Independence declared (Article 37(3))", "Period and service audited",
        "Obligation to which these tests belong", "Conclusion (positive, positive with comments, negative)",
        "Recommendations", "Management response", "Place, date, signature",
    )  # fmt: skip
    said: Sentence = ["This page is filled in by the auditor. recaudit writes nothing here."]
    return Section("auditor", "For the auditor", [Paragraph(said), Blanks(labels)])


def _glossary() -> Section:
    rows: list[list[Sentence]] = [[[term], [meaning]] for term, meaning in GLOSSARY]
    return Section("glossary", "Glossary", [Table("Words used here", ("Word", "Meaning"), rows, (0.25, 0.75))])
