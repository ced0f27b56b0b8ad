"""Bounded ascent with repair: push the forgotten pairs down as far as pairs never seen lie, then train on."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field

from ...datasets.log import InteractionLog
from ...datasets.seeding import derive
from ...datasets.seeding import rng as seeded
from ...recommenders.base import Model, Recipe, Recommender
from ...recommenders.catalogue import build, fit
from ...recommenders.trainer import RankingTraining, one_thread
from ..base import Served, Unlearner, UnlearnerConfig, not_by_gradient
from ..request import Request
from .gradients import fisher, opened, renewed, slowed
from .reversal import Reversal
from .watch import Watch, values


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
    start = values(training.parameters())
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
        before = values(training.parameters())
        with torch.no_grad():
            for parameter, first, slope, hold in zip(training.parameters(), start, gradient, held, strict=True):
                parameter.copy_(first + (parameter - first - rate * slope) / hold)
            training.refresh()
        if watch.known and watch.gap(model) < 0:
            watch.land(model, training, before, values(training.parameters()))
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
    forgotten pairs meets that of held-out pairs that are as easy to guess (`watch.Look.mark`), never below.

    Reference: You et al. 2024, RRL: Recommendation Reverse Learning, AAAI.
    """

    name: ClassVar[str] = "ascent-repair"
    title: ClassVar[str] = "bounded ascent on the forget set, then repair on the retain set"
    reference: ClassVar[str] = "You et al. 2024, RRL: Recommendation Reverse Learning, AAAI; the bound is ours"
    config_type: ClassVar[type[AscentConfig]] = AscentConfig
    version: ClassVar[int] = 8
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
            state = renewed(served.recipe, state, served.log, request, seed)
        return served.after(request, log, _loaded(served.recipe, log, state))

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
        reversal = Reversal(training, served, request, self.config.negatives, watch.rivals)
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
        watch.land(model, training, values(training.parameters()), values(after.parameters()))
        return model.state()


def _loaded(recipe: Recipe, log: InteractionLog, state: dict[str, torch.Tensor]) -> Model:
    model = build(recipe)
    model.load(state, log.n_users, log.n_items)
    return model
