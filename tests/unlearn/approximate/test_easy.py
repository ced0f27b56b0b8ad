"""Held-out pairs that are as easy to guess as others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recaudit.datasets.demo import load_demo
from recaudit.datasets.split import make_split
from recaudit.privacy.signals import percentiles
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.unlearn.approximate import easy
from recaudit.unlearn.approximate.easy import as_easy, hints, log_odds, trained_guide
from recaudit.unlearn.approximate.watch import Watch
from recaudit.unlearn.base import Served
from recaudit.unlearn.drawing import draw

from ..conformance import small_log


@given(st.integers(0, 1_000), st.integers(1, 300), st.integers(1, 80), st.integers(1, 3))
def test_weights_are_a_mean_over_many(seed: int, count: int, several: int, kinds: int) -> None:
    stream = np.random.default_rng(seed)
    forgotten, controls = (stream.normal(size=(size, kinds)).round(1) for size in (several, count))
    weights = as_easy(forgotten, controls, stream.random(count))
    assert weights.shape == (count,)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1.0)
    assert weights.sum() ** 2 / np.square(weights).sum() >= min(count, 50) - 1e-6


def test_the_hint_that_tells_is_the_one_that_matches() -> None:
    """Of two hints the victim follows one; pairs that differ by the other alone are answered by all alike."""
    stream = np.random.default_rng(0)
    controls = stream.normal(size=(4_000, 2))
    placed = 1 / (1 + np.exp(-2 * controls[:, 0]))
    for wanted in (-1.0, 0.0, 1.0):
        forgotten = np.column_stack([np.full(40, wanted), stream.normal(3.0, 1.0, 40)])
        weights = as_easy(forgotten, controls, placed)
        assert weights @ placed == pytest.approx(1 / (1 + np.exp(-2 * wanted)), abs=0.02)
        assert abs(weights @ controls[:, 1]) < 0.3


def test_a_hint_that_says_the_opposite_matches_as_well() -> None:
    controls = np.linspace(-2, 2, 1_000)[:, None]
    placed = 1 / (1 + np.exp(controls[:, 0]))
    assert as_easy(np.full((1, 1), 1.5), controls, placed) @ controls[:, 0] == pytest.approx(1.5, abs=0.01)


def test_log_odds_are_finite() -> None:
    assert np.isfinite(log_odds(np.array([0.0, 0.5, 1.0]))).all()
    assert log_odds(0.5) == 0


def test_hints_are_popularity_the_guides_percentiles_and_lengths() -> None:
    log = small_log()
    pairs = log.user[:5].astype(np.int64), log.item[:5].astype(np.int64)
    kept = log.without(np.arange(len(log)) < 5)
    guide = trained_guide(kept)
    assert guide.name == "ease"
    alone, both = (hints(own, kept, pairs, kept) for own in (None, guide))
    assert np.array_equal(alone[:, 0], np.log1p(kept.item_counts[pairs[1]]))
    assert both.shape == (5, 3)
    assert np.array_equal(both[:, :1], alone)
    assert both[:, 1] == pytest.approx(log_odds(percentiles(guide, *pairs, kept)))
    assert np.array_equal(both[:, 2], np.log1p(kept.user_counts[pairs[0]]))


def test_large_catalogues_are_guided_by_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    log = small_log()
    monkeypatch.setattr(easy, "_DENSE", log.n_items - 1)
    assert trained_guide(log).name == "itemknn"


@pytest.mark.slow
def test_retrains_lie_at_the_mark() -> None:
    """The claim: where retrains put halves of histories is told more exactly than by popularity."""
    split = make_split(load_demo(), "ratio:0.8,0.1,0.1", 0)
    recipe = Recipe("mf", {"dim": 16, "max_epochs": 20}, 20)
    served = Served(recipe, split.train, fit(recipe, split.train, 0), held_out=split.valid)
    missed, plain = [], []
    for place in range(4):
        request = draw(split.train, "part-of-users", 300, place)
        kept = request.retained(split.train)
        watch = Watch(served, request, kept, place)
        assert watch.start is not None
        retrained = np.mean([watch.look(fit(recipe, kept, seed)).forgotten for seed in (1, 2)])
        gap = watch.start.forgotten - retrained
        assert gap > 0.1, "the victim must remember"
        missed.append((watch.start.mark() - retrained) / gap)
        own, other = (hints(None, kept, pairs, kept) for pairs in (watch.forgotten, watch.controls))
        placed = percentiles(served.model, *watch.controls, kept)
        plain.append((as_easy(own, other, placed) @ placed - retrained) / gap)
    assert np.sqrt(np.mean(np.square(missed))) < 0.12
    assert np.sqrt(np.mean(np.square(missed))) < np.sqrt(np.mean(np.square(plain)))
