"""Copies from queries, and retrains as what two trainings agree to anyhow: the cells of the check "extraction"."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ...attacks.surrogate.extracted import ModelQuery, extract
from ...audit.cell import Answer
from ...datasets.errors import InputError
from ...datasets.log import Int32, Int64
from ...datasets.seeding import derive, rng
from ...recommenders.base import Recipe, Recommender
from ...recommenders.catalogue import fit
from ...recommenders.consumed import consumed
from ...recommenders.evaluate import relevance
from ...recommenders.metrics import measure
from ...recommenders.ranking import rank
from ...recommenders.target import Target
from .copies import Student, agreements, beginning, by_chance

VERSION = 1
"""Raise it when the queries, the students, or what is measured of them, change."""

AGREED = (1, 10)
"""k of agreement@k."""


@dataclass(frozen=True)
class Judged:
    """On whom copies are judged.

    Attributes:
        users: users with held-out items, at most.
        cutoff: K of NDCG@K and HR@K.
    """

    users: int
    cutoff: int

    def on(self, target: Target, seed: int) -> Bench:
        """The users, drawn among those with a history and held-out items, and the model's lists for them.

        Raises:
            InputError: there are none.
        """
        split = target.split
        users, relevant = relevance(split.test, split.history, split.train.n_users)
        able = np.flatnonzero(split.history.user_counts[users])
        if not len(able):
            raise InputError("no user has both a history and held-out items")
        rows = np.sort(rng(seed, "extraction", "users").permutation(able)[: self.users])
        users, relevant = users[rows], relevant[rows]
        lists = _lists(target.model, users, target, self.cutoff)
        return Bench(target, users, relevant, lists, self.cutoff)


@dataclass(frozen=True, eq=False)
class Bench:
    """Users and what the audited model lists for them.

    Attributes:
        target: what is audited.
        users: int64 [U].
        relevant: [U, I], their held-out items.
        lists: int32 [U, K], the model's.
        cutoff: of the utility.
    """

    target: Target
    users: Int64
    relevant: sparse.csr_matrix
    lists: Int32
    cutoff: int

    def own(self) -> dict[str, float | None]:
        """`users`, `chance/agreement@k`, and the model's `victim/ndcg@K` and `victim/hr@K`."""
        train, known = self.target.split.train, np.diff(consumed(self.target.split.history).indptr)[self.users]
        found: dict[str, float | None] = {"users": float(len(self.users))}
        found |= {f"chance/agreement@{k}": by_chance(known, train.n_items, k) for k in AGREED}
        return found | {f"victim/{name}": float(each.mean()) for name, each in self._utility(self.lists).items()}

    def of(self, model: Recommender, name: str) -> dict[str, float | None]:
        """What a copy is worth, `NAME/...`: agreement@k, NDCG@K, HR@K, and utility, its NDCG over the model's.

        Agreement and utility have their standard error over users beside them, `.../error`; utility is None where the
        model's NDCG is zero.
        """
        lists = _lists(model, self.users, self.target, self.cutoff)
        found: dict[str, float | None] = {}
        for k in AGREED:
            each = agreements(self.lists, lists, k)
            found[f"{name}/agreement@{k}"] = float(each.mean())
            found[f"{name}/agreement@{k}/error"] = _error(each)
        copied, own = self._utility(lists), self._utility(self.lists)
        found |= {f"{name}/{measure}": float(each.mean()) for measure, each in copied.items()}
        ndcg = f"ndcg@{self.cutoff}"
        ratio, error = ratio_of_means(copied[ndcg], own[ndcg])
        return found | {f"{name}/utility": ratio, f"{name}/utility/error": error}

    def _utility(self, lists: Int32) -> Mapping[str, NDArray[np.float64]]:
        found = measure(lists, self.relevant, (self.cutoff,))[1]
        return {name: found[name] for name in (f"ndcg@{self.cutoff}", f"hr@{self.cutoff}")}


@dataclass(frozen=True)
class Copies:
    """Students of the lists that the model gives to invented histories (audit.cell.Inquiry).

    Attributes:
        sequences: invented histories by budget, ascending; the smaller ones are part of the largest.
        length: items of each; every item is a query.
        listed: length of the lists that come back.
        students: what is trained on each budget, by name.
        judged: on whom.
        effort: what it costs in trainings of the audited model, for planning alone.
    """

    sequences: tuple[int, ...]
    length: int
    listed: int
    students: tuple[tuple[str, Student], ...]
    judged: Judged
    effort: float = 1.0
    keeps_arrays: ClassVar[bool] = False

    @property
    def trainings(self) -> float:
        """About how many trainings of the audited model it costs."""
        return self.effort

    def describe(self) -> dict[str, Any]:
        """Everything that determines the answer beside target and seed, as JSON."""
        return {
            "inquiry": "extraction", "version": VERSION, "sequences": list(self.sequences), "length": self.length,
            "listed": self.listed, "students": {name: asdict(student) for name, student in self.students},
            "judged": asdict(self.judged),
        }  # fmt: skip

    def answer(self, target: Target, seed: int) -> Answer:
        """`Bench.own`; `Bench.of` as `popularity/...`, and as `STUDENT/SEQUENCES/...` with its `queries`.

        The model is asked once, for the largest budget; the copies see nothing else, no log and no popularity.
        """
        bench = self.judged.on(target, seed)
        found = bench.own()
        found |= bench.of(fit(Recipe("popularity", {}), target.split.train, 0), "popularity")
        costs, started = {}, time.process_time()
        query, n_items = ModelQuery(target.model, self.listed), target.model.n_items
        answers = extract(query, n_items, max(self.sequences), self.length, rng(seed, "extraction", "queries"))
        costs["queries"] = time.process_time() - started
        for name, student in self.students:
            for count in self.sequences:
                started = time.process_time()
                # a stream for each, so that which others are trained does not change it
                draws = rng(seed, "extraction", "student", student.architecture, count)
                part = beginning(answers, count)
                copy = student.fitted(part, target.model.n_users, draws)
                costs[f"{name}/{count}"] = time.process_time() - started
                found |= bench.of(copy, f"{name}/{count}") | {f"{name}/{count}/queries": float(part.queries)}
        return Answer(found, costs={name: round(seconds, 3) for name, seconds in costs.items()})


@dataclass(frozen=True)
class Retrained:
    """How far another training of the audited recipe agrees with it (audit.cell.Inquiry).

    Attributes:
        number: which training, from 0; each has a seed of its own.
        judged: on whom.
    """

    number: int
    judged: Judged
    keeps_arrays: ClassVar[bool] = False
    trainings: ClassVar[float] = 1.0

    def describe(self) -> dict[str, Any]:
        """Everything that determines the answer beside target and seed, as JSON."""
        asked = {"inquiry": "extraction-retrain", "version": VERSION}
        return {**asked, "number": self.number, "judged": asdict(self.judged)}

    def answer(self, target: Target, seed: int) -> Answer:
        """`Bench.of` as `retrain/...`."""
        bench = self.judged.on(target, seed)
        model = fit(target.recipe, target.split.train, derive(seed, "extraction", "retrain", self.number))
        return Answer(bench.of(model, "retrain"))


def ratio_of_means(
    above: NDArray[np.float64], below: NDArray[np.float64]
) -> tuple[float, float | None] | tuple[None, None]:
    """The ratio of two means over the same users, and its standard error by the delta method; None over zero.

    The error is the standard deviation of a - r b over sqrt(U) and the mean of b.

    Shapes: above and below float64 [U].
    """
    mean = float(below.mean())
    if mean == 0:
        return None, None
    ratio = float(above.mean()) / mean
    error = _error(above - ratio * below)
    return ratio, None if error is None else error / mean


def _lists(model: Recommender, users: Int64, target: Target, cutoff: int) -> Int32:
    return rank(model, users, target.split.history, max(*AGREED, cutoff)).slate.items


def _error(each: NDArray[np.float64]) -> float | None:
    return float(each.std(ddof=1) / math.sqrt(len(each))) if len(each) > 1 else None
