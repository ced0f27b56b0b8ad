"""Shadows for U-LiRA, as cells: models made to forget by a known unlearner, and models that never knew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..audit.cell import Answer, Cell
from ..audit.engine import Plan, Progress, run_plan
from ..audit.store import Store
from ..datasets.errors import InputError, UnfinishedError
from ..datasets.log import Int64, InteractionLog
from ..datasets.seeding import derive, rng
from ..privacy.places import following, places, prefixes
from ..privacy.signals import Float64, logits
from ..recommenders.base import Recommender
from ..recommenders.catalogue import fit, reads_order
from ..recommenders.fold_in import FoldedIn
from ..recommenders.target import Target
from .base import Served
from .catalogue import build
from .request import Request
from .verification import PROTOCOL
from .verify.question import Question, question

VERSION = 2


@dataclass(frozen=True, eq=False)
class Shadows:
    """What shadows say of pairs, by `signals.logits`.

    Attributes:
        unlearned: float64 [K, P], of forgotten pairs, by models that were trained on them, then made to forget.
        never: float64 [K, P], by models that were never trained on them.
        retained_unlearned: float64 [K, R], of retained pairs of the same users, by the first models. Both were trained
            on these pairs: a difference is what the unlearning did to them, higher is more exposed than after a
            training without the forget set. R is 0 if all those users are forgotten whole.
        retained_never: float64 [K, R], by the second.
    """

    unlearned: Float64
    never: Float64
    retained_unlearned: Float64
    retained_never: Float64


@dataclass(frozen=True)
class Shadow:
    """One shadow of either side (audit.cell.Inquiry).

    A shadow is trained on all of the forget set or on nothing of it: what is tested is the request as it is served. If
    the unlearner puts a model of its own in service (shards), so does the shadow that never knew, or the attack would
    tell the ensemble from the single model. What is known of users is the same for all, see `question.Question`.

    Attributes:
        request: rows of the target's training part.
        method: the unlearner under test.
        settings: of the unlearner.
        retained: retained pairs that are looked at, at most.
    """

    request: Request
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    retained: int = 1_000
    keeps_arrays: ClassVar[bool] = True
    trainings: ClassVar[float] = 3.0

    def describe(self) -> dict[str, Any]:
        """Everything that determines the answer beside target and seed, as JSON."""
        own = build(self.method, self.settings)
        return {
            "inquiry": "u-lira", "version": VERSION, "request": self.request.fingerprint, "retained": self.retained,
            "method": own.name, "own": own.version, "settings": own.config.model_dump(mode="json"),
        }  # fmt: skip

    def answer(self, target: Target, seed: int) -> Answer:
        """Float64 arrays with the names of `Shadows`, a row of each."""
        recipe, split = target.recipe, target.split
        log, held = split.train, split.valid if len(split.valid) else None
        unlearner = build(self.method, self.settings)
        asked = question(split, self.request, in_order=reads_order(recipe))
        kept = _kept(log, self.request, asked, self.retained)
        before = Served(recipe, log, fit(recipe, log, derive(seed, "in")), held_out=held)
        ready = unlearner.prepare(before, derive(seed, "prepare"))
        after = unlearner.forget(ready, self.request, derive(seed, "forget")).model
        own = derive(seed, "out")
        never = Served(recipe, asked.retained, fit(recipe, asked.retained, own), held_out=held)
        if ready.model is not before.model:
            never = unlearner.prepare(never, own)
        arrays: dict[str, NDArray[Any]] = {}
        for side, model in (("unlearned", after), ("never", never.model)):
            arrays[side], arrays[f"retained_{side}"] = _both(model, asked, kept)
        return Answer({}, arrays=arrays)


def shadows(
    target: Target,
    method: str,
    request: Request,
    store: Store,
    count: int,
    *,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Shadows:
    """Train K models on the whole log and make them forget, and K without the forget set; each with its own seeds.

    Args:
        target: whose recipe and data are taken; its own weights are not read.
        method: the unlearner under test.
        request: rows of the target's training part.
        store: where shadows are kept; the same call resumes.
        count: K, 3 or more for `lira`.
        settings: of the unlearner.
        seed: of all shadows.
        jobs: workers.
        progress: called as shadows are done.

    Raises:
        InputError: the unlearner cannot be used on such a model.
        DataError: validation and test part are empty.
        UnfinishedError: a shadow could not be trained.
    """
    why = build(method, settings).why_not(target.recipe, target.split.train)
    if why is not None:
        raise InputError(f"{method} cannot be used: {why}")
    question(target.split, request)  # refuses what cannot be asked before anything is trained
    own = Shadow(request, method, settings or {})
    cells = [
        Cell("inquiry", f"shadow {place + 1} of {method}", derive(seed, "lira", place), inquiry=own)
        for place in range(count)
    ]
    keyed = {cell.key(target, PROTOCOL.describe()): cell for cell in cells}
    done = frozenset(key for key in keyed if store.read(key, True))
    _, failures = run_plan(Plan(keyed, (), (), done), target, PROTOCOL, store, jobs=jobs, progress=progress)
    if failures:
        raise UnfinishedError(f"a shadow could not be trained: {failures[0].label}: {failures[0].error}")
    rows = [store.arrays(key) for key in keyed]
    names = ("unlearned", "never", "retained_unlearned", "retained_never")
    return Shadows(*(np.stack([row[name] for row in rows]) for name in names))


def _kept(
    log: InteractionLog, request: Request, asked: Question, most: int
) -> tuple[Int64, Int64, InteractionLog | None]:
    """Retained pairs of the users with forgotten events, and what stood before each if the question is in order."""
    rows = np.flatnonzero(np.isin(log.user, log.user[request.rows]) & ~request.mask(log))
    if asked.prefix is not None and len(rows):
        rows = following(log, rows)
    rows = rows[np.unique(log.pair_keys[rows], return_index=True)[1]]
    if len(rows) > most:
        rows = rows[np.sort(rng(0, "unlearning", "lira", "retained").choice(len(rows), most, replace=False))]
    user = log.user[rows].astype(np.int64)
    stood = None if asked.prefix is None else prefixes(log, user, places(log, rows))
    return user, log.item[rows].astype(np.int64), stood


def _both(
    model: Recommender, asked: Question, kept: tuple[Int64, Int64, InteractionLog | None]
) -> tuple[Float64, Float64]:
    """The logits of forgotten and of retained pairs."""
    user, item, stood = kept
    served = FoldedIn(model, asked.retained, asked.known, asked.folded) if stood is None else model
    forgotten = logits(served, asked.user, asked.item, asked.met, asked.prefix)
    return forgotten, logits(served, user, item, asked.met, stood)
