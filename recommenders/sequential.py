"""What SASRec and GRU4Rec share: whole-sequence batches, softmax losses, scores from a history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch.nn import functional

from ..datasets.log import Float32, InteractionLog
from ..datasets.seeding import rng as seeded
from ..datasets.split import Split
from .base import ModelConfig, Report
from .sequences import Windows, ordered, padded
from .softmax import cross_entropy
from .trainer import Schedule, open_device, train, validation

SMALL_CATALOGUE = 5000
"""Up to so many items `loss: auto` means the full softmax."""

_SCORED_TOKENS = 1 << 14  # padded positions encoded at a time when scoring


class SequentialConfig(ModelConfig):
    """Hyper-parameters of the models trained on whole sequences."""

    dim: int = Field(64, ge=1, le=4096, description="length of the item embeddings")
    max_length: int = Field(50, ge=1, le=4096, description="most items of a user that are read")
    dropout: float = Field(0.4, ge=0, lt=1, description="share of activations dropped in training")
    loss: Literal["auto", "full", "sampled"] = Field(
        "auto",
        description="full: softmax over the catalogue; sampled: over shared negatives drawn by popularity, with "
        f"logQ correction; auto: full up to {SMALL_CATALOGUE} items",
    )
    negatives: int = Field(512, ge=1, description="shared negatives a step, of the sampled loss")
    learning_rate: float = Field(6e-3, gt=0, description="Adam's")
    decay: float = Field(1.0, gt=0, le=1, description="factor on the learning rate after every epoch")
    batch_tokens: int = Field(1024, ge=1, description="positions a step, about")
    min_steps: int = Field(4, ge=1, description="steps an epoch at least")
    max_epochs: int = Field(200, ge=1, description="epochs at most")
    patience: int = Field(5, ge=1, description="stop when the best epoch is so many epochs old")
    every: int = Field(1, ge=1, description="validate each so many epochs")


class Dropout:
    """Inverted dropout whose masks come from a given generator, never from torch's global one."""

    def __init__(self, rate: float, rng: torch.Generator | None) -> None:
        """Without a generator nothing is dropped: scoring."""
        self.limit = round(rate * 0x10000) - 0x8000
        self.scale = 1.0 / (1.0 - rate)
        self.rng = None if rate == 0 else rng

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """Drop and rescale; any shape. The rate is rounded to 1/65536: a word of 64 random bits serves four values."""
        if self.rng is None:
            return values
        size = values.numel()
        words = torch.empty(-(-size // 4), dtype=torch.int64, device=values.device)
        words.random_(-(1 << 63), None, generator=self.rng)
        kept = words.view(torch.int16)[:size].view(values.shape) >= self.limit
        return values * kept.to(values.dtype).mul_(self.scale)


class Network(torch.nn.Module):
    """A causal encoder with an item table that serves as input and output."""

    item: torch.nn.Parameter  # [I, d]

    def encode(self, items: torch.Tensor, drop: Dropout) -> torch.Tensor:
        """What the model expects next after each position: int64 [B, L] -> float [B, L, d]; dot with `item`.

        Position t depends on items 0..t alone, so whatever fills a row up on the right has no effect.
        """
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class SequenceBatch:
    """One step: whole windows, every position a target.

    Attributes:
        items: int64 [B, L], inputs, filled up on the right.
        places: int64 [T], the real positions in the flattened items.
        target: int64 [T], the item that follows each of them.
        weight: float32 [T] or None.
        drawn: int64 [N], shared negatives, or None for the full softmax.
        bias: float32 [N], their logQ correction, or None.
    """

    items: torch.Tensor
    places: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor | None
    drawn: torch.Tensor | None
    bias: torch.Tensor | None


class SequenceTraining:
    """A network under training (a `Trainable`)."""

    def __init__(self, config: SequentialConfig, windows: Windows, network: Network, device: torch.device) -> None:
        """Take the windows to train on and a network with fresh parameters, already on the device."""
        self.config = config
        self.windows = windows
        self.network = network
        self.device = device
        n_items = len(network.item)
        self.sampled = config.loss == "sampled" or (config.loss == "auto" and n_items > SMALL_CATALOGUE)
        share = windows.popularity(n_items)
        self.share = share / share.sum()
        edges = np.cumsum(self.share)
        self.edges = edges / edges[-1]  # exactly 1 at the end, which no draw reaches

    def parameters(self) -> list[torch.nn.Parameter]:
        """All parameters of the network."""
        return list(self.network.parameters())

    def batches(self, rng: np.random.Generator) -> Iterator[SequenceBatch]:
        """All windows once, in batches of like length, with their negatives."""
        windows, config = self.windows, self.config
        by_order, by_negative = rng.spawn(2)
        for rows in windows.batches(by_order, config.batch_tokens, config.min_steps):
            items, valid = padded(windows.items, windows.start[rows], windows.length[rows])
            drawn = bias = None
            if self.sampled:
                drawn = self.drawn(by_negative)
                bias = self._put(-np.log(config.negatives * self.share[drawn]).astype(np.float32))
            weight = None
            if windows.weight is not None:
                weight = self._put(np.repeat(windows.weight[rows], windows.length[rows]))
            yield SequenceBatch(
                self._put(items),
                self._put(np.flatnonzero(valid)),
                self._put(windows.targets(rows)),
                weight,
                None if drawn is None else self._put(drawn),
                bias,
            )

    def drawn(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Items drawn in proportion to how often they are targets, int64 [N]; a few more windows change few draws."""
        found: NDArray[np.int64] = np.searchsorted(self.edges, rng.random(self.config.negatives), side="right")
        return found

    def _put(self, array: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)

    def loss(self, batch: SequenceBatch, rng: torch.Generator) -> torch.Tensor:
        """Cross-entropy of the next item, mean over all positions with the weight of their user."""
        table = self.network.item
        hidden = self.network.encode(batch.items, Dropout(self.config.dropout, rng)).flatten(0, 1)
        if len(batch.places) < len(hidden):
            hidden = hidden[batch.places]
        if batch.drawn is None:
            return cross_entropy(
                hidden, functional.embedding(batch.target, table), batch.target, table, weight=batch.weight
            )
        rows = functional.embedding(torch.cat([batch.target, batch.drawn]), table)
        positive, negative = torch.split(rows, [len(batch.target), len(batch.drawn)])
        return cross_entropy(hidden, positive, batch.target, negative, batch.drawn, batch.bias, batch.weight)

    def refresh(self) -> None:
        """Nothing to do: scores read the network itself."""


class SequentialModel:
    """Base of the models that read a user's history in order; a subclass gives the network.

    A user's past is read from the history at scoring, its last `max_length` items; users need not have been in
    training, and a user without history gets the same score, zero, for every item.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    family: ClassVar[str] = "sequential"
    reference: ClassVar[str]
    config_type: ClassVar[type[ModelConfig]]

    def __init__(self, config: SequentialConfig) -> None:
        """Store the config; compute nothing."""
        self.config = config
        self.n_users = 0
        self.n_items = 0
        self.epochs: int | None = None
        self._network: Network | None = None

    def network(self, n_items: int) -> Network:
        """The network for so many items; it is made on the meta device, without values."""
        raise NotImplementedError

    def spread(self, name: str, shape: tuple[int, ...]) -> float:
        """Standard deviation of a parameter's first values; 1-d ones start at 0, norm weights at 1."""
        raise NotImplementedError

    def fit(
        self,
        log: InteractionLog,
        seed: int,
        *,
        valid: Split | None = None,
        weights: NDArray[np.float32] | None = None,
        epochs: int | None = None,
        report: Report | None = None,
        device: str = "cpu",
    ) -> None:
        """See `Model.fit`; a user's weight is that of all positions of its sequence. Same bytes on a CPU only.

        Raises:
            DataError: no user has two events, or the weights are no weights.
        """
        config = self.config
        place = open_device(device)
        windows = Windows.of(log, config.max_length, weights)
        self.n_users, self.n_items = log.n_users, log.n_items
        self._network = self._started(seed).to(place)
        schedule = Schedule(config.learning_rate, config.max_epochs, config.patience, config.every, config.decay)
        training = SequenceTraining(config, windows, self._network, place)
        self.epochs = train(
            training, schedule, seed, validate=validation(self, valid), epochs=epochs, report=report, device=device
        )
        self._network.cpu()

    def _started(self, seed: int) -> Network:
        """A network with its first values; none depends on users, so injected ones change none of them."""
        network = self._empty(self.n_items).to_empty(device="cpu")
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if parameter.ndim == 1:
                    parameter.fill_(1.0 if name.endswith("norm.weight") else 0.0)
                    continue
                shape = tuple(parameter.shape)
                start = seeded(seed, "init", name).standard_normal(shape, np.float32)
                parameter.copy_(torch.from_numpy(start * np.float32(self.spread(name, shape))))
        return network

    def _empty(self, n_items: int) -> Network:
        with torch.device("meta"):
            return self.network(n_items)

    def scores(self, users: NDArray[np.int64], history: InteractionLog) -> Float32:
        """See Recommender."""
        network = self._fitted()
        device = network.item.device
        offsets, items = ordered(history)
        users = np.asarray(users, np.int64)
        stop = offsets[users + 1]
        length = np.minimum(stop - offsets[users], self.config.max_length)
        block = np.zeros((len(users), self.n_items), np.float32)
        order = np.argsort(length, kind="stable")
        order = order[length[order] > 0]
        step = max(1, _SCORED_TOKENS // int(length.max(initial=1)))
        with torch.no_grad():
            for first in range(0, len(order), step):
                rows = order[first : first + step]
                inputs, _ = padded(items, (stop - length)[rows], length[rows])
                hidden = network.encode(torch.from_numpy(inputs).to(device), Dropout(0.0, None))
                last = hidden[torch.arange(len(rows)), torch.from_numpy(length[rows] - 1)]
                block[rows] = (last @ network.item.T).cpu().numpy()
        return block

    def _fitted(self) -> Network:
        if self._network is None:
            raise RuntimeError(f"{self.name} has not been fitted")
        return self._network

    def state(self) -> dict[str, torch.Tensor]:
        """The fitted tensors, CPU, contiguous."""
        return {name: value.detach().cpu().clone().contiguous() for name, value in self._fitted().named_parameters()}

    def load(self, state: Mapping[str, torch.Tensor], n_users: int, n_items: int) -> None:
        """Take fitted tensors."""
        self.n_users, self.n_items = n_users, n_items
        network = self._empty(n_items).to_empty(device="cpu")
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                parameter.copy_(state[name])
        self._network = network

    def shapes(self, n_users: int, n_items: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Name, shape and dtype of every tensor of `state` at this size."""
        return {name: (tuple(value.shape), value.dtype) for name, value in self._empty(n_items).named_parameters()}
