"""Matrix factorisation by Adam against one surrogate call of the public Leg-UP code."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from recaudit.attacks.surrogate.adam import State, adam_step
from recaudit.attacks.surrogate.base import Accounts
from recaudit.attacks.surrogate.losses import softmax_loss
from recaudit.attacks.surrogate.wmf_adam import AdamWMF
from recaudit.datasets.log import Int64
from recaudit.recommenders.trainer import one_thread


@dataclass(frozen=True)
class Oracle:
    """Genuine ratings, untouched templates without the target, and what the public code found."""

    ratings: sparse.csr_matrix
    accounts: Accounts
    target: int
    cells: tuple[torch.Tensor, torch.Tensor]
    gradients: tuple[torch.Tensor, torch.Tensor]
    losses: tuple[float, float]

    def call(self, model: AdamWMF) -> tuple[list[float], list[torch.Tensor]]:
        """Losses and filler gradients: as published, and with lower items left out."""
        rating = self.accounts.rating.clone().requires_grad_(True)
        users = torch.from_numpy(np.flatnonzero(self.ratings[:, [self.target]].toarray().ravel() == 0))
        with one_thread():
            scores = model.unrolled(Accounts(self.accounts.present, rating)).scores(users)
            nothing, target = torch.zeros(scores.shape, dtype=torch.bool), torch.tensor([self.target])
            losses = [softmax_loss(scores, target, nothing, rivals) for rivals in ("published", "above")]
            found = [torch.autograd.grad(loss, [rating], retain_graph=True)[0][self.cells] for loss in losses]
        return [loss.item() for loss in losses], [gradient.double() for gradient in found]


def oracle(shared: Path, name: str, target: int) -> Oracle:
    """Read the stored call."""
    stored = shared / "oracles/attacks" / name
    if name == "ml100k":
        rows = pd.read_csv(shared / "data/movielens-100k/interactions.csv.gz")
        held = pd.MultiIndex.from_frame(pd.read_csv(stored / "held_out.csv.gz")[["user_id", "item_id"]])
        train = rows[~pd.MultiIndex.from_frame(rows[["user_id", "item_id"]]).isin(held)]
    else:
        rows = pd.read_csv(shared / "data/legup-automotive/interactions.csv.gz")
        train = rows[rows.split == "train"]
    shape = int(rows.user_id.max()) + 1, int(rows.item_id.max()) + 1
    values = train.rating.to_numpy(np.float32)
    ratings = sparse.csr_matrix((values, (train.user_id.to_numpy(), train.item_id.to_numpy())), shape=shape)
    step = pd.read_csv(stored / f"surrogate-step-target-absent_{target}.csv.gz")
    cells = torch.tensor(step.account.to_numpy(np.int64)), torch.tensor(step.item.to_numpy(np.int64))
    rating = torch.zeros(50, shape[1])
    rating[cells] = torch.tensor(step.value.to_numpy(np.float32))
    gradients = torch.tensor(step.grad_published.to_numpy(float)), torch.tensor(step.grad_masked.to_numpy(float))
    report = json.loads((stored / f"surrogate-step_{target}.json").read_text())["target_absent"]
    losses = report["loss_published"], report["loss_masked"]
    return Oracle(ratings, Accounts((rating > 0).float(), rating), target, cells, gradients, losses)


def published_start(rows: int, items: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The first vectors of the public code: torch seed 1234, items before users."""
    generator = torch.Generator().manual_seed(1234)
    first, second = (torch.zeros(n, 64).normal_(0, 0.1, generator=generator) for n in (items, rows))
    return first, second


def published_orders(rows: int) -> Callable[[], Int64]:
    """The orders of the public code: numpy seed 1234, one list shuffled again in each pass."""
    random, order = np.random.RandomState(1234), np.arange(rows)

    def following() -> Int64:
        random.shuffle(order)
        return order.copy()

    return following


@pytest.mark.parametrize(("name", "target"), [("ml100k", 62), ("automotive", 119)])
def test_same_start_same_gradient(shared: Path, name: str, target: int) -> None:
    """With the first vectors and orders of the public code: its losses and its gradient on every filler."""
    known = oracle(shared, name, target)
    losses, gradients = known.call(AdamWMF(known.ratings, np.random.default_rng(0), start=published_start,
                                           orders=published_orders))  # fmt: skip
    assert losses == pytest.approx(known.losses, abs=1e-3)
    for own, theirs in zip(gradients, known.gradients, strict=True):
        assert torch.cosine_similarity(own, theirs, dim=0) >= 0.999
        assert float(own.norm()) == pytest.approx(float(theirs.norm()), rel=1e-2)


RANGES = {
    "ml100k": ((6.77, 7.14), (7.40, 7.81), (3.9e-4, 4.6e-4)),
    "automotive": ((6.89, 7.20), (7.28, 7.63), (4.5e-4, 5.6e-4)),
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "target", "seeds"), [("ml100k", 62, 5), ("automotive", 119, 10)])
def test_other_seeds_lie_where_the_public_code_does(shared: Path, name: str, target: int, seeds: int) -> None:
    """Mean losses and gradient norms inside the range of five of its seeds; on MovieLens the gradients agree.

    Automotive takes ten seeds: losses there vary by .24 between seeds, so that a mean of five has a standard error of
    .11, no less than its distance to the range's lower end (the first five of ours have 6.82, below 6.89).
    """
    known = oracle(shared, name, target)
    found = [known.call(AdamWMF(known.ratings, np.random.default_rng(seed))) for seed in range(seeds)]
    norms = [float(gradients[0].norm()) for _, gradients in found]
    means = [*np.mean([losses for losses, _ in found], axis=0), np.mean(norms)]
    for mean, (low, high) in zip(means, RANGES[name], strict=True):
        assert low <= mean <= high
    if name == "ml100k":  # on Automotive gradients of the public code's own seeds have cosines of .01 to .11
        cosines = [torch.cosine_similarity(gradients[0], known.gradients[0], dim=0) for _, gradients in found]
        assert min(cosines) >= 0.75


def tiny() -> tuple[sparse.csr_matrix, Accounts]:
    """Twelve users, eight items, two accounts."""
    rng = np.random.default_rng(0)
    ratings = sparse.csr_matrix((rng.integers(1, 6, (12, 8)) * (rng.random((12, 8)) < 0.5)).astype(np.float32))
    present = torch.from_numpy((rng.random((2, 8)) < 0.6).astype(np.float32))
    return ratings, Accounts(present, present * 3)


def test_a_seed_repeats_and_none_does_not() -> None:
    """The published code starts every call from the same seed."""
    ratings, accounts = tiny()
    fixed, free = (AdamWMF(ratings, np.random.default_rng(0), seed=seed, dim=4, passes=3) for seed in (1, None))
    assert torch.equal(fixed.unrolled(accounts).item, fixed.unrolled(accounts).item)
    assert not torch.equal(free.unrolled(accounts).item, free.unrolled(accounts).item)


def test_unrolling_does_not_change_the_result() -> None:
    """Passes in place and passes with a graph are the same training; `fit` gives no graph."""
    ratings, accounts = tiny()
    live = Accounts(accounts.present, accounts.rating.clone().requires_grad_(True))
    results = [
        AdamWMF(ratings, np.random.default_rng(0), seed=1, dim=4, passes=4, unroll=n).unrolled(live).item
        for n in (1, 4)
    ]
    fitted = AdamWMF(ratings, np.random.default_rng(0), seed=1, dim=4, passes=4).fit(live).item
    assert not fitted.requires_grad and results[0].requires_grad
    for result in results:
        assert torch.allclose(result, fitted, atol=1e-5)


def test_it_learns_the_ratings() -> None:
    """Genuine ratings are nearer after training than with the first vectors."""
    ratings, accounts = tiny()
    seen = torch.from_numpy(ratings.toarray())

    def error(passes: int) -> float:
        factors = AdamWMF(ratings, np.random.default_rng(0), seed=1, dim=8, passes=passes).fit(accounts)
        return float(((factors.scores(torch.arange(12)) - seen)[seen > 0] ** 2).mean())

    assert error(300) < 0.1 * error(0)


@pytest.mark.parametrize("tracked", [False, True])
def test_the_step_is_torch_adam(tracked: bool) -> None:
    """Twenty steps on a quadratic, one coordinate without gradient, with weight decay."""
    weight = torch.tensor([1.0, -2.0, 0.0, 3.0], dtype=torch.float64)
    theirs = torch.nn.Parameter(torch.tensor([0.5, 0.1, 0.0, -1.0], dtype=torch.float64))
    optimiser = torch.optim.Adam([theirs], lr=0.03, weight_decay=0.02)
    start = theirs.detach().clone()
    state: State = (start, torch.zeros_like(start), torch.zeros_like(start))
    step = partial(adam_step, rate=0.03, decay=0.02)
    for number in range(1, 21):
        theirs.grad = (2 * weight * (theirs - 1) * (weight != 0)).detach()
        with torch.set_grad_enabled(tracked):
            state = step(state, number, (2 * weight * (state[0] - 1) * (weight != 0)).clone())
        optimiser.step()
    assert torch.allclose(state[0], theirs.detach(), rtol=1e-9, atol=1e-12)


def test_the_step_has_a_finite_gradient_where_nothing_moves() -> None:
    """The root of a second moment of zero has no slope, rather than an infinite one."""
    gradient = torch.tensor([0.0, 2.0], requires_grad=True)
    zero = torch.zeros(2)
    moved, _, _ = adam_step((zero, zero, zero), 1, gradient, rate=0.1, decay=0.0)
    (slope,) = torch.autograd.grad(moved.sum(), [gradient])
    assert torch.isfinite(slope).all() and moved[0] == 0
