"""What MF, LightGCN and SimGCL share: two embedding tables, a ranking loss on pairs, dot-product scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch.nn import functional

from ..datasets.log import Float32, Int64, InteractionLog
from ..datasets.seeding import rng as seeded
from ..datasets.split import Split
from .base import ModelConfig, Report
from .losses import bpr, bpr_each, sampled_softmax, sampled_softmax_each, squared_norm
from .sampling import Positives, blocks, collisions
from .trainer import Compared, Harden, Schedule, open_device, train, validation


class PairwiseConfig(ModelConfig):
    """Hyper-parameters of the models trained on (user, item) pairs.

    The defaults were chosen on the validation parts of three film logs of 40 to 100 thousand events. A sparse log
    with a large catalogue (Gowalla, 0.08 % of 41 thousand items) wants the other corner: `popularity` 1 with
    `score` dot, and a temperature of 0.1 with `decay` 0.93.
    """

    dim: int = Field(64, ge=1, le=4096, description="length of the embeddings")
    loss: Literal["sampled_softmax", "bpr"] = Field(
        "sampled_softmax",
        description="sampled_softmax: cosine scores against negatives that a batch shares; "
        "bpr: dot-product scores against one uniform unseen item",
    )
    temperature: float = Field(
        0.2,
        ge=0.025,
        description="of sampled_softmax; 0.2 suits dense logs, 0.1 sparse ones (below 0.025 float32 underflows)",
    )
    score: Literal["cosine", "dot"] = Field(
        "cosine",
        description="after sampled_softmax, which trains cosines: score by them, or by dot products, in which the "
        "length that propagation gives a vector, larger for popular items, counts too",
    )
    negatives: int = Field(512, ge=1, description="shared negatives a step, of sampled_softmax")
    popularity: float = Field(
        0.0,
        ge=0,
        le=1,
        description="shared negatives are drawn in proportion to popularity to this power: 0 uniformly, 1 by "
        "popularity, which takes popularity out of the cosines (give it back by score=dot)",
    )
    l2: float = Field(1e-4, ge=0, description="of bpr: weight of half the squared norm of a pair's base vectors")
    learning_rate: float = Field(1e-2, gt=0, description="Adam's, in the first epoch")
    decay: float = Field(1.0, gt=0, le=1, description="factor on the learning rate after every epoch")
    spread: float | None = Field(
        0.1,
        gt=0,
        le=10,
        description="standard deviation of the first vectors; none: sqrt(2 / (rows + dim)) of a table (Xavier)",
    )
    batch_size: int = Field(16384, ge=1, description="positive pairs a step, at most")
    min_steps: int = Field(
        16, ge=1, description="steps an epoch, at least: logs smaller than this many batches get smaller batches"
    )
    max_epochs: int = Field(200, ge=1, description="epochs at most")
    patience: int = Field(10, ge=1, description="stop when the best epoch is so many epochs old")
    every: int = Field(2, ge=1, description="validate each so many epochs")


@dataclass(frozen=True, eq=False)
class PairBatch:
    """One step; nodes are rows of the base table.

    Attributes:
        user: int64 [B].
        positive: int64 [B].
        negative: int64 [B] for bpr, [N] shared for sampled_softmax.
        hits: int64 [2, n], (pair, negative) where a shared negative is the pair's own positive; or None.
        weight: float32 [B] or None.
    """

    user: torch.Tensor
    positive: torch.Tensor
    negative: torch.Tensor
    hits: torch.Tensor | None
    weight: torch.Tensor | None


class Encoder(Protocol):
    """From the base table [U + I, d] to the vectors that are scored.

    `places`, int64 [U + I], is the row in which each node (users, then items) is kept.
    """

    places: Int64

    def final(self, base: torch.Tensor) -> torch.Tensor:
        """Vectors to score with, float [U + I, d]."""
        ...

    def training(
        self, base: torch.Tensor, batch: PairBatch, rng: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """`final`, and a term to add to the loss or None."""
        ...


class PairTraining:
    """Base tables under training (a `Trainable`)."""

    def __init__(
        self,
        config: PairwiseConfig,
        pairs: Positives,
        encoder: Encoder,
        seed: int,
        device: torch.device,
        keep: Callable[[torch.Tensor, torch.Tensor], None],
    ) -> None:
        """Draw the first tables; `keep(base, final)` takes the fitted ones at every refresh."""
        self.config = config
        self.pairs = pairs
        self.encoder = encoder
        self.device = device
        # A stream for each table, users row by row: injected users behind the genuine ones change neither the
        # genuine users' nor the items' first vectors (common random numbers).
        start = [
            seeded(seed, "init", name).standard_normal((rows, config.dim), np.float32)
            * np.float32(config.spread or math.sqrt(2.0 / (rows + config.dim)))
            for name, rows in (("user", pairs.n_users), ("item", pairs.n_items))
        ]
        self.places = encoder.places
        table = np.empty((len(self.places), config.dim), np.float32)
        table[self.places] = np.concatenate(start)
        self.base = torch.nn.Parameter(self._put(table))
        self.keep = keep

    def resume(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take the base tables of a model's `state`."""
        name = "_base" if "user_base" in state else ""
        table = torch.cat([state["user" + name], state["item" + name]])
        with torch.no_grad():
            self.base[self._put(self.places)] = table.to(self.device)

    def parameters(self) -> list[torch.nn.Parameter]:
        """The base table, float32 [U + I, d]."""
        return [self.base]

    def first(self) -> torch.Tensor:
        """What is encoded, float32 [U + I, d]: the base table, to which a model may add (side features)."""
        return self.base

    def batches(self, rng: np.random.Generator) -> Iterator[PairBatch]:
        """All pairs in random order, with their negatives."""
        pairs, config = self.pairs, self.config
        user_at, item_at = self.places[: pairs.n_users], self.places[pairs.n_users :]
        by_order, by_negative = rng.spawn(2)
        cuts = list(blocks(pairs.order(by_order), min(config.batch_size, -(-len(pairs) // config.min_steps))))
        if config.loss == "bpr":
            unseen = pairs.unseen(by_negative, pairs.user)
            negatives = [unseen[rows] for rows in cuts]
        else:
            negatives = list(pairs.shared(by_negative, (len(cuts), config.negatives), config.popularity))
        for rows, negative in zip(cuts, negatives, strict=True):
            item = pairs.item[rows]
            yield PairBatch(
                self._put(user_at[pairs.user[rows]]),
                self._put(item_at[item]),
                self._put(item_at[negative]),
                None if config.loss == "bpr" else self._put(collisions(item, negative)),
                None if pairs.weight is None else self._put(pairs.weight[rows]),
            )

    def _put(self, array: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)

    def loss(self, batch: PairBatch, rng: torch.Generator) -> torch.Tensor:
        """The configured loss, and the encoder's own term."""
        vectors, rest = self.vectors(batch, rng)
        value = self.ranking(vectors, batch, batch.weight)
        return value if rest is None else value + rest

    def vectors(self, batch: PairBatch, rng: torch.Generator) -> tuple[Compared, torch.Tensor | None]:
        """Vectors of users, positives and negatives as they are scored; the L2 term of bpr and the encoder's own."""
        config = self.config
        base = self.first()
        final, rest = self.encoder.training(base, batch, rng)
        rows = torch.cat([batch.user, batch.positive, batch.negative])
        sizes = [len(batch.user), len(batch.positive), len(batch.negative)]
        if config.loss == "bpr" and config.l2:
            parts = torch.split(functional.embedding(rows, base), sizes)
            norm = config.l2 * squared_norm(parts, batch.weight)
            rest = norm if rest is None else norm + rest
        user, positive, negative = torch.split(functional.embedding(rows, final), sizes)
        return (user, positive, negative), rest

    def ranking(self, vectors: Compared, batch: PairBatch, weight: torch.Tensor | None) -> torch.Tensor:
        """See RankingTraining."""
        if self.config.loss == "bpr":
            return bpr(*vectors, weight)
        return sampled_softmax(*vectors, self.config.temperature, weight, batch.hits)

    def each(self, vectors: Compared, batch: PairBatch) -> torch.Tensor:
        """See RankingTraining."""
        with torch.no_grad():
            if self.config.loss == "bpr":
                return bpr_each(*vectors)
            return sampled_softmax_each(*vectors, self.config.temperature, batch.hits)

    def weights(self, batch: PairBatch) -> torch.Tensor | None:
        """See RankingTraining."""
        return batch.weight

    def users(self, batch: PairBatch) -> torch.Tensor:
        """Rows of the base table."""
        return batch.user

    def refresh(self) -> None:
        """Hand over the tables as they are now."""
        base, places = self.first().detach(), self._put(self.places)
        self.keep(base[places], self.encoder.final(base)[places])


class PairwiseModel:
    """Base of the models with a user and an item vector; a subclass gives the encoder.

    `state` holds the final vectors as they come out of the encoder ("user", "item") and, where they differ, the
    base tables they were propagated from ("user_base", "item_base"), which white-box attacks and unlearning start
    from. Scores are what the loss trained, cosines after sampled_softmax and dot products after bpr, unless the
    config asks for dot products after sampled_softmax.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    family: ClassVar[str]
    reference: ClassVar[str]
    config_type: ClassVar[type[ModelConfig]]
    keeps_base: ClassVar[bool] = True

    def __init__(self, config: PairwiseConfig) -> None:
        """Store the config; compute nothing."""
        self.config = config
        self.n_users = 0
        self.n_items = 0
        self.epochs: int | None = None
        self._state: dict[str, torch.Tensor] = {}
        self._vectors: tuple[torch.Tensor, torch.Tensor] | None = None

    def encoder(self, pairs: Positives, device: torch.device) -> Encoder:
        """What turns base tables into final vectors, for these training pairs."""
        raise NotImplementedError

    def training(self, log: InteractionLog, pairs: Positives, seed: int, device: torch.device) -> PairTraining:
        """What is trained, with its first values."""
        return PairTraining(self.config, pairs, self.encoder(pairs, device), seed, device, self._take)

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
        harden: Harden | None = None,
        start: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        """See `Model.fit`; training begins at the tables of `start`, a state, if given.

        Raises:
            DataError: no pair is left to train on.
        """
        config = self.config
        place = open_device(device)
        pairs = Positives.of(log, weights)
        self.n_users, self.n_items = log.n_users, log.n_items
        schedule = Schedule(config.learning_rate, config.max_epochs, config.patience, config.every, config.decay)
        training = self.training(log, pairs, seed, place)
        if start is not None:
            training.resume(start)
        self.epochs = train(
            training if harden is None else harden(training),
            schedule,
            seed,
            validate=validation(self, valid),
            epochs=epochs,
            report=report,
            device=device,
        )

    def adopt(
        self,
        log: InteractionLog,
        user: torch.Tensor,
        item: torch.Tensor,
        learned: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        """Take base tables and encode them over the pairs of a log, as after a training.

        Args:
            log: the pairs.
            user: float32 [U, d].
            item: float32 [I, d].
            learned: what else of `state` the encoder needs, if it is not the model's own.

        Raises:
            DataError: the log has no pair.
        """
        if learned is not None:
            self._state = dict(learned)
        pairs = Positives.of(log)
        self.n_users, self.n_items = log.n_users, log.n_items
        encoder = self.encoder(pairs, torch.device("cpu"))
        places = torch.from_numpy(encoder.places)
        base = torch.empty((len(places), user.shape[1]))
        base[places] = torch.cat([user, item])
        with torch.no_grad():
            self._take(base[places], encoder.final(base)[places])

    def _take(self, base: torch.Tensor, final: torch.Tensor) -> None:
        """Make these tables the fitted state."""
        tables = {"user": final[: self.n_users], "item": final[self.n_users :]}
        if self.keeps_base:
            tables |= {"user_base": base[: self.n_users], "item_base": base[self.n_users :]}
        self._state = {name: table.detach().cpu().clone() for name, table in tables.items()}
        self._vectors = None

    def embeddings(self) -> tuple[Float32, Float32]:
        """Vectors whose dot product is the score: user float32 [U, d], item float32 [I, d]."""
        user, item = self._scored()
        return user.numpy(), item.numpy()

    def scores(self, users: NDArray[np.int64], history: InteractionLog) -> Float32:
        """See Recommender; the history is not read."""
        user, item = self._scored()
        block: Float32 = (user[torch.from_numpy(np.asarray(users, np.int64))] @ item.T).numpy()
        return block

    def _scored(self) -> tuple[torch.Tensor, torch.Tensor]:
        if self._vectors is None:
            user, item = self._state["user"], self._state["item"]
            if self.config.loss == "sampled_softmax" and self.config.score == "cosine":
                user, item = functional.normalize(user, dim=-1), functional.normalize(item, dim=-1)
            self._vectors = user, item
        return self._vectors

    def state(self) -> dict[str, torch.Tensor]:
        """The fitted tensors, CPU, contiguous."""
        return dict(self._state)

    def load(self, state: Mapping[str, torch.Tensor], n_users: int, n_items: int) -> None:
        """Take fitted tensors."""
        self.n_users, self.n_items = n_users, n_items
        self._state = {name: state[name].contiguous() for name in self.shapes(n_users, n_items)}
        self._vectors = None

    def shapes(self, n_users: int, n_items: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Name, shape and dtype of every tensor of `state` at this size."""
        dim = self.config.dim
        names = ("", "_base") if self.keeps_base else ("",)
        return {
            side + name: ((rows, dim), torch.float32)
            for name in names
            for side, rows in (("user", n_users), ("item", n_items))
        }
