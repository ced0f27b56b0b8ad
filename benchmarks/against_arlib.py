"""CPU seconds of crafting the same fake accounts: recaudit against ARLib (github.com/CoderWZW/ARLib, commit 8e9b536).

    python benchmarks/against_arlib.py --arlib CHECKOUT --python ENV/bin/python --work DIR [--attacks random,clear]
        [--runs 3] [--long 150]

ARLib's own ml-100k training file, targets (5 unpopular items), number of accounts (1 % of the users) and defaults; ours
gets the same targets and accounts, and profiles as long as ARLib's really are. Counted is, on ARLib's side, from making
the attack to its fake accounts, each run in a process of its own; on ours the same, with what the attack may know of
the log. White-box attacks of ARLib are handed its LightGCN, trained for its 30 default epochs, which is not counted;
ours train all they need while crafting, which is. The sides take turns, one thread each. Finished runs are kept in DIR
and not repeated; an attack that takes ARLib more than LONG seconds is run once.

Not compared: PoisonRec (we have no such attack); AUSH, LegUP, DLAttack, GOAT and GSPAttack, which do not compute what
they are named after (templates without events, losses without gradients, profiles that keep no budget).

ENV has torch, scipy, scikit-learn and numba. Nothing of ARLib is edited; `arlib_side.py` makes it run today, without
a GPU: `cuda()` does nothing, `random.sample` takes sets and scipy takes tensors as indices again, and PGA, which reads
the size of a profile as a share of the items where its constructor takes only numbers, is given it in both forms.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recaudit.attacks.catalogue import build
from recaudit.attacks.goal import Goal
from recaudit.attacks.knowledge import Knowledge
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.read import read_log
from recaudit.datasets.seeding import rng


@dataclass(frozen=True)
class Pair:
    """An attack of ARLib and ours.

    Attributes:
        category: folder of ARLib's attack.
        theirs: its name.
        ours: name of our counterpart.
        does: what ARLib's does by default.
        rows: what ours does, and the settings for it; the first are its defaults.
    """

    category: str
    theirs: str
    ours: str
    does: str
    rows: dict[str, dict[str, Any]] = field(default_factory=lambda: {"the same": {}})


PAIRS: dict[str, Pair] = {
    "random": Pair("Black", "RandomAttack", "random", "draws fillers"),
    "bandwagon": Pair("Black", "BandwagonAttack", "bandwagon", "popular items and drawn fillers"),
    "clear": Pair(
        "White",
        "CLeaR",
        "clear",
        "given LightGCN; 5 rounds of 2 steps and 6 epochs",
        {
            "SimGCL twin, 20 epochs; 3 rounds of 10 steps, 4 refits of 4 epochs": {},
            "LightGCN twin, 20 epochs; 5 rounds of 2 steps, 6 refits of 6 epochs (equal steps)": {
                "twin": "lightgcn", "rounds": 5, "steps": 2, "refit": 6,
            },
        },
    ),
    "pga": Pair(
        "White",
        "PGA",
        "pga",
        "given LightGCN; 5 epochs, 2 rounds of 5 epochs and 72 gradients",
        {"WMF, 8 sweeps; 20 gradients": {}, "WMF, 8 sweeps; 144 gradients (equal steps)": {"steps": 144}},
    ),
    "gta": Pair(
        "Black",
        "GTA",
        "revadv",
        "own LightGCN, 30 + 6 epochs; 5 rounds of 6 epochs, no gradient to accounts",
        {"nearest: revadv; LightGCN, 8 epochs; 15 gradients through 3 steps each (no equal steps)": {}},
    ),
}  # fmt: skip


def theirs(options: argparse.Namespace, pair: Pair, run: int) -> dict[str, Any]:
    """ARLib's line of one run."""
    side = str(Path(__file__).with_name("arlib_side.py"))
    model = str(options.work / "lightgcn.pt")
    command = [options.python, side, str(options.arlib.resolve()), model, pair.category, pair.theirs, str(run)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def ours(log: InteractionLog, pair: Pair, settings: dict[str, Any], run: int, budget: dict[str, Any]) -> dict[str, Any]:
    """Our line of one run, for the targets and the size of ARLib's."""
    places = {str(name): place for place, name in enumerate(log.item_ids)}
    targets = tuple(places[name] for name in budget["targets"])
    goal = Goal(targets, len(budget["events"]), max(budget["events"]))
    start = time.process_time()
    attack = build(pair.ours, settings)
    knowledge = Knowledge.of(log, attack.needs(goal))
    found = attack.profiles(knowledge, goal, rng(run, pair.ours))
    seconds = time.process_time() - start
    return {"cpu_s": seconds, "events": np.bincount(found.account).tolist()}


def kept(work: Path, name: str, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A finished run from its file, else the run, put there."""
    file = work / f"{name}.json"
    if not file.exists():
        done = run()
        file.write_text(json.dumps(done))
        print(f"{name}: {done['cpu_s']:.3f} CPU s", flush=True)
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def compared(options: argparse.Namespace, log: InteractionLog, name: str) -> list[str]:
    """All runs of a pair of attacks: a Markdown row for each setting of ours."""
    pair = PAIRS[name]
    left: list[dict[str, Any]] = []
    right: list[list[dict[str, Any]]] = [[] for _ in pair.rows]
    for run in range(options.runs):
        if left and left[0]["cpu_s"] > options.long:
            break
        left.append(kept(options.work, f"{name}-arlib-{run}", partial(theirs, options, pair, run)))
        for number, settings in enumerate(pair.rows.values()):
            work = partial(ours, log, pair, settings, run, left[0])
            right[number].append(kept(options.work, f"{name}-ours{number}-{run}", work))
    held = f", {left[0]['held']:.0%} of the targets held" if left[0]["held"] < 1 else ""
    rows = []
    for words, lines in zip(pair.rows, right, strict=True):
        ratio = np.median(seconds(left)) / np.median(seconds(lines))
        rows.append(
            f"| {pair.theirs} / {pair.ours} | {text(left)} | {text(lines)} | {ratio:.1f}x "
            f"| {pair.does}; {size(left)}{held} | {words}; {size(lines)} |"
        )
    return rows


def seconds(lines: list[dict[str, Any]]) -> list[float]:
    return [line["cpu_s"] for line in lines]


def text(lines: list[dict[str, Any]]) -> str:
    values = seconds(lines)
    if len(values) == 1:
        return f"{values[0]:.4g} (one run)"
    return f"{np.median(values):.4g} [{min(values):.4g}, {max(values):.4g}]"


def size(lines: list[dict[str, Any]]) -> str:
    events = [n for line in lines for n in line["events"]]
    spread = f"{min(events)}" if min(events) == max(events) else f"{min(events)} to {max(events)}"
    return f"{len(lines[0]['events'])} accounts of {spread}"


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arlib", required=True, type=Path, help="a checkout of ARLib with data/clean/ml-100k")
    parser.add_argument("--python", required=True, help="python of the environment that has what ARLib needs")
    parser.add_argument("--work", required=True, type=Path, help="where finished runs are kept")
    parser.add_argument("--attacks", default=",".join(PAIRS), help="with commas between")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--long", type=float, default=150, help="CPU seconds of ARLib above which one run is enough")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    log = read_log(options.arlib / "data" / "clean" / "ml-100k" / "train.txt").log
    rows = [row for name in options.attacks.split(",") for row in compared(options, log, name)]
    print("\n| ARLib / recaudit | ARLib, CPU s | recaudit, CPU s | ratio | what ARLib did | what recaudit did |")
    print("|---|---:|---:|---:|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
