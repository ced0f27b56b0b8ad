"""Splice and settle: sequences rejoined without what is forgotten, one corrective step, a few epochs near by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from ...datasets.log import Int64, InteractionLog
from ...datasets.seeding import derive
from ...datasets.seeding import rng as seeded
from ...recommenders.base import Recipe
from ...recommenders.catalogue import build, fit, model_class
from ...recommenders.network import Dropout, Network
from ...recommenders.sequences import Windows, padded
from ...recommenders.sequential import SequenceTraining, SequentialModel
from ...recommenders.softmax import cross_entropy
from ...recommenders.trainer import one_thread
from ..base import Served, Unlearner, UnlearnerConfig
from ..request import Request
from .gradients import fisher, opened, slowed
from .watch import Watch, values

_CHUNK = 256  # windows at a time


@dataclass(frozen=True, eq=False)
class Spliced:
    """The windows that differ between two logs.

    Attributes:
        windows: all of one log's.
        rows: int64, those that the other log has not.
    """

    windows: Windows
    rows: Int64

    def loss(
        self, network: Network, drawn: torch.Tensor | None = None, bias: torch.Tensor | None = None
    ) -> Iterator[torch.Tensor]:
        """Parts of the cross-entropy of the next item, summed over the positions of these windows; no dropout.

        Over the whole catalogue, or over these items (int64 [N], with a bias, float [N]) and the target.
        """
        windows = self.windows
        for rows in np.array_split(self.rows, -(-len(self.rows) // _CHUNK)) if len(self.rows) else ():
            items, valid = padded(windows.items, windows.start[rows], windows.length[rows])
            table = network.table()
            length = torch.from_numpy(windows.length[rows])
            hidden = network.encode(torch.from_numpy(items), table, Dropout(0.0, None), length).flatten(0, 1)
            hidden = hidden[torch.from_numpy(np.flatnonzero(valid))]
            target = torch.from_numpy(windows.targets(rows))
            others = table if drawn is None else table[drawn]
            yield len(target) * cross_entropy(hidden, table[target], target, others, drawn, bias)


def spliced(old: Windows, new: Windows) -> tuple[Spliced, Spliced]:
    """The windows of the old log that the new one has not, and the other way round; equal runs of a user cancel."""
    width = int(max(old.length.max(initial=0), new.length.max(initial=0))) + 1
    rows = [_runs(windows, width) for windows in (old, new)]
    _, label = np.unique(np.concatenate(rows), axis=0, return_inverse=True)
    label = label.ravel()
    first, second = label[: len(rows[0])], label[len(rows[0]) :]
    return (
        Spliced(old, np.flatnonzero(~np.isin(first, second))),
        Spliced(new, np.flatnonzero(~np.isin(second, first))),
    )


def _runs(windows: Windows, width: int) -> NDArray[np.int64]:
    """User and items of every window, input and last target, filled up with -1: int64 [W, 1 + width]."""
    items, valid = padded(windows.items, windows.start, windows.length + 1)
    found = np.full((len(windows.start), 1 + width), -1)
    found[:, 0] = windows.user
    found[:, 1 : 1 + items.shape[1]] = np.where(valid, items, -1)
    return found


class SettleConfig(UnlearnerConfig):
    """Settings of splice and settle."""

    damping: float = Field(default=0.1, gt=0, description="added to the diagonal, in units of its mean")
    step: float = Field(default=0.3, gt=0, le=10, description="largest move of an item, in mean lengths of items")
    fisher_batches: int = Field(default=16, ge=1, description="batches of the retain set for the diagonal")
    epochs: int = Field(default=3, ge=0, le=100, description="epochs of settling, at most")
    others: float = Field(default=5.0, ge=0, description="random other users for each touched one in these epochs")
    slower: float = Field(default=3.0, ge=1, description="the victim's learning rate is divided by this in them")


class SpliceSettle(Unlearner):
    """For models that read sequences; our own design.

    1. Touched sequences are rejoined without the forgotten events, and cut into windows anew.
    2. One step of the item table, which is input and output at once: the gradient of the old windows less that of the
       new ones, as in influence functions (what a pair added to the sum is taken back), divided by the damped diagonal
       of the empirical Fisher matrix. No item moves further than `step`, and the step is shortened where it would take
       the forgotten events below held-out ones.
    3. Epochs of the victim's own training on the touched users' new sequences and those of random other users, until
       the forgotten events lie no higher than held-out ones.

    Without held-out events the full step is made and all epochs are run.

    Reference: ours; the difference of gradients is that of Zhang et al. 2024, Recommendation Unlearning via Influence
    Function, ACM TORS.
    """

    name: ClassVar[str] = "splice-and-settle"
    title: ClassVar[str] = "sequences rejoined, one corrective step, a few epochs near by"
    reference: ClassVar[str] = "ours; after the difference of gradients in Zhang et al. 2024, ACM TORS"
    config_type: ClassVar[type[SettleConfig]] = SettleConfig
    version: ClassVar[int] = 5
    config: SettleConfig

    def why_not(self, recipe: Recipe, log: InteractionLog) -> str | None:
        """Models that read sequences, with a free vector for every item."""
        kind = model_class(recipe.model)
        if not issubclass(kind, SequentialModel):
            return f"{recipe.model} reads no sequences"
        if build(recipe).config.item_vectors != "id":
            return "vectors made from texts are no rows that could move"
        if build(recipe).config.loss == "binary":
            return "the step is that of a softmax over many items, and this model compares with one"
        return None

    def forget(self, served: Served, request: Request, seed: int) -> Served:
        """See Unlearner."""
        log = request.retained(served.log)
        watch = Watch(served, request, log, seed)
        with one_thread():
            state = self._corrected(served, log, watch, seed)
            state = self._settled(served, request, log, state, watch, seed)
        model = build(served.recipe)
        model.load(state, log.n_users, log.n_items)
        return served.after(request, log, model)

    def _corrected(self, served: Served, log: InteractionLog, watch: Watch, seed: int) -> dict[str, torch.Tensor]:
        model, training = opened(served.recipe, log, seed, served.trained.state())
        if not isinstance(training, SequenceTraining) or (watch.known and watch.gap(model) <= 0):
            return model.state()
        before = values(training.parameters())
        move = self.move(training, served.log, seed)
        with torch.no_grad():
            training.network.item.add_(move)
        if watch.known and watch.gap(model) < 0:
            watch.land(model, training, before, values(training.parameters()))
        return model.state()

    def move(self, training: SequenceTraining, old: InteractionLog, seed: int) -> torch.Tensor:
        """The corrective step of the item table, float [I, d]."""
        config, network = self.config, training.network
        sides = spliced(Windows.of(old, training.config.max_length), training.windows)
        drawn = bias = None
        if training.sampled:
            negatives = training.drawn(seeded(seed, "settle", "negatives"))
            drawn = torch.from_numpy(negatives)
            bias = torch.from_numpy(-np.log(len(negatives) * training.share[negatives]).astype(np.float32))
        b = torch.zeros_like(network.item)
        for sign, side in zip((1.0, -1.0), sides, strict=True):
            for part in side.loss(network, drawn, bias):
                b += sign * torch.autograd.grad(part, network.item)[0]
        place = next(n for n, parameter in enumerate(training.parameters()) if parameter is network.item)
        diagonal = fisher(training, seed, config.fisher_batches)[place]
        # a batch is a mean of T / steps positions: its squared gradients are so many times smaller than those of one
        # position, of which the sum over the log has T
        windows, victim = training.windows, training.config
        positions = float(windows.length.sum())
        steps = sum(1 for _ in windows.batches(seeded(seed), victim.batch_tokens, victim.min_steps))
        curvature = diagonal * positions * (positions / steps)
        mean = curvature.mean()
        if not bool(mean > 0):
            return torch.zeros_like(b)
        move: torch.Tensor = b / (curvature + config.damping * mean)
        most = config.step * network.item.detach().square().sum(1).mean().sqrt()
        length = move.norm(dim=1, keepdim=True)
        move *= (most / length.clamp_min(1e-12)).clamp_max(1.0)
        return move

    def _settled(
        self,
        served: Served,
        request: Request,
        log: InteractionLog,
        state: dict[str, torch.Tensor],
        watch: Watch,
        seed: int,
    ) -> dict[str, torch.Tensor]:
        touched = np.unique(served.log.user[request.rows])
        near = nearby(log, touched, self.config.others, seed)
        model, training = opened(served.recipe, log, seed, state)
        if near is None:
            return state
        recipe = slowed(served.recipe, self.config.slower)
        for epoch in range(self.config.epochs):
            if epoch and watch.known and watch.gap(model) <= 0:
                break
            after = fit(recipe, near, derive(seed, "settle", epoch), start=model.state(), epochs=1)
            low = watch.known and watch.gap(model) >= 0 and watch.gap(after) < 0
            before = values(training.parameters())
            state = after.state()
            model, training = opened(served.recipe, log, seed, state)
            if low:
                watch.land(model, training, before, values(training.parameters()))
                break
        return model.state()


def nearby(log: InteractionLog, touched: NDArray[np.int32], others: float, seed: int) -> InteractionLog | None:
    """The retained events of touched users and of `others` times as many random users; None if no sequence is left."""
    long = np.flatnonzero(log.user_counts > 1)
    rest = np.setdiff1d(long, touched)
    size = min(len(rest), round(others * len(touched)))
    users = np.union1d(touched, seeded(seed, "settle", "users").choice(rest, size, replace=False))
    return log.take(np.isin(log.user, users)) if np.isin(long, users).any() else None
