"""The rounds: train, list, click, train again on what was clicked; the fake accounts are removed on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..datasets.errors import InputError
from ..datasets.log import Int32, InteractionLog, Profiles
from ..datasets.seeding import derive
from ..datasets.split import Split
from ..recommenders.base import Recommender
from ..recommenders.consumed import consumed
from ..recommenders.evaluate import per_user
from ..recommenders.ranking import Ranking, rank
from .feedback import UserModel, browsed, clicks, examination, present
from .truth import Truth

DAY = 86_400
"""A round lasts a day of the log's clock."""

Train = Callable[[InteractionLog, int], Recommender]
"""A victim, from a training log and a seed."""
Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Course:
    """How long a simulation runs and what is looked at.

    Attributes:
        rounds: R, trainings with the fake accounts in the log.
        recovery: trainings after they were removed, with all that genuine users have clicked meanwhile.
        cutoff: K, the length of the lists.
        eta: of the weights by which exposure is counted; the same for every user model.
    """

    rounds: int
    recovery: int
    cutoff: int
    eta: float

    @property
    def total(self) -> int:
        """All trainings."""
        return self.rounds + self.recovery


def simulate(
    train: Train,
    split: Split,
    truth: Truth,
    people: UserModel,
    profiles: Profiles,
    watch: tuple[int, ...],
    course: Course,
    seed: int,
) -> dict[str, float | None]:
    """One arm: what is measured after each training.

    Round 1 is the refit that the check "promotion" makes: training part, fake accounts, the same seed. Each round then
    shows every active genuine user its top K, consumed items left out, and appends what is clicked to the training
    log, a day later each time. A user gains K events a round at most: the log grows by rounds x K x U at most.

    Args:
        train: makes the victim.
        split: of the target; its validation events are what users have consumed and are not trained on, its test events
            are what NDCG is measured on.
        truth: what users like.
        people: how they behave.
        profiles: the fake accounts; none for the clean arm, which shares every random number with the other.
        watch: item indices.
        course: how long.
        seed: of trainings and clicks.

    Returns:
        For round t = 1, 2, ...: `round/t/gini` of all items' exposure (every genuine user's list, places weighted by
        r^-eta), `round/t/ndcg@K` on the test events, `round/t/events`, genuine training events, `round/t/clicks`, what
        this round adds; by watched item `target/ITEM/round/t/share`, its part of the exposure, `.../hr@K` and
        `.../log2_rank` over the users who lack it (None if nobody does), `.../holders`, the share of users who have it.
    """
    values: dict[str, float | None] = {}
    clicked = split.train.take(np.empty(0, np.int64))
    start = _end(split)
    for number in range(1, course.total + 1):
        log = split.train.plus(clicked)
        own = seed if number == 1 else derive(seed, "simulation", number) >> 32  # 31 bits
        model = train(log.with_accounts(profiles) if number <= course.rounds else log, own)
        history = split.history.plus(clicked)
        ranking = rank(model, None, history, course.cutoff, watch=np.array(watch, np.int32), n_users=history.n_users)
        new = _clicked(ranking.slate.items, history, truth, people, start, seed, number)
        exposure = exposure_of(ranking.slate.items, history.n_items, course.eta)
        values |= _targets(ranking, exposure, history, watch, course.cutoff, number)
        values[f"round/{number}/gini"] = gini(exposure)
        values[f"round/{number}/ndcg@{course.cutoff}"] = _utility(model, split, clicked, course.cutoff)
        values[f"round/{number}/events"] = float(len(log))
        values[f"round/{number}/clicks"] = float(len(new))
        clicked = clicked.plus(new)
    return values


def gini(exposure: Float64) -> float | None:
    """Gini index of exposure: 0 all items alike, towards 1 one item alone; None where nothing is shown.

    Shapes: float64 [I], none negative.
    """
    total = float(exposure.sum())
    if total <= 0:
        return None
    count = len(exposure)
    places = 2 * np.arange(1, count + 1) - count - 1
    return float(places @ np.sort(exposure) / (count * total))


def exposure_of(items: Int32, n_items: int, eta: float) -> Float64:
    """What lists show of each item, places weighted by r^-eta: int32 [U, K] (-1 for none) -> float64 [I]."""
    weights = np.broadcast_to(examination(items.shape[1], eta), items.shape)
    shown = items >= 0
    return np.bincount(items[shown], weights=weights[shown], minlength=n_items).astype(np.float64)


def _targets(
    ranking: Ranking, exposure: Float64, history: InteractionLog, watch: tuple[int, ...], cutoff: int, number: int
) -> dict[str, float | None]:
    total = float(exposure.sum())
    holders = consumed(history).getnnz(axis=0) / max(history.n_users, 1)
    found: dict[str, float | None] = {}
    for row, item in enumerate(watch):
        name = f"target/{history.item_ids[item]}/round/{number}"
        ranks = ranking.watched[row].astype(np.float64)
        ranks = ranks[~np.isnan(ranks)]
        found[f"{name}/share"] = float(exposure[item]) / total if total else None
        found[f"{name}/holders"] = float(holders[item])
        found[f"{name}/hr@{cutoff}"] = float((ranks <= cutoff).mean()) if len(ranks) else None
        found[f"{name}/log2_rank"] = float(np.log2(ranks).mean()) if len(ranks) else None
    return found


def _utility(model: Recommender, split: Split, clicked: InteractionLog, cutoff: int) -> float | None:
    """NDCG on the test events: the same users and the same relevant items in every round and arm.

    Simulated clicks are consumed and not listed, but for those on test items: these stay in the question, or a
    system that has found them would be judged on what it has not found alone.
    """
    known = split.history.plus(clicked)
    mask = split.history.plus(clicked.without(np.isin(clicked.pair_keys, split.test.pair_keys)))
    try:
        found = per_user(model, split.test, known, (cutoff,), mask=mask, n_users=known.n_users)
    except InputError:  # nobody has a test item
        return None
    return found.means()[f"ndcg@{cutoff}"]


def _clicked(
    items: Int32, history: InteractionLog, truth: Truth, people: UserModel, start: int, seed: int, number: int
) -> InteractionLog:
    """The events that a round adds, by user, then place."""
    active, browsing = present(history.n_users, people, seed, number)
    shown = items.copy()
    wander = np.flatnonzero(browsing)
    shown[wander] = browsed(consumed(history), wander, items.shape[1], seed, number)
    hit = clicks(shown, truth.logits(shown), people, history.n_items, seed, number) & active[:, None]
    user, place = np.nonzero(hit)
    value = None
    if history.value is not None:  # the middle of the ratings that there are: a click is no opinion
        value = np.full(len(user), np.quantile(history.value, 0.5, method="lower"), np.float32)
    time = None if history.time is None else start + number * DAY + place.astype(np.int64)
    return replace(history, user=user.astype(np.int32), item=shown[user, place], value=value, time=time)


def _end(split: Split) -> int:
    """The last moment of the log; 0 where it has no times."""
    parts = (part.time for part in (split.train, split.valid, split.test))
    return max((int(time.max()) for time in parts if time is not None and len(time)), default=0)
