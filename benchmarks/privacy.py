"""Who leaks how much about what they were trained on: membership inference by victim, access, attack and mitigation.

    python benchmarks/privacy.py --shared ../shared --work DIR --data movielens-100k --model ease
        [--recipe dim=32,max_epochs=30] [--models 8] [--units interactions] [--overlap 1]
        [--mitigations "quarter=other-recipe:epochs=.25;noise=noise:scale=.5"]
    python benchmarks/privacy.py --table | --plot docs/images/privacy.svg | --cost --data ... --model ...

The check "privacy" (docs/privacy.md) on one victim. Cells are kept in DIR and resume; rows of a finished victim replace
its older ones. `--cost` compares reading and attacking with a plain loop over candidates, on the models of the victim.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from victims import add_options, prepared

from recaudit.audit.bench import Protocol
from recaudit.audit.engine import make_plan, run_plan
from recaudit.audit.store import Store
from recaudit.cli.progress import progress
from recaudit.privacy.membership.check import PrivacyProbe
from recaudit.privacy.membership.config import PrivacyConfig
from recaudit.privacy.membership.game import play
from recaudit.privacy.membership.reading import read
from recaudit.privacy.membership.shadow import material
from recaudit.recommenders.catalogue import fit, reads_order
from recaudit.recommenders.target import Target

KEYS = ["data", "model", "recipe", "unit", "overlap", "models", "mitigation", "access", "attack"]
FIGURES = ("auc", "error", "tpr1", "fpr1", "tpr01", "fpr01", "trained", "held_out", "planted", "confound")


def main() -> None:
    """Run what is missing, print the tables, draw them, or time them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, "")
    parser.add_argument("--models", type=int, default=8)
    parser.add_argument("--units", default="interactions", help="interactions, users, or both with a comma")
    parser.add_argument("--overlap", type=float, default=1.0)
    parser.add_argument("--candidates", type=int, default=1000)
    parser.add_argument("--attacks", default="lira,rmia,plain", help="the first decides the bound on epsilon")
    parser.add_argument("--mitigations", default="", help="name=use:setting=value,setting=value;...")
    parser.add_argument("--rows", type=Path, default=Path(__file__).parent / "results" / "privacy.csv")
    parser.add_argument("--table", action="store_true", help="print the tables of the rows")
    parser.add_argument("--plot", type=Path, help="draw the rows into this file")
    parser.add_argument("--cost", action="store_true", help="time reading and attacking against a plain loop")
    options = parser.parse_args()
    if options.cost:
        return cost(prepared(options)[0], options)
    if options.work is not None:
        rows = measured(options)
        options.rows.parent.mkdir(exist_ok=True)
        old = pd.read_csv(options.rows, keep_default_na=False) if options.rows.exists() else rows.head(0)
        joined = pd.concat([old.astype(str), rows.astype(str)]).drop_duplicates(KEYS, keep="last")
        joined.sort_values(KEYS).to_csv(options.rows, index=False)
    found = pd.read_csv(options.rows, dtype={name: str for name in KEYS}, keep_default_na=True)
    if options.plot is not None:
        draw(found, options.plot)
    else:
        tables(found)


def measured(options: argparse.Namespace) -> pd.DataFrame:
    """One row for each unit, mitigation, access and attack of a victim, and one for its checkpoint."""
    target, work = prepared(options)
    config = PrivacyConfig(
        units=tuple(options.units.split(",")), attacks=tuple(options.attacks.split(",")), models=options.models,
        candidates=options.candidates, overlap=options.overlap, mitigations=mitigations(options.mitigations),
    )  # fmt: skip
    probe, protocol, store = PrivacyProbe(config, 0), Protocol((config.cutoff,)), Store(work / "privacy")
    plan = make_plan(target, [probe], protocol, store)
    if plan.skipped:
        raise SystemExit(plan.skipped[0].reason)
    with progress(f"{options.data} {options.model}") as step:
        results, failures = run_plan(plan, target, protocol, store, jobs=options.jobs, progress=step)
    assert not failures, failures
    evidence = {found.id.removeprefix("privacy."): found for found in probe.evidence(target, results)}
    head = {
        "data": options.data, "model": options.model, "recipe": options.recipe or "defaults",
        "overlap": f"{options.overlap:g}", "models": options.models,
    }  # fmt: skip
    utility = {
        arm.name: [results[cell].values.get(f"{arm.serving}/ndcg@{config.cutoff}") for cell in arm.cells]
        for arm in probe.arms(target)
        if arm.unit == "interactions"
    }
    rows: list[dict[str, Any]] = []
    for name, found in evidence.items():
        if found.measure != "auc" or found.estimate is None:
            continue
        details, where = found.details, name.removesuffix(f".{found.details['access']}.{found.details['attack']}.auc")
        arm = details.get("mitigation") or ("checkpoint" if where == "checkpoint" else "none")
        row = head | {
            "unit": details.get("unit", "interactions"), "mitigation": arm, "access": details["access"],
            "attack": details["attack"], "auc": found.estimate, "error": found.standard_error,
            "confound": details.get("confound"), **details.get("by_kind", {}),
        }  # fmt: skip
        for rate in details.get("rates", ()):
            at = "1" if rate["false_alarms_wanted"] == 0.01 else "01"
            row |= {f"tpr{at}": rate["tpr"], f"fpr{at}": rate["fpr"]}
        bound = evidence.get(f"{where}.epsilon")
        if bound is not None:
            row |= {"epsilon": bound.estimate, "ceiling": bound.baseline["ceiling"]}
        served = [value for value in utility.get(arm, []) if value is not None]
        row["ndcg@20"] = float(np.mean(served)) if served else None
        rows.append(row)
    frame = pd.DataFrame(rows)
    numbers = frame.select_dtypes("number").columns.difference(["models"])
    frame[numbers] = frame[numbers].round(4)
    return frame.reindex(columns=[*KEYS, *FIGURES, "epsilon", "ceiling", "ndcg@20"])


def mitigations(text: str) -> dict[str, dict[str, Any]]:
    """`name=use:setting=value,setting=value;...` as the policy has it; `set.NAME` for hyper-parameters."""
    found: dict[str, dict[str, Any]] = {}
    for part in filter(None, text.split(";")):
        name, _, rest = part.partition("=")
        use, _, settings = rest.partition(":")
        own: dict[str, Any] = {"use": use}
        for pair in filter(None, settings.split(",")):
            key, _, value = pair.partition("=")
            if key.startswith("set."):
                own.setdefault("set", {})[key.removeprefix("set.")] = value
            else:
                own[key] = value
        found[name] = own
    return found


def tables(found: pd.DataFrame) -> None:
    """A table for each victim."""
    columns = {
        "mitigation": "arm", "access": "seen", "attack": "attack", "auc": "AUC", "error": "s.e.",
        "tpr1": "found at 1 %", "fpr1": "false alarms", "tpr01": "found at .1 %", "trained": "trained pairs",
        "held_out": "held-out", "planted": "out of taste", "confound": "split alone", "epsilon": "epsilon >=",
        "ceiling": "ceiling", "ndcg@20": "NDCG@20",
    }  # fmt: skip
    for key, rows in found.groupby(["data", "model", "recipe", "unit", "overlap", "models"], sort=True):
        print(f"### {key[0]}, {key[1]} ({key[2]}), {key[3]}, overlap {key[4]}, {key[5]} models\n")
        print("| " + " | ".join(columns.values()) + " |\n" + "|---|---|---" + "|---:" * (len(columns) - 3) + "|")
        for row in rows.sort_values(["mitigation", "access", "auc"], ascending=[True, True, False]).to_dict("records"):
            cells = [row[name] for name in columns]
            print("| " + " | ".join("" if pd.isna(own) else str(own) for own in cells) + " |")
        print()


def draw(found: pd.DataFrame, path: Path) -> None:
    """Found at 1 % false alarms against utility: a dot an arm, a colour a victim; scores and the best attack."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    own = found[(found.unit == "interactions") & (found.overlap == "1") & (found.mitigation != "checkpoint")]
    best = own.sort_values("auc").groupby(["data", "model", "recipe", "mitigation", "access"]).tail(1)
    names = sorted(best.data.unique())
    figure, panels = pyplot.subplots(1, len(names), figsize=(4.2 * len(names), 3.4), squeeze=False)
    for panel, data in zip(panels[0], names, strict=True):
        for victim, rows in best[best.data == data].groupby("model"):
            for access, marker in (("scores", "o"), ("lists", "x")):
                part = rows[rows.access == access]
                panel.plot(part["ndcg@20"], part.auc, marker, label=f"{victim}, {access}")
        panel.axhline(0.5, color="0.7", linewidth=0.8)
        panel.set(title=data, xlabel="NDCG@20 on pairs nobody was taught", ylabel="AUC of the strongest attack")
        panel.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def cost(target: Target, options: argparse.Namespace) -> None:
    """Seconds of a training, of reading it and of the attacks, and of a plain loop over candidates for the latter."""
    config = PrivacyConfig(models=4, candidates=options.candidates)
    probe = PrivacyProbe(config, 0)
    asked = probe.arms(target)[0].cells[0].inquiry.draw.candidates(target.split, reads_order(target.recipe))
    in_order = reads_order(target.recipe)
    clock = time.process_time()
    model = fit(target.recipe, asked.base, 0)
    training = time.process_time() - clock
    clock = time.process_time()
    signals = read(model, asked, in_order, config.cutoff)
    reading = time.process_time() - clock
    clock = time.process_time()
    if not in_order:
        for user, item in zip(asked.user[:100], asked.item[:100], strict=True):
            scores = model.scores(np.array([user]), asked.base)[0]
            np.log(1 + (scores > scores[item]).sum())
    loop = (time.process_time() - clock) * (len(asked) + len(asked.population_user)) / 100
    answers = [{"included": np.random.default_rng(k).random(len(asked)) < 0.5,
                **{f"none/{name}": own for name, own in signals.items()}} for k in range(16)]  # fmt: skip
    clock = time.process_time()
    for access in signals:
        for attack in ("rmia", "lira"):
            play(material(asked, answers, f"none/{access}"), attack, asked.user)
    attacking = time.process_time() - clock
    print(f"training {training:.2f} s, reading {reading:.3f} s ({loop / reading:.1f} times faster than a loop over "
          f"candidates), all attacks on 16 models {attacking:.2f} s")  # fmt: skip


if __name__ == "__main__":
    main()
