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
from scipy.stats import norm
from victims import add_options, prepared

from recaudit.audit.bench import Protocol
from recaudit.audit.engine import make_plan, run_plan
from recaudit.audit.store import Store
from recaudit.cli.progress import progress
from recaudit.privacy.membership.check import PrivacyProbe
from recaudit.privacy.membership.config import PrivacyConfig
from recaudit.privacy.membership.game import play
from recaudit.privacy.membership.reading import ACCESSES, read
from recaudit.privacy.membership.shadow import Draw, material
from recaudit.privacy.membership.taste import TITLES
from recaudit.privacy.places import prefixes
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
        old = pd.read_csv(options.rows, dtype=str, keep_default_na=False) if options.rows.exists() else rows.head(0)
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
        details, where = found.details, name.rsplit(f".{found.details['access']}.", 1)[0]
        arm = details.get("mitigation") or ("checkpoint" if where == "checkpoint" else "none")
        if "outsider" in details:
            arm = f"none, by {details['outsider']}"
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
    """A table for each victim: an arm a row, the AUC of every attack by what is seen, then what matters most."""
    pairs = [(access, attack) for access in ACCESSES for attack in ("lira", "rmia", "plain")]
    for key, rows in found.groupby(["data", "model", "recipe", "unit", "overlap", "models"], sort=True):
        order = pairs + [("lists", title) for title in TITLES.values() if key[3] == "users"]
        head = ["arm", *(f"{access}: {attack}" if attack == "lira" else attack for access, attack in order)]
        head += ["found at 1 %", "of the lists", "epsilon", "NDCG@20"]
        largest = rows.error.max()
        print(f"### {key[0]}, {key[1]} ({key[2]}), {key[3]}, overlap {key[4]}, {key[5]} models\n")
        print("| " + " | ".join(head) + " |\n|---" + "|---:" * (len(head) - 1) + "|")
        for arm, own in rows.groupby("mitigation", sort=False):
            cells = {(row["access"], row["attack"]): row for row in own.to_dict("records")}
            line = [str(arm), *(_figure(cells[one]["auc"], 3) if one in cells else "" for one in order)]
            for access in ("scores", "lists"):
                rates = [cells[access, attack]["tpr1"] for attack in ("lira", "rmia") if (access, attack) in cells]
                # thresholds of another recipe let through what they let through: a rate of theirs compares with none
                line.append("" if ", by " in str(arm) else _figure(max(rates, default=np.nan), 3))
            first = own.iloc[0]
            bound = f"{_figure(first.epsilon, 2)} of {_figure(first.ceiling, 2)}" if not pd.isna(first.epsilon) else ""
            print("| " + " | ".join([*line, bound, _figure(first["ndcg@20"], 4)]) + " |")
        kinds = rows[(rows.mitigation == "none") & (rows.access == "scores") & (rows.attack == "lira")].iloc[0]
        split = rows[(rows.mitigation == "checkpoint") & (rows.access == "scores") & (rows.attack == "plain")]
        told = f"Standard errors up to {_figure(largest, 3)}."
        if not pd.isna(kinds.planted):
            told += (f" LiRA from scores by kind: trained pairs {_figure(kinds.trained, 3)}, held-out "
                     f"{_figure(kinds.held_out, 3)}, out of taste {_figure(kinds.planted, 3)}.")  # fmt: skip
        if len(split) and not pd.isna(split.iloc[0].confound):
            told += f" The split alone gives the plain attack on the checkpoint {_figure(split.iloc[0].confound, 3)}."
        print(f"\n{told}\n")


def _figure(value: float, places: int) -> str:
    return "" if pd.isna(value) else f"{value:.{places}f}".removeprefix("0") if value < 1 else f"{value:.{places}f}"


def draw(found: pd.DataFrame, path: Path) -> None:
    """Found at 1 % false alarms against utility: a dot an arm, a colour a victim; scores and the best attack."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    own = found[(found.unit == "interactions") & (found.overlap == "1") & (found.mitigation != "checkpoint")]
    best = own.sort_values("auc").groupby(["data", "model", "recipe", "mitigation", "access"]).tail(1)
    names, victims = sorted(best.data.unique()), sorted(best.model.unique())
    figure, panels = pyplot.subplots(1, len(names), figsize=(3.6 * len(names), 3.4), squeeze=False, sharey=True)
    for panel, data in zip(panels[0], names, strict=True):
        for place, victim in enumerate(victims):
            for access, marker in (("scores", "o"), ("lists", "x")):
                part = best[(best.data == data) & (best.model == victim) & (best.access == access)]
                panel.plot(part["ndcg@20"], part.auc, marker, color=f"C{place}", label=f"{victim}, {access}")
        panel.axhline(0.5, color="0.7", linewidth=0.8)
        panel.set(title=data, xlabel="NDCG@20 on pairs nobody was taught", ylim=(0.47, 1.02))
    panels[0][0].set_ylabel("AUC of the strongest attack")
    handles, labels = panels[0][-1].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=7, loc="center right")
    figure.tight_layout(rect=(0, 0, 1 - 1.5 / (3.6 * len(names)), 1))
    figure.savefig(path, metadata={"Date": None})


def cost(target: Target, options: argparse.Namespace) -> None:
    """CPU seconds of an audit of M models, and of the same by a plain loop over candidates (from 100 of them).

    The loop scores a user for each candidate, and fits two normals a candidate, victim and reference with scipy.
    """
    config, count = PrivacyConfig(models=4, candidates=options.candidates), options.models
    in_order = reads_order(target.recipe)
    asked = Draw("interactions", options.candidates, config.planted, 0, config.cutoff).candidates(
        target.split, in_order
    )
    clock = time.process_time()
    model = fit(target.recipe, asked.base, 0)
    training = time.process_time() - clock
    clock = time.process_time()
    signals = read(model, asked, in_order, config.cutoff)
    reading = time.process_time() - clock
    pairs = len(asked) + len(asked.population_user)
    clock = time.process_time()
    log = asked.everything
    for user, item in zip(asked.user[:100], asked.item[:100], strict=True):
        history = prefixes(log, np.array([user]), np.array([10])) if in_order else asked.base
        scores = model.scores(np.array([0 if in_order else user]), history)[0]
        np.log(1 + (scores > scores[item]).sum())
    slow_reading = (time.process_time() - clock) * pairs / 100
    rng = np.random.default_rng(0)
    answers = [{"included": rng.random(len(asked)) < 0.5, **{f"none/{name}": own for name, own in signals.items()}}
               for _ in range(count)]  # fmt: skip
    clock = time.process_time()
    play(material(asked, answers, "none/scores"), "lira", asked.user)
    attacking = time.process_time() - clock
    clock = time.process_time()
    for place in range(100):
        inside = rng.random(count) < 0.5
        values = rng.standard_normal(count)
        for side in (inside, ~inside):
            norm(values[side].mean() if side.any() else 0.0, 1.0).logpdf(signals["scores"][place])
    slow_attacking = (time.process_time() - clock) * len(asked) / 100 * count * count
    ours, plain = count * (training + reading) + attacking, count * (training + slow_reading) + slow_attacking
    print(
        f"{count} models: training {training:.2f} s each\n"
        f"reading {reading:.2f} s each, by a loop {slow_reading:.1f} s\n"
        f"attacking all {attacking:.2f} s, by a loop {slow_attacking:.0f} s\n"
        f"together {plain / ours:.1f} times faster; the same trainings serve {len(signals)} kinds of access, "
        f"{len(config.attacks)} attacks, the bound on epsilon and every mitigation that only serves"
    )


if __name__ == "__main__":
    main()
