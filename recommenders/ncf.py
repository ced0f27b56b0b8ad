"""NCF: a product of vectors and a perceptron over them, fused into one score (NeuMF)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch.nn import functional

from ..datasets.log import Float32, InteractionLog
from ..datasets.seeding import rng as seeded
from ..datasets.split import Split
from .base import ModelConfig, Report
from .sampling import Positives, blocks
from .trainer import Schedule, open_device, train, validation

_CELLS = 1 << 22  # hidden values of a block of scores
_TILE = 4_096  # items of a block of scores, at most


class NCFConfig(ModelConfig):
    """Hyper-parameters of NeuMF."""

    dim: int = Field(
        16, ge=1, le=1024, description="predictive factors: length of the product, and width of the last hidden layer"
    )
    depth: int = Field(
        3, ge=1, le=6, description="hidden layers; each is half as wide as the one before, the last `dim` wide"
    )
    negatives: int = Field(4, ge=1, le=64, description="unseen items drawn for each pair in each epoch")
    weight_decay: float = Field(1e-5, ge=0, description="L2 of all parameters, as Adam takes it")
    learning_rate: float = Field(1e-2, gt=0, description="Adam's, in the first epoch")
    decay: float = Field(1.0, gt=0, le=1, description="factor on the learning rate after every epoch")
    spread: float = Field(0.1, gt=0, le=10, description="standard deviation of the first vectors")
    batch_size: int = Field(16384, ge=1, description="positive pairs a step, at most")
    min_steps: int = Field(
        16, ge=1, description="steps an epoch, at least: logs smaller than this many batches get smaller batches"
    )
    max_epochs: int = Field(200, ge=1, description="epochs at most")
    patience: int = Field(10, ge=1, description="stop when the best epoch is so many epochs old")
    every: int = Field(2, ge=1, description="validate each so many epochs")

    @property
    def widths(self) -> list[int]:
        """Of the perceptron's layers: what one side gives it, then the hidden layers."""
        first = self.dim << (self.depth - 1)
        return [first] + [first >> layer for layer in range(self.depth)]


_Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]
"""User int64 [B]; items int64 [B, 1 + N], the positive first; weight float32 [B] or None."""


def _shapes(config: NCFConfig, n_users: int, n_items: int) -> dict[str, tuple[int, ...]]:
    """Of all parameters; rows of the tables are the product's vector, then the perceptron's."""
    widths = config.widths
    found: dict[str, tuple[int, ...]] = {
        "user": (n_users, config.dim + widths[0]),
        "item": (n_items, config.dim + widths[0]),
    }
    for layer, (fed, width) in enumerate(zip([2 * widths[0], *widths[1:]], widths[1:], strict=False), 1):
        found |= {f"weight_{layer}": (width, fed), f"bias_{layer}": (width,)}
    return found | {"head": (config.dim + widths[-1],), "offset": (1,)}


def _drawn(config: NCFConfig, n_users: int, n_items: int, seed: int) -> dict[str, NDArray[np.float32]]:
    """First values; a stream for each, so that injected accounts change no genuine one (common random numbers)."""
    found = {}
    for name, shape in _shapes(config, n_users, n_items).items():
        if name.startswith(("bias", "offset")):
            found[name] = np.zeros(shape, np.float32)
            continue
        scale = config.spread if name in ("user", "item") else math.sqrt((1.0 if name == "head" else 2.0) / shape[-1])
        found[name] = seeded(seed, "init", name).standard_normal(shape, np.float32) * np.float32(scale)
    return found


def _scored(
    tensors: Mapping[str, torch.Tensor],
    products: tuple[torch.Tensor, torch.Tensor],
    first: tuple[torch.Tensor, torch.Tensor],
) -> torch.Tensor:
    """Scores of users against items, which broadcast: float [..., d] and [..., h] each -> [...].

    Args:
        tensors: the parameters.
        products: the product's vectors of users and items.
        first: what users (bias included) and items add to the first hidden layer.

    Reference: He et al. 2017, NCF, equation 12.
    """
    head = tensors["head"]
    dim = products[0].shape[-1]
    hidden = functional.relu(first[0] + first[1])
    layer = 2
    while f"weight_{layer}" in tensors:
        hidden = functional.relu(functional.linear(hidden, tensors[f"weight_{layer}"], tensors[f"bias_{layer}"]))
        layer += 1
    linear = ((products[0] * head[:dim]).unsqueeze(-2) @ products[1].transpose(-1, -2)).squeeze(-2)
    return linear + hidden @ head[dim:] + tensors["offset"]


class _Training:
    """All parameters under training (a `Trainable`)."""

    def __init__(
        self,
        config: NCFConfig,
        pairs: Positives,
        seed: int,
        device: torch.device,
        keep: Callable[[Mapping[str, torch.Tensor]], None],
        start: Mapping[str, torch.Tensor] | None,
    ) -> None:
        """Draw the first values, or take those of `start`; `keep` takes the parameters at every refresh."""
        self.config, self.pairs, self.device, self.keep = config, pairs, device, keep
        values: dict[str, torch.Tensor]
        if start is None:
            drawn = _drawn(config, pairs.n_users, pairs.n_items, seed)
            values = {name: torch.from_numpy(value) for name, value in drawn.items()}
        else:
            values = {name: start[name].clone() for name in _shapes(config, pairs.n_users, pairs.n_items)}
        self.tensors = {name: torch.nn.Parameter(value.to(device)) for name, value in values.items()}

    def parameters(self) -> list[torch.nn.Parameter]:
        """Tables, layers and head."""
        return list(self.tensors.values())

    def batches(self, rng: np.random.Generator) -> Iterator[_Batch]:
        """All pairs in random order, each with unseen items of its own."""
        pairs, config = self.pairs, self.config
        by_order, by_negative = rng.spawn(2)
        # A stream for each negative: injected pairs, which come last, leave the draws of the others as they are.
        drawn = [pairs.unseen(source, pairs.user).astype(np.int32) for source in by_negative.spawn(config.negatives)]
        order = pairs.order(by_order)
        for rows in blocks(order, min(config.batch_size, -(-len(pairs) // config.min_steps))):
            items = np.stack([pairs.item[rows], *(column[rows] for column in drawn)], 1)
            weight = None if pairs.weight is None else self._put(pairs.weight[rows])
            yield self._put(pairs.user[rows]), self._put(items), weight

    def _put(self, array: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)

    def loss(self, batch: _Batch, rng: torch.Generator) -> torch.Tensor:
        """Log loss of a pair and its unseen items, summed; mean over pairs with the users' weights."""
        users, items, weight = batch
        tensors, dim = self.tensors, self.config.dim
        user = functional.embedding(users, tensors["user"])
        item = functional.embedding(items, tensors["item"])
        by_user, by_item = tensors["weight_1"].chunk(2, 1)
        first = functional.linear(user[:, dim:], by_user, tensors["bias_1"])
        scores = _scored(
            tensors,
            (user[:, :dim], item[..., :dim]),
            (first[:, None], functional.linear(item[..., dim:], by_item)),
        )
        each = log_loss(scores)
        return each.mean() if weight is None else (each * weight).mean()

    def refresh(self) -> None:
        """Hand over the parameters as they are now."""
        self.keep(self.tensors)


def log_loss(scores: torch.Tensor) -> torch.Tensor:
    """-log sigmoid(s_0) - sum_{n > 0} log(1 - sigmoid(s_n)) of each row: float [B, 1 + N] -> [B].

    Reference: He et al. 2017, NCF, equation 7.
    """
    return functional.softplus(-scores[:, 0]) + functional.softplus(scores[:, 1:]).sum(1)


class NCF:
    """NeuMF: logit = head . [p_u * q_i ; MLP(p'_u, q'_i)] + offset, the vectors of both parts apart.

    No product of vectors gives this score, so there is no `embeddings()`, and ranking everything costs a pass of the
    perceptron for every user and item: (dim + sum of products of neighbouring widths) multiplications each, where
    `mf` needs dim. Scores are logits; the history is not read.

    As in the paper: GMF and MLP with vectors of their own, ReLU, a tower whose layers halve in width down to the
    predictive factors, log loss on pairs and on unseen items drawn anew in every epoch, 4 for each pair.

    Other than in the paper: trained from random values, without pre-training of the parts; first values are
    He's and Xavier's for the layers; large batches, a small L2, and a constant term in the logit.

    Reference: He et al. 2017, Neural Collaborative Filtering, equations 7 and 12.
    """

    name: ClassVar[str] = "ncf"
    title: ClassVar[str] = "NCF (NeuMF)"
    family: ClassVar[str] = "factor"
    reference: ClassVar[str] = "He et al. 2017, Neural Collaborative Filtering, WWW"
    config_type: ClassVar[type[ModelConfig]] = NCFConfig

    def __init__(self, config: NCFConfig) -> None:
        """Store the config; compute nothing."""
        self.config = config
        self.n_users = self.n_items = 0
        self.epochs: int | None = None
        self._state: dict[str, torch.Tensor] = {}
        self._first: torch.Tensor | None = None

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
        start: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        """See `Model.fit`; training begins at the tensors of `start`, a state, if given.

        Raises:
            DataError: no pair is left to train on.
        """
        config = self.config
        place = open_device(device)
        pairs = Positives.of(log, weights)
        self.n_users, self.n_items = log.n_users, log.n_items
        self.epochs = train(
            _Training(config, pairs, seed, place, self._take, start),
            Schedule(
                config.learning_rate,
                config.max_epochs,
                config.patience,
                config.every,
                config.decay,
                config.weight_decay,
            ),
            seed,
            validate=validation(self, valid),
            epochs=epochs,
            report=report,
            device=device,
        )

    def _take(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self._state = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
        self._first = None

    def scores(self, users: NDArray[np.int64], history: InteractionLog) -> Float32:
        """See Recommender; the history is not read.

        Memory: beside the answer, hidden layers of a block of users and items, some 4 million values each.
        """
        state, dim = self._state, self.config.dim
        by_user, by_item = state["weight_1"].chunk(2, 1)
        own = state["user"][torch.from_numpy(np.asarray(users, np.int64))]
        items = state["item"]
        width = len(by_user)
        tile = max(1, min(_TILE, _CELLS // width, self.n_items))
        rows = max(1, _CELLS // (width * tile))
        with torch.no_grad():
            if self._first is None:
                self._first = functional.linear(items[:, dim:], by_item)
            first = functional.linear(own[:, dim:], by_user, state["bias_1"])
            block = torch.empty(len(own), self.n_items)
            for top in range(0, len(own), rows):
                for left in range(0, self.n_items, tile):
                    at, to = slice(top, top + rows), slice(left, left + tile)
                    block[at, to] = _scored(
                        state, (own[at, :dim], items[to, :dim]), (first[at, None], self._first[None, to])
                    )
        found: Float32 = block.numpy()
        return found

    def state(self) -> dict[str, torch.Tensor]:
        """The fitted tensors, CPU, contiguous."""
        return dict(self._state)

    def load(self, state: Mapping[str, torch.Tensor], n_users: int, n_items: int) -> None:
        """Take fitted tensors."""
        self.n_users, self.n_items = n_users, n_items
        self._state = {name: state[name].contiguous() for name in self.shapes(n_users, n_items)}
        self._first = None

    def shapes(self, n_users: int, n_items: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Name, shape and dtype of every tensor of `state` at this size."""
        sizes = _shapes(self.config, n_users, n_items)
        return {name: (size, torch.float32) for name, size in sizes.items()}
