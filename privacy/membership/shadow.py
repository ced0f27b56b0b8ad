"""Models of the game, as cells: trained with the candidates that their coins chose, then read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...audit.cell import Answer
from ...datasets.log import Int64
from ...datasets.split import Split
from ...recommenders.base import Recommender
from ...recommenders.catalogue import reads_order
from ...recommenders.evaluate import evaluate
from ...recommenders.target import Target
from ..mitigations.base import Mitigation
from ..signals import separation
from .candidates import HELD_OUT, TRAINED, Candidates, Unit, coins, draw_pairs, draw_users, overlap
from .material import Material
from .reading import read
from .taste import item_vectors, read_taste

VERSION = 2
USERS = 3
"""Version of the answers about users: they have arrays more."""
PAIRS = 2
"""Version of the answers about pairs where some are planted or the overlap is below 1: since then every candidate's
user keeps a training event."""
NONE = "none"
"""The serving that changes nothing."""
CELLS = 3
"""Parts of equal size by popularity of the item, and by activity of the user, within which RMIA compares."""


@dataclass(frozen=True)
class Draw:
    """Which candidates are drawn.

    Attributes:
        unit: interactions or users.
        count: candidates; of interactions, of each of the two natural kinds.
        planted: interactions out of taste.
        seed: of candidates and coins.
        cutoff: K of the lists that are seen.
        overlap: share of all other events that a model is trained on, drawn anew for each. At 1 the outsider knows
            everything but the coins.
    """

    unit: Unit
    count: int
    planted: int
    seed: int
    cutoff: int
    overlap: float = 1.0

    def candidates(self, split: Split, in_order: bool) -> Candidates:
        """The candidates; DataError if the split has too few."""
        if self.unit == "users":
            return draw_users(split, self.count, self.seed)
        return draw_pairs(split, self.count, self.planted, self.seed, in_order=in_order)


@dataclass(frozen=True)
class Shadow:
    """A training with the candidates that a coin chose, or the checkpoint as it is (audit.cell.Inquiry).

    Attributes:
        draw: the candidates.
        place: which training; None for the checkpoint.
        training: how it is trained.
        servings: ways in which the trained model is served and read, by name; the same training answers for all.
    """

    draw: Draw
    place: int | None
    training: Mitigation = field(default_factory=Mitigation, hash=False)
    servings: Mapping[str, Mitigation] = field(default_factory=lambda: {NONE: Mitigation()}, hash=False)
    keeps_arrays: ClassVar[bool] = True

    @property
    def trainings(self) -> float:
        """One, or none for the checkpoint."""
        return 0.0 if self.place is None else 1.0

    def describe(self) -> dict[str, Any]:
        """Everything that determines the answer beside target and seed, as JSON."""
        return {
            "inquiry": "membership", "version": VERSION, **asdict(self.draw), "place": self.place,
            "training": self.training.describe(),
            "servings": {name: own.describe() for name, own in self.servings.items()},
        } | self._version()  # fmt: skip

    def _version(self) -> dict[str, int]:
        if self.draw.unit == "users":
            return {"users_version": USERS}
        return {"pairs_version": PAIRS} if self.draw.planted or self.draw.overlap < 1 else {}

    def answer(self, target: Target, seed: int) -> Answer:
        """Arrays "included" bool [C] and by serving "NAME/ACCESS", the signals of `reading.read`.

        Of users also float32 [C, d] "NAME/taste-folded" and "NAME/taste-as-served", of `taste.read_taste`.
        Values "NAME/ndcg@K" of each serving on the held-out pairs that no model was taught; pairs only.
        """
        in_order = reads_order(target.recipe)
        asked = self.draw.candidates(target.split, in_order)
        model: Recommender = target.model
        included, log = asked.source == TRAINED, target.split.train
        if self.place is not None:
            included = coins(len(asked), self.draw.seed, self.place)
            known = overlap(asked, self.draw.overlap, self.draw.seed, self.place)
            log = asked.trained(included, known)
            model = self.training.train(target.recipe, log, seed)
        k, arrays = self.draw.cutoff, dict[str, NDArray[Any]](included=included)
        values: dict[str, float | None] = {}
        vectors = item_vectors(asked.base) if asked.unit == "users" else None
        for name, own in self.servings.items():
            served = own.serve(model, seed)
            signals = read(model, asked, in_order, k, partial(own.serve, seed=seed))
            arrays |= {f"{name}/{access}": value.astype(np.float32) for access, value in signals.items()}
            if vectors is not None:
                tastes = read_taste(model, asked, included, log, in_order, vectors, partial(own.serve, seed=seed))
                arrays |= {f"{name}/{taste}": value for taste, value in tastes.items()}
            if self.place is not None and asked.unit == "interactions":
                values[f"{name}/ndcg@{k}"] = evaluate(served, asked.never, log, (k,))[f"ndcg@{k}"]
        return Answer(values, arrays=arrays)


def material(asked: Candidates, answers: Sequence[Mapping[str, NDArray[Any]]], signal: str) -> Material:
    """What attacks read: the answers of several models, by the name of an array, "NAME/ACCESS"."""
    size = len(asked)
    values = np.stack([own[signal] for own in answers]).astype(np.float64)
    included = np.stack([own["included"] for own in answers])
    return Material(values[:, :size], included, values[:, size:], *cells(asked))


def cells(asked: Candidates) -> tuple[Int64, Int64]:
    """Which candidates, and which of the population, are alike: by thirds of popularity and of activity."""
    log, user = asked.everything, np.concatenate([asked.user, asked.population_user])
    item = np.concatenate([asked.item, asked.population_item])
    alike = _thirds(log.user_counts[user]) * CELLS
    if asked.unit == "interactions":
        alike = alike + _thirds(log.item_counts[item])
    return alike[: len(asked)], alike[len(asked) :]


def _thirds(values: Int64) -> Int64:
    edges = np.quantile(values, np.arange(1, CELLS) / CELLS)
    return np.searchsorted(edges, values, side="right").astype(np.int64)


def confound(asked: Candidates, played: NDArray[np.float64], included: NDArray[np.bool_]) -> float | None:
    """How well the attack tells trained from held-out pairs where a model was taught neither: what the split tells.

    Args:
        asked: the candidates.
        played: float64 [M, C], an attack's scores.
        included: bool [M, C].

    Returns:
        The mean AUC over the models, .5 if the two kinds are alike; None where a side is empty.
    """
    found = []
    for scores, members in zip(played, included, strict=True):
        parts = [scores[~members & (asked.source == kind)] for kind in (TRAINED, HELD_OUT)]
        if min(map(len, parts)):
            found.append(separation(*parts))
    return float(np.mean(found)) if found else None
