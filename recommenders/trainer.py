"""The one training loop of every model that learns by gradient: early stopping, exact repeats, one thread."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch

from ..datasets.errors import InputError
from ..datasets.seeding import derive, rng
from ..datasets.split import Split
from .base import Recommender, Report
from .evaluate import evaluate

Batch = TypeVar("Batch")

STOPPING_METRIC = "ndcg@20"


class Trainable(Protocol[Batch]):
    """What `train` needs of a model under training; the batch type is the model's own affair."""

    def parameters(self) -> list[torch.nn.Parameter]:
        """The leaf tensors to optimise, on the training device; always the same objects."""
        ...

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        """The batches of one epoch; all sampling of data draws from `rng`."""
        ...

    def loss(self, batch: Batch, rng: torch.Generator) -> torch.Tensor:
        """Mean loss of one batch, a scalar; noise and dropout draw from `rng`, which is on the device."""
        ...

    def refresh(self) -> None:
        """Make `scores` follow the current parameters (propagate, copy, ...); called without gradient."""
        ...


Compared = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Float [B, d] what asks (users, states), float [B, d] what should be near it, float [B or N, d] what should not."""


class RankingTraining(Trainable[Batch], Protocol[Batch]):
    """A training whose loss compares vectors row by row: pairs, or positions of sequences. Defences build on it.

    `loss` is `ranking(vectors) + rest`.
    """

    def vectors(self, batch: Batch, rng: torch.Generator) -> tuple[Compared, torch.Tensor | None]:
        """The vectors that are compared, and the rest of the loss or None."""
        ...

    def ranking(self, vectors: Compared, batch: Batch, weight: torch.Tensor | None) -> torch.Tensor:
        """Mean loss of the rows with a weight each, float [B] or None: a scalar."""
        ...

    def each(self, vectors: Compared, batch: Batch) -> torch.Tensor:
        """The loss of every row, float [B], without gradient and weight."""
        ...

    def weights(self, batch: Batch) -> torch.Tensor | None:
        """The rows' weights as the log has them, float [B]; None for all ones."""
        ...

    def users(self, batch: Batch) -> torch.Tensor:
        """A number for the user of each row, int64 [B], the same in all batches, below the number of nodes."""
        ...


Harden = Callable[[RankingTraining[Any]], Trainable[Any]]
"""What a defence makes of a training."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Attributes:
        learning_rate: Adam's, in the first epoch.
        max_epochs: at most so many; exactly so many if nothing is there to validate on.
        patience: stop when the best epoch is this many epochs old.
        every: validate after each so many epochs, and after the last.
        decay: the learning rate is multiplied by this after every epoch. A function of the epoch number
            alone, so that a repeat with a given number of epochs sees the same rates.
        weight_decay: Adam's L2 on all parameters (0 leaves it to the loss).
        clip: largest norm of the gradient, or None.
    """

    learning_rate: float
    max_epochs: int
    patience: int
    every: int = 1
    decay: float = 1.0
    weight_decay: float = 0.0
    clip: float | None = None


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one CPU thread, so that sums are taken in one order whatever the machine's cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def open_device(name: str) -> torch.device:
    """The torch device of this name.

    Raises:
        InputError: torch does not know the name, or this machine has no such device.
    """
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"device {name!r} cannot be used here; use 'cpu', or 'cuda' with a GPU") from error
    return device


def validation(recommender: Recommender, split: Split | None) -> Callable[[], float] | None:
    """NDCG@20 on the validation part with the training part masked, as a function for `train`.

    None if there is no split or its validation part is empty.
    """
    if split is None or len(split.valid) == 0:
        return None

    def ndcg() -> float:
        values = evaluate(recommender, split.valid, history=split.train, cutoffs=(20,))
        return float(values[STOPPING_METRIC])

    return ndcg


def train(
    model: Trainable[Batch],
    schedule: Schedule,
    seed: int,
    *,
    validate: Callable[[], float] | None = None,
    measure: str = "NDCG@20",
    lower_is_better: bool = False,
    epochs: int | None = None,
    report: Report | None = None,
    device: str = "cpu",
) -> int:
    """Train by Adam and leave the model with the parameters of the epoch that is kept.

    Training that validates and keeps epoch n equals training with ``epochs=n`` bit for bit: every epoch has
    random streams of its own, and validation draws from none of them. That is how a refit under attack
    repeats the owner's training without the owner's validation.

    Args:
        model: what to train, with fresh parameters.
        schedule: rates and stopping.
        seed: seeds batches and noise.
        validate: called after `refresh`. The best epoch's parameters are restored.
        measure: what `validate` gives, for the report.
        lower_is_better: of that measure.
        epochs: run exactly so many; `validate` is then not called.
        report: called after each epoch with epoch, epochs at most, and the loss.
        device: where the parameters are; the generator given to `loss` lives there.

    Returns:
        The number of epochs kept.

    Raises:
        InputError: the loss or a parameter is no longer finite.
    """
    place = open_device(device)
    last = schedule.max_epochs if epochs is None else epochs
    if epochs is not None:
        validate = None
    parameters = model.parameters()
    optimiser = torch.optim.Adam(
        parameters, lr=schedule.learning_rate, weight_decay=schedule.weight_decay, fused=place.type != "mps"
    )
    best = -math.inf
    kept = last
    snapshot: list[torch.Tensor] | None = None
    with one_thread():
        for epoch in range(1, last + 1):
            for group in optimiser.param_groups:
                group["lr"] = schedule.learning_rate * schedule.decay ** (epoch - 1)
            loss = _epoch(model, optimiser, schedule.clip, seed, epoch, place)
            if not math.isfinite(loss):
                raise _diverged(epoch, schedule)
            text = f"loss {loss:.4f}"
            if validate is not None and (epoch % schedule.every == 0 or epoch == last):
                _refresh(model)
                value = validate()
                text += f", validation {measure} {value:.4f}"
                merit = -value if lower_is_better else value
                if merit > best:
                    best, kept = merit, epoch
                    snapshot = [parameter.detach().clone() for parameter in parameters]
            if report is not None:
                report(epoch, last, text)
            if snapshot is not None and epoch - kept >= schedule.patience:
                break
        if snapshot is not None:
            with torch.no_grad():
                for parameter, value_then in zip(parameters, snapshot, strict=True):
                    parameter.copy_(value_then)
        if not all(bool(torch.isfinite(parameter).all()) for parameter in parameters):
            raise _diverged(kept, schedule)
        _refresh(model)
    return kept


def _epoch(
    model: Trainable[Batch],
    optimiser: torch.optim.Optimizer,
    clip: float | None,
    seed: int,
    epoch: int,
    device: torch.device,
) -> float:
    """One epoch; the mean loss of its batches (NaN or infinite if any was)."""
    noise = torch.Generator(device).manual_seed(derive(seed, "train", "noise", epoch))
    total = torch.zeros((), device=device)
    steps = 0
    for batch in model.batches(rng(seed, "train", "batches", epoch)):
        optimiser.zero_grad(set_to_none=True)
        loss = model.loss(batch, noise)
        loss.backward()  # type: ignore[no-untyped-call]
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimiser.step()
        total += loss.detach()
        steps += 1
    return float(total) / max(steps, 1)


def _refresh(model: Trainable[Batch]) -> None:
    with torch.no_grad():
        model.refresh()


def _diverged(epoch: int, schedule: Schedule) -> InputError:
    return InputError(
        f"training diverged in epoch {epoch}: the loss or a weight is no longer a finite number. "
        f"Lower learning_rate (now {schedule.learning_rate:g}), or raise the temperature or the batch size."
    )
