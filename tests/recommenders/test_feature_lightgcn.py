"""LightGCN with side features: LightGCN without them, shared vectors with them, and what pairwise models must do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from recaudit.datasets.log import InteractionLog, Profiles
from recaudit.datasets.split import Split
from recaudit.recommenders.evaluate import evaluate
from recaudit.recommenders.feature_lightgcn import FeatureLightGCN, FeatureLightGCNConfig
from recaudit.recommenders.lightgcn import LightGCN
from recaudit.recommenders.propagation import adjacency, propagate
from recaudit.recommenders.sampling import Positives

from .pair_models import EXAMINATION, EXAMINATION_BY_LOSS, SPLIT, content, fitted

USERS = pd.DataFrame({"group": [f"g{n % 4}" for n in range(200)], "age": [20 + n % 7 for n in range(200)]})
ITEMS = pd.DataFrame({"genres": [f"k{n % 4}|all" for n in range(160)], "title": [f"t{n}" for n in range(160)]})


def with_features(split: Split, users: pd.DataFrame | None = USERS, items: pd.DataFrame | None = ITEMS) -> Split:
    """The planted log, whose groups of users and items are now features."""
    parts = (replace(getattr(split, name), users=users, items=items) for name in ("train", "valid", "test"))
    return Split(*parts, split.recipe)


RICH = with_features(SPLIT)


@pytest.mark.parametrize("loss", ["sampled_softmax", "bpr"])
def test_without_features_it_is_lightgcn(loss: str) -> None:
    plain = content(fitted(LightGCN, loss=loss))
    assert content(fitted(FeatureLightGCN, loss=loss)) == plain
    off = {"user_features": False, "item_features": False}
    assert content(fitted(FeatureLightGCN, split=RICH, loss=loss, **off)) == plain
    assert content(fitted(FeatureLightGCN, split=RICH, loss=loss)) != plain
    assert content(fitted(LightGCN, split=RICH, loss=loss)) == plain


def test_each_side_has_its_switch() -> None:
    only_users = fitted(FeatureLightGCN, split=RICH, item_features=False)
    assert content(only_users) == content(fitted(FeatureLightGCN, split=with_features(SPLIT, items=None)))
    only_items = fitted(FeatureLightGCN, split=RICH, user_features=False)
    assert content(only_items) == content(fitted(FeatureLightGCN, split=with_features(SPLIT, users=None)))
    assert content(only_users) != content(only_items)


def test_saved_vectors_are_the_propagated_layer_zero() -> None:
    model = fitted(FeatureLightGCN, split=RICH)
    state = model.state()
    whole = propagate(adjacency(Positives.of(RICH.train)), torch.cat([state["user_base"], state["item_base"]]), 3)
    assert torch.allclose(whole, torch.cat([state["user"], state["item"]]), atol=1e-6)


def test_a_shared_feature_moves_those_without_events() -> None:
    """Users 0, 4 and 1 are removed: their ids learn nothing, and what moves them is their group's vector alone."""
    users = pd.DataFrame({"group": USERS["group"]})
    gone = SPLIT.train.without(np.isin(SPLIT.train.user, [0, 4, 1]))
    split = replace(RICH, train=replace(gone, users=users))
    start = fitted(FeatureLightGCN, split=split, epochs=0).state()["user_base"]
    moved = fitted(FeatureLightGCN, split=split, epochs=6).state()["user_base"] - start
    assert moved[0].norm() > 0.01
    assert torch.allclose(moved[0], moved[4], atol=1e-6)
    assert (moved[0] - moved[1]).norm() > 0.01


COLD = np.arange(200) >= 100  # users whose events are taken away
GROUPS = USERS[["group"]]


def cold(users: pd.DataFrame) -> Split:
    """Half of the users have no training event, and are the ones to test on."""
    split = with_features(SPLIT, users, None)
    return replace(
        split, train=split.train.without(COLD[split.train.user]), test=split.test.take(COLD[split.test.user])
    )


def test_features_help_users_without_events_and_shuffled_ones_do_not() -> None:
    def ndcg(kind: type[LightGCN], users: pd.DataFrame) -> float:
        split = cold(users)
        return evaluate(fitted(kind, split=split, epochs=20), split.test, split.train, cutoffs=(10,))["ndcg@10"]

    rich = ndcg(FeatureLightGCN, GROUPS)
    assert rich > 2 * ndcg(LightGCN, GROUPS)
    assert rich > 2 * ndcg(FeatureLightGCN, GROUPS.sample(frac=1, random_state=1).reset_index(drop=True))


def poisoned(log: InteractionLog, group: str) -> InteractionLog:
    """Ten accounts that hold item 1 and any others, and say that they belong to this group (or say nothing)."""
    item = np.random.default_rng(3).integers(8, 160, (10, 9)).astype(np.int32)
    item[:, 0] = 1
    features = pd.DataFrame({"group": [group] * 10}) if group else None
    account = np.repeat(np.arange(10, dtype=np.int32), 9)
    return log.with_accounts(Profiles(10, account, item.ravel(), features=features))


def test_accounts_move_those_who_share_their_features() -> None:
    """The road by which fakes of one group move genuine users of it, and W at 0 closes it."""
    split = cold(GROUPS)
    own = np.flatnonzero(COLD)[::4]  # of group 0

    def gain(group: str, user_features: bool = True) -> float:
        clean, attacked = (
            fitted(FeatureLightGCN, split=replace(split, train=train), epochs=20, user_features=user_features)
            for train in (split.train, poisoned(split.train, group))
        )
        return float((attacked.scores(own, split.train) - clean.scores(own, split.train))[:, 1].mean())

    reached = gain("g0")
    assert reached > gain("g2") + 0.1
    assert reached > gain("") + 0.1
    assert gain("g0", user_features=False) == gain("g2", user_features=False)


@pytest.mark.parametrize("groups", ["g0", "new", ""])
def test_injected_accounts_leave_the_first_vectors(groups: str) -> None:
    clean = fitted(FeatureLightGCN, split=RICH, epochs=0).state()
    attacked = fitted(FeatureLightGCN, split=replace(RICH, train=poisoned(RICH.train, groups)), epochs=0).state()
    assert torch.equal(clean["user_base"], attacked["user_base"][:-10])
    assert torch.equal(clean["item_base"], attacked["item_base"])


@pytest.mark.parametrize("loss", ["sampled_softmax", "bpr"])
def test_same_seed_same_bytes_and_refits_repeat(loss: str) -> None:
    first = fitted(FeatureLightGCN, split=RICH, loss=loss)
    assert content(first) == content(fitted(FeatureLightGCN, split=RICH, loss=loss))
    assert content(first) != content(fitted(FeatureLightGCN, split=RICH, seed=2, loss=loss))
    config = FeatureLightGCNConfig(dim=16, negatives=64, max_epochs=12, patience=3, learning_rate=0.05, loss=loss)
    owner, again = FeatureLightGCN(config), FeatureLightGCN(config)
    owner.fit(RICH.train, 5, valid=RICH)
    again.fit(RICH.train, 5, epochs=owner.epochs)
    assert content(owner) == content(again)


def test_weight_of_zero_removes_a_user_and_its_features() -> None:
    weights = np.ones(200, np.float32)
    weights[[3, 40]] = 0
    gone = replace(RICH, train=RICH.train.without(np.isin(RICH.train.user, [3, 40])))
    assert content(fitted(FeatureLightGCN, split=RICH, weights=weights)) == content(fitted(FeatureLightGCN, split=gone))


def test_state_loads_without_the_log() -> None:
    model = fitted(FeatureLightGCN, split=RICH)
    other = FeatureLightGCN(model.config)
    other.load(model.state(), 200, 160)
    assert np.array_equal(other.scores(np.arange(200), SPLIT.train), model.scores(np.arange(200), RICH.train))


@pytest.mark.parametrize("examine", EXAMINATION, ids=lambda f: f.__name__)
def test_examination(examine: Callable[[type[FeatureLightGCN]], None]) -> None:
    examine(FeatureLightGCN)


@pytest.mark.parametrize("loss", ["sampled_softmax", "bpr"])
@pytest.mark.parametrize("examine", EXAMINATION_BY_LOSS, ids=lambda f: f.__name__)
def test_examination_by_loss(examine: Callable[[type[FeatureLightGCN], str], None], loss: str) -> None:
    examine(FeatureLightGCN, loss)
