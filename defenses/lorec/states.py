"""What the calibrator reads of a victim: for every place of a history two vectors, of its item and of who reads it."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from torch.nn import functional

from ...datasets.errors import InputError
from ...datasets.log import Float32, Int64, InteractionLog
from ...recommenders.network import Dropout
from ...recommenders.pairwise import PairTraining
from ...recommenders.propagation import weighted_adjacency
from ...recommenders.sequential import SequenceTraining
from ...recommenders.trainer import RankingTraining

PLACES = 50
"""Places of a history that are read of a victim without a limit of its own."""


class States(Protocol):
    """A victim under training as the calibrator sees it; reading changes nothing of it.

    Attributes:
        device: where the victim is.
        width: of a state.
        longest: places of a history that are read, its last ones.
        ordered: whether the order of a history says something.
        users: int64, who the victim learns something from.
        places: int64 [U], where `RankingTraining.users` counts each user of the log.
    """

    device: torch.device
    width: int
    longest: int
    ordered: bool
    users: Int64
    places: Int64

    def refresh(self) -> None:
        """Follow the victim's parameters; called when an epoch of it is over."""
        ...

    def read(self, items: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """int64 [B, L] and bool [B, L], true where there is an item, -> float [B, L, 2 d], without gradient."""
        ...


class SequenceStates:
    """The item's input vector and the state after it (Zhang et al. 2024, LoRec, the authors' code)."""

    ordered = True

    def __init__(self, training: SequenceTraining, n_users: int) -> None:
        """Of this training, on a log of so many users."""
        self.network = training.network
        self.longest = training.config.max_length
        self.users, self.places = np.unique(training.windows.user), np.arange(n_users)
        table = self.network.table()
        self.device, self.width = table.device, 2 * table.shape[1]

    def refresh(self) -> None:
        """Nothing to do: the network is read itself."""

    def read(self, items: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """See States."""
        with torch.no_grad():
            table = self.network.table()
            hidden = self.network.encode(items, table, Dropout(0.0, None), valid.sum(1))
            return torch.cat([functional.embedding(items, table), hidden], -1)


class PairStates:
    """The item's base vector and an account's vector, for models of users and items (ours).

    The account's vector is made from its items alone, sum_i item_i / sqrt(N_i n), as one propagation would, N_i being
    the events of an item and n the items that are read: simulated fraudsters have no vector of their own, and one that
    only accounts of the log have would give them away.
    """

    ordered = False
    longest = PLACES

    def __init__(self, training: PairTraining, item_counts: Int64) -> None:
        """Of this training; item_counts int64 [I]."""
        self.training = training
        self.users, self.places = np.unique(training.pairs.user), training.places[: training.pairs.n_users]
        self.device = training.device
        scale = (1.0 / np.sqrt(np.maximum(item_counts, 1))).astype(np.float32)
        self.scale = torch.from_numpy(scale).to(self.device)
        self.items = torch.from_numpy(training.places[training.pairs.n_users :]).to(self.device)
        self.refresh()
        self.width = self.base.shape[1] + self.final.shape[1]  # NGCF's final vectors are several layers side by side

    def refresh(self) -> None:
        """See States."""
        with torch.no_grad():
            base = self.training.first()
            self.base = base[self.items]
            self.final = self.training.encoder.final(base)[self.items] * self.scale[:, None]

    def read(self, items: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """See States."""
        with torch.no_grad():
            own = functional.embedding(items, self.final) * valid[..., None]
            account = own.sum(1) / valid.sum(1, keepdim=True).clamp(min=1).sqrt()
            return torch.cat([functional.embedding(items, self.base), account[:, None].expand_as(own)], -1)


def states_of(training: RankingTraining[Any], log: InteractionLog) -> States:
    """What is read of a training on this log.

    Raises:
        InputError: it is one of neither sequences nor pairs.
    """
    if isinstance(training, SequenceTraining):
        return SequenceStates(training, log.n_users)
    if isinstance(training, PairTraining):
        return PairStates(training, log.item_counts)
    raise InputError("only a model that is trained on sequences or pairs can be read")


class Edges:
    """The edges of a model that propagates; they count what their user counts (ours).

    An edge is w_u / sqrt(deg_u deg_i), degrees weighted too.
    """

    def __init__(self, training: RankingTraining[Any]) -> None:
        """Of this training.

        Raises:
            InputError: it propagates along no edges.
        """
        if not isinstance(training, PairTraining) or not hasattr(training.encoder, "graph"):
            raise InputError("this model has no edges that could be weighed; set weigh to loss")
        self.training = training

    def weigh(self, weights: Float32) -> None:
        """Propagate with these weights from now on: float32 [U], above 0 for users with edges."""
        own = self.training
        graph = weighted_adjacency(own.pairs, weights, own.device, own.places)
        own.encoder.graph = graph  # type: ignore[attr-defined]
