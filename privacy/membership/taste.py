"""The attack on lists by taste: how far the items that a user is shown lie from those the user has met."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import svds
from torch.nn import functional

from ...datasets.log import Float32, Int32, Int64, InteractionLog
from ...datasets.seeding import rng
from ...recommenders.base import Recommender
from ...recommenders.fold_in import FoldedIn, means
from ...recommenders.ranking import rank, top_k
from ...recommenders.trainer import one_thread
from ..places import places, prefixes
from ..signals import Float64
from .candidates import Candidates
from .caught import caught_above, level
from .game import Game, judged

FOLDED, AS_SERVED = "taste-folded", "taste-as-served"
TITLES = {FOLDED: FOLDED, AS_SERVED: f"{AS_SERVED}: tells the fallback"}
"""How the attacks are called where their numbers are shown."""
LENGTH = 100
"""Items of a list."""
DIM = 100
"""Length of the item vectors, or less where there are fewer users or items."""
PARTS = 8
"""Parts of the models, each attacked by a network that the others taught."""
_LAYERS = (32, 8, 2)
_EPOCHS, _BATCH, _RATE, _MOMENTUM = 20, 16, 0.01, 0.9


def item_vectors(log: InteractionLog) -> Float32:
    """Vectors of the items by a truncated singular value decomposition of the 0/1 matrix, float32 [I, d].

    X ~ U S V'; an item's vector is its row of V S^(1/2), the sign of each column such that its largest entry is
    positive. Zeros for items without events.
    """
    matrix = log.matrix().astype(np.float64)
    _, size, right = svds(matrix, k=min(DIM, min(matrix.shape) - 1), v0=np.ones(min(matrix.shape)))
    kept = np.where(size > 1e-5 * size.max(), size, 0.0)  # what is less is rounding
    columns = right[::-1].T * np.sqrt(kept[::-1]) * (log.item_counts > 0)[:, None]
    top = columns[np.abs(columns).argmax(axis=0), np.arange(columns.shape[1])]
    found: Float32 = (columns * np.where(top < 0, -1.0, 1.0)).astype(np.float32)
    return found


def features(vectors: Float32, history: sparse.csr_matrix, lists: Int32) -> Float32:
    """mean(vectors of the items met) - sum_k w_k v(item at place k), float32 [N, d].

    w_k = (n + 1 - k) / (n (n + 1) / 2) over the n items of a list; of 100 it is (101 - k) / 5050.

    Args:
        vectors: float32 [I, d].
        history: 0/1 [N, I], what users have met.
        lists: int32 [N, K], best first, -1 for none.
    """
    row, place = np.nonzero(lists >= 0)
    length = (lists >= 0).sum(axis=1)[row]
    weight = (length - place) / (length * (length + 1) / 2)
    shown = sparse.csr_matrix((weight, (row, lists[row, place])), (len(lists), len(vectors)))
    found: Float32 = (means(history, vectors) - shown @ vectors).astype(np.float32)
    return found


def read_taste(
    model: Recommender,
    asked: Candidates,
    included: NDArray[np.bool_],
    log: InteractionLog,
    in_order: bool,
    vectors: Float32,
    serve: Callable[[Recommender], Recommender] = lambda model: model,
) -> dict[str, Float32]:
    """What the attacks read of a model about users, by name float32 [C, d].

    "taste-folded": members and others alike are served from the first half of their events, folded in, or read where
    the model reads histories; what differs is what training left. "taste-as-served": members get the list that the
    system has for them, users who were never trained the most popular items, as in the paper. That list is the same
    for all of them: the attack tells the fallback from a list of one's own, whatever was learnt. Models that read
    histories in order serve anybody from a history; there is no fallback, and the first is all there is.

    Args:
        model: a victim.
        asked: users.
        included: bool [C], who was trained on.
        log: what the model was trained on.
        in_order: whether the model reads histories in order.
        vectors: float32 [I, d], of the items.
        serve: what stands between the model and the outsider; users are folded in before.
    """
    own, user = asked.everything, asked.user
    met = own.matrix()[user]
    if in_order:
        half = (own.user_counts[user] + 1) // 2
        lists = rank(serve(model), np.arange(len(user)), prefixes(own, user, half), LENGTH).slate.items
        return {FOLDED: features(vectors, met, lists)}
    rows = np.flatnonzero(np.isin(own.user, user))
    rows = rows[places(own, rows) < (own.user_counts[own.user[rows]] + 1) // 2]
    known = asked.base.plus(own.take(rows))
    folded = rank(serve(FoldedIn(model, asked.base, known, np.sort(user))), user, known, LENGTH).slate.items
    served = np.repeat(top_k(log.item_counts[None].astype(np.float32), LENGTH)[0], len(user), axis=0)
    served[included] = rank(serve(model), user[included], log, LENGTH).slate.items
    return {FOLDED: features(vectors, met, folded), AS_SERVED: features(vectors, met, served)}


def play_taste(found: Sequence[Float32], included: NDArray[np.bool_], user: Int64, seed: int) -> Game:
    """Attack every model with networks that other models taught, and judge it: `told` and `game.judged`.

    Any two victims teach each other's network, so that what they have in common by chance counts twice: where nothing
    is learnt the variance of the mean over victims is twice that of independent ones, and so the squared errors are
    doubled.
    """
    scores, levels = told(found, included, seed)
    part, outside = _parts(len(found)), (~included).sum(axis=1)
    pool = min(int(outside[part != own].sum()) for own in np.unique(part))
    caught = tuple(
        replace(own, error=own.error * 2**0.5, alarm_error=own.alarm_error * 2**0.5)
        for own in caught_above(scores, levels, included, user, pool)
    )
    game = judged(scores, caught, included, user)
    return replace(game, error=game.error * 2**0.5)


def told(found: Sequence[Float32], included: NDArray[np.bool_], seed: int) -> tuple[Float64, Float64]:
    """Scores float64 [M, C] of each model's users, and thresholds float64 [M, R, 2], `caught.level`.

    The models are taken in `PARTS` parts (one each, up to so many models). A victim is attacked by the network that
    all other parts taught; its thresholds come from the others, each part scored by the network that neither it nor
    the victim's part taught.

    Args:
        found: float32 [C, d] of three models or more, as `read_taste` gives it.
        included: bool [M, C].
        seed: of the networks' start and the order of their rows.

    Reference: Zhang, Ren, Wang, Ren, Chen, Hu, Zhang 2021, Membership Inference Attacks Against Recommender Systems,
        CCS, section 3, whose item vectors come from a third part of the data and whose reference is one system.
    """
    values, part = np.stack(found), _parts(len(found)).tolist()
    parts = max(part) + 1
    pairs = [(one, other) for one in range(parts) for other in range(one, parts)]  # (one, one) leaves out one part
    net = {pair: place for place, pair in enumerate(pairs)}
    taught = np.stack([~np.isin(part, pair) for pair in pairs])
    odds = networks(values, included, taught, seed)
    scores = np.stack([odds[net[own, own]][model] for model, own in enumerate(part)])
    levels = [
        level([
            odds[net[min(own, other), max(own, other)]][model][~included[model]]
            for model, other in enumerate(part) if other != own
        ])
        for own in range(parts)
    ]  # fmt: skip
    return scores, np.stack(levels)[part]


def _parts(models: int) -> Int64:
    """The part of each model, int64 [M]."""
    return np.arange(models, dtype=np.int64) % PARTS


def networks(values: Float32, included: NDArray[np.bool_], taught: NDArray[np.bool_], seed: int) -> Float64:
    """Log odds of being a member by several networks, each taught by some of the models: float64 [S, M, C].

    Layers of 32, 8 and 2 with ReLU between them, cross-entropy, 20 epochs of SGD (rate .01, momentum .9), as the
    paper has it; batches of 16 rows, drawn from all models, of which each network counts those that may teach it, and
    features standardised by the rows that teach.

    Args:
        values: float32 [M, C, d].
        included: bool [M, C], the labels.
        taught: bool [S, M], by which models; never none.
        seed: of start and order.
    """
    count, size, dim = values.shape
    with one_thread():
        x = torch.from_numpy(values.reshape(-1, dim))
        label = torch.from_numpy(included.reshape(-1).astype(np.int64))
        counts = torch.from_numpy(np.repeat(taught, size, axis=1).astype(np.float32))
        mean = counts @ x / counts.sum(1, keepdim=True)
        square = torch.stack([own @ (x - middle).square() for own, middle in zip(counts, mean, strict=True)])
        spread = (square / counts.sum(1, keepdim=True)).sqrt().clamp(min=1e-12)
        stream = rng(seed, "privacy", "taste")
        layers = [_layer(*shape, len(taught), stream) for shape in zip((dim, *_LAYERS), _LAYERS, strict=False)]

        def odds(rows: torch.Tensor) -> torch.Tensor:
            hidden = (x[rows] - mean[:, None]) / spread[:, None]
            for place, (weight, bias) in enumerate(layers):
                hidden = torch.baddbmm(bias, functional.relu(hidden) if place else hidden, weight)
            return hidden

        parameters = [part for layer in layers for part in layer]
        optimiser = torch.optim.SGD(parameters, _RATE, _MOMENTUM)
        for _ in range(_EPOCHS):
            for rows in torch.split(torch.from_numpy(stream.permutation(len(x))), _BATCH):
                loss = functional.cross_entropy(
                    odds(rows).flatten(0, 1), label[rows].repeat(len(taught)), reduction="none"
                ).view(len(taught), -1)
                use = counts[:, rows]
                optimiser.zero_grad()
                ((loss * use).sum(1) / use.sum(1).clamp(min=1)).sum().backward()  # type: ignore[no-untyped-call]
                optimiser.step()
        with torch.no_grad():
            found = [odds(rows) for rows in torch.split(torch.arange(len(x)), 4096)]
        logits = torch.cat(found, 1).numpy().astype(np.float64)
    return (logits[..., 1] - logits[..., 0]).reshape(len(taught), count, size)


def _layer(inputs: int, outputs: int, copies: int, stream: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights [S, inputs, outputs] and bias [S, 1, outputs], uniform within 1 / sqrt(inputs), alike in all networks."""
    bound = inputs**-0.5
    made = [
        torch.from_numpy(stream.uniform(-bound, bound, shape).astype(np.float32)).repeat(copies, 1, 1)
        for shape in ((1, inputs, outputs), (1, 1, outputs))
    ]
    return made[0].requires_grad_(), made[1].requires_grad_()
