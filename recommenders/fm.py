"""A factorisation machine on user, item and their side features; it reads ratings where there are any."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse
from torch.nn import functional

from ..datasets.log import Float32, Int64, InteractionLog
from ..datasets.seeding import rng as seeded
from ..datasets.split import Split
from .base import ModelConfig, Report
from .features import Mixture, of_nodes
from .losses import bpr
from .sampling import Positives, blocks
from .trainer import Schedule, open_device, train, validation

_SPREAD = 0.1  # standard deviation of the first vectors
_DECAY_RATINGS, _DECAY_BPR = 2e-4, 1e-5


class FMConfig(ModelConfig):
    """Hyper-parameters of the factorisation machine."""

    dim: int = Field(16, ge=1, le=4096, description="length of the vectors")
    user_features: bool = Field(True, description="read the users' side features")
    item_features: bool = Field(True, description="read the items' side features")
    weight_decay: float | None = Field(
        None, ge=0, description="L2 of all parameters, as Adam takes it; none given: 2e-4 for ratings, 1e-5 for BPR"
    )
    learning_rate: float = Field(1e-2, gt=0, description="Adam's, in the first epoch")
    decay: float = Field(1.0, gt=0, le=1, description="factor on the learning rate after every epoch")
    batch_size: int = Field(16384, ge=1, description="events a step, at most")
    min_steps: int = Field(
        16, ge=1, description="steps an epoch, at least: logs smaller than this many batches get smaller batches"
    )
    max_epochs: int = Field(200, ge=1, description="epochs at most")
    patience: int = Field(10, ge=1, description="stop when the best epoch is so many epochs old")
    every: int = Field(2, ge=1, description="validate each so many epochs")


@dataclass(frozen=True, eq=False)
class _Events:
    """What is learnt from, users in the order of the log.

    Attributes:
        user: int64 [N].
        item: int64 [N].
        value: float32 [N], ratings less their mean; None to rank the items instead.
        weight: float32 [N] or None.
        mean: what was taken off the ratings.
    """

    user: Int64
    item: Int64
    value: Float32 | None
    weight: Float32 | None
    mean: float = 0.0

    @classmethod
    def of(cls, log: InteractionLog, pairs: Positives, weights: NDArray[np.float32] | None) -> _Events:
        """All rated events of users with weight, or the pairs where ratings are missing or all the same."""
        if log.value is not None:
            kept = np.ones(len(log), bool) if weights is None else np.asarray(weights, np.float32)[log.user] > 0
            value = log.value[kept]
            if len(value) and value.min() < value.max():
                weight = None if weights is None else np.asarray(weights, np.float32)[log.user[kept]]
                mean = float(np.average(value.astype(np.float64), weights=weight))
                user, item = log.user[kept].astype(np.int64), log.item[kept].astype(np.int64)
                return cls(user, item, value - np.float32(mean), weight, mean)
        return cls(pairs.user, pairs.item, None, pairs.weight)


_Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]
"""User, item int64 [B]; target float32 [B] or unseen item int64 [B]; weight float32 [B] or None."""


class _Training:
    """The machine's parameters (a `Trainable`); column 0 of every table holds the linear weights w."""

    def __init__(
        self,
        config: FMConfig,
        events: _Events,
        pairs: Positives,
        features: sparse.csr_matrix,
        seed: int,
        device: torch.device,
        keep: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], None],
    ) -> None:
        """Draw the first vectors; `keep(vectors, sums, offset)` takes the fitted ones at every refresh."""
        self.config, self.events, self.pairs, self.device, self.keep = config, events, pairs, device, keep
        # A stream for each side and a start of the features at zero: injected accounts, and the features they bring
        # along, change no genuine first vector (common random numbers).
        table = np.concatenate(
            [
                seeded(seed, "init", name).standard_normal((rows, 1 + config.dim), np.float32) * np.float32(_SPREAD)
                for name, rows in (("user", pairs.n_users), ("item", pairs.n_items))
            ]
        )
        table[:, 0] = 0.0
        self.base = torch.nn.Parameter(self._put(table))
        self.offset = torch.nn.Parameter(torch.zeros(1, device=device))
        self.weight: torch.nn.Parameter | None = None
        if features.nnz:
            self.mixture, self.squared = Mixture(features, device), Mixture(features.power(2), device)
            self.weight = torch.nn.Parameter(torch.zeros(self.mixture.size, 1 + config.dim, device=device))

    def _put(self, array: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)

    def parameters(self) -> list[torch.nn.Parameter]:
        """Tables of the ids, w0, and the table of the features if there are any."""
        return [self.base, self.offset] + ([] if self.weight is None else [self.weight])

    def batches(self, rng: np.random.Generator) -> Iterator[_Batch]:
        """All events in random order."""
        events, config = self.events, self.config
        by_order, by_negative = rng.spawn(2)
        order = np.argsort(by_order.random(len(events.user)), kind="stable")
        rated = events.value
        last: NDArray[Any] = self.pairs.unseen(by_negative, events.user) if rated is None else rated
        for rows in blocks(order, min(config.batch_size, -(-len(order) // config.min_steps))):
            weight = None if events.weight is None else self._put(events.weight[rows])
            yield self._put(events.user[rows]), self._put(events.item[rows]), self._put(last[rows]), weight

    def tables(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Of each node (users, then items) the sum of its vectors and all terms that are its own.

        The pairwise terms of a user and an item are those within the user's side, those within the item's, and
        the product of the two sums of vectors. Within a side, over its id and features a with values x_a,
        sum_{a<b} <v_a, v_b> x_a x_b = (|sum_a x_a v_a|^2 - sum_a x_a^2 |v_a|^2) / 2 (Rendle 2010, lemma 3.1).

        Shapes: -> float32 [U + I, d], [U + I].
        """
        if self.weight is None:
            return self.base[:, 1:], self.base[:, 0]
        whole = self.base + self.mixture(self.weight)
        vectors = whole[:, 1:]
        squares = self.squared(self.weight[:, 1:].square().sum(1, keepdim=True))[:, 0]
        own = self.base[:, 1:].square().sum(1) + squares
        return vectors, whole[:, 0] + 0.5 * (vectors.square().sum(1) - own)

    def loss(self, batch: _Batch, rng: torch.Generator) -> torch.Tensor:
        """Squared error of ratings, or BPR; mean over events with the users' weights."""
        user, item, last, weight = batch
        vectors, sums = self.tables()
        left, right = _extended(vectors, sums, self.pairs.n_users)
        one, two = functional.embedding(user, left), functional.embedding(item, right)
        if self.events.value is None:
            return bpr(one, two, functional.embedding(last, right), weight)
        error = ((one * two).sum(1) + self.offset - last).square()
        return error.mean() if weight is None else (error * weight).mean()

    def refresh(self) -> None:
        """Hand over the sums as they are now."""
        self.keep(*self.tables(), self.offset + self.events.mean)


def _extended(vectors: torch.Tensor, sums: torch.Tensor, n_users: int) -> tuple[torch.Tensor, torch.Tensor]:
    """User [U, d + 2] and item [I, d + 2] vectors whose product is vectors' product and both sums."""
    sums, ones = sums[:, None], torch.ones_like(sums)[:, None]
    left = torch.cat([vectors[:n_users], sums[:n_users], ones[:n_users]], 1)
    return left, torch.cat([vectors[n_users:], ones[n_users:], sums[n_users:]], 1)


class FM:
    """Second-order factorisation machine on (user id, item id, user's features, item's features).

    y = w0 + sum_a w_a x_a + sum_{a<b} <v_a, v_b> x_a x_b. As every term belongs to the user's side, the item's, or
    is a product of the two, a score is user_bias + item_bias + bias + <user, item>, which is all that `state` holds.

    Where ratings differ it learns them by squared error, stops early by the **RMSE** of the validation part (how
    it ranks what nobody has rated is nothing the loss pursues, so NDCG would pick the epoch by luck), and scores
    are ratings on the log's scale, not clipped to it. Elsewhere it ranks seen pairs above unseen ones by BPR,
    stopped by NDCG@20 as all other models: squared error would need values for unseen pairs, and their number.

    Reference: Rendle 2010, Factorization Machines, ICDM, equation 1 and lemma 3.1.
    """

    name: ClassVar[str] = "fm"
    title: ClassVar[str] = "Factorisation machine"
    family: ClassVar[str] = "factor"
    reference: ClassVar[str] = "Rendle 2010, Factorization Machines, ICDM"
    config_type: ClassVar[type[ModelConfig]] = FMConfig
    reads_ratings: ClassVar[bool] = True

    def __init__(self, config: FMConfig) -> None:
        """Store the config; compute nothing."""
        self.config = config
        self.n_users = self.n_items = 0
        self.epochs: int | None = None
        self._state: dict[str, torch.Tensor] = {}
        self._scored: tuple[torch.Tensor, torch.Tensor] | None = None

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
        """See `Model.fit`; with ratings, `valid` stops by RMSE.

        Raises:
            DataError: no event is left to train on.
        """
        config = self.config
        place = open_device(device)
        pairs = Positives.of(log, weights)
        events = _Events.of(log, pairs, weights)
        self.n_users, self.n_items = log.n_users, log.n_items
        validate, rated = validation(self, valid), False
        if events.value is not None and valid is not None and valid.valid.value is not None and validate is not None:
            held_out = valid.valid
            validate, rated = (lambda: self.rmse(held_out)), True
        features = of_nodes(log, pairs, users=config.user_features, items=config.item_features)
        # BPR's gradients are small: what tames squared errors would rule over them.
        usual = _DECAY_BPR if events.value is None else _DECAY_RATINGS
        self.epochs = train(
            _Training(config, events, pairs, features, seed, place, self._take),
            Schedule(
                config.learning_rate,
                config.max_epochs,
                config.patience,
                config.every,
                config.decay,
                usual if config.weight_decay is None else config.weight_decay,
            ),
            seed,
            validate=validate,
            measure="RMSE" if rated else "NDCG@20",
            lower_is_better=rated,
            epochs=epochs,
            report=report,
            device=device,
        )

    def _take(self, vectors: torch.Tensor, sums: torch.Tensor, offset: torch.Tensor) -> None:
        users = self.n_users
        tables = {"user": vectors[:users], "item": vectors[users:]}
        tables |= {"user_bias": sums[:users], "item_bias": sums[users:], "bias": offset}
        self._state = {name: table.detach().cpu().clone().contiguous() for name, table in tables.items()}
        self._scored = None

    def rmse(self, log: InteractionLog) -> float:
        """Root mean squared error on a log's ratings, predictions not clipped; NaN without ratings or events."""
        if log.value is None or not len(log):
            return float("nan")
        error = self.predict(log.user, log.item).astype(np.float64) - log.value
        return float(np.sqrt(np.mean(error**2)))

    def predict(self, users: NDArray[np.integer], items: NDArray[np.integer]) -> Float32:
        """The scores of these pairs: users, items int [N] -> float32 [N]."""
        left, right = self._vectors()
        found: Float32 = np.empty(len(users), np.float32)
        for start in range(0, len(users), _ROWS):
            rows = slice(start, start + _ROWS)
            one, two = (torch.from_numpy(np.asarray(part[rows], np.int64)) for part in (users, items))
            found[rows] = (left[one] * right[two]).sum(1).numpy()
        return found

    def embeddings(self) -> tuple[Float32, Float32]:
        """Vectors whose dot product is the score, biases included: user float32 [U, d + 2], item [I, d + 2]."""
        left, right = self._vectors()
        return left.numpy(), right.numpy()

    def scores(self, users: NDArray[np.int64], history: InteractionLog) -> Float32:
        """See Recommender; the history is not read."""
        left, right = self._vectors()
        block: Float32 = (left[torch.from_numpy(np.asarray(users, np.int64))] @ right.T).numpy()
        return block

    def _vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        if self._scored is None:
            state = self._state
            vectors = torch.cat([state["user"], state["item"]])
            sums = torch.cat([state["user_bias"] + state["bias"], state["item_bias"]])
            self._scored = _extended(vectors, sums, self.n_users)
        return self._scored

    def state(self) -> dict[str, torch.Tensor]:
        """The fitted tensors, CPU, contiguous."""
        return dict(self._state)

    def load(self, state: Mapping[str, torch.Tensor], n_users: int, n_items: int) -> None:
        """Take fitted tensors."""
        self.n_users, self.n_items = n_users, n_items
        self._state = {name: state[name].contiguous() for name in self.shapes(n_users, n_items)}
        self._scored = None

    def shapes(self, n_users: int, n_items: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Sums of vectors, biases, and w0."""
        dim = self.config.dim
        sizes: dict[str, tuple[int, ...]] = {"user": (n_users, dim), "item": (n_items, dim)}
        sizes |= {"user_bias": (n_users,), "item_bias": (n_items,), "bias": (1,)}
        return {name: (size, torch.float32) for name, size in sizes.items()}


_ROWS = 65_536  # pairs of a block in `predict`
