from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import ks_2samp
from sklearn.metrics import roc_auc_score

from recaudit.datasets.errors import DataError
from recaudit.datasets.log import InteractionLog
from recaudit.privacy.signals import audience, distance, found_at, logits, percentiles, placed, separation
from recaudit.recommenders.base import Recipe

from ..unlearn.conformance import served, small_log

VALUES = st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5, 0.9, 1.0]), min_size=1, max_size=30)


class Fixed:
    """Scores as given."""

    def __init__(self, scores: np.ndarray) -> None:
        self.table = scores.astype(np.float32)
        self.n_users, self.n_items = scores.shape

    def scores(self, users: np.ndarray, history: InteractionLog) -> np.ndarray:
        found: np.ndarray = self.table[users]
        return found


def test_percentiles_by_hand() -> None:
    log = small_log(users=12, items=30, events=100)
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 4, (12, 30)).astype(float)
    seen = log.matrix().toarray() > 0
    pairs = np.argwhere(~seen)[rng.permutation((~seen).sum())[:60]]
    found = percentiles(Fixed(scores), pairs[:, 0], pairs[:, 1], log)
    for value, (user, item) in zip(found, pairs, strict=True):
        others = scores[user][~seen[user] & (np.arange(30) != item)]
        own = scores[user, item]
        assert value == pytest.approx(((others < own) + 0.5 * (others == own)).mean())


def test_percentiles_do_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    log = small_log()
    model = served(Recipe("ials", {"dim": 4}), log).model
    users, items = np.repeat(np.arange(60), 3), np.tile([1, 5, 9], 60)
    whole = percentiles(model, users, items, log)
    monkeypatch.setattr("recaudit.privacy.signals._CELLS", 90)
    np.testing.assert_allclose(percentiles(model, users, items, log), whole)


def test_an_audience_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    log = small_log(users=12, items=30, events=100)
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 3, (12, 30))
    scores[3, 5], scores[4, 6] = np.inf, -np.inf
    model, seen = Fixed(scores), log.matrix().toarray() > 0
    user, item = (own.ravel() for own in np.indices((12, 30)))
    found = audience(model, user, item, placed(model, user, item, log).score, log)
    limit = np.finfo(np.float32).max
    for value, one, other in zip(found, user, item, strict=True):
        table = model.table[:, other].astype(float).clip(-limit, limit)
        others = table[~seen[:, other] & (np.arange(12) != one)]
        assert value == pytest.approx(float(np.clip(table[one] - logsumexp(others), -limit, limit)), rel=1e-6, abs=1e-6)
    monkeypatch.setattr("recaudit.privacy.signals._CELLS", 90)
    np.testing.assert_allclose(audience(model, user, item, placed(model, user, item, log).score, log), found)
    monkeypatch.setattr("recaudit.privacy.signals.AUDIENCE", 5)
    some = audience(model, user, item, placed(model, user, item, log).score, log)
    assert (some >= found - 1e-6).all() and (some > found).any()  # five are fewer than twelve


def test_nan_is_named() -> None:
    log = small_log(users=12, items=30, events=100)
    with pytest.raises(DataError, match="NaN"):
        audience(Fixed(np.full((12, 30), np.nan)), np.array([0]), np.array([0]), np.zeros(1), log)
    with pytest.raises(DataError, match="NaN"):
        percentiles(Fixed(np.full((12, 30), np.nan)), np.array([0]), np.array([0]), log)


@given(VALUES, VALUES)
def test_separation_is_sklearns_auc(forgotten: list[float], controls: list[float]) -> None:
    label = np.repeat([1, 0], [len(forgotten), len(controls)])
    weights = np.linspace(0.5, 2, len(controls))
    wanted = roc_auc_score(label, forgotten + controls, sample_weight=np.r_[np.ones(len(forgotten)), weights])
    assert separation(np.array(forgotten), np.array(controls), weights) == pytest.approx(wanted)


@given(VALUES, VALUES)
def test_distance_is_scipys(forgotten: list[float], controls: list[float]) -> None:
    assert distance(np.array(forgotten), np.array(controls)) == pytest.approx(
        ks_2samp(forgotten, controls, method="asymp").statistic
    )


def test_found_at_counts_above_the_quantile() -> None:
    controls = np.arange(1000) / 1000
    assert found_at(np.array([0.5, 0.985, 0.9895, 0.995]), controls) == 0.5
    assert found_at(controls, controls) <= 0.01


def test_logits_by_hand() -> None:
    ids = np.array(["0"]), np.array(list("abcde"))
    history = InteractionLog(np.zeros(1, np.int32), np.zeros(1, np.int32), *ids)
    model = Fixed(np.array([[0.5, 1, 2, 3, 3]]))
    found = logits(model, np.zeros(5, np.int64), np.arange(5), history)
    # of the three others outside the history (four for the known item) 0, 0, 1, 2.5, 2.5 are beaten
    beaten, others = np.array([0, 0, 1, 2.5, 2.5]), np.array([4, 3, 3, 3, 3])
    np.testing.assert_allclose(found, np.log((beaten + 0.5) / (others - beaten + 0.5)))
