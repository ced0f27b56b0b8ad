"""The detector by coherence: by hand, without texts, with permuted ones, whom it finds and to whom it is blind."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import numpy.testing as npt
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recaudit.attacks.visibility import auc
from recaudit.datasets.errors import DataError, InputError
from recaudit.datasets.log import InteractionLog
from recaudit.defenses.base import shuffled
from recaudit.defenses.detectors.coherence import _rank, cohesion, strides
from recaudit.recommenders.base import Recipe

from .fakes import detector, log_of, scores

VECTORS = np.array([[1, 0], [0, 1], [0.6, 0.8], [0, 0]], np.float32)
"""Cosines: 0 and 1 none, 0 and 2 .6, 1 and 2 .8; item 3 has no text."""
EVENTS = [(0, 0), (0, 1), (0, 0), (1, 1), (1, 3), (1, 2), (2, 0), (2, 0), (2, 3), (3, 3)]
THEMES = ("ghost haunted horror", "wedding romance love", "spaceship robot galaxy", "cowboy western ranch")


def themed(seed: int = 0, users: int = 200, *, times: bool = True) -> InteractionLog:
    """Accounts of 20 items each, the first of one theme each, the last eight of all four."""
    draw = np.random.default_rng(seed)
    user = np.repeat(np.arange(users + 8), 20)
    theme = np.where(user < users, user % 4, draw.integers(4, size=len(user)))
    item = 4 * draw.integers(25, size=len(user)) + theme
    log = log_of(list(zip(user.tolist(), item.tolist(), strict=True)), users + 8, 100)
    titles = [f"{THEMES[number % 4]} {number}" for number in range(100)]
    return replace(log, items=pd.DataFrame({"title": titles}), time=np.arange(len(user)) if times else None)


def found(log: InteractionLog, seed: int = 0, **settings: str) -> float:
    """AUC of the last eight accounts."""
    value = auc(detector("incoherence", **settings).suspicion(log, seed), np.arange(log.n_users) >= log.n_users - 8)
    assert value is not None
    return value


def test_both_numbers_by_hand() -> None:
    log = log_of(EVENTS, 5, 4)
    nan = float("nan")
    # different items, texts alone: {0, 1}, {1, 2}, {0}, {}, {}
    npt.assert_allclose(cohesion(log, VECTORS), [np.sqrt(0.5), np.sqrt(0.9), nan, nan, nan], atol=1e-6)
    # steps over what has a text: 0 1 0, 1 2, 0 0
    npt.assert_allclose(strides(log, VECTORS), [1, 0.2, 0, nan, nan], atol=1e-6)
    late = replace(log_of(EVENTS[::-1], 5, 4), time=np.arange(10)[::-1])
    npt.assert_allclose(strides(late, VECTORS), [1, 0.2, 0, nan, nan], atol=1e-6)


@given(st.integers(0, 1000))
def test_numbers_are_those_of_a_plain_loop_and_stay_within_their_range(seed: int) -> None:
    draw = np.random.default_rng(seed)
    events = list(zip(draw.integers(6, size=30).tolist(), draw.integers(8, size=30).tolist(), strict=True))
    vectors = draw.normal(size=(8, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[draw.random(8) < 0.3] = 0
    log = log_of(events, 6, 8)
    for user, (near, far) in enumerate(zip(cohesion(log, vectors), strides(log, vectors), strict=True)):
        own = [item for who, item in events if who == user and vectors[item].any()]
        kinds = sorted(set(own))
        assert np.isnan(near) == (len(kinds) < 2) and np.isnan(far) == (len(own) < 2)
        if len(kinds) > 1:
            assert near == pytest.approx(np.linalg.norm(vectors[kinds].mean(axis=0)), abs=2e-6) and near < 1.000001
        if len(own) > 1:
            away = [1 - vectors[a] @ vectors[b] for a, b in itertools.pairwise(own)]
            assert far == pytest.approx(np.mean(away), abs=2e-6) and -1e-6 <= far <= 2 + 1e-6


def test_ranks_share_ties_and_what_is_not_known_has_the_median() -> None:
    assert _rank(np.array([3.0, 1, 1, np.nan, 2])).tolist() == pytest.approx([0.9, 0.2, 0.2, 0.5, 0.7])
    assert _rank(np.full(3, np.nan)).tolist() == pytest.approx([0.5] * 3)


def test_any_log_and_any_order_of_accounts() -> None:
    pairs = [(user, item) for user in range(6) for item in range(3)]
    for events, users, items in (([], 3, 4), ([(0, 0)], 1, 1), ([(0, 1)] * 3, 2, 3), (pairs, 7, 9), (EVENTS, 5, 4)):
        log = replace(log_of(events, users, items), items=pd.DataFrame({"title": ["one two"] * items}))
        for own in (log, replace(log, time=np.arange(len(log)))):
            answer = scores("incoherence", own)
            assert answer.shape == (users,) and answer.dtype == np.float64 and np.isfinite(answer).all()
            assert np.isfinite(detector("incoherence").suspicion(own, 1)).all()
    log = themed()
    order = np.random.default_rng(0).permutation(log.n_users)
    npt.assert_allclose(scores("incoherence", shuffled(log, order)), scores("incoherence", log)[order], atol=1e-9)


def test_without_texts_it_says_why_not() -> None:
    bare = replace(themed(), items=None)
    for arm in ("real", "permuted"):
        why = detector("incoherence", arm=arm).why_not(Recipe("mf", {}), bare)
        assert why is not None and "no text" in why
        with pytest.raises(DataError, match="no text"):
            scores("incoherence", bare, arm=arm)
    assert detector("incoherence").why_not(Recipe("mf", {}), themed()) is None
    with pytest.raises(InputError):
        scores("incoherence", themed(), encoder="no such folder")


@pytest.mark.parametrize("times", [True, False])
def test_accounts_of_all_themes_are_found_by_their_texts_and_not_by_permuted_ones(times: bool) -> None:
    log = themed(times=times)
    assert found(log) > 0.95
    assert np.mean([found(log, seed, arm="permuted") for seed in range(8)]) < 0.75


def test_it_is_blind_to_accounts_of_one_theme() -> None:
    log = themed()
    one = replace(log, items=pd.DataFrame({"title": ["ghost haunted horror"] * 100}))
    assert found(one) == pytest.approx(0.5)
    clones = log.take(log.user < 200)
    user = clones.user.astype(np.int32)
    copied = np.isin(user, range(8))
    twice = replace(
        log,
        user=np.concatenate([user, user[copied] + np.int32(200)]),
        item=np.concatenate([clones.item, clones.item[copied]]),
        time=np.arange(len(user) + int(copied.sum())),
    )
    assert 0.2 < found(twice) < 0.8


def test_the_order_is_read_only_where_there_are_times() -> None:
    log = themed(times=False)
    draw = np.random.default_rng(0).permutation(len(log))
    assert scores("incoherence", log).tolist() == scores("incoherence", log.take(draw)).tolist()
    timed = themed()
    moved = replace(timed, time=np.random.default_rng(0).permutation(len(timed)))
    assert scores("incoherence", timed).tolist() != scores("incoherence", moved).tolist()
