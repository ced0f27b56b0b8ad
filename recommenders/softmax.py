"""Cross-entropy of the next item: over the catalogue, shared negatives that stand for it, or one negative each."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

_BLOCK = 1 << 17  # logits at a time on a CPU: a block stays in the cache


def cross_entropy(
    hidden: torch.Tensor,
    positive: torch.Tensor,
    target: torch.Tensor,
    candidates: torch.Tensor,
    drawn: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    weight: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean over positions of -log softmax of the target, scores being dot products.

    Over the whole catalogue (`drawn` None), or over the target and N shared negatives: with bias -log(N q_j) for a
    negative drawn with probability q_j, and the target itself left out of the negatives and given no bias, the
    denominator is an unbiased estimate of the full one.

    Shapes: hidden, positive float [T, d]; target int64 [T]; candidates float [N, d] (the catalogue: N = I); drawn
    int64 [N], their items; bias float [N]; weight float [T], a factor on each position -> scalar.

    Reference: Bengio and Senecal 2008, Adaptive Importance Sampling to Accelerate Training of a Neural
    Probabilistic Language Model; Yi et al. 2019, Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
    Recommendations, section 3 (the logQ correction).
    """
    value: torch.Tensor = _CrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden, positive, target, candidates, drawn, bias, weight
    )[0]
    return value


def cross_entropy_each(
    hidden: torch.Tensor,
    positive: torch.Tensor,
    target: torch.Tensor,
    candidates: torch.Tensor,
    drawn: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    """The loss of every position, float [T], without gradient; see `cross_entropy`."""
    value: torch.Tensor = _CrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden, positive, target, candidates, drawn, bias, None
    )[1]
    return value


def binary_each(hidden: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
    """-log sigmoid of each position's item and of its negative with the other sign: float [T, d] each -> [T].

    Reference: Kang and McAuley 2018, Self-Attentive Sequential Recommendation, section III.E.
    """
    return functional.softplus(-(hidden * positive).sum(-1)) + functional.softplus((hidden * negative).sum(-1))


class _CrossEntropy(torch.autograd.Function):
    """Loss and gradient in one pass over blocks of positions; the [T, N] logits never exist at once."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        positive: torch.Tensor,
        target: torch.Tensor,
        candidates: torch.Tensor,
        drawn: torch.Tensor | None,
        bias: torch.Tensor | None,
        weight: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rows = len(hidden)
        share = hidden.new_full((rows,), 1.0 / rows) if weight is None else weight / rows
        own = (hidden * positive).sum(-1)
        level = torch.empty_like(own)  # log of the denominator
        to_hidden, to_candidates = torch.empty_like(hidden), torch.zeros_like(candidates)
        size = max(64, _BLOCK // len(candidates)) if hidden.device.type == "cpu" else rows
        for start in range(0, rows, size):
            part = slice(start, start + size)
            here = hidden[part]
            logits = here @ candidates.T if bias is None else torch.addmm(bias, here, candidates.T)
            if drawn is None:
                logits.scatter_(1, target[part, None], -torch.inf)  # the target counts once, as `own`
            else:
                logits.masked_fill_(target[part, None] == drawn, -torch.inf)
            top = torch.maximum(logits.amax(-1), own[part])
            chance = logits.sub_(top[:, None]).exp_()
            total = chance.sum(-1) + torch.exp(own[part] - top)
            level[part] = top + torch.log(total)
            chance *= (share[part] / total)[:, None]
            torch.mm(chance, candidates, out=to_hidden[part])
            to_candidates.addmm_(chance.T, here)
        each = level - own
        ctx.mark_non_differentiable(each)
        pull = (share * (torch.exp(own - level) - 1.0))[:, None]
        ctx.save_for_backward(to_hidden.addcmul_(pull, positive), pull * hidden, to_candidates)
        return share @ each, each

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        to_hidden, to_positive, to_candidates = (gradient * saved for saved in ctx.saved_tensors)
        return to_hidden, to_positive, None, to_candidates, None, None, None
