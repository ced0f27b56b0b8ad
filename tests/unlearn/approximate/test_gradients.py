"""Gradients and curvature with fixed negatives, against finite differences and hand-made cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import build, fit
from recaudit.recommenders.sampling import Positives
from recaudit.unlearn.approximate.gradients import (
    FixedPairs,
    fisher,
    fixed,
    gradient,
    opened,
    product,
    propagation,
)
from recaudit.unlearn.request import Request

from ..conformance import requests, small_log

LOG = small_log()
PAIRS = Positives.of(LOG)
CONFIGS: dict[str, dict[str, Any]] = {
    "bpr": {"dim": 4, "loss": "bpr", "l2": 0.1},
    "softmax": {"dim": 4, "negatives": 30, "temperature": 0.3},
}


def identity(base: torch.Tensor) -> torch.Tensor:
    return base


def table(seed: int = 0) -> torch.Tensor:
    draw = np.random.default_rng(seed).standard_normal((LOG.n_users + LOG.n_items, 4))
    return torch.from_numpy(draw)


def drawn(name: str) -> FixedPairs:
    return fixed(build(Recipe("mf", CONFIGS[name])).config, PAIRS, PAIRS, 0)[0]


def total(pairs: FixedPairs, base: torch.Tensor) -> float:
    """The loss, pair by pair, from its definition."""
    found = 0.0
    for block in pairs.blocks():
        user, positive, negative = (base[rows] for rows in (block.user, block.positive, block.negative))
        if pairs.config.loss == "bpr":
            found += float(-torch.nn.functional.logsigmoid((user * (positive - negative)).sum(1)).sum())
            found += pairs.config.l2 / 2 * float(sum(part.square().sum() for part in (user, positive, negative)))
            continue
        cosine = torch.nn.functional.cosine_similarity
        for row in range(len(user)):
            others = block.negative != block.positive[row]
            own = cosine(user[row], positive[row], dim=0)[None]
            scores = torch.cat([own, cosine(user[row][None], negative[others])]) / pairs.config.temperature
            found += float(torch.logsumexp(scores, 0) - scores[0])
    return found


@pytest.mark.parametrize("name", CONFIGS)
def test_the_gradient_is_that_of_the_loss(name: str) -> None:
    pairs, base, along = drawn(name), table(), table(1)
    slope = float((gradient(pairs, base, identity) * along).sum())
    step = 1e-5
    difference = (total(pairs, base + step * along) - total(pairs, base - step * along)) / (2 * step)
    assert slope == pytest.approx(difference, rel=1e-6)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_product_is_the_change_of_the_gradient(name: str) -> None:
    pairs, base, along, step = drawn(name), table(), table(1), 1e-5
    found = product(pairs, base, identity, along)
    ends = [gradient(pairs, base + sign * step * along, identity) for sign in (1, -1)]
    torch.testing.assert_close(found, (ends[0] - ends[1]) / (2 * step), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_gauss_newton_has_no_negative_curvature_and_is_symmetric(name: str) -> None:
    pairs, base = drawn(name), table()
    first, second = (product(pairs, base, identity, table(seed), "gauss-newton") for seed in (1, 2))
    assert float((first * table(2)).sum()) == pytest.approx(float((second * table(1)).sum()), rel=1e-9)
    exact = [float((table(s) * product(pairs, base, identity, table(s))).sum()) for s in range(30)]
    newton = [float((table(s) * product(pairs, base, identity, table(s), "gauss-newton")).sum()) for s in range(30)]
    assert min(newton) >= 0
    assert exact != newton


def test_gauss_newton_is_the_hessian_where_items_are_fixed() -> None:
    pairs, base, along = drawn("bpr"), table(), table(1)
    along[LOG.n_users :] = 0
    exact, newton = (product(pairs, base, identity, along, kind)[: LOG.n_users] for kind in ("hessian", "gauss-newton"))
    torch.testing.assert_close(newton, exact)


def test_few_negatives_that_count_more_stand_for_many() -> None:
    base, along, config = table(), table(1), drawn("softmax").config
    many, few = ([fixed(config, PAIRS, PAIRS, seed, most=most)[0] for seed in range(40)] for most in (0, 10))
    assert few[0].negative.shape[1] == 10 and few[0].count == 3
    truth, found = (
        torch.stack([product(pairs, base, identity, along, "gauss-newton").flatten() for pairs in draws]).mean(0)
        for draws in (many, few)
    )
    assert float(torch.nn.functional.cosine_similarity(truth, found, dim=0)) > 0.95
    assert float(found.norm() / truth.norm()) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("model", ["mf", "lightgcn", "simgcl"])
def test_propagation_is_the_models_own_and_self_adjoint(model: str) -> None:
    recipe = Recipe(model, {"dim": 4, "max_epochs": 1})
    fitted = fit(recipe, LOG, 0)
    state = fitted.state()
    base, final = (
        torch.cat([state[side + ("_base" if kind and side + "_base" in state else "")] for side in ("user", "item")])
        for kind in (True, False)
    )
    spread = propagation(build(recipe), PAIRS)  # type: ignore[arg-type]
    torch.testing.assert_close(spread(base), final)
    other = torch.randn(base.shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close((spread(base) * other).sum(), (base * spread(other)).sum())


def test_negatives_are_drawn_anew_only_where_the_request_frees_them() -> None:
    request = requests(LOG)["pairs"]
    kept = Positives.of(request.retained(LOG))
    config = build(Recipe("mf", CONFIGS["bpr"])).config
    before, after = fixed(config, PAIRS, kept, 0)

    def met(pairs: FixedPairs, known: Positives) -> np.ndarray:
        key = pairs.user.numpy() * LOG.n_items + pairs.negative.numpy() - LOG.n_users
        return np.isin(key, known.user * LOG.n_items + known.item)

    assert not met(before, PAIRS).any() and not met(after, kept).any()
    changed = (before.negative != after.negative).numpy()
    assert changed.any()
    np.testing.assert_array_equal(met(after, PAIRS), changed)
    assert int(after.share.sum()) == len(kept) and int(before.share.sum()) == len(PAIRS)


@pytest.mark.parametrize(
    "recipe", [Recipe("lightgcn", {"dim": 4, "max_epochs": 2}), Recipe("gru4rec", {"dim": 4, "max_epochs": 2})]
)
def test_a_training_is_opened_where_the_model_stands(recipe: Recipe) -> None:
    fitted = fit(recipe, LOG, 0)
    users = np.arange(LOG.n_users)
    model, training = opened(recipe, LOG, 1, fitted.state())
    np.testing.assert_allclose(model.scores(users, LOG), fitted.scores(users, LOG), atol=1e-6)
    with torch.no_grad():
        for parameter in training.parameters():
            parameter.mul_(0)
        training.refresh()
    assert not model.scores(users, LOG).any()
    assert fitted.scores(users, LOG).any()


def test_fisher_is_largest_where_the_data_is() -> None:
    user = int(np.argmax(LOG.user_counts))
    request = Request.of(LOG, "one user", users=np.array([user]))
    recipe = Recipe("mf", {"dim": 4, "max_epochs": 2, "loss": "bpr", "l2": 0})
    _, training = opened(recipe, request.retained(LOG), 0, fit(recipe, LOG, 0).state())
    (found,) = fisher(training, 0, 4)
    assert (found >= 0).all()
    assert not found[user].any()
    assert (found[: LOG.n_users].sum(1) > 0).sum() > LOG.n_users / 2
