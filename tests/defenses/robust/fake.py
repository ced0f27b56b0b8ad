"""A training whose batches hold what its methods give: rules are checked by hand on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from recaudit.datasets.log import InteractionLog
from recaudit.datasets.synthetic import generate
from recaudit.defenses.catalogue import build
from recaudit.defenses.protection import Protection
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.losses import bpr, bpr_each
from recaudit.recommenders.trainer import Compared

LOG = generate(120, 60, 1800, seed=3)
ROBUST = ("t-ce", "r-ce", "pld", "trimmed-users", "apr", "vat", "pama-cf")
NOTHING = torch.Generator()
# settings under which small victims differ from undefended ones after a few epochs
ACTIVE: dict[str, dict[str, Any]] = {"trimmed-users": {"q": 0.1}}
RECIPES = {
    "mf": Recipe("mf", {"dim": 8, "negatives": 32, "batch_size": 512, "min_steps": 1}, 3),
    "mf-bpr": Recipe("mf", {"dim": 8, "loss": "bpr", "batch_size": 512, "min_steps": 1}, 3),
    "lightgcn": Recipe("lightgcn", {"dim": 8, "negatives": 32, "batch_size": 512, "min_steps": 1, "layers": 2}, 3),
    "feature-lightgcn": Recipe(
        "feature-lightgcn", {"dim": 8, "negatives": 32, "batch_size": 512, "min_steps": 1, "layers": 2}, 3
    ),
    "simgcl": Recipe("simgcl", {"dim": 8, "negatives": 32, "batch_size": 512, "min_steps": 1}, 3),
    "sasrec": Recipe("sasrec", {"dim": 8, "batch_tokens": 512, "min_steps": 1, "max_length": 20}, 3),
    "gru4rec": Recipe("gru4rec", {"dim": 8, "batch_tokens": 512, "min_steps": 1, "max_length": 20}, 3),
}


@dataclass(frozen=True, eq=False)
class Rows:
    """A batch: vectors, users and losses of rows, and what the log says that they weigh."""

    vectors: Compared
    user: torch.Tensor
    losses: torch.Tensor | None = None
    weight: torch.Tensor | None = None


def rows(user: list[int], losses: list[float], weight: list[float] | None = None) -> Rows:
    """Rows of given losses."""
    vectors = (torch.zeros(len(user), 1),) * 3
    return Rows(vectors, torch.tensor(user), torch.tensor(losses), None if weight is None else torch.tensor(weight))


@dataclass(eq=False)
class Fake:
    """bpr of the vectors of a batch, or the mean of its given losses; keeps the weights it was last asked with."""

    epoch: list[Rows] = field(default_factory=list)
    asked: torch.Tensor | None = None

    def parameters(self) -> list[torch.nn.Parameter]:
        return [torch.nn.Parameter(torch.zeros(1))]

    def batches(self, rng: np.random.Generator) -> Iterator[Rows]:
        yield from self.epoch

    def vectors(self, batch: Rows, rng: torch.Generator) -> tuple[Compared, torch.Tensor | None]:
        return batch.vectors, None

    def ranking(self, vectors: Compared, batch: Rows, weight: torch.Tensor | None) -> torch.Tensor:
        self.asked = weight
        if batch.losses is None:
            return bpr(*vectors, weight)
        return (batch.losses if weight is None else batch.losses * weight).mean()

    def each(self, vectors: Compared, batch: Rows) -> torch.Tensor:
        return bpr_each(*vectors).detach() if batch.losses is None else batch.losses

    def weights(self, batch: Rows) -> torch.Tensor | None:
        return batch.weight

    def users(self, batch: Rows) -> torch.Tensor:
        return batch.user

    def loss(self, batch: Rows, rng: torch.Generator) -> torch.Tensor:
        return self.ranking(batch.vectors, batch, batch.weight)

    def refresh(self) -> None:
        """Nothing to do."""


def hardened(name: str, training: Any, planned: int | None = None, seed: int = 1, **settings: Any) -> Any:
    """What a defence makes of a training."""
    return build(name, settings).harden(training, LOG, seed, planned)  # type: ignore[attr-defined]


def epoch(training: Any) -> list[tuple[float, torch.Tensor | None]]:
    """Run one epoch: the loss of every batch, and the weights the fake was asked with."""
    found = []
    for batch in training.batches(np.random.default_rng(0)):
        found.append((float(training.loss(batch, NOTHING).detach()), training.training.asked))
    return found


def content(recipe: Recipe, log: InteractionLog = LOG, name: str = "", seed: int = 4, **settings: Any) -> bytes:
    """All bytes of a victim, defended if a defence is named."""
    model: Any = Protection(name, settings).train(recipe, log, seed).model if name else fit(recipe, log, seed)
    return b"".join(key.encode() + value.numpy().tobytes() for key, value in sorted(model.state().items()))
