"""What an attacker minimises: differentiable stand-ins for a target's rank."""

from __future__ import annotations

from typing import Literal

import torch

Rivals = Literal["all", "above", "published"]
"""Which items the target competes with: all that the user lacks; those that score at least as high; or those with
the logits of all others set to 0 instead of left out, as the public code of Leg-UP has it."""


_NOWHERE = -1e30
"""A score below all others; infinity has no gradient where a user has consumed everything."""


def softmax_loss(
    scores: torch.Tensor, targets: torch.Tensor, consumed: torch.Tensor, rivals: Rivals = "all"
) -> torch.Tensor:
    """-log of the softmax of each target among its rivals, mean over users and targets.

    Differentiable in the scores. "published" multiplies the logits by a 0/1 mask (every item that is no rival adds
    exp(0) = 1) and divides by 1.1 times the number of users.

    Shapes: scores float [B, I], targets int64 [T], consumed bool [B, I] (masked out; a consumed target counts as its
    only rival) -> scalar.

    Reference: Lin et al. 2022, Leg-UP, arXiv 2206.11433, the direct attack loss; Tang, Wen and Wang 2020, Revisiting
    Adversarially Learned Injection Attacks, RecSys, equation 6 ("all").
    """
    if rivals == "all":  # one sum over the catalogue serves all targets
        own = scores[:, targets]
        others = torch.logsumexp(scores.masked_fill(consumed, _NOWHERE), -1, keepdim=True)
        return (torch.where(consumed[:, targets], torch.logaddexp(others, own), others) - own).mean()
    losses = []
    for target in targets:
        own = scores[:, target]
        if rivals == "published":
            logits = scores * (scores >= own[:, None])
            losses.append((torch.logsumexp(logits, -1) - own).sum() / (1.1 * len(scores)))
            continue
        out = consumed | (scores < own[:, None])
        out[:, target] = False
        losses.append((torch.logsumexp(scores.masked_fill(out, -torch.inf), -1) - own).mean())
    return torch.stack(losses).mean()


def margin_loss(
    scores: torch.Tensor, targets: torch.Tensor, consumed: torch.Tensor, k: int, kappa: float = 0.0
) -> torch.Tensor:
    """How far each target lies below the k-th best of the items that a user lacks; no less than -kappa. Mean.

    Differentiable in the scores.

    Shapes: scores float [B, I], targets int64 [T], consumed bool [B, I], k in 1..I -> scalar.

    Reference: Carlini and Wagner 2017, Towards Evaluating the Robustness of Neural Networks, on ranks; the form of
    Huang et al. 2021, Data Poisoning Attacks to Deep Learning Based Recommender Systems, NDSS, equation 8.
    """
    others = scores.masked_fill(consumed, -torch.inf)
    others[:, targets] = -torch.inf
    places = min(k, others.shape[1])
    last = torch.topk(others, places, dim=1).values[:, -1:]
    # users who lack fewer than k items show every target anyway
    gap = torch.where(torch.isfinite(last), last - scores[:, targets], -kappa)
    return gap.clamp_min(-kappa).mean()
