"""The poison-model attack on sequential recommenders (DP-seq)."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from ..datasets.log import Int64, InteractionLog
from ..recommenders.network import Dropout, Network
from ..recommenders.sequences import Windows, ordered, padded
from ..recommenders.sequential import SequenceTraining
from ..recommenders.trainer import one_thread
from .base import Goal
from .surrogate.sequence import SequenceConfig, SequenceSurrogate
from .surrogate.sequence_attack import SequenceAttack, write

_BATCH = 256  # genuine users a step


class DPSequencesConfig(SequenceConfig):
    """Settings of DP-seq."""

    batches: int = Field(
        default=2, ge=1, description="accounts are written in so many batches, each by a newly bent model"
    )
    rounds: int = Field(
        default=3, ge=1, description="rounds of bending the model, each followed by an epoch of training"
    )
    cutoff: int = Field(default=20, ge=1, description="k: the target is to reach the k-th score of a user")
    kappa: float = Field(default=1.0, ge=0, description="lead over the k-th score that is enough")
    even: float = Field(default=1e-2, ge=0, description="weight on the squared chances of a new account's first item")
    decay: float = Field(default=0.7, gt=0, lt=1, description="factor on an item's weight whenever an account takes it")
    users: int = Field(default=1000, ge=1, description="genuine users the model is bent for, at most")


class DPSequences(SequenceAttack):
    """Sequences that a bent model finds natural: fillers are its most likely next items.

    A copy of the surrogate is bent until it recommends the target to genuine users, and trained on the log and the
    accounts so far in between: a guess at the victim after a successful attack. From the round in which the target
    does best, each account is filled event by event with the item of largest p(next) x weight. An item's weight
    falls whenever an account takes it, so that accounts differ; when all have fallen they start anew.

    Other than in DLAttack: SASRec instead of NeuMF, sequences instead of sets, a few batches of accounts instead of
    one model per account, each bent from the surrogate instead of trained from scratch; a steeper decay, because
    chances of a softmax differ more than its scores. Of LoRec's "DP" only one sentence is known to us.
    """

    name = "dp-sequences"
    title = "Sequences that are natural to a model bent towards the target"
    reference = (
        "After Huang et al. 2021, Data Poisoning Attacks to Deep Learning Based Recommender Systems, NDSS; the kind "
        "'DP' of Zhang et al. 2024, LoRec, SIGIR, arXiv 2401.17723"
    )
    config_type: ClassVar[type[SequenceConfig]] = DPSequencesConfig

    def sequences(
        self,
        surrogate: SequenceSurrogate,
        log: InteractionLog,
        goal: Goal,
        slots: Int64,
        allowed: Int64,
        rng: np.random.Generator,
    ) -> Int64:
        """Bend a copy and write accounts one after another, batch by batch."""
        config: DPSequencesConfig = self.config
        weights = np.ones(len(allowed))
        done = np.empty((0, goal.profile), np.int64)
        for own in np.array_split(np.arange(goal.accounts), min(config.batches, goal.accounts)):
            model = bent(surrogate, log, goal.targets, done, config, rng)
            for account in own:
                row = likely(model, goal, slots[account : account + 1], allowed, weights, config.decay)
                done = np.concatenate([done, row])
        return done


def likely(
    model: SequenceSurrogate, goal: Goal, slots: Int64, allowed: Int64, weights: NDArray[np.float64], decay: float
) -> Int64:
    """One account: at each free place the item of largest p(next) x weight that the account does not yet hold.

    Args:
        model: gives p(next).
        goal: targets and P.
        slots: int64 [1, s], places of the targets.
        allowed: int64 [n], items to choose from.
        weights: float64 [n], lowered in place for items taken; all 1 again once none is 1.
        decay: factor on the weight of an item taken.

    Returns:
        int64 [1, P].
    """
    free = np.ones(len(allowed), bool)

    def choose(prefix: Int64, rows: Int64, target: Int64) -> Int64:
        seen = prefix if prefix.shape[1] else target[:, None]  # before there is anything, an account likes its target
        chance = model.scores(seen)[0].softmax(-1).numpy()[allowed]
        free[:] |= not free.any()  # a sequence longer than the catalogue takes items again
        best = int(np.argmax(np.where(free, chance * weights, -1.0)))
        free[best] = False
        weights[best] *= decay
        weights[:] = np.where((weights < 1).all(), 1.0, weights)
        return allowed[best : best + 1]

    return write(goal, slots, choose)


@one_thread()
def bent(
    surrogate: SequenceSurrogate,
    log: InteractionLog,
    targets: tuple[int, ...],
    accounts: Int64,
    config: DPSequencesConfig,
    rng: np.random.Generator,
) -> SequenceSurrogate:
    """A copy of the surrogate that recommends the targets, trained on the log and the accounts written so far.

    Each round: one pass over genuine users who lack the targets (`margins`, and `even` x the sum of squared chances
    of the item that follows a target), then an epoch of ordinary training. The round with the best hit rate is
    kept, of equal ones that with the smallest margin.

    `accounts` is int64 [a, P], a at least 0; `rng` draws the order of users and batches, and the dropout.
    """
    network = surrogate.trainable()
    windows = _windows(log, accounts, config.max_length)
    training = SequenceTraining(config.model(), windows, network, torch.device("cpu"))
    optimiser = torch.optim.Adam(training.parameters(), lr=training.config.learning_rate)
    noise = torch.Generator().manual_seed(int(rng.integers(2**62)))
    offsets, items = ordered(log)
    holders = np.unique(log.user[np.isin(log.item, targets)])
    users = rng.permutation(np.setdiff1d(np.flatnonzero(np.diff(offsets)), holders))[: config.users]
    length = np.minimum(np.diff(offsets)[users], config.max_length)
    start = offsets[users + 1] - length
    parts, kept, best = _parts(np.arange(len(users))), copy.deepcopy(network), (-1.0, 0.0)
    for _ in range(config.rounds):
        for rows in _parts(rng.permutation(len(users))):
            gap = margins(network, items, start[rows], length[rows], targets, config.cutoff)
            alone = torch.tensor(targets)[:, None]
            own = network.encode(alone, network.table(), Dropout(0.0, None))[:, -1] @ network.table().T
            loss = gap.clamp(min=-config.kappa).mean() + config.even * own.softmax(-1).square().sum()
            _step(optimiser, loss)
        for batch in training.batches(rng):
            _step(optimiser, training.loss(batch, noise))
        with torch.no_grad():
            gaps = [margins(network, items, start[rows], length[rows], targets, config.cutoff) for rows in parts]
        value = (float((torch.cat(gaps) <= 0).double().mean()), -float(torch.cat(gaps).mean())) if gaps else best
        if value >= best:
            kept, best = copy.deepcopy(network), value
    return SequenceSurrogate(kept, surrogate.max_length, surrogate.known)


def margins(
    network: Network, items: Int64, start: Int64, length: Int64, targets: tuple[int, ...], cutoff: int
) -> torch.Tensor:
    """By how much each user's k-th score exceeds the targets', what the user holds left out: float [B, T].

    Differences of scores are differences of log p. Users are runs of `items` (see `padded`): int64 [B] each.
    """
    inputs, valid = padded(items, start, length)
    past = torch.from_numpy(inputs)
    table = network.table()
    given = torch.from_numpy(length)
    hidden = network.encode(past, table, Dropout(0.0, None), given)[torch.arange(len(past)), given - 1]
    scores = hidden @ table.T
    held = torch.where(torch.from_numpy(valid), past, past[:, :1])  # what fills a row up is no item of the user
    others = scores.scatter(1, held, -torch.inf)
    others[:, list(targets)] = -torch.inf
    level = others.topk(min(cutoff, scores.shape[1])).values[:, -1:].clamp(min=-1e4)
    return level - scores[:, list(targets)]


def _windows(log: InteractionLog, accounts: Int64, max_length: int) -> Windows:
    """Training windows of the log, and one for each account: its last events."""
    genuine = Windows.of(log, max_length)
    rows, width = accounts.shape
    if not rows:
        return genuine
    length = np.full(rows, min(width - 1, max_length), np.int64)
    ends = len(genuine.items) + (np.arange(rows) + 1) * width - 1
    return replace(
        genuine,
        items=np.concatenate([genuine.items, accounts.ravel()]),
        start=np.concatenate([genuine.start, ends - length]),
        length=np.concatenate([genuine.length, length]),
        user=np.concatenate([genuine.user, log.n_users + np.arange(rows)]),
    )


def _parts(rows: Int64) -> list[Int64]:
    return [rows[first : first + _BATCH] for first in range(0, len(rows), _BATCH)]


def _step(optimiser: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
