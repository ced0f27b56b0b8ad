"""Influence functions with the spill-over through the graph: one damped Newton step on the touched rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from ...datasets.log import Float32, Int64, InteractionLog
from ...datasets.seeding import derive
from ...datasets.seeding import rng as seeded
from ...recommenders.base import Recipe
from ...recommenders.catalogue import build
from ...recommenders.pairwise import PairwiseModel
from ...recommenders.sampling import Positives
from ...recommenders.trainer import one_thread
from ..base import Served, Unlearner, UnlearnerConfig
from ..request import Request
from .gradients import Curvature, fixed, gradient, opened, product, propagation, renewed

_MODELS = ("mf", "lightgcn", "simgcl")
_REST = 0.1  # of the pairs of the Hessian at least, that touch no row in scope


class InfluenceConfig(UnlearnerConfig):
    """Settings of the influence step."""

    curvature: Curvature = Field(
        default="gauss-newton", description="hessian, or gauss-newton, which has no negative eigenvalue"
    )
    damping: float = Field(
        default=0.1, ge=0, description="added to the diagonal, in units of the curvature along the gradient"
    )
    steps: int = Field(default=10, ge=1, le=1000, description="conjugate gradient steps at most")
    tolerance: float = Field(default=1e-3, ge=0, lt=1, description="stop when the residual is this share of b")
    hops: int = Field(
        default=1, ge=0, le=8, description="rows that may move: touched users and items, and so many hops around them"
    )
    sample: int = Field(default=50_000, ge=1, description="pairs the Hessian is taken from, at most")
    negatives: int = Field(default=64, ge=1, description="shared negatives in the Hessian, weighed up to the victim's")


class Influence(Unlearner):
    """One damped Newton step that takes back what the forget set has added to the training loss.

        theta_u = theta_0 + (H + lambda)^-1 b,
        b = sum over D of grad(theta_0; A) - sum over the retain set of grad(theta_0; A_r),

    A the graph before and A_r after. A forgotten pair counts in b in full; a retained pair only where the request
    changed its vectors through the graph, which is the spill-over. Were theta_0 a minimum, the first sum would be zero
    and the step Newton's on the retain set's loss. Training stops before that; the first sum takes away the gradient
    that was left then, so that the step undoes the request and does not train on. H is that of the retain set; b and H
    are both divided by the number of retained pairs. Only rows near the request move.

    References: Zhang et al. 2024, Recommendation Unlearning via Influence Function, ACM TORS (IFRU: spill-over,
    pruning by hops); Li et al. 2023, Selective and Collaborative Influence Function for Efficient Recommendation
    Unlearning, Expert Systems with Applications (SCIF: rows in scope); Wu et al. 2023, GIF: A General Graph Unlearning
    Strategy via Influence Function, WWW. Martens 2010, Deep Learning via Hessian-free Optimization, ICML.
    """

    name: ClassVar[str] = "influence"
    title: ClassVar[str] = "influence function with spill-over through the graph"
    reference: ClassVar[str] = "Zhang et al. 2024, Recommendation Unlearning via Influence Function, ACM TORS (IFRU)"
    config_type: ClassVar[type[InfluenceConfig]] = InfluenceConfig
    version: ClassVar[int] = 2
    config: InfluenceConfig

    def why_not(self, recipe: Recipe, log: InteractionLog) -> str | None:
        """Models whose final vectors are a linear self-adjoint image of their base tables."""
        if recipe.model in _MODELS:
            return None
        return f"the curvature of {recipe.model} is not at hand; only that of {', '.join(_MODELS)}"

    def forget(self, served: Served, request: Request, seed: int) -> Served:
        """See Unlearner. SimGCL's contrast is taken to be the same before and after."""
        log = request.retained(served.log)
        state = served.trained.state()
        name = "_base" if "user_base" in state else ""
        base = torch.cat([state["user" + name], state["item" + name]])
        with one_thread():
            base = base + self.step(cast(PairwiseModel, build(served.recipe)), base, served.log, log, seed)
            moved = {"user" + name: base[: log.n_users], "item" + name: base[log.n_users :]}
            model, _ = opened(served.recipe, log, seed, state | moved)
            found = build(served.recipe)
            found.load(renewed(served.recipe, model.state(), served.log, request, seed), log.n_users, log.n_items)
        return served.after(request, log, found)

    def step(
        self,
        model: PairwiseModel,
        base: torch.Tensor,
        log: InteractionLog,
        retained: InteractionLog,
        seed: int,
        free: NDArray[np.bool_] | None = None,
    ) -> torch.Tensor:
        """What is added to the base table, float [U + I, d], users first.

        Args:
            model: of the victim's class and config; not fitted.
            base: the table before, float [U + I, d].
            log: training events before the request.
            retained: and after it.
            seed: of negatives and of the Hessian's pairs.
            free: bool [U + I], rows that may move, if not those of `scope`.
        """
        config = self.config
        old, kept = Positives.of(log), Positives.of(retained)
        before, after = propagation(model, old), propagation(model, kept)
        free = scope(old, kept, config.hops) if free is None else free
        mask = torch.from_numpy(free).to(base.dtype)[:, None]
        first, second = fixed(model.config, old, kept, derive(seed, "gradient"))
        b = mask * (gradient(first, base, before) - gradient(second, base, after)) / len(kept)
        if not bool(b.any()):
            return torch.zeros_like(base)
        share = chosen(kept, free, config.sample, seed) / np.float32(len(kept))
        curved, _ = fixed(model.config, kept, kept, derive(seed, "hessian"), share, config.negatives)

        def times(vector: torch.Tensor) -> torch.Tensor:
            return mask * product(curved, base, after, vector, config.curvature)

        along = float((b * times(b)).sum() / b.square().sum())
        return conjugate_gradient(times, b, abs(along) * config.damping, config.steps, config.tolerance)


def scope(old: Positives, kept: Positives, hops: int) -> NDArray[np.bool_]:
    """Which nodes may move, bool [U + I]: users and items of forgotten pairs, and who is within so many hops of them.

    Reference: IFRU, section on pruning; here without its importance scores.
    """
    n = old.n_users
    gone = ~np.isin(old.user * old.n_items + old.item, kept.user * kept.n_items + kept.item)
    found = np.zeros(n + old.n_items, np.bool_)
    found[old.user[gone]] = found[old.item[gone] + n] = True
    for _ in range(hops):
        users, items = found[old.user], found[old.item + n]
        found[old.user[items]] = True
        found[old.item[users] + n] = True
    return found


def chosen(pairs: Positives, free: NDArray[np.bool_], most: int, seed: int) -> Float32:
    """What each pair counts in the Hessian, float32 [P]: 0, or the number of pairs it stands for; the sum is unbiased.

    Pairs that touch a row in scope come first; a tenth of the sample, if it is too small for all, is for the others.
    """
    touching = free[pairs.user] | free[pairs.item + pairs.n_users]
    parts: list[Int64] = [np.flatnonzero(touching), np.flatnonzero(~touching)]
    rest = min(len(parts[1]), max(most - len(parts[0]), round(_REST * most)))
    found = np.zeros(len(pairs), np.float32)
    draws = seeded(seed, "hessian", "pairs")
    for part, size in zip(parts, (most - rest, rest), strict=True):
        size = min(size, len(part))
        if size:
            found[draws.choice(part, size, replace=False)] = len(part) / size
    return found


def conjugate_gradient(
    times: Callable[[torch.Tensor], torch.Tensor], b: torch.Tensor, damping: float, steps: int, tolerance: float
) -> torch.Tensor:
    """Solve (H + damping) p = b from p = 0; the last p before negative curvature, too many steps, or the tolerance.

    If already b has negative curvature, p = 0: the quadratic model then says nothing about how far to go.

    Args:
        times: the product with H, symmetric.
        b: any shape.
        damping: on the diagonal.
        steps: products at most.
        tolerance: of the residual's length, as a share of b's.

    Reference: Nocedal and Wright 2006, Numerical Optimization, algorithm 7.1.
    """
    found, residual = torch.zeros_like(b), b.clone()
    direction, size = residual.clone(), float(b.square().sum())
    enough = tolerance**2 * size
    for _ in range(steps):
        if size <= enough:
            break
        curved = times(direction) + damping * direction
        along = float((direction * curved).sum())
        if along <= 0:
            break
        found = found + size / along * direction
        residual = residual - size / along * curved
        size, last = float(residual.square().sum()), size
        direction = residual + size / last * direction
    return found
