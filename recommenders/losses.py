"""Ranking losses of the dot-product models, each a mean over positive pairs with the user's weight."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional


def bpr(
    user: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor, weight: torch.Tensor | None = None
) -> torch.Tensor:
    """Bayesian personalised ranking: -log sigmoid(user.positive - user.negative), mean over pairs.

    Shapes: user, positive, negative float [B, d]; weight float [B] or None -> scalar.

    Reference: Rendle et al. 2009, BPR: Bayesian Personalized Ranking from Implicit Feedback, section 4.
    """
    return _mean(bpr_each(user, positive, negative), weight)


def bpr_each(user: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
    """The loss of every pair, float [B]; see `bpr`."""
    return functional.softplus(-(user * (positive - negative)).sum(-1))


def sampled_softmax(
    user: torch.Tensor,
    positive: torch.Tensor,
    negatives: torch.Tensor,
    temperature: float,
    weight: torch.Tensor | None = None,
    hits: torch.Tensor | None = None,
) -> torch.Tensor:
    """Softmax over the positive and N negatives that the batch shares, on cosines divided by a temperature.

    Negatives drawn by popularity and no correction for it: popular items are pushed down in proportion, which
    counters popularity bias.

    Shapes: user, positive float [B, d]; negatives float [N, d]; weight float [B] or None; hits int64 [2, n],
    (row, negative) sorted by row, where a negative is the row's own positive and must not count, or None
    -> scalar.

    Reference: Wu et al. 2024, On the Effectiveness of Sampled Softmax Loss for Item Recommendation, equation 4.
    """
    user, positive, negatives = (functional.normalize(x, dim=-1) for x in (user, positive, negatives))
    value: torch.Tensor = _SharedSoftmax.apply(user, positive, negatives, temperature, weight, hits)[0]  # type: ignore[no-untyped-call]
    return value


def sampled_softmax_each(
    user: torch.Tensor,
    positive: torch.Tensor,
    negatives: torch.Tensor,
    temperature: float,
    hits: torch.Tensor | None = None,
) -> torch.Tensor:
    """The loss of every pair, float [B], without gradient; see `sampled_softmax`."""
    user, positive, negatives = (functional.normalize(x, dim=-1) for x in (user, positive, negatives))
    value: torch.Tensor = _SharedSoftmax.apply(user, positive, negatives, temperature, None, hits)[1]  # type: ignore[no-untyped-call]
    return value


class _SharedSoftmax(torch.autograd.Function):
    """`sampled_softmax` of unit vectors, loss and gradient in one pass over blocks of rows.

    The [B, N] logits never exist at once: a block stays in the cache, which is three times as fast as autograd
    over the whole, in a hundredth of the memory. Cosines are bounded, so exp needs no running maximum.
    """

    @staticmethod
    def forward(
        ctx: Any,
        user: torch.Tensor,
        positive: torch.Tensor,
        negatives: torch.Tensor,
        temperature: float,
        weight: torch.Tensor | None,
        hits: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rows = len(user)
        scale = 1.0 / temperature
        share = user.new_full((rows,), 1.0 / rows) if weight is None else weight / rows
        own = ((user * positive).sum(-1) - 1.0) * scale  # logits less their bound
        total = torch.exp(own)
        to_user, to_negatives = torch.empty_like(user), torch.zeros_like(negatives)
        size = _ROWS if user.device.type == "cpu" else rows
        starts = range(0, rows, size)
        bounds = _bounds(hits, starts, rows)
        for block, start in enumerate(starts):
            end = min(start + size, rows)
            part = torch.exp_((user[start:end] @ negatives.T).sub_(1.0).mul_(scale))
            if hits is not None:
                row, column = hits[:, bounds[block] : bounds[block + 1]]
                part[row - start, column] = 0.0
            total[start:end] += part.sum(-1)
            part *= (share[start:end] * scale / total[start:end])[:, None]
            torch.mm(part, negatives, out=to_user[start:end])
            to_negatives.addmm_(part.T, user[start:end])
        each = torch.log(total) - own
        ctx.mark_non_differentiable(each)
        pull = ((1.0 - torch.exp(own) / total) * share * scale)[:, None]
        ctx.save_for_backward(to_user.addcmul_(pull, positive, value=-1.0), -pull * user, to_negatives)
        return share @ each, each

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return (*(gradient * saved for saved in ctx.saved_tensors), None, None, None)


_ROWS = 256


def _bounds(hits: torch.Tensor | None, starts: range, rows: int) -> list[int]:
    """Where each block's hits begin, and where the last ends."""
    if hits is None:
        return []
    edges = torch.tensor([*starts, rows], device=hits.device)
    return [int(edge) for edge in torch.searchsorted(hits[0].contiguous(), edges)]


def info_nce(first: torch.Tensor, second: torch.Tensor, temperature: float) -> torch.Tensor:
    """Contrast two views of the same nodes: each should be nearest to its own other view.

    Shapes: first, second float [n, d] -> scalar, mean over nodes.

    Reference: Yu et al. 2022, Are Graph Augmentations Necessary? (SimGCL), equation 2.
    """
    first = functional.normalize(first, dim=-1) / temperature
    second = functional.normalize(second, dim=-1)
    every = first @ second.T
    return (torch.logsumexp(every, dim=-1) - every.diagonal()).mean()


def squared_norm(rows: tuple[torch.Tensor, ...], weight: torch.Tensor | None = None) -> torch.Tensor:
    """Half the squared norm of a pair's base vectors, mean over pairs: the L2 term that goes with BPR.

    Shapes: each of rows float [B, d]; weight float [B] or None -> scalar.
    """
    total = rows[0].square().sum(-1)
    for row in rows[1:]:
        total = total + row.square().sum(-1)
    return _mean(0.5 * total, weight)


def _mean(values: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
    return values.mean() if weight is None else (values * weight).mean()
