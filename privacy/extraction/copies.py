"""Copies of a model made from its answers to invented histories, and how far their lists agree with its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...attacks.surrogate.extracted import Extraction, ExtractionConfig, student
from ...datasets.log import Float32, Int32, Int64, InteractionLog
from ...datasets.seeding import rng
from ...recommenders.base import Model
from ...recommenders.gru4rec import GRU4Rec, GRU4RecConfig
from ...recommenders.network import kept
from ...recommenders.sasrec import SASRec
from ...recommenders.sequential import SequentialConfig, SequentialModel
from .linear import LinearStudent

Architecture = Literal["sasrec", "gru4rec", "linear"]

_ASKED = 100
"""Items of a history by which is tried what a model reads."""
_READ = 1024
"""Last items of a user that linear weights read."""
_CLOSE = 1e-4
"""Relative difference below which two scores of one history count as equal: batches are summed in other orders."""


@dataclass(frozen=True)
class Student:
    """What an outsider trains.

    Attributes:
        architecture: of its network.
        dim: length of its item vectors.
        steps: of its training, whatever the number of queries, so that a small budget is not trained less.
    """

    architecture: Architecture
    dim: int
    steps: int

    def settings(self, sequences: int, length: int) -> ExtractionConfig:
        """The training on so many sequences: as many epochs as give about `steps` steps."""
        batch = int(ExtractionConfig.model_fields["batch"].default)
        epochs = max(1, round(self.steps / -(-sequences // batch)))
        return ExtractionConfig(
            sequences=sequences, length=length, max_length=length, dim=self.dim, max_epochs=epochs, batch=batch
        )

    def fitted(self, answers: Extraction, n_users: int, draws: np.random.Generator) -> SequentialModel:
        """A model of `n_users` users whose lists follow those of the answers.

        A network with positions or states reads as many of a user's last items as the sequences were long: it was
        never asked about more. Linear weights read up to `_READ`.
        """
        settings = self.settings(*answers.sequences.shape)
        model: SequentialModel = SASRec(settings.model())
        if self.architecture == "gru4rec":
            read = {"dim": self.dim, "hidden": self.dim, "max_length": settings.max_length}
            model = GRU4Rec(GRU4RecConfig.model_validate(read))
        elif self.architecture == "linear":
            model = LinearStudent(SequentialConfig.model_validate({"dim": self.dim, "max_length": _READ}))
        found = student(answers, settings, draws, model)
        model.load(kept(found.network), n_users, answers.n_items)
        return model


def beginning(answers: Extraction, sequences: int) -> Extraction:
    """What the first so many sequences gave: a smaller budget that is part of a larger one."""
    return Extraction(answers.sequences[:sequences], answers.lists[:sequences], answers.n_items)


def agreements(lists: Int32, copied: Int32, k: int) -> NDArray[np.float64]:
    """Agreement@k by user: the share of the first k of one list that are among the first k of the other, 0..1.

    Shapes: lists and copied int32 [U, K], K at least k, each item once, -1 for none -> float64 [U]; a list of fewer
    than k items counts by its own length, an empty one 0.

    Reference: Yue, He, Zeng, McAuley 2021, arXiv 2109.01165, experiments, Agr@k.
    """
    own, other = lists[:, :k], copied[:, :k]
    shared = ((own[:, :, None] == other[:, None, :]) & (own >= 0)[:, :, None]).any(axis=2).sum(axis=1)
    found: NDArray[np.float64] = shared / (own >= 0).sum(axis=1).clip(min=1)
    return found


def by_chance(known: Int64, n_items: int, k: int) -> float:
    """Mean agreement@k of k items at random among those that a user lacks: k / (I - H), at most 1.

    Shapes: known int64 [U], H of each user, below I.
    """
    return float(np.minimum(1.0, k / (n_items - known)).mean())


def why_not(model: Model) -> str | None:
    """Why a model cannot be asked with invented histories; None if it can.

    It is tried: two users with one history must get the same scores, and another history must change them.
    """
    if model.family == "black box":
        return "the system is asked for the lists of known users; this check asks with histories that it invents"
    if model.n_users < 2 or model.n_items < 4:
        return "the model has fewer than two users or four items"
    first, second = (_tried(model, items) for items in _two_histories(model.n_items))
    if not _same(first[0], first[1]):
        return (
            "two users with one and the same history get different scores: the model reads what it has kept of known "
            "users, whose lists alone an outsider sees; nothing can be asked with invented histories"
        )
    if _same(first, second):
        return "the lists do not depend on the history: one list is the whole model"
    return None


def reads_order(model: Model) -> bool:
    """Whether a history backwards gets other scores; of a model that `why_not` does not refuse."""
    items = _two_histories(model.n_items)[0]
    return not _same(_tried(model, items), _tried(model, items[::-1]))


def _two_histories(n_items: int) -> tuple[Int32, Int32]:
    items = rng(0, "extraction", "tried").permutation(n_items).astype(np.int32)
    size = min(_ASKED, n_items // 2)
    return items[:size], items[size : 2 * size]


def _tried(model: Model, items: Int32) -> Float32:
    """Scores of two users who have the same items in the same order, float32 [2, I]."""
    users, names = (np.arange(count).astype(str) for count in (model.n_users, model.n_items))
    history = InteractionLog(np.repeat(np.arange(2, dtype=np.int32), len(items)), np.tile(items, 2), users, names)
    return model.scores(np.arange(2), history)


def _same(one: Float32, other: Float32) -> bool:
    return bool(np.allclose(one, other, rtol=_CLOSE, atol=_CLOSE * float(np.abs(one).max())))
