"""The autoencoder of items: its sums without a dense array, its gradients, and the attack on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse

from recaudit.attacks.base import Goal
from recaudit.attacks.clone import CloneAndPush
from recaudit.attacks.goal import Kind
from recaudit.attacks.revadv import RevAdv, RevAdvConfig
from recaudit.attacks.surrogate import item_ae
from recaudit.attacks.surrogate.base import Accounts
from recaudit.attacks.surrogate.descent import block
from recaudit.attacks.surrogate.item_ae import Cells, ItemAE, ItemAEConfig
from recaudit.attacks.surrogate.wmf import mean_ratings
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.seeding import rng
from recaudit.datasets.synthetic import generate

from ..conformance import examine, examine_declaration, examine_profiles, run

USERS, ITEMS = 20, 15
KINDS: list[Kind] = ["implicit", "rating"]


def small() -> InteractionLog:
    """Twenty users and fifteen items; item 14 has no events."""
    log = generate(users=USERS, items=ITEMS, events=120, seed=1)
    keep = log.item != 14
    assert log.value is not None
    return replace(log, user=log.user[keep], item=log.item[keep], value=log.value[keep], time=None)


def accounts(kind: Kind) -> Accounts:
    """Three accounts with fractions of events."""
    present = torch.from_numpy(np.random.default_rng(0).uniform(0.1, 1, (3, ITEMS)))
    return Accounts(present, present * (4.0 if kind == "rating" else 1.0))


def model(kind: Kind, log: InteractionLog | None = None, **settings: float) -> ItemAE:
    """A small one in float64, always with the same first parameters."""
    config = ItemAEConfig.model_validate({"dim": 6, "steps": 30, "unroll": 4} | settings)
    return ItemAE(log or small(), kind, config, np.random.default_rng(1), torch.float64)


@pytest.mark.parametrize("mkl", [True, False])
def test_sums_over_cells(mkl: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dense products read at the cells; first and second derivatives by finite differences."""
    if mkl and not item_ae._MKL:
        pytest.skip("this torch has no MKL")
    monkeypatch.setattr(item_ae, "_MKL", mkl)
    monkeypatch.setattr(item_ae, "_CELLS", 3)
    drawn = np.random.default_rng(0)
    matrix = sparse.csr_matrix((drawn.random((5, 4)) * (drawn.random((5, 4)) < 0.5)).astype(np.float32))
    cells, dense = Cells(matrix, torch.float64), torch.from_numpy(matrix.toarray()).double()

    def leaf(*shape: int) -> torch.Tensor:
        return torch.from_numpy(drawn.standard_normal(shape)).requires_grad_(True)

    left, right, values = leaf(5, 3), leaf(4, 3), leaf(matrix.nnz)
    assert torch.allclose(cells.products(left, right), (left @ right.T)[dense > 0])
    assert torch.allclose(cells.times(cells.values, right), dense @ right)
    assert torch.allclose(cells.times(cells.values, left, along=1), dense.T @ left)
    check, twice = torch.autograd.gradcheck, torch.autograd.gradgradcheck
    for test in (check, twice):
        assert test(cells.products, (left, right))
        assert test(cells.times, (values, right))
        assert test(lambda v, x: cells.times(v, x, along=1), (values, left))


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_the_dense_one(kind: Kind) -> None:
    """All users and accounts x items written out, up to what does not depend on the parameters."""
    log, own, surrogate = small(), accounts(kind), model(kind)
    seen = torch.from_numpy(log.matrix().toarray()).double()
    table = torch.from_numpy(mean_ratings(log).toarray()).double() if kind == "rating" else seen
    centre = float(mean_ratings(log).data.mean()) if kind == "rating" else 0.0
    weight = torch.cat([seen, own.present])
    wanted = torch.cat([table - centre * seen, own.rating - centre * own.present])  # weight times the centred rating
    values = []
    for shift in (0.0, 0.3):
        into, bias, out = (each + shift for each in surrogate.first(3))
        hidden = torch.tanh(wanted.T @ into + bias)
        scores = out[:, :-1] @ hidden.T + out[:, -1:]
        dense = (weight * scores**2 - 2 * wanted * scores).sum()
        if kind == "implicit":
            dense = dense + 0.2 * (scores**2).sum()
        constant = (surrogate.cells.values**2).sum()
        values.append((dense + constant) / len(surrogate.cells.values))
        assert float(surrogate.loss([into, bias, out], own)) == pytest.approx(float(values[-1]), rel=1e-5)
    assert values[0] != values[1]


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_through_the_unrolled_training(kind: Kind) -> None:
    """Finite differences in float64, of presence and of ratings, through four steps of Adam."""
    own = accounts(kind)
    weight = torch.from_numpy(np.random.default_rng(5).standard_normal((USERS, ITEMS)))

    def value(present: torch.Tensor, rating: torch.Tensor) -> torch.Tensor:
        surrogate = model(kind)
        surrogate.fit(own)
        return (surrogate.unrolled(Accounts(present, rating)).scores(torch.arange(USERS)) * weight).sum()

    leaves = own.present.clone().requires_grad_(True), own.rating.clone().requires_grad_(True)
    gradients = torch.autograd.grad(value(*leaves), leaves)
    for cell in ((0, 0), (1, 7), (2, 14)):
        for place, gradient in enumerate(gradients):
            ends = []
            for step in (1e-5, -1e-5):
                moved = [own.present.clone(), own.rating.clone()]
                moved[place][cell] += step
                ends.append(value(moved[0], moved[1]).item())
            assert float(gradient[cell]) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-4, abs=1e-7)


def test_the_gradient_takes_two_roads() -> None:
    """Through the input alone, with all parameters still, and through the training; they differ."""
    surrogate, own = model("implicit"), accounts("implicit")
    surrogate.fit(own)
    rating = own.rating.clone().requires_grad_(True)
    still = [state[0].clone() for state in surrogate.states]
    by_input = surrogate.factors(still, Accounts(own.present, rating)).scores(torch.arange(USERS))[:, 3].sum()
    by_both = surrogate.unrolled(Accounts(own.present, rating)).scores(torch.arange(USERS))[:, 3].sum()
    (first,), (second,) = (torch.autograd.grad(score, [rating]) for score in (by_input, by_both))
    assert (first[:, 3] != 0).all() and (first[:, :3] == 0).all(), "an input moves its own item alone"
    assert (second[:, :3] != 0).all(), "training moves every item"


@pytest.mark.parametrize("kind", KINDS)
def test_calls_go_on_from_the_last_one(kind: Kind) -> None:
    """A fit of 30 steps and two calls of 4 are a fit of 38: parameters and moments are kept."""
    surrogate, own = model(kind), accounts(kind)
    fitted = surrogate.fit(own)
    surrogate.unrolled(own)
    whole = model(kind, steps=38).fit(own)
    found = surrogate.unrolled(own)
    assert torch.allclose(found.item, whole.item, atol=1e-8) and torch.allclose(found.user, whole.user, atol=1e-8)
    assert not fitted.item.requires_grad and not surrogate.states[0][0].requires_grad
    assert model(kind).unrolled(own).user.shape == fitted.user.shape, "fits first where nothing was fitted"


def test_it_tells_consumed_items_from_others() -> None:
    """After a fit most consumed items score above most others."""
    log = small()
    scores = model("implicit", steps=300, decay=0.1).fit(accounts("implicit")).scores(torch.arange(USERS)).numpy()
    seen = log.matrix().toarray() > 0
    assert (scores[seen][:, None] > scores[~seen]).mean() > 0.9


def test_it_explains_ratings() -> None:
    """The error on rated pairs falls below the variance."""
    log = small()
    ratings = mean_ratings(log)
    centred = ratings.toarray() - ratings.data.mean()
    scores = model("rating", steps=300).fit(accounts("rating")).scores(torch.arange(USERS)).numpy()
    seen = log.matrix().toarray() > 0
    assert ((scores - centred)[seen] ** 2).mean() < 0.3 * ratings.data.var()


class OnItemAE(RevAdv):
    """RevAdv on a short training, so that the examination is quick."""

    def __init__(self, config: RevAdvConfig | None = None) -> None:
        super().__init__(config or RevAdvConfig(surrogate="item-ae", steps=3, item_ae=ItemAEConfig(steps=20, unroll=3)))


@pytest.mark.parametrize("kind", KINDS)
def test_conformance(kind: Kind) -> None:
    """The examination that every attack passes."""
    examine(OnItemAE, kind, "push")


def test_declaration() -> None:
    """And what it says about itself."""
    examine_declaration(OnItemAE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("users", [1, 2])
def test_hardly_any_users(kind: Kind, users: int) -> None:
    """One or two users, a target without events."""
    log = generate(users=users, items=12, events=4 * users, seed=0)
    target = int(np.flatnonzero(log.item_counts == 0)[0])
    goal = Goal((target,), 2, 5, kind)
    examine_profiles(run(OnItemAE(), log, goal), log, goal)


@pytest.mark.parametrize("kind", KINDS)
def test_the_attack_beats_its_start_on_fresh_surrogates(kind: Kind) -> None:
    """Mean log2 rank of the target on surrogates of other seeds: below that of the copies it starts from."""
    log = generate(users=120, items=80, events=3000, seed=3)
    target = int(np.argsort(log.item_counts, kind="stable")[8])
    goal = Goal((target,), 6, 20, kind)
    config = RevAdvConfig(surrogate="item-ae")
    lacks = np.flatnonzero(log.matrix()[:, [target]].toarray().ravel() == 0)
    seen = log.matrix()[lacks].toarray() > 0
    found = []
    for attack in (CloneAndPush(), RevAdv(config)):
        own = block(run(attack, log, goal), log.n_items, kind == "rating")
        ranks = []
        for seed in (11, 12, 13):
            scores = ItemAE(log, kind, ItemAEConfig(), rng(seed)).fit(own).scores(torch.from_numpy(lacks)).numpy()
            scores[seen] = -np.inf
            ranks.append(np.log2(1 + (scores > scores[:, [target]]).sum(1)).mean())
        found.append(np.mean(ranks))
    assert found[1] < found[0] - 0.1
