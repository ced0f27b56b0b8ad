"""Accounts against trainings that leave out badly fitted rows: many candidates, the best fitted ones are sent."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from ..datasets.log import Int32, InteractionLog
from ..recommenders.sampling import Positives
from ..recommenders.trainer import one_thread
from .base import Attack, AttackConfig, Draft, Goal, Knowledge
from .draws import draw, head, merge, pool
from .goal import Direction, Kind
from .similarity import cosine
from .surrogate.twin import Twin, TwinConfig, with_targets

Float64 = NDArray[np.float64]


class EvasiveLossesConfig(AttackConfig):
    """Settings of the attack on trainings that trust well fitted rows."""

    candidates: int = Field(default=4, ge=1, le=50, description="accounts that are tried for each that is sent")
    head: float = Field(default=0.05, gt=0, le=1, description="popular fillers come from this share of the items")
    dim: int = Field(default=32, ge=1, le=512, description="length of the surrogate's vectors")
    epochs: int = Field(
        default=12, ge=1, description="epochs of a surrogate, over which the loss of the target is averaged"
    )
    surrogates: int = Field(
        default=2, ge=1, description="surrogates, with vectors of their own, whose losses are averaged"
    )
    learning_rate: float = Field(default=2e-2, gt=0, description="Adam's, of the surrogate")


class EvasiveLosses(Attack):
    """Of several times the budget the accounts whose target row a surrogate fits best: those the training would keep.

    Candidates mix popular fillers with items that are consumed together with the targets (in proportion to cosine
    co-occurrence), in shares from all popular to all co-consumed. A matrix factorisation is trained on the visible log
    and all candidates for a few epochs; after each the loss of every candidate's target rows, -log softmax over the
    catalogue, is read, and all that again with other first vectors. The accounts with the least mean are sent. The mean
    over epochs counts because trainings such as T-CE drop rows long before they have converged. With ratings, fillers
    get their items' means.

    How well an account is fitted depends on the vector it happens to start with as much as on its items, in the victim
    too: in small logs hardly any of the order carries over.

    Blind to who looks at profiles rather than losses: the accounts share popular items and resemble each other. In the
    surrogate all candidates push the target, so it is fitted better than the sent accounts alone would have it; their
    order is what is used. It does not apply to sequences, whose losses depend on what came before.
    """

    name = "evasive-losses"
    title = "Of many candidates those whose target row is fitted best"
    reference = "recaudit; against T-CE and R-CE (Wang et al. 2021, WSDM) and trainings that trim users by loss"
    grants = frozenset({"catalogue", "log", "item_means"})
    kinds: ClassVar[frozenset[Kind]] = frozenset({"implicit", "rating"})
    directions: ClassVar[frozenset[Direction]] = frozenset({"push"})
    config_type = EvasiveLossesConfig

    def craft(self, knowledge: Knowledge, goal: Goal, rng: np.random.Generator) -> Draft:
        """Draw candidates, train the surrogate, keep the best fitted ones."""
        config: EvasiveLossesConfig = self.config
        by_candidate, by_fit = rng.spawn(2)
        log = knowledge.log
        fillers = candidates(log, goal, config, by_candidate)
        losses = target_losses(Positives.of(log), with_targets(fillers, goal), goal, config, by_fit)
        best = fillers[np.argsort(losses, kind="stable")[: goal.accounts]]
        if goal.kind != "rating":
            return Draft(best)
        return Draft(best, knowledge.item_ratings.mean[np.maximum(best, 0)])


def candidates(log: InteractionLog, goal: Goal, config: EvasiveLossesConfig, rng: np.random.Generator) -> Int32:
    """Fillers of all candidates, int32 [`config.candidates` x A, `goal.fillers`]; -1 where items are used up.

    Candidate n of C has the share n / (C - 1) of co-consumed items, as far as the targets have any; the rest is
    popular.
    """
    count, width = config.candidates * goal.accounts, goal.fillers
    by_near, by_popular, by_rest = rng.spawn(3)
    usable = pool(goal, log.n_items)
    near = draw(by_near, usable * cosine(log, goal), count, width)
    popular = draw(by_popular, usable * log.item_counts * head(log.item_counts, config.head), count, width)
    share = np.linspace(0, 1, count) if count > 1 else np.full(count, 0.5)
    near[np.arange(width) >= np.floor(share * width + 0.5)[:, None]] = -1
    # a small head or few co-consumed items leave room for anything that people consume
    rest = draw(by_rest, usable * log.item_counts, count, width)
    return first(merge(merge(near, popular), rest), width)


def first(items: Int32, width: int) -> Int32:
    """The first items of each row that are there: int32 [n, m] -> int32 [n, width], -1 behind them."""
    order = np.argsort(items < 0, axis=1, kind="stable")[:, :width]
    found: Int32 = np.take_along_axis(items, order, axis=1)
    return found


def target_losses(
    genuine: Positives, accounts: Int32, goal: Goal, config: EvasiveLossesConfig, rng: np.random.Generator
) -> Float64:
    """Loss of the accounts' target rows, mean over targets, surrogates and their epochs, float64 [n].

    Args:
        genuine: pairs of the visible log.
        accounts: int32 [n, m], targets among them, -1 for none; no item twice in a row.
        goal: the targets.
        config: number, size and epochs of the surrogates.
        rng: first tables and batches.
    """
    settings = TwinConfig(dim=config.dim, epochs=1, learning_rate=config.learning_rate)
    targets = torch.tensor(goal.targets)
    total = np.zeros(len(accounts))
    with one_thread():
        for by_surrogate in rng.spawn(config.surrogates):
            by_start, by_accounts, *by_epoch = by_surrogate.spawn(2 + config.epochs)
            twin = Twin.fitted(genuine, "mf", settings, by_start).refitted(accounts, 0, by_accounts)
            for own in by_epoch:
                twin.epochs(1, own)
                total -= twin.tastes().log_softmax(1)[:, targets].mean(1).double().numpy()
    return total / (config.epochs * config.surrogates)
