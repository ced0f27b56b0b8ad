"""Leg-UP with side features: the accounts it writes, and whom they claim to be."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from recaudit.attacks.base import Goal, Knowledge
from recaudit.attacks.injection import crafted
from recaudit.attacks.legup_features import (
    FeatureLegUP,
    FeatureLegUPConfig,
    Whose,
    _encoded,
    _Training,
    claims,
    copies,
    user_table,
)
from recaudit.attacks.surrogate.audience import Audience
from recaudit.attacks.surrogate.base import Accounts
from recaudit.attacks.surrogate.descent import block, promotion_loss
from recaudit.attacks.surrogate.wmf import WMF, WMFConfig
from recaudit.datasets.log import InteractionLog, Profiles
from recaudit.datasets.seeding import rng
from recaudit.datasets.synthetic import generate
from recaudit.recommenders.features import FeatureSpace

from .conformance import TARGET, columns, examine_profiles, log_for, run

GOAL = Goal((TARGET,), accounts=7, profile=9, kind="rating")
SHORT = FeatureLegUPConfig(pretraining=1, rounds=1, steps=1, critic_steps=1)
BLIND = FeatureLegUPConfig(rounds=0)


@cache
def medium() -> InteractionLog:
    """A generated log in which a surrogate can learn something."""
    return generate(users=150, items=80, events=3000, seed=1)


def bare(log: InteractionLog) -> InteractionLog:
    """The same without side features."""
    return replace(log, users=None, items=None)


def attack(**settings: object) -> FeatureLegUP:
    return FeatureLegUP(FeatureLegUPConfig.model_validate(SHORT.model_dump() | settings))


def table_with_joint(rows: int = 1500) -> pd.DataFrame:
    """Age decides the occupation, so a random pair mostly does not exist."""
    age = rng(0).choice([15, 35, 70], rows)
    names = {15: "student", 35: "engineer", 70: "retired"}
    return pd.DataFrame({"age": age, "occupation": [names[each] for each in age.tolist()]})


@pytest.mark.parametrize("settings", [{"critic": "sn"}, {"critic": "none"}, {"film": False}, {"keep_best": False}])
@pytest.mark.parametrize("with_features", [True, False])
def test_every_variant_is_valid_and_repeatable(settings: dict[str, object], with_features: bool) -> None:
    log = log_for("rating") if with_features else bare(log_for("rating"))
    profiles = run(attack(**settings), log, GOAL)
    examine_profiles(profiles, log, GOAL)
    again = run(attack(**settings), log, GOAL)
    assert columns(again) == columns(profiles) and (profiles.features is not None) == with_features
    if profiles.features is not None and again.features is not None:
        pd.testing.assert_frame_equal(profiles.features, again.features)


def test_without_user_features_it_runs_unconditionally() -> None:
    """Missing features, and features that say nothing, give the same ratings as a model that cannot read them."""
    log = bare(log_for("rating"))
    constant = replace(log, users=pd.DataFrame({"age": [30] * log.n_users}))
    plain = run(attack(), log, GOAL)
    assert plain.features is None and columns(run(attack(), constant, GOAL))[1:] == columns(plain)[1:]
    assert columns(run(attack(film=False), log, GOAL)) == columns(plain)


@pytest.mark.parametrize("whose", get_args(Whose))
def test_features_are_rows_for_the_log(whose: Whose) -> None:
    log = log_for("rating")
    profiles = run(attack(features=whose), log, GOAL)
    assert profiles.features is not None and log.users is not None
    assert list(profiles.features.columns) == list(log.users.columns) and len(profiles.features) == GOAL.accounts
    whole = log.with_accounts(profiles)
    assert whole.users is not None and not whole.users.isna().any().any()
    for name in log.users.columns:
        assert set(profiles.features[name]) <= set(log.users[name])


def test_templates_are_cut_profiles_and_bring_their_users_features() -> None:
    log = log_for("rating")
    knowledge = Knowledge.of(log, FeatureLegUP().needs(GOAL))
    users, templates = copies(knowledge, GOAL, rng(0))
    assert len(set(users.tolist())) == GOAL.accounts and log.value is not None
    ratings = np.full((log.n_users, log.n_items), np.nan)
    ratings[log.user, log.item] = log.value
    enough = log.user_counts[users] >= GOAL.profile
    assert enough.any()
    for row in np.flatnonzero(enough):
        held = np.flatnonzero(templates.present[row].numpy())
        own = held[held != TARGET]
        assert len(held) == GOAL.profile and TARGET in held and np.isnan(ratings[users[row], TARGET])
        assert (templates.rating[row, own].numpy() == ratings[users[row], own]).all()
    table = user_table(knowledge)
    assert table is not None and log.users is not None
    claimed = claims(table, log, GOAL, users, "template", rng(0))
    pd.testing.assert_frame_equal(claimed, log.users.iloc[users].reset_index(drop=True))


def test_fillers_stay_where_the_templates_have_them_and_only_ratings_change() -> None:
    log = medium()
    knowledge = Knowledge.of(log, FeatureLegUP().needs(GOAL))
    profiles = FeatureLegUP().profiles(knowledge, GOAL, rng(0, "craft"))
    craft = rng(0, "craft").spawn(3)[0]
    _, templates = copies(knowledge, GOAL, craft.spawn(5)[0])
    written = block(profiles, log.n_items, True)
    assert torch.equal(written.present, templates.present)
    assert not torch.equal(written.rating, templates.rating)
    assert set(written.rating[:, TARGET].tolist()) == {5.0}


def test_random_features_keep_the_margins_and_break_the_joint() -> None:
    table, log = table_with_joint(), generate(users=1500, items=10, events=4500, seed=0, genres=2)
    goal = replace(GOAL, accounts=600, targets=(3,), profile=3)
    users = rng(1).choice(1500, 600, replace=False)
    fakes = {each: claims(table, log, goal, users, each, rng(2)) for each in get_args(Whose)}
    pairs = set(map(tuple, table.to_numpy().tolist()))
    exist = {each: np.mean([tuple(row) in pairs for row in found.to_numpy().tolist()]) for each, found in fakes.items()}
    assert exist["template"] == exist["audience"] == 1 and exist["random"] == pytest.approx(1 / 3, abs=0.07)
    for name in table:
        shares = fakes["random"][name].value_counts(normalize=True)
        assert shares.to_numpy() == pytest.approx(1 / 3, abs=0.07)


def test_a_detector_sees_random_features_and_not_copied_ones() -> None:
    """Check (d): AUC on features alone, learnt on another draw of accounts and other genuine users."""
    table, log = table_with_joint(), generate(users=1500, items=10, events=4500, seed=0, genres=2)
    goal = replace(GOAL, accounts=300, targets=(3,), profile=3)
    space = FeatureSpace.fit(table)
    genuine = space.encode(table).toarray()

    def auc(whose: Whose) -> float:
        drawn = []
        for seed in (1, 2):
            users = rng(seed).choice(1500, 300, replace=False)
            drawn.append(space.encode(claims(table, log, goal, users, whose, rng(seed))).toarray())
        labels = np.r_[np.zeros(750), np.ones(300)]
        model = HistGradientBoostingClassifier(max_iter=20, random_state=0)
        model.fit(np.concatenate([genuine[:750], drawn[0]]), labels)
        return float(roc_auc_score(labels, model.predict_proba(np.concatenate([genuine[750:], drawn[1]]))[:, 1]))

    assert auc("template") == pytest.approx(0.5, abs=0.06) and auc("random") > 0.75


def test_audience_features_come_from_the_audience() -> None:
    log = medium()
    assert log.users is not None
    women = np.flatnonzero(log.users["gender"] == "F")
    goal = replace(GOAL, audience=tuple(women.tolist()), accounts=40)
    users = rng(0).choice(log.n_users, 40)
    assert set(claims(log.users, log, goal, users, "audience", rng(0))["gender"]) == {"F"}
    nobody = replace(goal, audience=(0,))  # not among the visible: falls back to all of them
    assert len(claims(log.users.iloc[5:], log, nobody, users, "audience", rng(0))) == 40


def test_audience_features_lean_to_who_holds_what_goes_with_the_target() -> None:
    """Users of two camps that share no item: a target of one camp brings features of that camp alone."""
    user, item = np.divmod(np.arange(400), 10)
    item = (item + 10 * (user % 2)).astype(np.int32)
    names = [np.arange(count).astype(str) for count in (40, 20)]
    camp = pd.DataFrame({"camp": np.where(np.arange(40) % 2 == 0, "even", "odd")})
    log = InteractionLog(user.astype(np.int32), item, names[0], names[1], np.full(400, 3, np.float32), users=camp)
    found = claims(camp, log, replace(GOAL, targets=(14,), accounts=30), np.zeros(30, np.int64), "audience", rng(0))
    assert set(found["camp"]) == {"odd"}
    uniform = claims(
        camp, log.take(item != 14), replace(GOAL, targets=(14,), accounts=30), user[:30], "audience", rng(0)
    )
    assert set(uniform["camp"]) == {"even", "odd"}  # a target without events goes with nothing


def test_encoded_features_of_users_and_accounts() -> None:
    table = pd.DataFrame({"gender": ["F", "M", "F", "M"]}, index=[1, 3, 4, 6])
    known, own = _encoded(table, table.iloc[[1, 0]].reset_index(drop=True), n_users=8, accounts=2)
    assert known.sum(1).tolist() == [0, 1, 0, 1, 1, 0, 1, 0] and own.tolist() == [[0, 1], [1, 0]]
    many = pd.DataFrame({"tags": [f"a|b{n % 70}" for n in range(280)]})
    known, own = _encoded(many, many.iloc[:3], 280, 3)
    assert known.shape == (280, 64) and own.shape == (3, 64) and bool((known[:, 0] > 0).all())


def training(log: InteractionLog, goal: Goal, config: FeatureLegUPConfig) -> _Training:
    knowledge = Knowledge.of(log, FeatureLegUP().needs(goal))
    users, templates = copies(knowledge, goal, rng(0))
    table = user_table(knowledge)
    assert table is not None
    claimed = claims(table, log, goal, users, config.features, rng(1))
    return _Training(config, knowledge, goal, templates, table, claimed, rng(2), rng(3))


def test_pretraining_restores_ratings_better_than_their_mean() -> None:
    log = medium()

    def error(config: FeatureLegUPConfig) -> float:
        made = training(log, GOAL, config)
        made.pretrain()
        rows = torch.from_numpy(made.real.toarray())
        with torch.no_grad():
            found = made.vae(rows, made.known)[0]
        return float(((found - rows)[rows != 0]).square().mean())

    assert log.value is not None
    untrained, learnt = error(FeatureLegUPConfig(pretraining=0)), error(FeatureLegUPConfig(pretraining=60))
    assert learnt < 0.9 * float(log.value.var()) < untrained


def test_terms_start_with_gradients_of_their_weights() -> None:
    made = training(medium(), GOAL, SHORT)
    ratings, cost = made._draw()
    for term, weight in ((ratings.sum(), 0.3), (1000 * cost.mean(), 2.0)):
        scale = made._scale(term, weight)
        slopes = torch.autograd.grad(scale * term, list(made.vae.parameters()), retain_graph=True, allow_unused=True)
        norm = sum(float(slope.square().sum()) for slope in slopes if slope is not None) ** 0.5
        assert norm == pytest.approx(weight, rel=1e-3)
    assert made._scale(0 * ratings.sum(), 1.0) == 0


def test_critic_sees_profiles_of_the_accounts_length_without_targets() -> None:
    made = training(medium(), GOAL, SHORT)
    rows = made._cut(np.arange(30))
    counts = (rows != 0).sum(1)
    assert int(counts.max()) == GOAL.fillers and not rows[:, TARGET].any()
    real = torch.from_numpy(made.real[:30].toarray())
    assert bool((rows[rows != 0] == real[rows != 0]).all())


def own_loss(log: InteractionLog, profiles: Profiles, goal: Goal) -> float:
    """The attack loss on fresh surrogates that read features; their seeds are not the attack's."""
    known, own = _encoded(log.users, profiles.features, log.n_users, goal.accounts)
    plain = block(profiles, log.n_items, True)
    accounts, audience = Accounts(plain.present, plain.rating, own), Audience.of(log, goal)
    found = []
    for seed in (21, 22):
        surrogate = WMF(log, "rating", WMFConfig(), rng(seed), features=known)
        surrogate.fit(accounts)
        with torch.no_grad():
            found.append(promotion_loss(surrogate, accounts, audience, rng(0), 1.0).item())
    return float(np.mean(found))


def test_attack_beats_its_own_start_on_surrogates_of_other_seeds() -> None:
    log = medium()
    goal = replace(GOAL, accounts=12, profile=15, targets=(int(np.argsort(log.item_counts, kind="stable")[5]),))
    gains = []
    for seed in (0, 1):
        start, end = (crafted(made, log, goal, seed) for made in (FeatureLegUP(BLIND), FeatureLegUP()))
        assert columns(start)[1] == columns(end)[1], "the same items"
        gains.append(own_loss(log, start, goal) - own_loss(log, end, goal))
    assert min(gains) > 0.05


def test_keeps_the_accounts_that_the_held_out_surrogate_likes_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a loss that only ever rises, the accounts stay as they were before the attack."""
    steps = iter(range(10_000))

    def rising(*given: object) -> torch.Tensor:
        accounts = given[1]
        assert isinstance(accounts, Accounts)
        return accounts.rating.sum() * 0.01 + next(steps)

    expected = run(FeatureLegUP(FeatureLegUPConfig(rounds=0)), medium(), GOAL)
    monkeypatch.setattr("recaudit.attacks.legup_features.promotion_loss", rising)
    assert columns(run(FeatureLegUP(), medium(), GOAL)) == columns(expected)
    moved = run(FeatureLegUP(FeatureLegUPConfig(keep_best=False)), medium(), GOAL)
    assert columns(moved) != columns(expected)


def test_edges() -> None:
    log = log_for("rating")
    assert log.value is not None
    one_user = log.take(log.user == log.user[0])
    silent = log.take(log.item != TARGET)
    constant = replace(log, value=np.full(len(log), 3, np.float32))
    for case in (one_user, silent, constant):
        examine_profiles(run(attack(), case, GOAL), case, GOAL)
    two_ratings = replace(log, value=np.where(log.value > 3, 1, 0).astype(np.float32))
    examine_profiles(run(attack(), two_ratings, GOAL), two_ratings, GOAL)
    aimed = replace(GOAL, audience=(3, 4))
    examine_profiles(run(attack(features="audience"), log, aimed), log, aimed)
    with_gaps = replace(log, users=log.users.mask(rng(0).random(log.users.shape) < 0.3))  # type: ignore[union-attr]
    examine_profiles(run(attack(), with_gaps, GOAL), with_gaps, GOAL)


def test_random_streams_of_torch_and_numpy_stay_untouched_by_the_outcome() -> None:
    log = log_for("rating")
    first = run(attack(), log, GOAL)
    torch.rand(5)
    np.random.rand(5)  # noqa: NPY002
    assert columns(run(attack(), log, GOAL)) == columns(first)
