"""A victim's training opened at its present parameters: gradients and curvature of its loss with fixed negatives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch.nn import functional

from ...datasets.log import Float32, Int64, InteractionLog
from ...datasets.seeding import derive, torch_rng
from ...datasets.seeding import rng as seeded
from ...recommenders.base import Model, Recipe
from ...recommenders.catalogue import build, fit
from ...recommenders.losses import bpr, sampled_softmax, squared_norm
from ...recommenders.pairwise import PairwiseConfig, PairwiseModel
from ...recommenders.sampling import Positives, collisions
from ...recommenders.trainer import RankingTraining, Trainable, one_thread
from ..request import Request

Curvature = Literal["hessian", "gauss-newton"]

_ROWS = 2048  # pairs that share negatives, and that are held at a time


def opened(
    recipe: Recipe, log: InteractionLog, seed: int, state: Mapping[str, torch.Tensor]
) -> tuple[Model, RankingTraining[Any]]:
    """A model with these tensors and its training on this log; nothing is trained.

    The model follows the training's parameters at every `refresh`. A graph is that of the log given.

    Args:
        recipe: of a model trained row by row.
        log: what is to be trained on.
        seed: of what a training draws when it is made.
        state: `Model.state`.
    """
    held: list[RankingTraining[Any]] = []

    def keep(training: RankingTraining[Any]) -> Trainable[Any]:
        held.append(training)
        return training

    model = fit(recipe, log, seed, start=state, harden=keep, epochs=0)
    return model, held[0]


def slowed(recipe: Recipe, divisor: float) -> Recipe:
    """The recipe with its learning rate divided."""
    rate = build(recipe).config.learning_rate / divisor
    return Recipe(recipe.model, {**recipe.config, "learning_rate": rate}, recipe.epochs)


def renewed(
    recipe: Recipe, state: Mapping[str, torch.Tensor], log: InteractionLog, request: Request, seed: int
) -> dict[str, torch.Tensor]:
    """A state in which users who are forgotten whole have rows that were never trained, as after a retrain.

    Args:
        recipe: of a model trained row by row.
        state: `Model.state`.
        log: before the request.
        request: its rows.
        seed: of the new rows.
    """
    whole = torch.from_numpy(np.union1d(request.whole_users(log), request.users))
    found = dict(state)
    if len(whole):
        fresh = fit(recipe, request.retained(log), derive(seed, "renewed"), epochs=0).state()
        for name in state:
            if name.startswith("user"):
                found[name] = state[name].clone()
                found[name][whole] = fresh[name][whole]
    return found


def fisher(training: RankingTraining[Any], seed: int, batches: int) -> list[torch.Tensor]:
    """Mean squared gradient of the training's loss over its first batches, a tensor for each parameter.

    The gradients are those of batch means: up to a common factor, and near a minimum, the diagonal of the empirical
    Fisher matrix of single rows.

    Reference: Kirkpatrick et al. 2017, Overcoming catastrophic forgetting in neural networks, PNAS.
    """
    parameters = training.parameters()
    total = [torch.zeros_like(parameter) for parameter in parameters]
    noise = torch_rng(seed, "fisher", "noise")
    count = 0
    with one_thread():
        for batch in training.batches(seeded(seed, "fisher")):
            found = torch.autograd.grad(training.loss(batch, noise), parameters, allow_unused=True)
            for sum_, gradient in zip(total, found, strict=True):
                if gradient is not None:
                    sum_ += gradient.square()
            count += 1
            if count == batches:
                break
    return [sum_ / max(count, 1) for sum_ in total]


@dataclass(frozen=True, eq=False)
class FixedPairs:
    """Pairs with negatives drawn once, so that losses before and after a request differ by the request alone.

    Nodes are users, then items.

    Attributes:
        config: the victim's; loss, temperature and L2 are read.
        user: int64 [P].
        positive: int64 [P], nodes.
        negative: int64 [P], nodes, for bpr; [K, N], shared by the K blocks of 2,048 pairs, for sampled_softmax.
        share: float [P], what each pair's loss counts.
        count: float, what a shared negative counts in the softmax: more than 1 where few stand for many.
    """

    config: PairwiseConfig
    user: torch.Tensor
    positive: torch.Tensor
    negative: torch.Tensor
    share: torch.Tensor
    count: float = 1.0

    def blocks(self) -> Iterator[FixedPairs]:
        """The pairs, 2,048 at a time, without those that count nothing."""
        shared = self.config.loss != "bpr"
        for number, first in enumerate(range(0, len(self.user), _ROWS)):
            kept = first + torch.nonzero(self.share[first : first + _ROWS])[:, 0]
            if len(kept):
                negative = self.negative[number] if shared else self.negative[kept]
                yield replace(
                    self,
                    user=self.user[kept],
                    positive=self.positive[kept],
                    negative=negative,
                    share=self.share[kept],
                )

    def rows(self) -> torch.Tensor:
        """Nodes of a block, one after the other: int64 [2 B + N]."""
        return torch.cat([self.user, self.positive, self.negative])

    def split(self, vectors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Vectors of `rows` as those of users, positives and negatives."""
        return torch.split(vectors, [len(self.user), len(self.positive), len(self.negative)])

    def hits(self) -> torch.Tensor:
        """Where a shared negative of a block is the pair's own positive: int64 [2, n], by pair."""
        return torch.from_numpy(collisions(self.positive.numpy(), self.negative.numpy()))

    def value(self, vectors: torch.Tensor) -> torch.Tensor:
        """A block's ranking loss, summed with the shares, by the victim's own formula: float [2 B + N, d] -> scalar."""
        weight = self.share.to(vectors.dtype) * len(self.share)
        user, positive, negative = self.split(vectors)
        if self.config.loss == "bpr":
            return bpr(user, positive, negative, weight)
        return sampled_softmax(user, positive, negative, self.config.temperature, weight, self.hits())

    def logits(self, vectors: torch.Tensor) -> torch.Tensor:
        """A block's scores less those of the positives, float [B, M]: what the loss depends on, convexly."""
        user, positive, negative = self.split(vectors)
        if self.config.loss == "bpr":
            return (user * (negative - positive)).sum(-1, keepdim=True)
        user, positive, negative = (functional.normalize(x, dim=-1) for x in (user, positive, negative))
        found = (user @ negative.T - (user * positive).sum(-1, keepdim=True)) / self.config.temperature
        mask = torch.zeros_like(found)
        row, column = self.hits()
        mask[row, column] = -torch.inf
        return found + mask

    def plain(self, logits: torch.Tensor) -> torch.Tensor:
        """The loss of a block from its logits, log(1 + count sum exp), twice differentiable: a scalar."""
        shifted = logits + float(np.log(self.count))
        return self.share.to(logits.dtype) @ torch.logsumexp(functional.pad(shifted, (1, 0)), dim=-1)


def fixed(
    config: PairwiseConfig, old: Positives, kept: Positives, seed: int, share: Float32 | None = None, most: int = 0
) -> tuple[FixedPairs, FixedPairs]:
    """The pairs of a log and those that are retained, with common negatives.

    With bpr a forgotten item may become a negative of its user: a retained pair's negative is drawn from what is
    unseen after the request, and drawn again where it was seen before it. So each of both has its own distribution,
    and they differ nowhere else.

    Args:
        config: the victim's.
        old: pairs before the request.
        kept: pairs after it, some of `old`.
        seed: draws.
        share: float32 [P], what each old pair counts; all 1 if None. Forgotten ones count nothing in the second.
        most: shared negatives at most, each of which counts for several; 0 for the victim's own number.
    """
    draws = seeded(seed, "fixed")
    order = old.order(draws)
    user, item = old.user[order], old.item[order]
    shares = np.ones(len(old), np.float32) if share is None else share
    stays = np.isin(user * old.n_items + item, kept.user * old.n_items + kept.item)
    first: Int64
    second: Int64
    if config.loss == "bpr":
        second = kept.unseen(draws, user)
        seen = np.isin(user * old.n_items + second, old.user * old.n_items + old.item)
        first = np.where(seen, old.unseen(draws, user), second)
        count = 1.0
    else:
        number = min(most, config.negatives) if most else config.negatives
        first = second = old.shared(draws, (-(-len(old) // _ROWS), number), config.popularity)
        count = config.negatives / number
    users, items, negatives = (torch.from_numpy(x) for x in (user, item + old.n_users, first + old.n_users))
    weight = torch.from_numpy(shares[order].astype(np.float32))
    before = FixedPairs(config, users, items, negatives, weight, count)
    after = replace(before, negative=torch.from_numpy(second + old.n_users), share=weight * torch.from_numpy(stays))
    return before, after


Propagation = Callable[[torch.Tensor], torch.Tensor]
"""From base to final vectors, float [U + I, d] each, users first; linear and self-adjoint."""


def propagation(model: PairwiseModel, pairs: Positives) -> Propagation:
    """How MF, LightGCN and SimGCL make final vectors with the graph of these pairs: P, for which P' = P."""
    encoder = model.encoder(pairs, torch.device("cpu"))
    places = torch.from_numpy(encoder.places)

    def final(base: torch.Tensor) -> torch.Tensor:
        table = torch.empty_like(base)
        table[places] = base
        return encoder.final(table)[places]

    return final


def gradient(pairs: FixedPairs, base: torch.Tensor, final: Propagation) -> torch.Tensor:
    """Gradient by the base table of the pairs' summed loss, float [U + I, d]; bpr's L2 term is part of it."""
    table = final(base)
    found, own = torch.zeros_like(base), torch.zeros_like(base)
    for block in pairs.blocks():
        rows = block.rows()
        vectors = table[rows].requires_grad_()
        found.index_add_(0, rows, torch.autograd.grad(block.value(vectors), vectors)[0])
        if pairs.config.loss == "bpr" and pairs.config.l2:
            vectors = base[rows].requires_grad_()
            norm = pairs.config.l2 * squared_norm(block.split(vectors), block.share.to(base.dtype) * len(block.share))
            own.index_add_(0, rows, torch.autograd.grad(norm, vectors)[0])
    return final(found) + own


def product(
    pairs: FixedPairs, base: torch.Tensor, final: Propagation, vector: torch.Tensor, curvature: Curvature = "hessian"
) -> torch.Tensor:
    """Second derivative of the pairs' summed loss by the base table, times a vector: float [U + I, d] -> [U + I, d].

    H = P H_final P, and H_final by differentiating twice. The Gauss-Newton matrix leaves out what the curvature of the
    scores adds: it has no negative eigenvalue, and equals H where scores are linear in what is free (items fixed).

    References: Pearlmutter 1994, Fast Exact Multiplication by the Hessian; Schraudolph 2002, Fast Curvature
    Matrix-Vector Products for Second-Order Gradient Descent.
    """
    table, moved = final(base), final(vector)
    found, own = torch.zeros_like(base), torch.zeros_like(base)
    for block in pairs.blocks():
        rows = block.rows()
        found.index_add_(0, rows, _block_product(block, table[rows], moved[rows], curvature))
        if pairs.config.loss == "bpr" and pairs.config.l2:
            weight = pairs.config.l2 * block.share.to(base.dtype).repeat(3)[:, None]
            own.index_add_(0, rows, weight * vector[rows])
    return final(found) + own


def _block_product(block: FixedPairs, vectors: torch.Tensor, moved: torch.Tensor, curvature: Curvature) -> torch.Tensor:
    """Of one block, by its own rows: float [2 B + N, d]."""
    vectors = vectors.detach().requires_grad_()
    logits = block.logits(vectors)
    if curvature == "hessian":
        (slope,) = torch.autograd.grad(block.plain(logits), vectors, create_graph=True)
        return torch.autograd.grad((slope * moved).sum(), vectors)[0]
    # J v as the derivative of J' w by w: J' w is linear in w
    probe = torch.zeros_like(logits, requires_grad=True)
    (back,) = torch.autograd.grad(logits, vectors, probe, create_graph=True)
    (ahead,) = torch.autograd.grad((back * moved).sum(), probe, retain_graph=True)
    chance = torch.softmax(functional.pad(logits.detach() + float(np.log(block.count)), (1, 0)), dim=-1)[:, 1:]
    curved = block.share.to(chance.dtype)[:, None] * (chance * ahead - chance * (chance * ahead).sum(-1, keepdim=True))
    return torch.autograd.grad(logits, vectors, curved)[0]
