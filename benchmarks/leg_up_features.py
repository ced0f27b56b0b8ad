"""Leg-UP with side features, its ablations and simpler attacks, on a factorisation machine that reads the features.

    python benchmarks/leg_up_features.py --data DIR --work DIR [--arms full,random-x] [--targets 785] [--seeds 3]

DIR holds a log of ratings with user features; the targets are item ids (by default those of Leg-UP's MovieLens-100K).
50 accounts of 30 events; the victim is refitted from scratch, 20 epochs, with each seed. Gain = mean log2 rank of the
target among genuine users who lack it, clean less attacked, victim of the same seed. Student's t intervals over the
targets, paired. Rows and accounts are kept in the work folder and never computed twice.

Accounts of the arms love-hate and leg-up have no features; with -x, those of whole users drawn at random.

Ablations: (a) the victim without user features; (b) accounts with random features, in training (random-x) or exchanged
after it (swapped-x); (c) no modulation by features (no-film); (d) how well a classifier tells the accounts' features
from genuine ones.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from recaudit.attacks.base import Attack, Draft, Goal, Knowledge
from recaudit.attacks.catalogue import build
from recaudit.attacks.injection import crafted
from recaudit.attacks.legup_features import FeatureLegUP, FeatureLegUPConfig, Whose, claims, copies, user_table
from recaudit.attacks.surrogate.descent import draft_of
from recaudit.datasets.log import InteractionLog, Profiles
from recaudit.datasets.read import read_log
from recaudit.datasets.seeding import rng
from recaudit.recommenders.features import FeatureSpace
from recaudit.recommenders.fm import FM, FMConfig

ACCOUNTS, EVENTS, EPOCHS = 50, 30, 20
HEAD = ("arm", "victim", "target", "seed", "log2rank", "hr20", "craft_cpu_s", "lowest")
VICTIMS = {"fm": FMConfig(), "fm-ids": FMConfig(user_features=False)}
ARMS = (
    "love-hate", "love-hate-x", "copies", "leg-up", "leg-up-x", "full", "random-x", "swapped-x", "no-film",
)  # fmt: skip
WITHOUT = ("love-hate", "copies", "full")
"""Arms that the victim without user features meets too."""


class Copies(FeatureLegUP):
    """The templates of Leg-UP with features as they are: copied profiles, ratings and features."""

    def craft(self, knowledge: Knowledge, goal: Goal, rng: np.random.Generator) -> Draft:
        by_start, by_who = rng.spawn(5)[:2]
        users, templates = copies(knowledge, goal, by_start)
        table = user_table(knowledge)
        assert table is not None
        return replace(
            draft_of(templates, goal), features=claims(table, knowledge.log, goal, users, "template", by_who)
        )


MAKERS: dict[str, Callable[[], Attack]] = {
    "copies": Copies,
    "full": FeatureLegUP,
    "random-x": lambda: FeatureLegUP(FeatureLegUPConfig(features="random")),
    "no-film": lambda: FeatureLegUP(FeatureLegUPConfig(film=False)),
    "audience-x": lambda: FeatureLegUP(FeatureLegUPConfig(features="audience")),
    "sn": lambda: FeatureLegUP(FeatureLegUPConfig(critic="sn")),
    "no-critic": lambda: FeatureLegUP(FeatureLegUPConfig(critic="none")),
    "pre-trained": lambda: FeatureLegUP(FeatureLegUPConfig(rounds=0)),
}


def main() -> None:
    """Compute what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--targets", default="62,785,1077,1257,1419")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    log = read_log(options.data).log
    targets = [int(np.flatnonzero(log.item_ids == name)[0]) for name in options.targets.split(",")]
    options.work.mkdir(parents=True, exist_ok=True)
    path = options.work / "rows.csv"
    known = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=HEAD)
    done = {tuple(map(str, row)) for row in known[list(HEAD[:4])].to_numpy()}
    seen = log.matrix().toarray() > 0
    with path.open("a", newline="") as file:
        lines = csv.writer(file)
        if not len(known):
            lines.writerow(HEAD)
        for victim in VICTIMS:
            for seed in range(options.seeds):
                missing = [t for t in targets if ("none", victim, str(t), str(seed)) not in done]
                if missing:
                    scores = fit(log, victim, seed)
                    for target in missing:
                        lines.writerow(["none", victim, target, seed, *standing(scores, seen, target), 0, 0])
                    file.flush()
        for target in targets:
            for arm in options.arms.split(","):
                wanted = [v for v in VICTIMS if v == "fm" or arm in WITHOUT]
                cells = [(v, s) for v in wanted for s in range(options.seeds)]
                cells = [cell for cell in cells if (arm, cell[0], str(target), str(cell[1])) not in done]
                if not cells:
                    continue
                fakes, seconds, lowest = accounts(log, arm, target, options.work)
                poisoned = log.with_accounts(fakes)
                for victim, seed in cells:
                    found = standing(fit(poisoned, victim, seed), seen, target)
                    lines.writerow([arm, victim, target, seed, *found, seconds, lowest])
                    file.flush()
                print(arm, target, f"{seconds} CPU s", flush=True)
    table(pd.read_csv(path), log)
    if len(targets) > 1:
        detection(log, targets)


def accounts(log: InteractionLog, arm: str, target: int, work: Path) -> tuple[Profiles, float, float]:
    """The accounts of one arm, CPU seconds of the craft, share of the lowest rating among fillers."""
    events, who = work / f"{arm}-{target}.csv", work / f"{arm}-{target}-users.csv"
    if not events.exists():
        goal = Goal((target,), ACCOUNTS, EVENTS, "rating")
        started = time.process_time()
        if arm in ("swapped-x", "love-hate-x", "leg-up-x"):  # the events of another arm, other features
            fakes, seconds, _ = accounts(log, "full" if arm == "swapped-x" else arm[:-2], target, work)
            draw = rng(target, "swap")
            somebody = draw.choice(log.n_users, ACCOUNTS, replace=False)
            whose: Whose = "random" if arm == "swapped-x" else "template"
            fakes = replace(fakes, features=claims(log.users, log, goal, somebody, whose, draw))
        else:
            fakes = crafted(MAKERS[arm]() if arm in MAKERS else build(arm), log, goal, target)
            seconds = round(time.process_time() - started, 1)
            if arm in ("love-hate", "leg-up"):  # the finish line would tick the sign-up form at random
                fakes = replace(fakes, features=None)
        kept = pd.DataFrame({"account": fakes.account, "item": fakes.item, "value": fakes.value, "time": fakes.time})
        kept["cpu_s"] = seconds
        if fakes.features is not None:
            fakes.features.to_csv(who, index=False)
        kept.to_csv(events, index=False)
    kept = pd.read_csv(events)
    columns = (kept[name].to_numpy(kind) for name, kind in (("value", np.float32), ("time", np.int64)))
    item = kept.item.to_numpy(np.int32)
    features = pd.read_csv(who) if who.exists() else None
    fakes = Profiles(ACCOUNTS, kept.account.to_numpy(np.int32), item, *columns, features)
    return fakes, float(kept.cpu_s.iloc[0]), float((fakes.value[item != target] == log.value.min()).mean())


def fit(log: InteractionLog, victim: str, seed: int) -> np.ndarray:
    """Scores of a victim fitted from scratch, float32 [users, items]."""
    model = FM(VICTIMS[victim])
    model.fit(log, seed, epochs=EPOCHS)
    return model.scores(np.arange(log.n_users), log)


def standing(scores: np.ndarray, seen: np.ndarray, target: int) -> tuple[float, float]:
    """Mean log2 rank and HR@20 of the target among genuine users who lack it; their items are left out."""
    lacking = ~seen[:, target]
    own = np.where(seen[lacking], -np.inf, scores[: len(seen)][lacking])
    rank = 1 + (own > own[:, [target]]).sum(axis=1)
    return float(np.log2(rank).mean()), float((rank <= 20).mean())


def table(rows: pd.DataFrame, log: InteractionLog) -> None:
    """Gains by arm and victim, and the full method's lead over each arm, with intervals over targets."""
    mean = rows.groupby(["arm", "victim", "target"]).log2rank.mean()
    names = [log.item_ids[target] for target in sorted(set(rows.target))]
    print("\n| victim | arm | CPU s | share of r_min | HR@20 | gain | full less it | gain by target", *names, "|")
    print("|---|---|---:|---:|---:|---|---|---|")
    for victim, arm in dict.fromkeys(zip(rows.victim, rows.arm, strict=True)):
        own = rows[(rows.arm == arm) & (rows.victim == victim)]
        gain = mean["none", victim].reindex(mean[arm, victim].index) - mean[arm, victim]
        lead = ""
        if arm not in ("none", "full") and ("full", victim) in mean.index.droplevel("target"):
            lead = interval(mean[arm, victim] - mean["full", victim])
        numbers = f"{own.craft_cpu_s.mean():.1f} | {own.lowest.mean():.2f} | {own.hr20.mean():.3f}"
        each = " ".join(f"{value:.2f}" for value in gain)
        print(f"| {victim} | {arm} | {numbers} | {interval(gain)} | {lead} | {each} |")


def interval(values: pd.Series) -> str:
    """Mean with a 95 % Student's t interval."""
    known = values.dropna()
    if len(known) < 2:
        return f"{known.mean():.2f}"
    half = stats.t.ppf(0.975, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known))
    return f"{known.mean():+.2f} [{known.mean() - half:+.2f}, {known.mean() + half:+.2f}]"


def detection(log: InteractionLog, targets: list[int]) -> None:
    """Check (d): mean AUC of accounts' features against genuine ones, one split of the users for each target.

    Genuine and copied users are disjoint, in training and in test: a copy beside its original would give the answer.
    """
    space = FeatureSpace.fit(log.users)
    models = {
        "logistic": lambda: LogisticRegression(max_iter=1000, class_weight="balanced"),
        "boosting": lambda: HistGradientBoostingClassifier(max_iter=60, class_weight="balanced", random_state=0),
    }
    print("\n| features of accounts | " + " | ".join(f"AUC, {name}" for name in models) + " |\n|---|---|---|")
    kinds: tuple[Whose, ...] = ("template", "audience", "random")
    for whose in kinds:
        found: dict[str, list[float]] = {name: [] for name in models}
        for target in targets:
            by_part, by_claim = rng(target, "detection").spawn(2)
            parts = np.array_split(by_part.permutation(log.n_users), 4)
            sides = []
            for genuine, copied in ((parts[0], parts[1]), (parts[2], parts[3])):
                goal = Goal((target,), len(copied), EVENTS, "rating")
                fakes = claims(log.users.loc[np.sort(copied)], log, goal, copied, whose, by_claim)
                both = space.encode(pd.concat([log.users.loc[genuine], fakes], ignore_index=True)).toarray()
                sides.append((both, np.arange(len(both)) >= len(genuine)))
            for name, make in models.items():
                model = make().fit(*sides[0])
                found[name].append(roc_auc_score(sides[1][1], model.predict_proba(sides[1][0])[:, 1]))
        print(f"| {whose} | " + " | ".join(f"{np.mean(each):.2f}" for each in found.values()) + " |")


if __name__ == "__main__":
    main()
