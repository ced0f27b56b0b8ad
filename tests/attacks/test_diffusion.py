"""Diffusion: a denoiser of genuine profiles, and what it makes of blurred templates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from recaudit.attacks.base import Goal
from recaudit.attacks.catalogue import build
from recaudit.attacks.clone import choose_users
from recaudit.attacks.diffusion import Denoiser, Diffusion, DiffusionConfig, choose, profiles, ratings_of
from recaudit.attacks.stealth import Stealth
from recaudit.datasets.log import InteractionLog, Profiles
from recaudit.datasets.seeding import rng

from .conformance import TARGET, columns, log_for, run


def genres(users: int = 160) -> InteractionLog:
    """Items 0 to 29 and 30 to 59, two genres; users take 10 items, 9 of 10 from their own genre, few ones often."""
    draws, chance = rng(7, "genres"), 1 / np.arange(1, 31)
    rows = []
    for user in range(users):
        own = 30 * (user % 2)
        picked = own + draws.choice(30, 9, replace=False, p=chance / chance.sum())
        rows += [(user, item) for item in (*picked, 30 - own + draws.integers(30))]
    user, item = np.array(rows, np.int32).T
    return InteractionLog(user, item, np.arange(users).astype(str), np.arange(60).astype(str))


def sets(made: Profiles) -> list[set[int]]:
    """The items of every account."""
    return [set(made.item[made.account == account].tolist()) for account in range(made.n_accounts)]


def test_the_denoiser_learns_and_beats_popularity_on_users_it_never_saw() -> None:
    log = genres()
    train, test = log.take(log.user < 120), profiles(log, np.arange(120, 160))
    denoiser = Denoiser(log.n_items, DiffusionConfig(passes=60, hidden=32), rng(0))
    losses = denoiser.fit(train, rng(1))
    assert losses[-1] < 0.6 * losses[0]
    popular = float((test - profiles(train, np.arange(120)).mean(0)).square().mean())
    with torch.no_grad():
        assert float(denoiser.loss(test, rng(2))) < 0.85 * popular


def test_noise_is_added_as_the_schedule_says() -> None:
    config = DiffusionConfig(steps=4, variance=0.4)
    denoiser = Denoiser(5000, config, rng(0))
    rows = torch.ones(2, 5000)
    for step, variance in ((0, 0.0), (1, 0.1), (4, 0.4)):
        found = denoiser.blurred(rows, torch.full((2,), step), rng(step))
        assert float(found.mean()) == pytest.approx((1 - variance) ** 0.5, abs=0.03)
        assert float(found.var()) == pytest.approx(variance, abs=0.02)


def test_restoring_by_hand_with_a_denoiser_that_always_says_the_same() -> None:
    config = DiffusionConfig(steps=2, variance=0.2)
    denoiser = Denoiser(3, config, rng(0))
    said, seen = torch.tensor([[0.5, 0.0, 1.0]]), []

    def constant(rows: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        seen.append((int(step[0]), rows.clone()))
        return said

    denoiser.forward = constant  # type: ignore[method-assign]
    rows = torch.tensor([[1.0, 1.0, 0.0]])
    assert denoiser.restore(rows, 0.0, np.array([2]), rng(1)).tolist() == rows.tolist() and not seen
    found = denoiser.restore(rows, 1.0, np.array([2]), rng(1))
    assert torch.allclose(found, said) and [step for step, _ in seen] == [2, 1]
    first, second = seen[0][1], seen[1][1]
    assert first[0, 2] == pytest.approx(0.8**0.5) and second[0, 2] == pytest.approx(0.9**0.5)
    # beta = 1 - .8 / .9; mean = (sqrt(.9) beta x0 + sqrt(1 - beta) .1 x) / .2
    beta = 1 - 0.8 / 0.9
    mean = (0.9**0.5 * beta * said + (1 - beta) ** 0.5 * 0.1 * first) / 0.2
    assert torch.allclose(second[:, :2], mean[:, :2])


def test_without_noise_accounts_are_copies() -> None:
    log, goal = genres(), Goal((TARGET,), accounts=12, profile=9)
    users = [set(log.item[log.user == user].tolist()) for user in range(log.n_users)]
    for gumbel in (0.0, 0.5):
        made = sets(run(Diffusion(DiffusionConfig(noise=0, gumbel=gumbel)), log, goal))
        assert all(any(one - {TARGET} <= user for user in users) for one in made)


def test_more_noise_leads_further_away_from_the_template() -> None:
    log = genres()
    denoiser = Denoiser(log.n_items, DiffusionConfig(variance=0.5, passes=40), rng(0))
    denoiser.fit(log, rng(1))
    rows, kept = profiles(log, np.arange(40)), []
    for noise in (0.0, 0.2, 1.0):
        restored = denoiser.restore(rows, noise, None, rng(2)).numpy()
        picked = choose(restored, 10, 0.0, rng(3))
        kept.append(float(np.take_along_axis(rows.numpy(), picked, axis=1).mean()))
    assert kept[0] == 1 and kept[0] > kept[1] > kept[2] + 0.1


def test_accounts_look_more_genuine_than_random_ones_and_copy_no_one() -> None:
    log = genres()
    goal = Goal((TARGET,), accounts=20, profile=10)
    ours = Stealth.of(log, run(Diffusion(), log, goal))
    random = Stealth.of(log, run(build("random"), log, goal))
    copies = Stealth.of(log, run(build("clone-and-push"), log, goal))
    assert ours.popularity < random.popularity  # type: ignore[operator]
    assert random.nearest_jaccard < ours.nearest_jaccard < copies.nearest_jaccard  # type: ignore[operator]


def test_a_large_log_is_not_read_whole() -> None:
    log, few = log_for("implicit"), DiffusionConfig(updates=3, passes=10)
    assert len(Denoiser(log.n_items, few, rng(0)).fit(log, rng(1))) == 3  # 60 users are one batch
    part = Denoiser(genres().n_items, DiffusionConfig(updates=1), rng(0)).fit(genres(), rng(1))
    assert len(part) == 1


def test_same_seed_same_bytes_and_accounts_differ_even_from_one_template() -> None:
    log = log_for("implicit")
    goal = Goal((TARGET,), accounts=80, profile=9)  # more than there are users
    made = run(Diffusion(), log, goal)
    assert columns(made) == columns(run(Diffusion(), log, goal))
    assert len(set(map(frozenset, sets(made)))) == goal.accounts


def test_guidance_brings_items_that_go_with_the_target() -> None:
    log, goal = genres(), Goal((2,), accounts=20, profile=9)
    share = []
    for guidance in (False, True):
        made = run(Diffusion(DiffusionConfig(guidance=guidance, passes=40)), log, goal)
        share.append(float((made.item[made.item != 2] < 30).mean()))
    assert share[1] > share[0]


def test_a_target_that_nobody_has_guides_nothing() -> None:
    log = genres()
    log = log.take(log.item != TARGET)
    goal = Goal((TARGET,), accounts=6, profile=9)
    free = run(Diffusion(DiffusionConfig(guidance=False)), log, goal)
    assert columns(run(Diffusion(DiffusionConfig(guidance=True)), log, goal)) == columns(free)


def test_choosing_by_hand_and_by_chance() -> None:
    chances = np.array([[0.1, 0.9, -0.2, 0.5]], np.float32)
    assert choose(chances, 3, 0.0, rng(0)).tolist() == [[1, 3, 0]]
    assert choose(chances, 6, 0.0, rng(0)).tolist() == [[1, 3, 0, 2, -1, -1]]
    first = choose(np.repeat(chances, 4000, axis=0), 1, 1.0, rng(1))[:, 0]
    assert np.bincount(first, minlength=4) / 4000 == pytest.approx([0.1 / 1.5, 0.9 / 1.5, 0, 0.5 / 1.5], abs=0.03)
    equal = choose(np.ones((200, 5), np.float32), 1, 0.0, rng(2))[:, 0]
    assert set(equal.tolist()) == set(range(5))


def test_ratings_are_the_templates_own_or_those_of_a_rater() -> None:
    user, item = np.array([0, 0, 1, 1, 2], np.int32), np.array([0, 1, 1, 2, 2], np.int32)
    log = InteractionLog(user, item, *2 * (np.arange(4).astype(str),), value=np.array([0, 5, 3, 1, 4], np.float32))
    items = np.array([[0, 1, 2, -1], [0, 1, 2, -1]], np.int32)
    seen = set()
    for seed in range(30):
        found = ratings_of(log, np.array([0, 1]), items, rng(seed))
        assert found[0, :2].tolist() == [0, 5] and found[1].tolist()[:3] == [0, 3, 1] and np.isnan(found[:, 3]).all()
        seen.add(float(found[0, 2]))
    assert seen == {1.0, 4.0}


def test_ratings_of_accounts_are_those_of_their_items() -> None:
    log, goal = log_for("rating"), Goal((TARGET,), accounts=7, profile=9, kind="rating")
    made = run(Diffusion(), log, goal)
    assert log.value is not None and made.value is not None
    rated = set(zip(log.item.tolist(), log.value.tolist(), strict=True))
    own = made.item != TARGET
    assert set(zip(made.item[own].tolist(), made.value[own].tolist(), strict=True)) <= rated
    buried = run(Diffusion(), log, replace(goal, direction="nuke"))
    assert set(buried.value[buried.item == TARGET].tolist()) == {log.value.min()}  # type: ignore[index]


def test_templates_lack_the_target() -> None:
    log = genres()
    users = choose_users(log, (TARGET,), 10, 9, rng(0))
    assert not profiles(log, users)[:, TARGET].any() and profiles(log, users).sum(1).min() >= 9
