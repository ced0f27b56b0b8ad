"""BERT4Rec: items left out of a sequence, guessed from both sides."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch.nn import functional

from ..datasets.log import Float32, Int64, InteractionLog
from ..datasets.split import Split
from .attention import AttentionConfig, Block
from .base import Report
from .network import Dropout, begin, kept
from .sequences import Windows, ordered, padded
from .softmax import cross_entropy
from .trainer import Schedule, open_device, train, validation

_SCORED_TOKENS = 1 << 14


class BERT4RecConfig(AttentionConfig):
    """Hyper-parameters of BERT4Rec."""

    inner: int = Field(4, ge=1, le=16, description="width of the feed-forward layer, in dims")
    activation: Literal["relu", "gelu"] = Field("gelu", description="of the feed-forward layer")
    norm: Literal["before", "after", "query"] = Field("after", description="what is normalised, see sasrec")
    epsilon: float = Field(1e-12, gt=0, le=1e-2, description="added to the variance in each normalisation")
    dropout: float = Field(0.1, ge=0, lt=1, description="share of activations dropped in training")
    learning_rate: float = Field(2e-3, gt=0, description="Adam's")
    patience: int = Field(30, ge=1, description="stop when the best epoch is so many epochs old; it learns slowly")
    masked: float = Field(0.2, gt=0, lt=1, description="share of the items of a sequence that are left out in training")
    last: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of the sequences that are cut anywhere and of which the last item is left out",
    )
    skip_first: bool = Field(
        False, description="leave out the first item of what is read when lists are asked for, as RecBole does"
    )

    @model_validator(mode="after")
    def _by_id(self) -> BERT4RecConfig:
        if self.item_vectors != "id" or self.loss in ("sampled", "binary"):
            raise ValueError("bert4rec has item_vectors id and the full softmax alone")
        if self.max_length < 2:
            raise ValueError("max_length must be 2 or more: one place is the item that is asked for")
        return self


class _TwoSided(torch.nn.Module):
    """Item and position vectors, blocks that see both sides, a head that guesses the items left out."""

    def __init__(self, n_items: int, config: BERT4RecConfig) -> None:
        super().__init__()
        dim = config.dim
        self.item = torch.nn.Parameter(torch.empty(n_items, dim))
        self.mask = torch.nn.Parameter(torch.empty(1, dim))
        self.position = torch.nn.Parameter(torch.empty(config.max_length, dim))
        self.first_norm = torch.nn.LayerNorm(dim, config.epsilon)
        self.blocks = torch.nn.ModuleList(Block(config) for _ in range(config.layers))
        self.head = torch.nn.Linear(dim, dim)
        self.head_norm = torch.nn.LayerNorm(dim, config.epsilon)
        self.bias = torch.nn.Parameter(torch.empty(n_items))

    def encode(self, items: torch.Tensor, seen: torch.Tensor, wanted: torch.Tensor, drop: Dropout) -> torch.Tensor:
        """Guesses at some places, float [N, d]: dot with the items and add the bias.

        Args:
            items: int64 [B, L]; I stands for an item left out.
            seen: bool [B, L], where there is something.
            wanted: int64 [N], places in the flattened items.
            drop: dropout.
        """
        table = torch.cat([self.item, self.mask])
        x = drop(self.first_norm(functional.embedding(items, table) + self.position[: items.shape[1]]))
        for block in self.blocks:
            own: Block = block  # type: ignore[assignment]
            x = own.encode(x, drop, seen[:, None, None, :])
        found: torch.Tensor = self.head_norm(functional.gelu(self.head(x.flatten(0, 1)[wanted])))
        return found


@dataclass(frozen=True, eq=False)
class ClozeBatch:
    """Sequences with items left out.

    Attributes:
        items: int64 [B, L].
        seen: bool [B, L].
        places: int64 [T], the places of what was left out in the flattened items.
        target: int64 [T], what it was.
        weight: float32 [T] or None.
    """

    items: torch.Tensor
    seen: torch.Tensor
    places: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor | None


class _Cloze:
    """The network under training (a `Trainable`)."""

    def __init__(self, config: BERT4RecConfig, windows: Windows, network: _TwoSided, device: torch.device) -> None:
        self.config, self.network, self.device = config, network, device
        # a window has one item more than inputs; where that is too long, its first is left
        long = windows.length == config.max_length
        self.start, self.length = windows.start + long, windows.length + ~long
        self.windows = windows

    def parameters(self) -> list[torch.nn.Parameter]:
        return list(self.network.parameters())

    def batches(self, rng: np.random.Generator) -> Iterator[ClozeBatch]:
        config = self.config
        by_order, by_mask = rng.spawn(2)
        n_items = len(self.network.item)
        for rows in self.windows.batches(by_order, config.batch_tokens, config.min_steps):
            items, seen = padded(self.windows.items, self.start[rows], self.length[rows])
            gone = (by_mask.random(items.shape) < config.masked) & seen
            alone = (by_mask.random(len(rows)) < config.last) | ~gone.any(1)
            stop = np.where(alone, by_mask.integers(1, self.length[rows], endpoint=True), self.length[rows])
            place = np.arange(items.shape[1])
            seen &= place < stop[:, None]
            gone = np.where(alone[:, None], place == stop[:, None] - 1, gone)
            weight = None
            if self.windows.weight is not None:
                weight = self._put(np.repeat(self.windows.weight[rows], gone.sum(1)))
            yield ClozeBatch(
                self._put(np.where(gone, n_items, items)), self._put(seen), self._put(np.flatnonzero(gone)),
                self._put(items[gone]), weight,
            )  # fmt: skip

    def _put(self, array: NDArray[np.generic]) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)

    def loss(self, batch: ClozeBatch, rng: torch.Generator) -> torch.Tensor:
        network = self.network
        hidden = network.encode(batch.items, batch.seen, batch.places, Dropout(self.config.dropout, rng))
        hidden = torch.cat([hidden, hidden.new_ones(len(hidden), 1)], 1)  # whose product with the bias is the bias
        table = torch.cat([network.item, network.bias[:, None]], 1)
        positive = functional.embedding(batch.target, table)
        return cross_entropy(hidden, positive, batch.target, table, weight=batch.weight)

    def refresh(self) -> None:
        pass


def _spread(name: str, shape: tuple[int, ...]) -> float:
    return 0.1 if name in ("item", "mask", "position") else math.sqrt(2.0 / sum(shape))


class BERT4Rec:
    """A two-sided transformer that guesses items left out of a sequence; the next item is one left out at the end.

    As in the paper: a share of the items is left out at random, and of some sequences only the last one. Other than in
    the paper: a sequence is one window of a user, drawn once an epoch with a mask of its own, and those of which only
    the last item is left out end at a random place, so that every event is predicted from what came before it. A user's
    past is read from the history, its last `max_length - 1` items; users need not have been in training.

    Reference: Sun et al. 2019, BERT4Rec: Sequential Recommendation with Bidirectional Encoder Representations from
        Transformer, CIKM, section 3.
    """

    name: ClassVar[str] = "bert4rec"
    title: ClassVar[str] = "BERT4Rec"
    family: ClassVar[str] = "sequential"
    reference: ClassVar[str] = (
        "Sun et al. 2019, BERT4Rec: Sequential Recommendation with Bidirectional Encoder Representations from "
        "Transformer, CIKM"
    )
    config_type: ClassVar[type[BERT4RecConfig]] = BERT4RecConfig

    def __init__(self, config: BERT4RecConfig) -> None:
        """Store the config; compute nothing."""
        self.config = config
        self.n_users = 0
        self.n_items = 0
        self.epochs: int | None = None
        self._network: _TwoSided | None = None

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
        """See `Model.fit`.

        Raises:
            DataError: no user has two events, or the weights are no weights.
        """
        config, place = self.config, open_device(device)
        windows = Windows.of(log, config.max_length, weights)
        self.n_users, self.n_items = log.n_users, log.n_items
        self._network = self._started(seed).to(place)
        schedule = Schedule(config.learning_rate, config.max_epochs, config.patience, config.every, config.decay)
        training = _Cloze(config, windows, self._network, place)
        self.epochs = train(
            training, schedule, seed, validate=validation(self, valid), epochs=epochs, report=report, device=device
        )
        self._network.cpu()

    def _started(self, seed: int) -> _TwoSided:
        network = self._empty(self.n_items).to_empty(device="cpu")
        begin(network, seed, _spread)
        return network

    def _empty(self, n_items: int) -> _TwoSided:
        with torch.device("meta"):
            return _TwoSided(n_items, self.config)

    def scores(self, users: NDArray[np.int64], history: InteractionLog) -> Float32:
        """See Recommender; a user without history is asked with nothing but the item left out."""
        network = self._fitted()
        offsets, items = ordered(history)
        stop = offsets[np.asarray(users, np.int64) + 1]
        length = np.minimum(stop - offsets[users], self.config.max_length)
        length = np.where(
            self.config.skip_first, np.maximum(length - 1, 0), np.minimum(length, self.config.max_length - 1)
        )
        found = np.empty((len(users), self.n_items), np.float32)
        order = np.argsort(length, kind="stable")
        step = max(1, _SCORED_TOKENS // int(length.max(initial=0) + 1))
        with torch.no_grad():
            for first in range(0, len(order), step):
                rows = order[first : first + step]
                hidden = self._asked(network, items, (stop - length)[rows], length[rows])
                found[rows] = (hidden @ network.item.T + network.bias).cpu().numpy()
        return found

    def _asked(self, network: _TwoSided, items: Int64, start: Int64, length: Int64) -> torch.Tensor:
        inputs, real = padded(np.append(items, 0), start, length + 1)  # one place more, for the item that is asked for
        last = np.arange(inputs.shape[1]) == length[:, None]
        inputs = np.where(last, self.n_items, np.where(real, inputs, 0))
        device = network.item.device
        given, seen, wanted = (torch.from_numpy(array).to(device) for array in (inputs, real, np.flatnonzero(last)))
        return network.encode(given, seen, wanted, Dropout(0.0, None))

    def _fitted(self) -> _TwoSided:
        if self._network is None:
            raise RuntimeError(f"{self.name} has not been fitted")
        return self._network

    def state(self) -> dict[str, torch.Tensor]:
        """The fitted tensors, CPU, contiguous."""
        return kept(self._fitted())

    def load(self, state: Mapping[str, torch.Tensor], n_users: int, n_items: int) -> None:
        """Take fitted tensors."""
        self.n_users, self.n_items = n_users, n_items
        network = self._empty(n_items).to_empty(device="cpu")
        network.load_state_dict(state)
        self._network = network

    def shapes(self, n_users: int, n_items: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Name, shape and dtype of every tensor of `state` at this size."""
        return {name: (tuple(value.shape), value.dtype) for name, value in self._empty(n_items).state_dict().items()}
