"""A twin: a recommender of the victim's family, trained on the visible log and the accounts written so far."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional

from ...datasets.log import Int32
from ...recommenders.lightgcn import LightGCN, LightGCNConfig
from ...recommenders.mf import MF, MFConfig
from ...recommenders.pairwise import PairTraining, PairwiseModel
from ...recommenders.sampling import Positives
from ...recommenders.simgcl import SimGCL, SimGCLConfig
from ..base import AttackConfig
from ..goal import Goal

Family = Literal["simgcl", "lightgcn", "mf"]
"""LightGCN with a contrast of noisy views, LightGCN, matrix factorisation."""

BATCH = 4096
"""Pairs a step of the twin at most; the smallest logs get `MIN_STEPS` smaller batches."""
MIN_STEPS = 2


class TwinConfig(AttackConfig):
    """Settings of the attacks that train a twin of the victim."""

    dim: int = Field(default=32, ge=1, le=512, description="length of the twin's embeddings")
    epochs: int = Field(default=20, ge=1, description="epochs of the twin on the visible log, once")
    refit: int = Field(default=4, ge=1, description="epochs whenever accounts were added or changed, from there")
    learning_rate: float = Field(default=2e-2, gt=0, description="Adam's, of training and of steps on the attack")
    cutoff: int = Field(default=20, ge=1, description="k: the target is to reach the k-th score of a user")


@dataclass(eq=False)
class Twin:
    """Tables under training, and under attack.

    Attributes:
        model: the network's family and recipe.
        genuine: the pairs of the visible log.
        training: the tables and their loss, on the genuine pairs and those of the accounts.
        accounts: int32 [A, m] items of the accounts behind the genuine users, -1 for none.
    """

    model: PairwiseModel
    genuine: Positives
    training: PairTraining
    accounts: Int32
    _optimisers: tuple[torch.optim.Optimizer, torch.optim.Optimizer]
    _rate: float

    @classmethod
    def fitted(cls, genuine: Positives, family: Family, config: TwinConfig, rng: np.random.Generator) -> Twin:
        """Train on the genuine pairs alone.

        Args:
            genuine: pairs of the visible log, at least one.
            family: which network.
            config: size, epochs and rate.
            rng: first tables, batches and noise.
        """
        by_start, by_epoch = rng.spawn(2)
        model = model_of(family, config)
        none = np.empty((0, 1), np.int32)
        twin = cls._start(model, genuine, none, by_start, config.learning_rate)
        twin.epochs(config.epochs, by_epoch)
        return twin

    @classmethod
    def _start(
        cls, model: PairwiseModel, genuine: Positives, accounts: Int32, rng: np.random.Generator, rate: float
    ) -> Twin:
        pairs = with_accounts(genuine, accounts)
        device = torch.device("cpu")
        encoder, seed = model.encoder(pairs, device), int(rng.integers(2**62))
        training = PairTraining(model.config, pairs, encoder, seed, device, lambda *_: None)
        # one for training and one for the attack: momentum of the one must not move the other
        first, second = (torch.optim.Adam(training.parameters(), lr=rate) for _ in range(2))
        return cls(model, genuine, training, accounts, (first, second), rate)

    def refitted(self, accounts: Int32, epochs: int, rng: np.random.Generator) -> Twin:
        """A new twin that goes on from this one's tables with other accounts, whose rows start anew.

        Args:
            accounts: int32 [A, m], -1 for none; each account has an item at least.
            epochs: of training before it is handed over.
            rng: first rows of the accounts, batches and noise.
        """
        by_start, by_epoch = rng.spawn(2)
        other = Twin._start(self.model, self.genuine, accounts, by_start, self._rate)
        users, items = self.genuine.n_users, self.genuine.n_items
        old, new = self.training.places, other.training.places
        with torch.no_grad():
            table, fresh = self.training.base.detach(), other.training.base
            fresh[new[:users]] = table[old[:users]]
            fresh[new[-items:]] = table[old[-items:]]
        other.epochs(epochs, by_epoch)
        return other

    def epochs(self, n: int, rng: np.random.Generator) -> None:
        """Train for n epochs; `rng` draws batches and noise."""
        noise = torch.Generator().manual_seed(int(rng.integers(2**62)))
        for by_batch in rng.spawn(n):
            for batch in self.training.batches(by_batch):
                self._step(self._optimisers[0], self.training.loss(batch, noise))

    def bend(self, loss: torch.Tensor) -> None:
        """One step of Adam on an attack's loss, which has to depend on the tables."""
        self._step(self._optimisers[1], loss)

    def _step(self, optimiser: torch.optim.Optimizer, loss: torch.Tensor) -> None:
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    def vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Final vectors of users [U + A, d], accounts last, and items [I, d]; differentiable in the tables.

        They are of unit length, because training compares cosines.
        """
        final = self.training.encoder.final(self.training.base)[torch.from_numpy(self.training.places)]
        final = functional.normalize(final, dim=-1)
        users = len(final) - self.genuine.n_items
        return final[:users], final[users:]

    def logits(self, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
        """Scores float [B, I] whose softmax is what training estimates: cosines through the temperature.

        Differences are differences of log p.
        """
        return user @ item.T / self.training.config.temperature

    def tastes(self) -> torch.Tensor:
        """Scores of the accounts, float32 [A, I], without gradient."""
        with torch.no_grad():
            user, item = self.vectors()
            return self.logits(user[self.genuine.n_users :], item)

    def standing(self, judges: tuple[torch.Tensor, torch.Tensor], targets: torch.Tensor, k: int) -> tuple[float, float]:
        """`standing` of the targets, for users int64 [B] and what they consumed, bool [B, I]."""
        users, consumed = judges
        with torch.no_grad():
            user, item = self.vectors()
            return standing(self.logits(user[users], item), targets, consumed, k)


def model_of(family: Family, config: TwinConfig) -> PairwiseModel:
    """The network of a family: small, with few shared negatives and large batches."""
    common = {"dim": config.dim, "negatives": 128, "batch_size": BATCH, "min_steps": MIN_STEPS}
    if family == "simgcl":
        return SimGCL(SimGCLConfig.model_validate({**common, "contrast_nodes": 256}))
    if family == "lightgcn":
        return LightGCN(LightGCNConfig.model_validate(common))
    return MF(MFConfig.model_validate(common))


def with_accounts(genuine: Positives, accounts: Int32) -> Positives:
    """The genuine pairs and those of accounts behind the genuine users.

    Shapes: accounts int32 [A, m], -1 for none, no item twice in a row.
    """
    row, column = np.nonzero(accounts >= 0)
    items = accounts[row, column].astype(np.int64)
    order = np.lexsort((items, row))  # positives are sorted by user, then item
    return replace(
        genuine,
        user=np.concatenate([genuine.user, genuine.n_users + row[order]]),
        item=np.concatenate([genuine.item, items[order]]),
        n_users=genuine.n_users + len(accounts),
    )


def with_targets(fillers: Int32, goal: Goal) -> Int32:
    """Profiles as the finish line will make them, targets first: int32 [A, n] -> [A, T + n]."""
    targets = np.array(goal.targets, np.int32)
    return np.concatenate([np.broadcast_to(targets, (len(fillers), len(targets))), fillers], axis=1)


@torch.no_grad()
def standing(scores: torch.Tensor, targets: torch.Tensor, consumed: torch.Tensor, k: int) -> tuple[float, float]:
    """How the targets rank among what users lack: hit rate at k, and minus the mean log2 rank.

    Pairs compare as attacks want them: more hits first, of equal hits (cold targets rarely have any) the better
    mean rank. The rank is 1 + items above + half of the ties; users who hold a target do not count for it.

    Shapes: scores float [B, I], targets int64 [T], consumed bool [B, I]; (0, -log2 I) if nobody lacks a target.
    """
    ranks = []
    for target in targets:
        lacks = ~consumed[:, target]
        others, own = scores[lacks], scores[lacks, target][:, None]
        open_ = ~consumed[lacks]
        above = ((others > own) & open_).sum(1)
        ties = ((others == own) & open_).sum(1) - 1
        ranks.append(1 + above + ties / 2)
    rank = torch.cat(ranks)
    if not len(rank):
        return 0.0, -float(np.log2(scores.shape[1]))
    return float((rank <= k).double().mean()), -float(torch.log2(rank.double()).mean())
