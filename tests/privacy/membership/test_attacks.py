"""The attacks against normals whose best test is known, and against models that have learnt nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from recaudit.datasets.errors import DataError
from recaudit.privacy.membership import lira
from recaudit.privacy.membership.catalogue import ATTACKS
from recaudit.privacy.membership.caught import roc
from recaudit.privacy.membership.drivers import drivers, exposed
from recaudit.privacy.membership.game import play, separated
from recaudit.privacy.membership.material import Material, sided


def normals(seed: int, models: int, candidates: int, apart: float, places: float = 3.0) -> Material:
    """Candidates with places of their own; being a member moves a signal by `apart` standard deviations."""
    rng = np.random.default_rng(seed)
    place, other = rng.normal(0, places, candidates), rng.normal(0, places, candidates)
    included = rng.random((models, candidates)) < 0.5
    signal = place + rng.standard_normal((models, candidates)) + apart * included
    population = other + rng.standard_normal((models, candidates))
    cell = np.zeros(candidates, np.int64)
    return Material(signal, included, population, cell, cell)


@pytest.mark.parametrize("attack", ["lira", "rmia"])
@pytest.mark.parametrize(("apart", "models"), [(1.0, 32), (2.0, 32), (2.0, 12)])
def test_auc_of_known_normals(attack: str, apart: float, models: int) -> None:
    # RMIA is meant for likelihoods: of normals with these places the signal is log p(x | model) up to its own place
    found = play(normals(0, models, 600, apart), attack, np.arange(600))
    best = norm.cdf(apart / 2**0.5)
    assert best - (0.03 if models < 16 else 0.02) < found.auc < best + 0.02
    assert abs(found.caught[0].fpr - 0.01) < 0.005
    if models >= 16:
        best_rate = norm.sf(norm.isf(0.01) - apart)
        assert best_rate - 0.1 < found.caught[0].tpr < best_rate + 0.02


def test_references_are_worth_what_places_hide() -> None:
    stuff = normals(1, 8, 600, 1.5)
    found = {name: play(stuff, name, np.arange(600)).auc for name in ATTACKS}
    assert found["plain"] < 0.68 < 0.8 < min(found["lira"], found["rmia"])
    few = normals(1, 4, 600, 1.5)  # three references: a quarter of the candidates has no other side among them
    assert min(play(few, name, np.arange(600)).auc for name in ("lira", "rmia")) > found["plain"] + 0.03


def listed(seed: int, models: int, candidates: int, gain: float) -> Material:
    """-log2 of places in lists of 20: most pairs stand far outside, and never move."""
    rng = np.random.default_rng(seed)
    included = rng.random((models, candidates)) < 0.5
    place = rng.normal(4.5, 1.3, candidates) + 0.5 * rng.standard_normal((models, candidates)) - gain * included
    signal = -np.log2(np.clip(np.round(np.exp(place)), 1, 21))
    cell = np.zeros(candidates, np.int64)
    return Material(signal, included, signal, cell, cell)


def uneven(seed: int, models: int, candidates: int, gain: float) -> Material:
    """Candidates whose signals spread by very different standard deviations."""
    rng = np.random.default_rng(seed)
    included, spread = rng.random((models, candidates)) < 0.5, np.exp(rng.normal(0, 0.8, candidates))
    signal = rng.normal(0, 3, candidates) + spread * rng.standard_normal((models, candidates)) + gain * included
    cell = np.zeros(candidates, np.int64)
    return Material(signal, included, signal, cell, cell)


@pytest.mark.parametrize("gain", [0.5, 1.5])
def test_own_variances_of_many_models_tell_no_less_than_one_for_all(
    gain: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    users, found = np.arange(300), {}
    for below in (10**9, lira.POOLED_BELOW):
        monkeypatch.setattr(lira, "POOLED_BELOW", below)
        found[below] = [play(make(1, 32, 300, gain), "lira", users) for make in (listed, uneven)]
    (lists, spread), (own_lists, own_spread) = found.values()
    assert own_lists.auc > lists.auc - 0.01 and own_lists.caught[0].tpr > lists.caught[0].tpr - 0.01
    assert own_spread.auc > spread.auc and own_spread.caught[0].tpr > (4 if gain > 1 else 1) * spread.caught[0].tpr


def test_variances_are_drawn_together_as_far_as_they_are_alike() -> None:
    rng = np.random.default_rng(6)
    free = np.repeat([0, 15, 17], [10, 495, 495])
    drawn = rng.chisquare(np.maximum(free, 1)) * (free > 0)
    alike = lira.moderated(2 * drawn, free)
    np.testing.assert_allclose(alike, 2, rtol=0.2)
    spread = np.exp(rng.normal(0, 1.5, 1000))
    own = lira.moderated(spread * drawn, free)
    seen = spread * drawn / free.clip(1)
    large = seen > 4 * seen.mean()
    assert (own[large] > 0.8 * seen[large]).all() and (own > 0).all()
    off = [np.square(one - spread)[free > 0].mean() for one in (own, seen, np.full(1000, seen.mean()))]
    assert off[0] < min(off[1:])
    assert (lira.moderated(np.zeros(5), np.arange(5)) == 0).all()


def test_an_outsider_with_other_models() -> None:
    """References that spread and lie otherwise: less is told, and nothing of victims that learnt nothing."""
    stuff, users = normals(2, 12, 600, 1.5), np.arange(600)
    shift = np.random.default_rng(3).normal(0, 1.5, 600)  # how another recipe places the same candidates
    other = replace(stuff, signal=stuff.signal + shift, population=stuff.population + shift)
    own, theirs = (play(stuff, "lira", users, outsider=models) for models in (stuff, other))
    plain = play(stuff, "lira", users)
    assert own.auc == plain.auc and own.caught[0].tpr == plain.caught[0].tpr
    assert 0.55 < theirs.auc < plain.auc - 0.1
    coins = np.random.default_rng(4).random(stuff.included.shape) < 0.5
    nothing = play(replace(stuff, included=coins), "lira", users, outsider=other)
    assert abs(nothing.auc - 0.5) < 4 * nothing.error


@pytest.mark.parametrize("attack", list(ATTACKS))
def test_models_that_learnt_nothing_are_at_chance(attack: str) -> None:
    users = np.repeat(np.arange(60), 2)
    runs, covered, alarms = 200, 0, []
    for seed in range(runs):
        found = play(normals(seed, 4, 120, 0.0), attack, users)
        covered += abs(found.auc - 0.5) <= norm.ppf(0.975) * found.error
        alarms.append(found.caught[0].tpr - found.caught[0].fpr)
    assert covered >= 0.95 * runs - 2 * (0.95 * 0.05 * runs) ** 0.5
    assert abs(np.mean(alarms)) < 0.005  # members are found as often as others


def test_the_interval_follows_users_not_candidates() -> None:
    once = normals(2, 6, 100, 1.0)
    copies = Material(
        *(np.tile(part, (1, 4)) for part in (once.signal, once.included, once.population)),
        *(np.tile(part, 4) for part in (once.cell, once.population_cell)),
    )
    alone, fourfold = play(once, "plain", np.arange(100)), play(copies, "plain", np.tile(np.arange(100), 4))
    assert fourfold.auc == pytest.approx(alone.auc)
    assert fourfold.error == pytest.approx(alone.error, rel=0.05)


def test_thresholds_never_see_the_victim() -> None:
    stuff = normals(3, 6, 200, 1.0)
    changed = Material(
        np.concatenate([stuff.signal[:1] + 100, stuff.signal[1:]]),
        np.concatenate([~stuff.included[:1], stuff.included[1:]]),
        np.concatenate([stuff.population[:1] - 50, stuff.population[1:]]),
        stuff.cell, stuff.population_cell,
    )  # fmt: skip
    users = np.arange(200)
    for name in ATTACKS:
        first, second = (play(own, name, users).caught[0].levels for own in (stuff, changed))
        assert first[0] == second[0]


@pytest.mark.parametrize("attack", ["lira", "rmia"])
@pytest.mark.parametrize("models", [4, 6])
def test_rates_hold_what_they_say_and_their_errors_cover(attack: str, models: int) -> None:
    rates, errors, alarms = [], [], []
    for seed in range(40):
        first = play(normals(seed, models, 300, 2.0), attack, np.arange(300)).caught[0]
        rates.append(first.tpr)
        errors.append(first.error)
        alarms.append(first.fpr)
    assert abs(np.mean(alarms) - 0.01) < 0.004  # no more references for victims than for thresholds
    assert np.mean(errors) > 0.75 * np.std(rates, ddof=1)


def test_members_of_all_references_do_not_fill_the_top() -> None:
    """Made up additively, the side without references of a candidate all of them have would be next to impossible."""
    stuff = normals(5, 5, 2000, 1.0)
    for attack in ("rmia", "lira"):
        scores = play(stuff, attack, np.arange(2000)).scores[0]
        always = stuff.included[1:].all(axis=0)
        top = np.argsort(-scores)[:100]
        assert always[top].mean() < 4 * always.mean()


def test_sides_by_hand() -> None:
    values = np.array([[1.0, 2.0, 5.0], [3.0, 4.0, 7.0]])
    inside = np.array([[True, True, False], [False, True, False]])
    within, without = sided(values, inside)
    # only the first candidate has both sides: members lie 2 below
    np.testing.assert_allclose(within, [1, 3, 4])
    np.testing.assert_allclose(without, [3, 5, 6])


def test_separated_is_the_auc_with_an_interval_that_covers() -> None:
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        positive = np.arange(120) < 40
        auc, error = separated(rng.standard_normal(120) + positive, positive, np.arange(120))
        covered += abs(auc - norm.cdf(1 / 2**0.5)) < norm.ppf(0.975) * error
    assert covered >= 0.95 * 200 - 2 * (0.95 * 0.05 * 200) ** 0.5


def test_the_curve_ends_at_one_and_never_falls() -> None:
    stuff = normals(4, 5, 400, 1.0)
    found = roc(play(stuff, "lira", np.arange(400)).scores, stuff.included, np.ones(400, bool))
    rates = np.array(found)
    assert (np.diff(rates, axis=0) >= 0).all() and 0.004 < rates[0, 0] < 0.006 and rates[-1, 1] == 1
    assert (rates[:, 1] >= rates[:, 0]).mean() > 0.9


def test_drivers_find_what_was_put_in() -> None:
    rng = np.random.default_rng(5)
    traits = rng.standard_normal((500, 3))
    found = drivers(2 * traits[:, 1] - traits[:, 2] + 0.1 * rng.standard_normal(500), traits)
    assert found["popularity"] > 0.8 > abs(found["history"]) * 10 and found["distance"] < -0.4 and found["r2"] > 0.99
    assert drivers(np.full(500, np.nan), traits) == {} == drivers(np.ones(500), traits)
    scores = np.array([[3.0, 1.0, 2.0], [0.0, 1.0, 2.0]])
    np.testing.assert_allclose(
        exposed(scores, np.array([[True, False, False], [True, False, False]])), [0.5, np.nan, np.nan]
    )


def test_scores_that_cannot_be_read_are_refused() -> None:
    good = normals(0, 3, 10, 0.0)
    with pytest.raises(DataError, match="not finite"):
        Material(good.signal * np.nan, good.included, good.population, good.cell, good.cell)
    with pytest.raises(DataError, match="same models"):
        Material(good.signal, good.included[:2], good.population, good.cell, good.cell)
