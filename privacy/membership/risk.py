"""How exposed each user is: for the privacy officer, who has the ids anyway; never for a public report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from ...audit.bench import Protocol
from ...audit.cell import Cell
from ...audit.engine import Plan, Progress, run_plan
from ...audit.store import Store
from ...datasets.errors import InputError, UnfinishedError
from ...datasets.log import Int64
from ...datasets.seeding import derive
from ...recommenders.catalogue import reads_order, why_no_refit
from ...recommenders.target import Target
from ..signals import Float64
from .candidates import TRAINED
from .catalogue import ATTACKS
from .drivers import exposed
from .reading import Access
from .shadow import NONE, Draw, Shadow, material

_PROTOCOL = Protocol((20,))


@dataclass(frozen=True, eq=False)
class Risk:
    """What an outsider's attack makes of users' training events.

    Attributes:
        user: int64 [N], users with a training event, ascending.
        events: int64 [N], how many of their events were tried; 0 of users who cannot be tried: those with one training
            pair, which would leave nothing of them, and of models that read order those whose history has no later one.
        exposure: float64 [N], 0..1: the share of pairs a model was not trained on that look less like a member than the
            user's training events do where they were trained on; .5 is no risk. NaN where none was tried, or no model
            was trained on what was.
        halves: float64 [N, 2], the same from the first and from the second half of the models.
        stability: Spearman correlation of the halves over users, -1..1; NaN if either does not vary.
    """

    user: Int64
    events: Int64
    exposure: Float64
    halves: Float64
    stability: float


def risk(
    target: Target,
    store: Store,
    *,
    models: int = 8,
    per_user: int = 2,
    access: Access = "scores",
    attack: str = "lira",
    seed: int = 0,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Risk:
    """Train models whose members coins chose, attack each with the others, and mean by user.

    Args:
        target: the audited model, whose recipe is trained.
        store: where models are kept; the same call resumes.
        models: 8 or more, so that both halves can be attacked.
        per_user: events tried of a user on average, at most a quarter of a user's (one at least).
        access: what the outsider sees.
        attack: a name in `catalogue.ATTACKS`.
        seed: of candidates, coins and models.
        jobs: workers.
        progress: called as models are done.

    Raises:
        InputError: fewer than 8 models, or a system that cannot be trained again.
        DataError: too few events to try.
        UnfinishedError: a model could not be trained.
    """
    why = why_no_refit(target.recipe)
    if why is not None:
        raise InputError(why)
    if models < 8:
        raise InputError(f"{models} models are too few for a figure of single users; give 8 or more")
    train = target.split.train
    users = np.flatnonzero(train.user_counts)
    draw = Draw("interactions", per_user * len(users), 0, derive(seed, "risk"), 20)
    asked = draw.candidates(target.split, reads_order(target.recipe))
    cells = [
        Cell("inquiry", f"model {place + 1} of {models}", derive(seed, "risk", place), inquiry=Shadow(draw, place))
        for place in range(models)
    ]
    keyed = {cell.key(target, _PROTOCOL.describe()): cell for cell in cells}
    done = frozenset(key for key in keyed if store.read(key, True))
    _, failures = run_plan(Plan(keyed, (), (), done), target, _PROTOCOL, store, jobs=jobs, progress=progress)
    if failures:
        raise UnfinishedError(f"a model could not be trained: {failures[0].label}: {failures[0].error}")
    answers: list[Mapping[str, NDArray[Any]]] = [store.arrays(key) for key in keyed]
    mine = asked.source == TRAINED
    place = np.searchsorted(users, asked.user[mine])
    events = np.bincount(place, minlength=len(users))

    def by_user(part: list[Mapping[str, NDArray[Any]]]) -> Float64:
        stuff = material(asked, part, f"{NONE}/{access}")
        every = np.arange(len(part))
        scores = np.stack([ATTACKS[attack](stuff, int(own), every != own) for own in every])
        found = exposed(scores, stuff.included)[mine]
        known = np.isfinite(found)
        total, number = (np.bincount(place[known], w, len(users)) for w in (found[known], np.ones(known.sum())))
        return np.where(number > 0, total / number.clip(1), np.nan)

    halves = np.stack([by_user(answers[: models // 2]), by_user(answers[models // 2 :])], axis=1)
    both = np.isfinite(halves).all(axis=1)
    alike = float(spearmanr(halves[both, 0], halves[both, 1]).statistic) if both.sum() > 2 else float("nan")
    return Risk(users.astype(np.int64), events.astype(np.int64), by_user(answers), halves, alike)
