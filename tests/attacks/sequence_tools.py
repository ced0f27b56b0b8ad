"""What the tests of the attacks on sequential models share."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch.nn import functional

from recaudit.attacks.base import Attack
from recaudit.attacks.goal import Goal
from recaudit.attacks.injection import crafted
from recaudit.attacks.surrogate.sequence import SequenceConfig, SequenceSurrogate
from recaudit.attacks.targets import strata
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.seeding import rng
from recaudit.datasets.synthetic import generate
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.network import Dropout, Network
from recaudit.recommenders.ranking import rank
from recaudit.recommenders.sasrec import SASRec, SASRecConfig

VICTIM = Recipe("sasrec", {"dim": 32, "layers": 1}, 12)


class LastItem(Network):
    """Expects next whatever lies near the last item: the state is the last item's vector, turned."""

    def __init__(self, table: torch.Tensor, turn: torch.Tensor | None = None) -> None:
        super().__init__(*table.shape)
        self.item = torch.nn.Parameter(table)
        self.turn = torch.eye(table.shape[1]) if turn is None else turn

    def encode(
        self, items: torch.Tensor, table: torch.Tensor, drop: Dropout, length: torch.Tensor | None = None
    ) -> torch.Tensor:
        return functional.embedding(items, table) @ self.turn.T


def by_hand(table: list[list[float]], turn: list[list[float]] | None = None) -> SequenceSurrogate:
    """A surrogate that reads the last item only."""
    network = LastItem(torch.tensor(table), None if turn is None else torch.tensor(turn))
    return SequenceSurrogate(network, 50, torch.ones(len(table), dtype=torch.bool))


def opposites() -> SequenceSurrogate:
    """Expects next what lies opposite of the last item: item 0 after item 4, and least of all after item 1.

    No item lies beyond item 0 in either coordinate, so the gradient of its loss has the same signs everywhere.
    """
    table = [[0.1, 0.1], [0.09, 0.09], [-0.1, 0.1], [0.1, -0.1], [-0.1, -0.1]]
    return by_hand(table, [[-100.0, 0.0], [0.0, -100.0]])


def random_sasrec(n_items: int = 9, dim: int = 6, max_length: int = 5, seed: int = 0) -> SequenceSurrogate:
    """A SASRec of random float64 parameters."""
    with torch.device("meta"):
        network = SASRec(SASRecConfig.model_validate({"dim": dim, "heads": 2, "max_length": max_length})).network(
            n_items
        )
    network = network.to_empty(device="cpu").double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.5, generator=generator)
    return SequenceSurrogate(network, max_length, torch.ones(n_items, dtype=torch.bool))


@cache
def medium_log(seed: int = 0) -> InteractionLog:
    """A generated log with habits of sequence, large enough for a SASRec to learn something."""
    return generate(users=400, items=200, events=8000, seed=seed, follows=0.4, ratings=False)


@cache
def learnt(seed: int = 0) -> SequenceSurrogate:
    """A surrogate of that log."""
    return SequenceSurrogate.fitted(medium_log(seed), SequenceConfig(), rng(seed, "surrogate"))


def cold_item(log: InteractionLog, seed: int = 0) -> int:
    """Some cold item."""
    return int(rng(seed, "cold").choice(strata(log)["cold"]))


@cache
def clean_rank(seed: int, target: int) -> float:
    """Mean log2 rank of a target without an attack."""
    return rank_of(medium_log(seed), seed, target, medium_log(seed))


def shift(attack: Attack, seed: int, share: float = 0.05) -> float:
    """How often the mean rank of a cold item halves under the attack, victim trained from scratch."""
    log = medium_log(seed)
    target = cold_item(log, seed)
    goal = Goal((target,), int(share * log.n_users), 20, "sequence")
    attacked = log.with_accounts(crafted(attack, log, goal, seed))
    return clean_rank(seed, target) - rank_of(attacked, seed, target, log)


def rank_of(train: InteractionLog, seed: int, target: int, genuine: InteractionLog) -> float:
    model = fit(VICTIM, train, seed)
    ranks = rank(model, None, genuine, 0, watch=np.array([target], np.int32), n_users=genuine.n_users).watched[0]
    return float(np.log2(ranks[~np.isnan(ranks)].astype(np.float64)).mean())
