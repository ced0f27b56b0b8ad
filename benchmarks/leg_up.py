"""Leg-UP, its ablations and the other attacks on ratings, judged by reference victims beside stored reference profiles.

    python benchmarks/leg_up.py --shared ../shared --work DIR [--data ml100k|automotive] [--attacks leg-up,love-hate]
        [--victims mf,wmf,ease,bpr] [--seeds 2] [--targets 62]

The five published targets, 50 accounts with as many events as the stored Leg-UP profiles have on average. The victims
and measures are those of the reference page (`oracles/attacks/evaluate_profiles.py`): nothing of recaudit judges
itself. Gain = log2 of the target's rank, clean less attacked; Student's t intervals over the five targets, paired.
Rows are kept in DIR and never computed twice.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from recaudit.attacks.injection import craft_only
from recaudit.attacks.legup import PUBLISHED
from recaudit.datasets.log import InteractionLog

ACCOUNTS = 50
EVENTS = {"ml100k": 30, "automotive": 5}
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "templates": ("clone-and-push", {}),
    "pre-trained": ("leg-up", {"rounds": 0}),
    "leg-up": ("leg-up", {}),
    "leg-up wmf": ("leg-up", {"surrogate": "wmf"}),
    "leg-up plain": ("leg-up", {"surrogate": "plain"}),
    "leg-up warm": ("leg-up", {"surrogate": "wmf", "wmf": {"warm": True, "sweeps": 6}}),
    "leg-up SR": ("leg-up", {"learned": False}),
    "leg-up woD": ("leg-up", {"discriminator": False}),
    "leg-up target absent": ("leg-up", {"target_in_surrogate": False}),
    "leg-up without pre-training": ("leg-up", {"pretraining": 0}),
    "leg-up published": ("leg-up", PUBLISHED.model_dump()),
    **{
        name: (name, {})
        for name in ("revadv", "random", "average", "bandwagon", "segment", "love-hate", "aush", "pga", "uba")
    },
}
HEAD = ("attack", "target", "victim", "seed", "hr20", "log2rank", "craft_cpu_s", "ones")


def main() -> None:
    """Compute what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", choices=EVENTS, default="ml100k")
    parser.add_argument("--attacks", default="templates,pre-trained,leg-up,random,average,bandwagon,segment,love-hate")
    parser.add_argument("--victims", default="mf,wmf")
    parser.add_argument("--targets", default="", help="of the published ones, with commas between; all if not given")
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    judge = reference(options.shared)
    n, m, (user, item, value), _ = judge.load(str(options.shared.resolve().parent), options.data)
    names = [np.arange(count).astype(str) for count in (n, m)]
    log = InteractionLog(user.astype(np.int32), item.astype(np.int32), *names, value)
    seen = np.zeros((n, m), bool)
    seen[user, item] = True
    options.work.mkdir(parents=True, exist_ok=True)
    path = options.work / f"{options.data}.csv"
    known = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=HEAD)
    done = {tuple(map(str, row)) for row in known[list(HEAD[:4])].to_numpy()}
    with path.open("a", newline="") as file:
        lines = csv.writer(file)
        if not path.stat().st_size:
            lines.writerow(HEAD)
        for arm in options.attacks.split(","):
            for target in map(int, options.targets.split(",")) if options.targets else judge.TARGETS[options.data]:
                cells = [(v, s) for v in options.victims.split(",") for s in range(1 if v == "ease" else options.seeds)]
                cells = [cell for cell in cells if (arm, str(target), cell[0], str(cell[1])) not in done]
                if not cells:
                    continue
                name, settings = ARMS[arm]
                started = time.process_time()
                fakes = craft_only(log, name, [target], ACCOUNTS, EVENTS[options.data], target, settings=settings)
                seconds = time.process_time() - started
                assert fakes.value is not None
                ones = float((fakes.value[fakes.item != target] == value.min()).mean())
                for victim, seed in cells:
                    scores = judge.VICTIMS[victim](
                        np.r_[user, fakes.account + n], np.r_[item, fakes.item],
                        np.r_[value, fakes.value].astype(np.float32), n + ACCOUNTS, m, seed,
                    )  # fmt: skip
                    hits, rank = judge.target_measures(scores, seen, target)
                    lines.writerow([arm, target, victim, seed, hits, rank, round(seconds, 1), ones])
                    file.flush()
                print(arm, target, f"{seconds:.1f} CPU s", flush=True)
    table(pd.read_csv(path), stored(options.shared, options.data))


def reference(shared: Path) -> ModuleType:
    """The page's own judge."""
    spec = importlib.util.spec_from_file_location("judge", shared / "oracles/attacks/evaluate_profiles.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stored(shared: Path, data: str) -> pd.DataFrame:
    """What the stored reference profiles reach, at the page's first profile size."""
    rows = pd.read_csv(shared / f"oracles/attacks/results-{data}.csv")
    return rows[rows.P.isin((0, EVENTS[data] - 1 if data == "automotive" else 36))]


def table(ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    """Gains by attack and victim, and leg-up's lead over each, with intervals over targets."""
    clean = theirs[theirs.attack == "none"].groupby(["target", "victim"]).log2rank.mean()

    def gains(rows: pd.DataFrame, attack: str, victim: str) -> pd.Series:
        chosen = rows[(rows.attack == attack) & (rows.victim == victim)].groupby("target").log2rank.mean()
        found: pd.Series = clean.xs(victim, level="victim").reindex(chosen.index) - chosen
        return found

    sides = [("ours", ours, name) for name in dict.fromkeys(ours.attack)]
    sides += [("stored", theirs, name) for name in dict.fromkeys(theirs.attack) if name != "none"]
    victims = list(dict.fromkeys(ours.victim))
    print(
        "\n| profiles | attack | CPU s | share of r_min | " + " | ".join(f"{v}: gain, leg-up less it" for v in victims)
    )
    print("|---|---|---:|---:|" + "---|" * len(victims))
    for side, rows, name in sides:
        own = rows[rows.attack == name]
        cost = f"{own.craft_cpu_s.mean():.1f} | {own.ones.mean():.2f}" if side == "ours" else "|"
        cells = []
        for victim in victims:
            gain = gains(rows, name, victim)
            lead = (gains(ours, "leg-up", victim) - gain).dropna()
            text = "" if gain.empty else f"{gain.mean():.2f}"
            if len(lead) > 1 and (side == "stored" or name != "leg-up"):
                half = stats.t.ppf(0.975, len(lead) - 1) * lead.std(ddof=1) / np.sqrt(len(lead))
                text += f", {lead.mean():+.2f} [{lead.mean() - half:+.2f}, {lead.mean() + half:+.2f}]"
            cells.append(text)
        print(f"| {side} | {name} | {cost} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
