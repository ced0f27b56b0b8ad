"""Bounded ascent with repair: push the forgotten pairs down as far as pairs never seen lie, then train on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch.nn import functional

from ...datasets.errors import InputError
from ...datasets.log import Int64, InteractionLog
from ...datasets.seeding import derive
from ...datasets.seeding import rng as seeded
from ...recommenders.base import Model, Recipe, Recommender
from ...recommenders.catalogue import build, fit, model_class
from ...recommenders.losses import bpr_each
from ...recommenders.network import Dropout
from ...recommenders.pairwise import PairTraining
from ...recommenders.sampling import Positives
from ...recommenders.sequences import Windows, padded
from ...recommenders.sequential import SequenceTraining, SequentialModel
from ...recommenders.trainer import RankingTraining, one_thread
from ..base import Served, Unlearner, UnlearnerConfig, not_by_gradient
from ..request import Request
from ..verify.membership import percentiles
from .gradients import fisher, opened

_SAMPLE = 2000  # pairs of either kind that a check reads
_OWN = 50  # held-out pairs that the touched users must have for these alone to be read
_HALVINGS = 6
_USUAL = 8 / 9  # where held-out pairs lie if none are there to tell
_CHUNK = 256  # windows at a time


class Watch:
    """Where forgotten pairs lie among their users' other items, less where pairs lie that were never trained on.

    Models that read histories know nothing of a user who is forgotten whole; such a user is read with the first half
    of its old events, and the other half is judged.
    """

    def __init__(self, served: Served, request: Request, retained: InteractionLog, seed: int) -> None:
        """Choose the pairs to read: forgotten ones, and held-out ones of the touched users if these have 50.

        Otherwise those of all users. Without any, `known` is False.
        """
        forgotten = request.forgotten(served.log)
        self.history = retained
        if issubclass(model_class(served.recipe.model), SequentialModel):
            probe = first_halves(forgotten, retained)
            self.history = retained if not probe.any() else retained.plus(forgotten.take(probe))
        key = _keys(self.history)
        self.forgotten = _drawn(forgotten, ~np.isin(_keys(forgotten), key), seeded(seed, "watch", "forgotten"))
        self.controls = (np.empty(0, np.int64), np.empty(0, np.int64))
        if served.held_out is not None:
            held = served.held_out
            fit_ = ~np.isin(_keys(held), np.union1d(key, _keys(served.log)))
            own = fit_ & np.isin(held.user, forgotten.user)
            self.controls = _drawn(held, own if own.sum() >= _OWN else fit_, seeded(seed, "watch", "held-out"))
        self.known = len(self.forgotten[0]) > 0 and len(self.controls[0]) > 0
        self.level = self._mean(served.model, self.controls) if self.known else None

    def gap(self, model: Recommender) -> float:
        """Mean percentile of the forgotten pairs less that of held-out ones, -1..1; 0 is forgotten, below is too far.

        The held-out pairs count as they lie under this model, or as they lay under the one before the request if that
        is higher: a method that spoils a user's taste as a whole takes them down too, and must not go on for it.

        Raises:
            InputError: nothing is known to compare with.
        """
        if self.level is None:
            raise InputError("there are no held-out pairs, or no forgotten ones, to compare")
        return self._mean(model, self.forgotten) - max(self.level, self._mean(model, self.controls))

    def _mean(self, model: Recommender, pairs: tuple[Int64, Int64]) -> float:
        return float(percentiles(model, *pairs, self.history).mean())

    @property
    def rivals(self) -> int:
        """Of how many random items the best lies where held-out pairs lie, on average: level / (1 - level), 1..64."""
        level = _USUAL if self.level is None else self.level
        return round(min(64.0, max(1.0, level / max(1e-6, 1 - level))))

    def land(
        self,
        model: Recommender,
        training: RankingTraining[Any],
        before: list[torch.Tensor],
        after: list[torch.Tensor],
    ) -> None:
        """Leave the training between two points, of which the second lies too low: at the last that does not.

        Found by halving; if even the first lies too low, that one is taken.
        """
        low, high = 0.0, 1.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            _place(training, before, after, middle)
            low, high = (middle, high) if self.gap(model) >= 0 else (low, middle)
        _place(training, before, after, low)


def first_halves(forgotten: InteractionLog, retained: InteractionLog) -> NDArray[np.bool_]:
    """Which forgotten events are the first half (rounded down) of those of a user with nothing retained: bool [F]."""
    order = forgotten.chronological()
    offsets = np.concatenate([[0], np.cumsum(forgotten.user_counts)])
    user = forgotten.user[order]
    place = np.arange(len(order)) - offsets[user]
    found = np.zeros(len(order), np.bool_)
    found[order] = (place < forgotten.user_counts[user] // 2) & (retained.user_counts[user] == 0)
    return found


def _keys(log: InteractionLog) -> Int64:
    found: Int64 = log.user.astype(np.int64) * log.n_items + log.item
    return found


def _drawn(log: InteractionLog, among: NDArray[np.bool_], rng: np.random.Generator) -> tuple[Int64, Int64]:
    """At most 2,000 distinct pairs, users and items."""
    key = np.unique(_keys(log)[among])
    if len(key) > _SAMPLE:
        key = np.sort(rng.choice(key, _SAMPLE, replace=False))
    return key // log.n_items, key % log.n_items


def values(training: RankingTraining[Any]) -> list[torch.Tensor]:
    """A copy of the parameters."""
    return [parameter.detach().clone() for parameter in training.parameters()]


def _place(training: RankingTraining[Any], before: list[torch.Tensor], after: list[torch.Tensor], share: float) -> None:
    with torch.no_grad():
        for parameter, first, second in zip(training.parameters(), before, after, strict=True):
            parameter.copy_(torch.lerp(first, second, share))
        training.refresh()


def slowed(recipe: Recipe, divisor: float) -> Recipe:
    """The recipe with its learning rate divided."""
    rate = build(recipe).config.learning_rate / divisor
    return Recipe(recipe.model, {**recipe.config, "learning_rate": rate}, recipe.epochs)


class Reversal:
    """The reversed ranking loss of the forgotten pairs: the sum of -log sigmoid(s_uj - s_ui), j not seen by u.

    A random j would take the user's whole taste back, and pairs that were never trained on would fall with the
    forgotten ones. So j is the best-scored one of several random items, as many as it takes for its mean percentile to
    be that of held-out pairs: the forgotten pair is compared with what it should look like.

    Scores are those that the victim's loss compares: dot products, or cosines over the temperature. Sequence models
    score a forgotten event from what came before it in the old sequence; the first event of a user is never a target
    and has no loss.

    Reference: You et al. 2024, RRL: Recommendation Reverse Learning, AAAI.
    """

    def __init__(
        self, training: RankingTraining[Any], old: InteractionLog, request: Request, negatives: int, rivals: int
    ) -> None:
        """Take the forgotten pairs or positions of a log; each gets `negatives` times the best of `rivals` items."""
        self.training = training
        self.negatives = negatives
        self.rivals = rivals
        self.seen = Positives.of(old)
        forgotten = request.forgotten(old)
        self.key = np.unique(_keys(forgotten))
        self.n_items = old.n_items
        self.windows: Windows | None = None
        if isinstance(training, SequenceTraining):
            windows = Windows.of(old, training.config.max_length)
            rows = np.flatnonzero(np.isin(windows.user, forgotten.user))
            self.windows = replace(
                windows, start=windows.start[rows], length=windows.length[rows], user=windows.user[rows]
            )

    def losses(self, rng: np.random.Generator) -> Iterator[torch.Tensor]:
        """Parts of the summed loss of all rows, each differentiable; nothing if there is no row."""
        if isinstance(self.training, PairTraining):
            yield self._pairs(self.training, rng)
        elif isinstance(self.training, SequenceTraining) and self.windows is not None:
            for first in range(0, len(self.windows.start), _CHUNK):
                part = self._positions(self.training, self.windows, slice(first, first + _CHUNK), rng)
                if part is not None:
                    yield part

    def _unseen(self, users: Int64, rng: np.random.Generator) -> Int64:
        """Unseen items for each row, int64 [B, negatives, rivals]."""
        count = self.negatives * self.rivals
        return self.seen.unseen(rng, np.repeat(users, count)).reshape(len(users), self.negatives, self.rivals)

    def _pairs(self, training: PairTraining, rng: np.random.Generator) -> torch.Tensor:
        final = training.encoder.final(training.first())
        if training.config.loss == "sampled_softmax":
            final = functional.normalize(final, dim=-1) / training.config.temperature**0.5
        user, item = self.key // self.n_items, self.key % self.n_items
        drawn = self._unseen(user, rng)
        at_user, at_item = training.places[: self.seen.n_users], training.places[self.seen.n_users :]
        return _reversed(final[torch.from_numpy(at_user[user])], final, at_item[drawn], at_item[item])

    def _positions(
        self, training: SequenceTraining, windows: Windows, rows: slice, rng: np.random.Generator
    ) -> torch.Tensor | None:
        start, length = windows.start[rows], windows.length[rows]
        items, valid = padded(windows.items, start, length)
        target = padded(windows.items, start + 1, length)[0][valid]
        user = np.repeat(windows.user[rows], length)
        chosen = np.isin(user * self.n_items + target, self.key)
        if not chosen.any():
            return None
        table = training.network.table()
        hidden = training.network.encode(torch.from_numpy(items), table, Dropout(0.0, None)).flatten(0, 1)
        states = hidden[torch.from_numpy(np.flatnonzero(valid)[chosen])]
        return _reversed(states, table, self._unseen(user[chosen], rng), target[chosen])


def _reversed(asking: torch.Tensor, table: torch.Tensor, drawn: Int64, item: Int64) -> torch.Tensor:
    """Sum over rows of the mean of -log sigmoid(s_j - s_i), j the best of each group.

    Shapes: asking float [B, d]; table float [n, d]; drawn int64 [B, groups, rivals]; item int64 [B] -> scalar.
    """
    with torch.no_grad():
        parts = zip(torch.split(asking, _CHUNK), torch.split(torch.from_numpy(drawn), _CHUNK), strict=True)
        best = torch.cat([(table[rows] @ here[:, None, :, None])[..., 0].argmax(-1) for here, rows in parts])
    rival = torch.from_numpy(drawn).gather(-1, best[..., None])[..., 0]
    each = bpr_each(asking[:, None], table[rival], table[torch.from_numpy(item)][:, None])
    return each.mean(1).sum()


class AscentConfig(UnlearnerConfig):
    """Settings of bounded ascent with repair."""

    step: float = Field(default=0.1, gt=0, le=1, description="largest move of a row in a step, in mean row lengths")
    steps: int = Field(default=40, ge=1, le=1000, description="steps of an ascent at most")
    blind_steps: int = Field(default=5, ge=1, le=1000, description="steps where no pairs are held out to compare with")
    negatives: int = Field(default=4, ge=1, le=100, description="unseen items for each forgotten pair in a step")
    fisher: float = Field(
        default=0.1, ge=0, description="weight of the Fisher penalty, the mean of F taken as 1; 0: no penalty"
    )
    fisher_batches: int = Field(default=16, ge=1, description="batches of the retain set from which F is estimated")
    repair: int = Field(default=5, ge=0, le=100, description="epochs of the victim's own training afterwards")
    slower: float = Field(default=1.0, ge=1, description="its learning rate is divided by this")


def ascend(
    model: Recommender,
    training: RankingTraining[Any],
    reversal: Reversal,
    importance: list[torch.Tensor],
    watch: Watch,
    config: AscentConfig,
    seed: int,
) -> None:
    """Move the training's parameters until the gap is closed; not at all where it is.

    A step is a proximal one: down the gradient of the reversed loss, then back towards the beginning by the penalty
    sum F (theta - theta_0)^2, solved for exactly, so that large entries of F hold and never overshoot. The first
    gradient sets the rate: its largest row moves `step` times the mean length of the rows of its tensor.

    Args:
        model: follows `training`.
        training: on the retain set.
        reversal: the loss.
        importance: F, tensors like the parameters.
        watch: the bound.
        config: settings.
        seed: of negatives.
    """
    start = values(training)
    mean = sum(float(tensor.sum()) for tensor in importance) / sum(tensor.numel() for tensor in importance)
    held = [1 + config.fisher * tensor / mean if mean > 0 else torch.ones_like(tensor) for tensor in importance]
    if watch.known and watch.gap(model) <= 0:
        return
    rate = 0.0
    for step in range(config.steps if watch.known else config.blind_steps):
        gradient = _gradient(training, reversal, seeded(seed, "ascent", step))
        largest = max(map(_largest, start, gradient))
        if largest == 0:  # no row of the loss is left, or only one of a user's first events
            return
        rate = rate or config.step / largest
        before = values(training)
        with torch.no_grad():
            for parameter, first, slope, hold in zip(training.parameters(), start, gradient, held, strict=True):
                parameter.copy_(first + (parameter - first - rate * slope) / hold)
            training.refresh()
        if watch.known and watch.gap(model) < 0:
            watch.land(model, training, before, values(training))
            return


def _gradient(training: RankingTraining[Any], reversal: Reversal, rng: np.random.Generator) -> list[torch.Tensor]:
    parameters = training.parameters()
    total = [torch.zeros_like(parameter) for parameter in parameters]
    for part in reversal.losses(rng):
        found = torch.autograd.grad(part, parameters, allow_unused=True)
        for sum_, gradient in zip(total, found, strict=True):
            if gradient is not None:
                sum_ += gradient
    return total


def _largest(values: torch.Tensor, gradient: torch.Tensor) -> float:
    """The longest row of a gradient in root mean square rows of the values; vectors have no rows and give 0."""
    if values.ndim < 2:
        return 0.0
    length = values.flatten(1).square().sum(1).mean().sqrt().clamp_min(1e-12)
    return float(gradient.flatten(1).norm(dim=1).max() / length)


class AscentRepair(Unlearner):
    """Ascent on the forget set with a Fisher penalty, bounded by held-out pairs; epochs on the retain set; a check.

    Reversed ranking loss and penalty are RRL's; the bound, the proximal step and the check after the repair are ours.
    The bound reads the validation part, never the test part: the ascent ends where the mean percentile of the
    forgotten pairs meets that of held-out pairs under the same model, never below.

    Reference: You et al. 2024, RRL: Recommendation Reverse Learning, AAAI.
    """

    name: ClassVar[str] = "ascent-repair"
    title: ClassVar[str] = "bounded ascent on the forget set, then repair on the retain set"
    reference: ClassVar[str] = "You et al. 2024, RRL: Recommendation Reverse Learning, AAAI; the bound is ours"
    config_type: ClassVar[type[AscentConfig]] = AscentConfig
    config: AscentConfig

    def why_not(self, recipe: Recipe, log: InteractionLog) -> str | None:
        """Models trained row by row with a ranking loss."""
        return not_by_gradient(recipe)

    def forget(self, served: Served, request: Request, seed: int) -> Served:
        """See Unlearner."""
        log = request.retained(served.log)
        watch = Watch(served, request, log, seed)
        with one_thread():
            state = self._ascended(served, request, log, served.trained.state(), watch, derive(seed, "first"))
            state = self._repaired(served, log, state, watch, seed)
            state = self._ascended(served, request, log, state, watch, derive(seed, "second"), again=True)
        return replace(served, log=log, model=_loaded(served.recipe, log, state))

    def _ascended(
        self,
        served: Served,
        request: Request,
        log: InteractionLog,
        state: dict[str, torch.Tensor],
        watch: Watch,
        seed: int,
        again: bool = False,
    ) -> dict[str, torch.Tensor]:
        model, training = opened(served.recipe, log, seed, state)
        if again and not watch.known:  # nothing tells that the repair has undone anything
            return state
        importance = fisher(training, seed, self.config.fisher_batches)
        reversal = Reversal(training, served.log, request, self.config.negatives, watch.rivals)
        ascend(model, training, reversal, importance, watch, self.config, seed)
        return model.state()

    def _repaired(
        self, served: Served, log: InteractionLog, state: dict[str, torch.Tensor], watch: Watch, seed: int
    ) -> dict[str, torch.Tensor]:
        """The state after the repair, or the last point on the way to it that does not lie below held-out pairs."""
        if self.config.repair == 0:
            return state
        recipe = slowed(served.recipe, self.config.slower)
        repaired = fit(recipe, log, derive(seed, "repair"), start=state, epochs=self.config.repair)
        if not watch.known or watch.gap(repaired) >= 0:
            return repaired.state()
        model, training = opened(served.recipe, log, seed, state)
        if watch.gap(model) < 0:  # it did before
            return repaired.state()
        _, after = opened(served.recipe, log, seed, repaired.state())
        watch.land(model, training, values(training), values(after))
        return model.state()


def _loaded(recipe: Recipe, log: InteractionLog, state: dict[str, torch.Tensor]) -> Model:
    model = build(recipe)
    model.load(state, log.n_users, log.n_items)
    return model
