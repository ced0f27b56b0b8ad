"""RGCF: reliabilities and both graphs by hand, and what planted noise weighs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest
import torch
from pydantic import ValidationError

from recaudit.datasets.errors import InputError
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.seeding import rng
from recaudit.defenses.base import shuffled
from recaudit.defenses.robust.rgcf import RGCF, DenoisingEncoder, RGCFConfig, Weighed, reliability
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.lightgcn import LightGCN
from recaudit.recommenders.losses import info_nce
from recaudit.recommenders.pairwise import PairBatch
from recaudit.recommenders.ranking import rank
from recaudit.recommenders.sampling import Positives

from .fake import LOG, NOTHING, RECIPES

CPU = torch.device("cpu")
RECIPE = RECIPES["lightgcn"]


def rgcf(**settings: Any) -> RGCF:
    return RGCF(RGCFConfig(**settings))


def encoder(log: InteractionLog, layers: int = 2, **settings: Any) -> DenoisingEncoder:
    places = np.arange(log.n_users + log.n_items)
    return DenoisingEncoder(Positives.of(log), places, layers, RGCFConfig(**settings), CPU)


def log_of(events: list[tuple[int, int]], users: int, items: int) -> InteractionLog:
    user, item = np.array(events, np.int32).T
    return InteractionLog(user, item, np.arange(users).astype(str), np.arange(items).astype(str))


def random_base(log: InteractionLog, width: int = 4) -> torch.Tensor:
    return torch.randn(log.n_users + log.n_items, width, generator=torch.Generator().manual_seed(0))


def batch_of(users: list[int]) -> PairBatch:
    nodes = torch.tensor(users)
    return PairBatch(nodes, nodes, nodes, None, None)


def test_reliability_by_hand() -> None:
    features = np.array([[2, 0], [5, 0], [0, 3], [-1, 0], [1, 1], [0, 0]], np.float32)
    found = reliability(features, np.zeros(6, np.int64), np.arange(6))
    npt.assert_allclose(found, [1, 1, 0.5, 0, (1 + np.sqrt(0.5)) / 2, 0.5], rtol=1e-6)


def test_features_are_sums_of_the_neighbours_vectors() -> None:
    log = log_of([(0, 0), (0, 1), (1, 1), (1, 1)], 3, 2)  # a repeat counts once
    base = torch.tensor([[1.0], [10], [100], [1000], [10000]])
    assert encoder(log).features(base).ravel().tolist() == [11000, 10000, 0, 1, 11]


def test_propagation_is_that_of_the_row_normalised_matrix_and_so_is_its_gradient() -> None:
    user, item = np.array([0, 0, 1, 2]), np.array([4, 5, 5, 5])  # node 3 has no edge
    weight = np.array([0.9, 0.2, 0.5, 0.7], np.float32)
    dense = torch.zeros(6, 6)
    dense[user, item] = dense[item, user] = torch.from_numpy(weight)
    rows = dense / dense.sum(1, keepdim=True).clamp(min=1e-9)
    base = torch.randn(6, 3, generator=torch.Generator().manual_seed(1), requires_grad=True)
    want = (base + rows @ base + rows @ rows @ base) / 3
    found = Weighed(user, item, weight, 6, CPU).propagate(base, 2)
    npt.assert_allclose(found.detach(), want.detach(), rtol=1e-5, atol=1e-6)
    out = torch.randn(6, 3, generator=torch.Generator().manual_seed(2))
    (expected,) = torch.autograd.grad((want * out).sum(), base)
    (gradient,) = torch.autograd.grad((found * out).sum(), base)
    npt.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)


def test_gradient_of_the_training_by_finite_differences() -> None:
    log = log_of([(0, 0), (0, 1), (1, 1), (2, 2), (2, 0)], 3, 3)
    own = encoder(log, contrast=1.0)
    base = random_base(log)
    own.renew(base, rng(0, "t"))
    out = torch.randn(6, 4, generator=torch.Generator().manual_seed(3))

    def loss(values: torch.Tensor) -> torch.Tensor:
        final, rest = own.training(values, batch_of([0, 1, 2]), NOTHING)
        assert rest is not None
        return (final * out).sum() + rest

    leaf = base.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(leaf), leaf)
    step = 1e-2
    for row, column in ((0, 0), (2, 1), (4, 3), (5, 2)):
        move = torch.zeros_like(base)
        move[row, column] = step
        slope = (loss(base + move) - loss(base - move)) / (2 * step)
        assert float(slope) == pytest.approx(float(gradient[row, column]), abs=5e-3)


def test_unreliable_edges_are_pruned_and_who_has_none_left_keeps_its_own_vector() -> None:
    # the sum of user 1's items points away from the sum of item 1's users
    log = log_of([(0, 0), (1, 1)], 2, 2)
    base = torch.tensor([[1.0, 0], [1, 0], [1, 0], [-1, 0]])
    own = encoder(log, beta=0.02)
    found = own.final(base)
    assert own.pruned == 0.5
    npt.assert_allclose(found, np.array([[1, 0], [1 / 3, 0], [1, 0], [-1 / 3, 0]]), atol=1e-6)
    mild = encoder(log, beta=0.0)
    mild.final(base)
    assert mild.pruned == 0.5  # an edge of weight zero is none
    none = encoder(log, beta=1.0)
    npt.assert_allclose(none.final(torch.cat([base[:2], -base[2:]])[[0, 0, 2, 2]] * 3)[:, 0], [1, 1, -1, -1], atol=1e-6)
    assert none.pruned == 1.0


def test_the_final_tables_depend_on_the_base_alone() -> None:
    own, base = encoder(LOG), random_base(LOG)
    before = own.final(base)
    own.renew(torch.randn(base.shape, generator=torch.Generator().manual_seed(9)), rng(0, "t"))
    assert torch.equal(own.final(base), before)
    trained, _ = own.training(base, batch_of([0]), NOTHING)
    assert not torch.equal(trained, before)  # over the graph of other base vectors


def test_added_edges_are_the_most_reliable_of_random_pairs_that_the_log_lacks() -> None:
    own, base = encoder(LOG, diverse=0.1, candidates=5), random_base(LOG)
    features = own.features(base)
    user, item = own.added(features, rng(3, "t"))
    again = own.added(features, rng(3, "t"))
    assert (user == again[0]).all() and (item == again[1]).all() and (own.added(features, rng(4, "t"))[0] != user).any()
    assert len(user) == round(0.1 * len(own.pairs))
    keys = set(zip(user.tolist(), item.tolist(), strict=True))
    assert len(keys) == len(user) and not keys & set(zip(own.user.tolist(), own.item.tolist(), strict=True))
    every = encoder(LOG, diverse=0.5, candidates=1)
    pool = reliability(features, *every.added(features, rng(3, "t")))
    assert reliability(features, user, item).min() > np.quantile(pool, 0.6)


def test_the_diverse_graph_weighs_what_it_adds_by_the_median() -> None:
    own, base = encoder(LOG, layers=1), random_base(LOG)
    own.renew(base, rng(3, "t"))
    features = own.features(base)
    kept, weight = own.denoised(features)
    user, item = own.added(features, rng(3, "t"))
    want = Weighed(
        np.concatenate([own.user[kept], user]),
        np.concatenate([own.item[kept], item]),
        np.concatenate([weight, np.full(len(user), np.median(weight), np.float32)]),
        len(base),
        CPU,
    )
    assert own.diverse is not None and torch.equal(own.diverse.propagate(base, 1), want.propagate(base, 1))


def test_contrast_by_hand_and_off() -> None:
    users = [5, 2, 2, 9]
    own, base = encoder(LOG, contrast=0.3), random_base(LOG)
    own.renew(base, rng(0, "t"))
    final, rest = own.training(base, batch_of(users), NOTHING)
    assert own.graph is not None and own.diverse is not None and rest is not None
    first, second = own.graph.propagate(base, 2), own.diverse.propagate(base, 2)
    assert torch.equal(final, first)
    assert float(rest) == pytest.approx(0.3 * float(info_nce(first[[2, 5, 9]], second[[2, 5, 9]], 0.2)))
    off = encoder(LOG, contrast=0.0)
    off.renew(base, rng(0, "t"))
    assert off.diverse is None and off.training(base, batch_of(users), NOTHING)[1] is None
    with pytest.raises(RuntimeError, match="renew"):
        encoder(LOG).training(base, batch_of(users), NOTHING)


def test_planted_noise_is_less_reliable_than_taste() -> None:
    # users and items of two kinds; every user has eight items of its kind and one of the other
    draw = np.random.default_rng(0)
    kinds = [draw.choice(15, 8, replace=False) + 15 * (user % 2) for user in range(60)]
    noise = [(user, int(draw.integers(15)) + 15 * (1 - user % 2)) for user in range(60)]
    log = log_of([*((user, int(item)) for user, items in enumerate(kinds) for item in items), *noise], 60, 30)
    model: Any = fit(replace(RECIPE, epochs=20), log, 0)
    own = encoder(log)
    features = own.features(torch.cat([model.state()["user_base"], model.state()["item_base"]]))
    found = reliability(features, own.user, own.item)
    other_kind = own.pairs.user % 2 != own.pairs.item // 15
    assert found[other_kind].max() < found[~other_kind].mean()
    assert found[other_kind].mean() < found[~other_kind].mean() - 0.2


def test_fakes_of_one_profile_look_more_reliable_than_the_targets_genuine_users() -> None:
    draw = np.random.default_rng(0)
    target = int(np.argmin(LOG.item_counts))
    fillers = np.argsort(-LOG.item_counts)[:5]
    fakes = [(120 + fake, int(item)) for fake in range(12) for item in [*fillers, target]]
    genuine = list(zip(LOG.user.tolist(), LOG.item.tolist(), strict=True))
    log = log_of([*genuine, *(fakes[at] for at in draw.permutation(len(fakes)))], 132, LOG.n_items)
    model: Any = rgcf().fit(replace(RECIPE, epochs=20), log, 0).model
    own = encoder(log)
    features = own.features(torch.cat([model.state()["user_base"], model.state()["item_base"]]))
    found = reliability(features, own.user, own.item)
    fake, of_target = own.pairs.user >= 120, own.pairs.item == target
    assert found[fake & of_target].min() > found[~fake & of_target].mean()


def test_accounts_have_no_places() -> None:
    order = np.random.default_rng(0).permutation(LOG.n_users)
    base = random_base(LOG)
    moved = torch.cat([base[: LOG.n_users][order], base[LOG.n_users :]])
    found, again = encoder(LOG).final(base), encoder(shuffled(LOG, order)).final(moved)
    npt.assert_allclose(again[: LOG.n_users], found[: LOG.n_users][order], atol=1e-5)
    npt.assert_allclose(again[LOG.n_users :], found[LOG.n_users :], atol=1e-5)


def test_the_model_is_a_lightgcn_that_repeats_itself() -> None:
    defended = rgcf(contrast=0.1).fit(RECIPE, LOG, 4)
    model: Any = defended.model
    assert type(model) is LightGCN and 0 <= defended.notes["pruned"] < 1
    same, other, plain = (
        x.fit(RECIPE, LOG, seed).model
        for x, seed in ((rgcf(contrast=0.1), 4), (rgcf(contrast=0.1), 5), (rgcf(contrast=0), 4))
    )
    for name, table in model.state().items():
        assert torch.equal(table, same.state()[name])  # type: ignore[attr-defined]
        assert not torch.equal(table, other.state()[name])  # type: ignore[attr-defined]
        assert not torch.equal(table, plain.state()[name])  # type: ignore[attr-defined]
    found = rank(model, None, LOG, 5, watch=np.array([0, 3], np.int32))
    assert found.slate.items.shape[1] == 5 and np.nanmin(found.watched) >= 1


@pytest.mark.parametrize("loss", ["bpr", "sampled_softmax"])
def test_tiny_logs(loss: str) -> None:
    recipe = Recipe("lightgcn", {"dim": 4, "layers": 2, "loss": loss, "negatives": 4}, 2)
    full = [(user, item) for user in range(3) for item in range(3)]
    for events in ([(0, 0)], [(0, 1), (2, 1)], full, [(0, item) for item in range(7)]):
        for spare in (0, 1):  # users and items without events
            users, items = max(user for user, _ in events) + 1 + spare, max(item for _, item in events) + 1 + spare
            log = log_of(events, users, items)
            for settings in ({"diverse": 1.0, "contrast": 1.0}, {"beta": 1.0, "diverse": 1.0, "contrast": 1.0}):
                scores = rgcf(**settings).fit(recipe, log, 0).model.scores(np.arange(users), log)
                assert scores.shape == (users, items) and np.isfinite(scores).all()


def test_other_models_are_told_why_not_and_settings_are_checked() -> None:
    defense = rgcf()
    assert defense.why_not(RECIPE, LOG) is None
    for name in ("mf", "simgcl", "feature-lightgcn", "sasrec", "ease"):
        why = defense.why_not(Recipe(name, {}), LOG)
        assert why is not None and name in why
    with pytest.raises(InputError, match="rgcf needs the training of lightgcn"):
        defense.fit(RECIPES["mf"], LOG, 0)
    for wrong in ({"beta": 1.1}, {"diverse": -0.1}, {"candidates": 0}, {"contrast_temperature": 0}):
        with pytest.raises(ValidationError):
            rgcf(**wrong)
