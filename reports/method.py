"""How an audit measured, what it did not test, and the words it uses: the fixed parts of a report."""

from __future__ import annotations

from typing import Any

from ..audit.evidence import AuditRun
from .readings import Reading, real
from .text import Data, Sentence, count, cut, duration, percent, plural

GLOSSARY: tuple[tuple[str, str], ...] = (
    ("attack size", "Number of fake accounts, mostly given as a share of the genuine users."),
    ("bound", "The value that a rule of the policy sets for a measured quantity, with its reason."),
    ("cell", "One model that was measured: the checkpoint as it is, a reference, or a retraining."),
    ("clones", "A second control: as many accounts copied from genuine users. Tells “more data” from “attack”."),
    ("control", "The model retrained without fake accounts, under the same seed as the attacked one."),
    ("exposure", "How often an item appears in the recommendation lists of all genuine users."),
    ("Gini index", "Unevenness of exposure: 0 all items equally often, 1 the same few for everybody."),
    ("HR@k", "Hit rate: share of users who find the item in question among their first k recommendations."),
    ("inconclusive", "The interval contains the bound: the test could not tell. Neither a pass nor a failure."),
    ("interval", "Range of values in agreement with the sample, at the stated confidence."),
    ("epsilon", "Bounds how much one user or event can change what is learnt; 0 is nothing. Ours is a lower bound."),
    ("log2 rank shift", "How far a target moved in the ranking; one step halves or doubles its rank."),
    ("Lorenz curve", "Share of all exposure that the least shown share of items gets; a diagonal would be even."),
    ("membership inference", "Telling whether something was in the training data. AUC .5 is guessing, 1 is certain."),
    ("NDCG@k", "Quality of the first k recommendations, earlier hits count more; 0 to 1."),
    ("popularity group", "Head: the most popular tenth of items; middle: the next 40 %; cold: the rest."),
    ("refit", "The recipe of the checkpoint trained again from scratch on changed data."),
    ("seed", "Start of the random numbers; the same seed gives the same result."),
    ("smallest visible effect", "An effect this large would be seen in four of five repeats; a smaller one may hide."),
    ("target item", "The item that the attack is to push or to bury, drawn before the attack sees anything."),
    ("waived", "A finding that the policy excuses for a time, with owner, reason and expiry."),
)


def method(reading: Reading) -> list[Sentence]:
    """How the numbers came about."""
    run = reading.run
    lines: list[Sentence] = [
        ["The data were split by ", Data(cut(run.target.split, 80)), f": {count(run.target.train_events)} events to "
         f"train, {count(run.target.valid_events)} to validate, {count(run.target.test_events)} to test."],
        ["Every list ranks the whole catalogue. Fake accounts are never ranked and never counted."],
    ]  # fmt: skip
    if run.target.origin is not None:
        lines += _origin(run)
    crafted = next((e.details for e in run.evidence if "attack" in e.details and "profile" in e.details), None)
    if crafted is not None:
        seen = real(crafted.get("knowledge"))
        knows = f"; the attacker sees {percent(seen)} of the genuine profiles" if seen is not None else ""
        lines.append(["Fake accounts hold ", Data(cut(str(crafted["profile"]), 20)), f" events each{knows}."])
    refits = [cell for cell in run.cells if cell.kind == "refit"]
    if reading.points or refits:
        lines += [
            ["Sampling unit: one pair of target item and seed. Users of one model move together and are not counted "
             "as independent; units of one target form a cluster."],
            ["Pairing: every attacked model is compared with the control of the same seed. Targets were drawn by the "
             "run’s seed before any attack saw anything."],
        ]  # fmt: skip
    if refits:
        short = sum(not cell.exact for cell in refits)
        text = f"{plural(len(refits), 'model')} retrained from scratch"
        lines.append([f"{text}, the reference for every effect." if not short else f"{text}, but for {count(short)}."])
    levels = sorted({finding.confidence for finding in run.findings if finding.interval is not None})
    if levels:
        span = percent(levels[0]) if len(levels) == 1 else f"{percent(levels[0])} to {percent(levels[-1])}"
        lines.append([f"Correction: intervals hold together within a check, so each has a confidence of {span}; "
                      "the interval shown is the interval judged."])  # fmt: skip
    lines.append([f"Run seed {run.seed}; {plural(len(run.cells), 'cell')} in {duration(run.seconds)} of wall time."])
    return lines


def limits(reading: Reading) -> list[Sentence]:
    """What this audit cannot show; never empty."""
    run = reading.run
    evidence = {found.check for found in run.evidence if found.estimate is not None}
    lines: list[Sentence] = []
    attacks = list(dict.fromkeys(point.attack for point in reading.points))
    if attacks:
        names: list[str | Data] = []
        for name in attacks[:12]:
            names += [", " if names else "", Data(cut(name, 40))]
        more = f" and {count(len(attacks) - 12)} more" if len(attacks) > 12 else ""
        lines.append(["Attackers other than these, larger budgets and other targets: ", *names, f"{more}."])
    for check, what in (
        ("promotion", "Whether fake users can push an item."),
        ("demotion", "Whether fake users can bury an item."),
        ("quality", "Utility beside trivial baselines."),
        ("exposure", "How exposure is shared among items."),
        ("takeover", "What hijacked accounts could be made to show."),
        ("rewriting", "What rewriting the texts of items would do."),
        ("defense", "Whether a defence would help."),
        ("certificate", "What fake users provably cannot change."),
        ("unlearning", "Whether a deletion request would be honoured."),
        ("privacy", "Whether an outsider can tell who was in the training data."),
        ("attributes", "What the model tells about users' attributes."),
        ("extraction", "Whether the model can be copied by asking it."),
        ("simulate", "What becomes of an attack over rounds of retraining on clicks."),
    ):
        if check not in evidence:
            lines.append([what])
    if not any(
        real(value) for found in run.evidence if found.check != "extraction" for value in _queries(found.details)
    ):
        lines.append(["Attackers who adapt to this very model by querying it."])
    lines += [
        ["Effects on people: the data are a record of the past, nobody was shown a list."],
        ["Anything around the model: filters, business rules, advertising, later retraining on new data."],
    ]  # fmt: skip
    effects = [f.mde for f in run.findings if f.mde is not None and f.measure.startswith("hr@")]
    if effects:
        lines.append([f"Changes in hit rate below the smallest visible effect of their line (up to "
                      f"{percent(max(effects))} of the users)."])  # fmt: skip
    if run.target.verified is False:
        lines.append(
            ["Whether users, items and split are the model's own: they are assumed, so nothing here can pass."]
        )
    elif run.target.reproduced is None:
        lines.append(
            ["Whether the checkpoint belongs to these data: it stores no metric that could be computed again."]
        )
    lines.append(["Who made this record and when: it is not signed, its times are claims."])
    return lines


def _origin(run: AuditRun) -> list[Sentence]:
    """Where a model comes from that recaudit did not train, and whether retrainings reach it."""
    proof = next((e.details.get("proof") or e.missing for e in run.evidence if e.id == "quality.reproduction"), None)
    lines: list[Sentence] = [
        ["The model was not trained by recaudit (", Data(cut(run.target.origin or "", 80)), "): ",
         Data(cut(str(proof or "nothing shows whose data these are"), 160)), "."],
    ]  # fmt: skip
    again = next((e for e in run.evidence if e.id.startswith("quality.fidelity.")), None)
    if again is not None and again.estimate is not None:
        lines.append([f"Its recipe trained again {plural(again.n, 'time')}: ", Data(cut(again.title, 200)),
                      f" ({again.estimate:+.4f})."])  # fmt: skip
    return lines


def _queries(details: dict[str, Any]) -> list[Any]:
    """What an attacker asked the model: lists for a craft, titles tried for each item."""
    tried = details.get("tried")
    return [details.get("queries"), *(tried.values() if isinstance(tried, dict) else ())]
