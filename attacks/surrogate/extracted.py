"""A sequential surrogate extracted by queries: a student of the lists that a victim gives, without any data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field

from ...datasets.log import Int32, Int64, InteractionLog
from ...recommenders.base import Recommender
from ...recommenders.network import Dropout, Network
from ...recommenders.sasrec import SASRec
from ...recommenders.sequential import SequentialModel
from ...recommenders.trainer import one_thread
from ..knowledge import Query
from .sequence import NetworkConfig, SequenceSurrogate

_CELLS = 8_000_000  # scores in memory at a time: positions x items of one step
_BLOCK = 512  # sequences a victim reads at a time


class ExtractionConfig(NetworkConfig):
    """Settings of the extraction; `sequences` x `length` lists are asked for."""

    sequences: int = Field(default=200, ge=1, description="sequences that are grown by queries")
    length: int = Field(default=20, ge=1, description="items of each of them, at most `max_length`")
    max_epochs: int = Field(default=30, ge=1, description="epochs of the student")
    batch: int = Field(default=16, ge=1, description="sequences in a step of the student, less in large catalogues")
    rate: float = Field(default=1e-2, gt=0, description="the student's learning rate (Adam)")
    margin: float = Field(default=0.5, gt=0, description="wanted lead of an item over the next one, and over unlisted")


class ModelQuery:
    """A fitted sequential model as a service that anyone can ask (`knowledge.Query`).

    Lists leave out what the sequence holds, as services do.
    """

    def __init__(self, model: Recommender, k: int = 100) -> None:
        """Take a model whose scores read the history alone; k is the length of its lists."""
        self.model = model
        self.k = min(k, model.n_items)
        self.calls = 0

    def __call__(self, sequences: Int64) -> Int64:
        """Ranked lists, best first: int64 [B, L], L at least 1 -> int64 [B, k], -1 where no item is left."""
        self.calls += len(sequences)
        parts = [self._lists(sequences[first : first + _BLOCK]) for first in range(0, len(sequences), _BLOCK)]
        return np.concatenate(parts) if parts else np.empty((0, self.k), np.int64)

    def _lists(self, sequences: Int64) -> Int64:
        rows, length = sequences.shape
        user = np.repeat(np.arange(rows, dtype=np.int32), length)
        users, items = (np.arange(count).astype(str) for count in (rows, self.model.n_items))
        history = InteractionLog(user, sequences.ravel().astype(np.int32), users, items)
        return top(torch.from_numpy(self.model.scores(np.arange(rows), history)), sequences, self.k)


def top(scores: torch.Tensor, consumed: Int64, k: int) -> Int64:
    """The k best items of each row that are not consumed: float [B, I], int64 [B, L] -> int64 [B, k], -1 for none."""
    left = scores.scatter(1, torch.from_numpy(consumed), -torch.inf)
    best = left.topk(k, dim=1)
    found: Int64 = torch.where(torch.isfinite(best.values), best.indices, -1).numpy()
    return found


@dataclass(frozen=True, eq=False)
class Extraction:
    """What queries gave.

    Attributes:
        sequences: int64 [N, L], what the victim was asked about.
        lists: int32 [N, L, k], its list after each event, -1 for none.
        n_items: I.
    """

    sequences: Int64
    lists: Int32
    n_items: int

    @property
    def queries(self) -> int:
        """Lists that were asked for, N x L: the budget."""
        return self.sequences.size

    @property
    def known(self) -> torch.Tensor:
        """Items that occur in a sequence or a list, bool [I]."""
        seen = np.zeros(self.n_items, bool)
        seen[self.sequences] = True
        seen[self.lists[self.lists >= 0]] = True
        return torch.from_numpy(seen)


def extract(query: Query, n_items: int, count: int, length: int, rng: np.random.Generator) -> Extraction:
    """Grow sequences by the victim's own lists: a random first item, then always one of the last list, uniformly.

    Where a list is empty the next item is any.

    Args:
        query: the victim; asked `count` x `length` times.
        n_items: I.
        count: N, sequences.
        length: L, items of each.
        rng: the first items and the choices.

    Reference: Yue, He, Zeng, McAuley 2021, arXiv 2109.01165, data generation, autoregressive.
    """
    sequences = np.empty((count, length), np.int64)
    sequences[:, 0] = rng.integers(n_items, size=count)
    lists = []
    for place in range(length):
        shown = query(sequences[:, : place + 1])
        lists.append(shown.astype(np.int32))
        if place + 1 < length:
            keys = np.where(shown >= 0, rng.random(shown.shape), -1.0)
            taken = np.take_along_axis(shown, keys.argmax(axis=1)[:, None], axis=1)[:, 0]
            sequences[:, place + 1] = np.where(taken >= 0, taken, rng.integers(n_items, size=count))
    return Extraction(sequences, np.stack(lists, axis=1), n_items)


@one_thread()
def student(
    extraction: Extraction, config: ExtractionConfig, rng: np.random.Generator, model: SequentialModel | None = None
) -> SequenceSurrogate:
    """A sequential model that is trained to list what the victim listed, by `rank_loss`.

    Negatives are uniform among items that are neither listed nor in the sequence so far; as many as the list has.
    Nothing is dropped in training: lists are no noisy sample of the victim.

    Args:
        extraction: what is learnt from.
        config: size and training of the student.
        rng: first parameters, order, negatives.
        model: whose network it has, unfitted; the config's SASRec if not given.
    """
    by_start, by_order, by_negative = rng.spawn(3)
    network = _started(SASRec(config.model()) if model is None else model, extraction.n_items, by_start)
    noise = torch.Generator().manual_seed(int(by_negative.integers(2**62)))
    optimiser = torch.optim.Adam(network.parameters(), lr=config.rate)
    sequences, lists = torch.from_numpy(extraction.sequences), torch.from_numpy(extraction.lists)
    count, length = sequences.shape
    size = max(1, min(config.batch, _CELLS // (length * extraction.n_items)))
    for _ in range(config.max_epochs):
        order = torch.from_numpy(by_order.permutation(count))
        for first in range(0, count, size):
            rows = order[first : first + size]
            items, listed = sequences[rows], lists[rows].long()
            scores = network.encode(items, network.item, Dropout(0.0, None)) @ network.item.T
            loss = rank_loss(scores, listed, *negatives(items, listed, extraction.n_items, noise), config.margin)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return SequenceSurrogate(network, config.max_length, extraction.known)


def negatives(
    items: torch.Tensor, listed: torch.Tensor, n_items: int, noise: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Items drawn uniformly, as many as a list has, and which of them count: those not listed and not consumed.

    Shapes: items int64 [B, L], listed int64 [B, L, k] (-1 for none) -> int64 [B, L, k], bool [B, L, k].
    """
    barred = torch.zeros((*items.shape, n_items), dtype=torch.int16)
    barred = barred.scatter_(2, items[..., None], 1).cumsum(1, dtype=torch.int16)  # the past of each position
    barred.scatter_(2, torch.where(listed < 0, items[..., None], listed), 1)
    drawn = torch.randint(n_items, listed.shape, generator=noise)
    return drawn, barred.gather(2, drawn) == 0


def rank_loss(
    scores: torch.Tensor, listed: torch.Tensor, drawn: torch.Tensor, counts: torch.Tensor, margin: float
) -> torch.Tensor:
    """Mean of max(0, margin - lead) over consecutive items of a list, plus that over listed items and negatives.

    The i-th listed item is compared with the next one, and with the i-th negative where that one counts.

    Shapes: scores float [B, L, I], listed int64 [B, L, k] (-1 for none, at the end), drawn int64 [B, L, k],
    counts bool [B, L, k] -> scalar.

    Reference: Yue, He, Zeng, McAuley 2021, arXiv 2109.01165, model extraction, with listed items never negatives.
    """
    there = listed >= 0
    own = scores.gather(2, listed.clamp(min=0))
    below = (margin - own[..., :-1] + own[..., 1:]).clamp(min=0)[there[..., 1:]]
    outside = (margin - own + scores.gather(2, drawn)).clamp(min=0)[there & counts]
    return below.sum() / max(len(below), 1) + outside.sum() / max(len(outside), 1)


def agreement(surrogate: SequenceSurrogate, query: Query, sequences: Int64, k: int = 10) -> float:
    """Agreement@k: the mean share of the victim's first k items that are among the student's first k, in 0..1.

    Chance is about k / I. Asks one query a sequence.

    Args:
        surrogate: the student.
        query: the victim, whose lists leave out what a sequence holds.
        sequences: int64 [B, L], B and L at least 1.
        k: length of both lists.
    """
    victim = query(sequences)[:, :k]
    own = top(surrogate.scores(sequences), sequences, min(k, len(surrogate.table)))
    shared = ((victim[:, :, None] == own[:, None, :]) & (victim >= 0)[:, :, None]).any(axis=2).sum()
    return float(shared / max((victim >= 0).sum(), 1))


def _started(model: SequentialModel, n_items: int, rng: np.random.Generator) -> Network:
    """The model's network with first values like those of its own training."""
    with torch.device("meta"):
        network = model.network(n_items)
    network = network.to_empty(device="cpu")
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim == 1:
                parameter.fill_(1.0 if name.endswith("norm.weight") else 0.0)
            else:
                shape = tuple(parameter.shape)
                start = rng.standard_normal(shape, np.float32) * np.float32(model.spread(name, shape))
                parameter.copy_(torch.from_numpy(start))
    return network
