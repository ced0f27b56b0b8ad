"""What SASRec and GRU4Rec share: whole-sequence batches, losses, scores from a history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch.nn import functional

from ..datasets.errors import DataError
from ..datasets.log import Float32, InteractionLog
from ..datasets.split import Split
from ..language.cache import open_cached
from ..language.encoder import CHOICES
from ..language.texts import item_texts
from .base import ModelConfig, Report
from .network import Dropout, Network, begin, kept
from .sequences import Windows, ordered, padded
from .softmax import binary_each, cross_entropy, cross_entropy_each
from .trainer import Compared, Harden, Schedule, open_device, train, validation

SMALL_CATALOGUE = 5000
"""Up to so many items `loss: auto` means the full softmax."""

_SCORED_TOKENS = 1 << 14  # padded positions encoded at a time when scoring


class SequentialConfig(ModelConfig):
    """Hyper-parameters of the models trained on whole sequences."""

    dim: int = Field(64, ge=1, le=4096, description="length of the item embeddings")
    item_vectors: Literal["id", "text"] = Field(
        "id", description="id: a free vector for every item; text: GELU(Linear(vector of its text)), nothing else"
    )
    encoder: str = Field("static", description=CHOICES)
    max_length: int = Field(50, ge=1, le=4096, description="most items of a user that are read")
    dropout: float = Field(0.4, ge=0, lt=1, description="share of activations dropped in training")
    loss: Literal["auto", "full", "sampled", "binary"] = Field(
        "auto",
        description="full: softmax over the catalogue; sampled: over shared negatives drawn by popularity, with "
        f"logQ correction; auto: full up to {SMALL_CATALOGUE} items; binary: cross-entropy of the next item and of "
        "one drawn evenly (SASRec's paper)",
    )
    negatives: int = Field(512, ge=1, description="shared negatives a step, of the sampled loss")
    learning_rate: float = Field(6e-3, gt=0, description="Adam's")
    decay: float = Field(1.0, gt=0, le=1, description="factor on the learning rate after every epoch")
    batch_tokens: int = Field(1024, ge=1, description="positions a step, about")
    min_steps: int = Field(4, ge=1, description="steps an epoch at least")
    max_epochs: int = Field(200, ge=1, description="epochs at most")
    patience: int = Field(5, ge=1, description="stop when the best epoch is so many epochs old")
    every: int = Field(1, ge=1, description="validate each so many epochs")


@dataclass(frozen=True, eq=False)
class SequenceBatch:
    """One step: whole windows, every position a target.

    Attributes:
        items: int64 [B, L], inputs, filled up on the right.
        length: int64 [B], how many there are in each row.
        places: int64 [T], the real positions in the flattened items.
        target: int64 [T], the item that follows each of them.
        weight: float32 [T] or None.
        user: int64 [T], whose position it is.
        drawn: int64 [N], shared negatives; of the binary loss [T], each position's own; None for the full softmax.
        bias: float32 [N], their logQ correction, or None.
    """

    items: torch.Tensor
    length: torch.Tensor
    places: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor | None
    user: torch.Tensor
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
        n_items = len(network.table())
        self.n_items = n_items
        self.binary = config.loss == "binary"
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
            targets = windows.targets(rows)
            if self.binary:
                drawn = self.others(by_negative, targets)
            elif self.sampled:
                drawn = self.drawn(by_negative)
                bias = self._put(-np.log(config.negatives * self.share[drawn]).astype(np.float32))
            weight = None
            if windows.weight is not None:
                weight = self._put(np.repeat(windows.weight[rows], windows.length[rows]))
            yield SequenceBatch(
                self._put(items),
                self._put(windows.length[rows]),
                self._put(np.flatnonzero(valid)),
                self._put(targets),
                weight,
                self._put(np.repeat(windows.user[rows], windows.length[rows])),
                None if drawn is None else self._put(drawn),
                bias,
            )

    def drawn(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Items drawn in proportion to how often they are targets, int64 [N]; a few more windows change few draws."""
        found: NDArray[np.int64] = np.searchsorted(self.edges, rng.random(self.config.negatives), side="right")
        return found

    def others(self, rng: np.random.Generator, targets: NDArray[np.int64]) -> NDArray[np.int64]:
        """One other item for each target, evenly, int64 [T]; of a catalogue of one item that item."""
        found: NDArray[np.int64] = (targets + rng.integers(1, max(2, self.n_items), len(targets))) % self.n_items
        return found

    def _put(self, array: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)

    def loss(self, batch: SequenceBatch, rng: torch.Generator) -> torch.Tensor:
        """Cross-entropy of the next item, mean over all positions, each with the weight of its user."""
        vectors, _ = self.vectors(batch, rng)
        return self.ranking(vectors, batch, batch.weight)

    def vectors(self, batch: SequenceBatch, rng: torch.Generator) -> tuple[Compared, None]:
        """States, vectors of the items that follow, and of the candidates (catalogue or negatives).

        Negatives of the binary loss are [T, d], one beside each position.
        """
        table = self.network.table()
        drop = Dropout(self.config.dropout, rng)
        hidden = self.network.encode(batch.items, table, drop, batch.length).flatten(0, 1)
        if len(batch.places) < len(hidden):
            hidden = hidden[batch.places]
        if batch.drawn is None:
            return (hidden, functional.embedding(batch.target, table), table), None
        rows = functional.embedding(torch.cat([batch.target, batch.drawn]), table)
        positive, negative = torch.split(rows, [len(batch.target), len(batch.drawn)])
        return (hidden, positive, negative), None

    def ranking(self, vectors: Compared, batch: SequenceBatch, weight: torch.Tensor | None) -> torch.Tensor:
        """See RankingTraining."""
        hidden, positive, candidates = vectors
        if self.binary:
            each = binary_each(hidden, positive, candidates)
            return (each if weight is None else each * weight).mean()
        return cross_entropy(hidden, positive, batch.target, candidates, batch.drawn, batch.bias, weight)

    def each(self, vectors: Compared, batch: SequenceBatch) -> torch.Tensor:
        """See RankingTraining."""
        hidden, positive, candidates = vectors
        with torch.no_grad():
            if self.binary:
                return binary_each(hidden, positive, candidates)
            return cross_entropy_each(hidden, positive, batch.target, candidates, batch.drawn, batch.bias)

    def weights(self, batch: SequenceBatch) -> torch.Tensor | None:
        """See RankingTraining."""
        return batch.weight

    def users(self, batch: SequenceBatch) -> torch.Tensor:
        """Indices of the log."""
        return batch.user

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
        self.reads_text = config.item_vectors == "text"
        self._network: Network | None = None

    def network(self, n_items: int, text_width: int | None = None) -> Network:
        """The network for so many items, by id or text; it is made on the meta device, without values."""
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
        harden: Harden | None = None,
        start: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        """See `Model.fit`; a user's weight is that of all positions of its sequence. Same bytes on a CPU only.

        Training begins at the tensors of `start`, a state, if given.

        Raises:
            DataError: no user has two events, the weights are no weights, or items have no texts to read.
        """
        config = self.config
        place = open_device(device)
        windows = Windows.of(log, config.max_length, weights)
        self.n_users, self.n_items = log.n_users, log.n_items
        network = self._started(seed, self._vectors(log))
        if start is not None:
            network.load_state_dict(start)
        self._network = network.to(place)
        schedule = Schedule(config.learning_rate, config.max_epochs, config.patience, config.every, config.decay)
        training = SequenceTraining(config, windows, self._network, place)
        self.epochs = train(
            training if harden is None else harden(training),
            schedule,
            seed,
            validate=validation(self, valid),
            epochs=epochs,
            report=report,
            device=device,
        )
        self._network.cpu()

    def _vectors(self, log: InteractionLog) -> torch.Tensor | None:
        """Vectors of the items' texts, entries of variance 1: float32 [I, D]; None where items are ids alone."""
        return self._read(item_texts(log)) if self.reads_text else None

    def _read(self, texts: Sequence[str]) -> torch.Tensor:
        vectors = torch.from_numpy(open_cached(self.config.encoder).encode(texts))
        return functional.layer_norm(vectors, vectors.shape[1:])

    def reading(self, log: InteractionLog) -> Self:
        """This model after it has read the texts of the log's items again; nothing is trained.

        Raises:
            DataError: the log has other items, or no texts.
        """
        vectors = self._vectors(log)
        if vectors is None or len(vectors) != self.n_items:
            raise DataError(f"{self.name} with item_vectors={self.config.item_vectors!r} cannot read these items")
        found = type(self)(self.config)
        found.load(self.state() | {"text": vectors}, self.n_users, self.n_items)
        found.epochs = self.epochs
        return found

    def text_scores(self, users: NDArray[np.int64], history: InteractionLog, texts: Sequence[str]) -> Float32:
        """See ReadsText."""
        network = self._fitted()
        with torch.no_grad():
            found: Float32 = (self._states(users, history) @ network.vectors(self._read(texts)).T).cpu().numpy()
        return found

    def _started(self, seed: int, vectors: torch.Tensor | None) -> Network:
        """A network with its first values; none depends on users, so injected ones change none of them."""
        network = self._empty(self.n_items, None if vectors is None else vectors.shape[1]).to_empty(device="cpu")
        if vectors is not None:
            network.text = vectors
        begin(network, seed, self.spread)
        return network

    def _empty(self, n_items: int, text_width: int | None = None) -> Network:
        with torch.device("meta"):
            return self.network(n_items, text_width)

    def scores(self, users: NDArray[np.int64], history: InteractionLog) -> Float32:
        """See Recommender."""
        with torch.no_grad():
            found: Float32 = (self._states(users, history) @ self._fitted().table().T).cpu().numpy()
        return found

    def _states(self, users: NDArray[np.int64], history: InteractionLog) -> torch.Tensor:
        """What each user's history leads to, float [B, d]; zeros for users without one."""
        network = self._fitted()
        offsets, items = ordered(history)
        users = np.asarray(users, np.int64)
        stop = offsets[users + 1]
        length = np.minimum(stop - offsets[users], self.config.max_length)
        table = network.table()
        found = table.new_zeros(len(users), table.shape[1])
        order = np.argsort(length, kind="stable")
        order = order[length[order] > 0]
        step = max(1, _SCORED_TOKENS // int(length.max(initial=1)))
        for first in range(0, len(order), step):
            rows = order[first : first + step]
            inputs, _ = padded(items, (stop - length)[rows], length[rows])
            sizes = torch.from_numpy(length[rows]).to(table.device)
            hidden = network.encode(torch.from_numpy(inputs).to(table.device), table, Dropout(0.0, None), sizes)
            found[rows] = hidden[torch.arange(len(rows)), sizes - 1]
        return found

    def _fitted(self) -> Network:
        if self._network is None:
            raise RuntimeError(f"{self.name} has not been fitted")
        return self._network

    def state(self) -> dict[str, torch.Tensor]:
        """The fitted tensors, CPU, contiguous."""
        return kept(self._fitted())

    def load(self, state: Mapping[str, torch.Tensor], n_users: int, n_items: int) -> None:
        """Take fitted tensors."""
        self.n_users, self.n_items = n_users, n_items
        width = state["text"].shape[1] if self.reads_text else None
        network = self._empty(n_items, width).to_empty(device="cpu")
        network.load_state_dict(state)
        self._network = network

    def shapes(self, n_users: int, n_items: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Name, shape and dtype of every tensor of `state` at this size."""
        shapes = {}
        for name, value in self._empty(n_items, 1 if self.reads_text else None).state_dict().items():
            wide = self.reads_text and name in ("text", "project.weight")
            shapes[name] = ((value.shape[0], -1) if wide else tuple(value.shape), value.dtype)
        return shapes
