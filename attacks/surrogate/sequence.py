"""A sequential surrogate: SASRec fitted to the visible log, with gradients at the input embeddings."""

from __future__ import annotations

import copy

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional

from ...datasets.log import Int64, InteractionLog
from ...datasets.split import Split
from ...recommenders.network import Dropout, Network
from ...recommenders.sasrec import SASRec, SASRecConfig
from ..base import AttackConfig

HELD_OUT = 1000
"""Users whose last event stops the training; more would cost time and decide nothing."""


_STILL = Dropout(0.0, None)


class NetworkConfig(AttackConfig):
    """Size of the small SASRec that an attacker trains."""

    dim: int = Field(default=32, ge=1, le=512, description="length of the surrogate's item embeddings")
    layers: int = Field(default=1, ge=1, le=8, description="attention blocks of the surrogate")
    max_length: int = Field(default=50, ge=2, le=512, description="most items of a user that the surrogate reads")

    def model(self) -> SASRecConfig:
        """The surrogate's recipe: larger steps than a victim's, for it has to be cheap."""
        names = ("dim", "layers", "max_length", "max_epochs", "patience")  # an attack's other settings are its own
        own = {name: getattr(self, name) for name in names if name in type(self).model_fields}
        return SASRecConfig.model_validate({**own, "batch_tokens": 2048})


class SequenceConfig(NetworkConfig):
    """Settings of the attacks that train it on the visible log."""

    max_epochs: int = Field(default=12, ge=1, description="epochs of the surrogate at most")
    patience: int = Field(default=2, ge=1, description="stop when the surrogate's best epoch is so many epochs old")


class SequenceSurrogate:
    """Scores of the next item after a sequence, and the gradient of a target's loss at an item of the sequence.

    Attributes:
        table: float32 [I, d], item embeddings, of input and output.
        known: bool [I], items the surrogate has seen events of; the vectors of others are noise.
    """

    def __init__(self, network: Network, max_length: int, known: torch.Tensor) -> None:
        """Take a fitted network, which stays as it is."""
        self.network = network.requires_grad_(False)
        self.max_length = max_length
        self.known = known
        self.table = network.table().detach()

    @classmethod
    def fitted(cls, log: InteractionLog, config: SequenceConfig, rng: np.random.Generator) -> SequenceSurrogate:
        """Train SASRec on a log, stopped by the last items of up to `HELD_OUT` users.

        Args:
            log: what the attacker sees.
            config: size and epochs.
            rng: held-out users, first parameters, batches, dropout.

        Raises:
            DataError: no user has two events.
        """
        by_user, by_seed = rng.spawn(2)
        model = SASRec(config.model())
        split = hold_last_out(log, by_user)
        model.fit(split.train, int(by_seed.integers(2**62)), valid=split)
        with torch.device("meta"):
            network = model.network(log.n_items)
        network = network.to_empty(device="cpu")
        network.load_state_dict(model.state())
        return cls(network, config.max_length, torch.from_numpy(log.item_counts > 0))

    def trainable(self) -> Network:
        """A copy of the network to train on."""
        return copy.deepcopy(self.network).requires_grad_(True)

    def scores(self, items: Int64) -> torch.Tensor:
        """Scores of the item that follows: int64 [B, L], L at least 1 -> float32 [B, I]. Reads the last items only."""
        with torch.no_grad():
            hidden = self.network.encode(torch.from_numpy(items[:, -self.max_length :]), self.table, _STILL)
            return hidden[:, -1] @ self.table.T

    def chances(self, items: Int64, target: int) -> torch.Tensor:
        """Probability that the target follows: int64 [B, L] -> float32 [B], in 0..1."""
        return self.scores(items).softmax(-1)[:, target]

    def loss(self, embedded: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """-log p(target) after a sequence of input embeddings: float [B, L, d], int64 [B] -> float [B].

        Differentiable in the embeddings alone; the output table is constant. L is at most `max_length`.
        """
        shape = embedded.shape[:2]
        places = torch.arange(shape.numel()).view(shape)
        hidden = self.network.encode(places, embedded.flatten(0, 1), _STILL)
        return functional.cross_entropy(hidden[:, -1] @ self.table.T, target, reduction="none")

    def gradients(self, items: Int64, target: Int64) -> torch.Tensor:
        """Gradient of each row's `loss` at the embeddings of its last items.

        Shapes: items int64 [B, L], target int64 [B] -> float32 [B, min(L, max_length), d].
        """
        embedded = self.table[torch.from_numpy(items[:, -self.max_length :])].requires_grad_(True)
        total = self.loss(embedded, torch.from_numpy(target)).sum()  # rows do not see each other
        (gradient,) = torch.autograd.grad(total, embedded)
        return gradient


def cosines(items: Int64, gradient: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Cosine of every item with where one signed step against a loss leads: cos(e - sgn(g), e_j).

    Items with a *high* cosine lower the loss if put in place; items with a *low* cosine raise it: after them the
    target is expected least.

    Shapes: items int64 [B], gradient at their embeddings float [B, d], table float [I, d] -> float [B, I].
    """
    wanted = table[torch.from_numpy(items)] - gradient.sign()
    return functional.normalize(wanted, dim=-1) @ functional.normalize(table, dim=-1).T


def hold_last_out(log: InteractionLog, rng: np.random.Generator) -> Split:
    """The log less the last event of some users with three or more, as a split whose validation part they are.

    An event that repeats an item of its user's past could not be ranked and is not taken; of the others,
    `HELD_OUT` at random.
    """
    counts = log.user_counts
    order = log.chronological()
    ends = np.cumsum(counts)[counts >= 3] - 1
    key = log.pair_keys
    _, inverse, times = np.unique(key, return_inverse=True, return_counts=True)
    last = order[ends]
    last = rng.permutation(last[times[inverse[last]] == 1])[:HELD_OUT]
    held = np.zeros(len(log), bool)
    held[last] = True
    part = log.take(held)
    return Split(log.without(held), part, part, "last event of some users")
