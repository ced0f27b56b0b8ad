"""GraphRfi: a recommender and a neural forest that learn together, each weighing what the other is taught."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional

from ...datasets.log import Float32, Int64, InteractionLog
from ...recommenders.sampling import Positives, blocks
from ...recommenders.trainer import one_thread
from ..base import Float64
from ..histories import Histories
from .base import Bool, Judge, Weighing, WeighingConfig, held
from .forest import Forest


class GraphRfiConfig(WeighingConfig):
    """Settings of GraphRfi."""

    dim: int = Field(32, ge=1, description="length of an account's vector")
    trees: int = Field(5, ge=1, description="of the forest")
    depth: int = Field(3, ge=1, le=10, description="decisions from the root to a leaf (ours)")
    balance: float = Field(5.0, ge=0, description="weight of the forest's loss beside the recommender's")
    epochs: int = Field(20, ge=1, description="over all accounts (ours)")
    min_steps: int = Field(400, ge=0, description="at least so many steps, whatever the epochs (ours)")
    batch: int = Field(128, ge=1, description="accounts a step (ours)")
    learning_rate: float = Field(0.01, gt=0, description="AdamW's (ours)")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's (ours)")


@dataclass(frozen=True, eq=False)
class _Batch:
    """Accounts with all they hold, and a negative for each item."""

    place: torch.Tensor  # int64 [n], of the account of each entry
    item: torch.Tensor  # int64 [n]
    negative: torch.Tensor  # int64 [n]
    count: torch.Tensor  # float [B], entries of an account


class Scorer(torch.nn.Module):
    """One convolution over the graph of accounts and items, and a forest on what comes out of it.

    An account's vector is tanh(A mean of its items' vectors + a). What it is expected to hold is compared with what it
    does not: its vector without the item itself, times the item's second vector, plus the item's bias.
    """

    def __init__(self, n_items: int, config: GraphRfiConfig, seed: torch.Generator) -> None:
        """Draw first values from a CPU generator, never from the global one."""
        super().__init__()
        self.read = torch.nn.Parameter(torch.empty(n_items, config.dim))
        self.shown = torch.nn.Parameter(torch.empty(n_items, config.dim))
        self.bias = torch.nn.Parameter(torch.zeros(n_items))
        self.mix = torch.nn.Parameter(torch.eye(config.dim))
        self.shift = torch.nn.Parameter(torch.zeros(config.dim))
        for parameter in (self.read, self.shown):
            torch.nn.init.normal_(parameter, std=0.1, generator=seed)
        self.forest = Forest(config.dim + 1, config.trees, config.depth, seed)

    def forward(self, batch: _Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Ranking loss of each account, its mean error, its chance of being fake: float [B] each.

        The error of an item is 1 less the chance that it is ranked before its negative. The forest reads it as a
        constant.
        """
        vectors = self.read[batch.item]
        total = vectors.new_zeros(len(batch.count), vectors.shape[1]).index_add(0, batch.place, vectors)
        rest = (batch.count[batch.place] - 1).clamp(min=1)[:, None]
        own = self._turned((total[batch.place] - vectors) / rest)
        margin = (own * (self.shown[batch.item] - self.shown[batch.negative])).sum(1)
        margin = margin + self.bias[batch.item] - self.bias[batch.negative]
        loss = self._mean(functional.softplus(-margin), batch)
        error = self._mean(torch.sigmoid(-margin.detach()), batch)
        account = self._turned(total / batch.count[:, None])
        return loss, error, self.forest.chance(torch.cat([account, error[:, None]], 1))

    def _turned(self, mean: torch.Tensor) -> torch.Tensor:
        return torch.tanh(mean @ self.mix + self.shift)

    def _mean(self, values: torch.Tensor, batch: _Batch) -> torch.Tensor:
        return values.new_zeros(len(batch.count)).index_add(0, batch.place, values) / batch.count


class GraphRfi(Weighing):
    """A forest on an account's vector and mean error of ranking; joint loss with the recommender that gives both.

    Each account's ranking loss is weighed by its chance of being genuine, taken as constant, and the forest's loss is
    added with a weight. An account weighs its chance of being genuine in the victim's training, too.
    """

    name: ClassVar[str] = "graph-rfi"
    title: ClassVar[str] = "Neural forest on an account's vector and mean error, learnt with a recommender"
    reference: ClassVar[str] = (
        "Zhang, Yin, Chen, Huang, Nguyen, Cui 2020, GCN-Based User Representation Learning for Unifying Robust "
        "Recommendation and Fraudster Detection, SIGIR"
    )
    config_type: ClassVar[type[GraphRfiConfig]] = GraphRfiConfig

    def published(self, suspicion: Float64) -> Float32:
        """The chance of being genuine."""
        return (1 - suspicion).astype(np.float32)

    def learner(self, log: InteractionLog, accounts: Histories, fake: Bool, rng: np.random.Generator) -> Judge:
        """See Supervised."""
        config: GraphRfiConfig = self.config
        entries = held(accounts, log.n_items).tocoo()
        pairs = Positives(entries.row.astype(np.int64), entries.col.astype(np.int64), *entries.shape)
        fraud = torch.from_numpy(fake)

        def judge(train: Bool, rng: np.random.Generator) -> Float64:
            seed = torch.Generator().manual_seed(int(rng.integers(1 << 62)))
            with one_thread():
                scorer = Scorer(log.n_items, config, seed)
                _learn(scorer, pairs, fraud, torch.from_numpy(train), config, rng)
                found = np.empty(len(fake))
                with torch.no_grad():
                    for rows in blocks(np.arange(len(fake)), config.batch):
                        found[rows] = scorer(_batch(pairs, rows, rng))[2].numpy()
            return found

        return judge


def joint_loss(
    ranking: torch.Tensor, chance: torch.Tensor, fraud: torch.Tensor, train: torch.Tensor, balance: float
) -> torch.Tensor:
    """Mean ranking loss weighed by 1 - chance, plus `balance` times the mean -log of the right answer.

    Args:
        ranking: float [B].
        chance: of being fake, float [B].
        fraud: bool [B], the answers.
        train: bool [B], whose answers may be learnt from.
        balance: weight of the answers.
    """
    loss = ((1 - chance.detach()) * ranking).mean()
    if not train.any():
        return loss
    right = torch.where(fraud, chance, 1 - chance)[train]
    return loss - balance * right.clamp(min=1e-7).log().mean()


def _learn(
    scorer: Scorer,
    pairs: Positives,
    fraud: torch.Tensor,
    train: torch.Tensor,
    config: GraphRfiConfig,
    rng: np.random.Generator,
) -> None:
    optimiser = torch.optim.AdamW(scorer.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    steps = -(-pairs.n_users // config.batch)
    for _ in range(max(config.epochs, -(-config.min_steps // steps))):
        for rows in blocks(rng.permutation(pairs.n_users), config.batch):
            optimiser.zero_grad(set_to_none=True)
            ranking, _, chance = scorer(_batch(pairs, rows, rng))
            loss = joint_loss(ranking, chance, fraud[rows], train[rows], config.balance)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()


def _batch(pairs: Positives, rows: Int64, rng: np.random.Generator) -> _Batch:
    """All that some accounts hold, each entry with an item that the account does not hold."""
    count = np.diff(pairs.offsets)[rows]
    place = np.repeat(np.arange(len(rows)), count)
    entry = np.arange(len(place)) + np.repeat(pairs.offsets[rows] - np.cumsum(count) + count, count)
    negative = pairs.unseen(rng, rows[place])
    return _Batch(
        torch.from_numpy(place),
        torch.from_numpy(pairs.item[entry]),
        torch.from_numpy(negative),
        torch.from_numpy(count.astype(np.float32)),
    )
