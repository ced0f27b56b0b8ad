"""Draws without replacement for all accounts at once."""

from __future__ import annotations

import numpy as np
import pytest

from recaudit.attacks import draws
from recaudit.attacks.draws import draw, head, merge, without_repeats
from recaudit.datasets.seeding import rng


def test_first_draws_have_the_stated_chances_and_no_repeats() -> None:
    weights = np.array([1.0, 0, 3, 6])
    found = draw(rng(0), weights, 40_000, 3)
    first = np.bincount(found[:, 0], minlength=4) / 40_000
    assert first == pytest.approx(weights / 10, abs=0.01)
    assert not (found == 1).any() and (np.sort(found, axis=1) == [0, 2, 3]).all()
    # by hand: item 3 first, then item 2 with chance 3 in 4
    after = found[found[:, 0] == 3][:, 1]
    assert (after == 2).mean() == pytest.approx(0.75, abs=0.01)


def test_used_up_weights_give_none() -> None:
    found = draw(rng(0), np.array([1.0, 0, 1]), 4, 5)
    assert (np.sort(found[:, :2], axis=1) == [0, 2]).all() and (found[:, 2:] == -1).all()
    assert draw(rng(0), np.ones(3), 2, 0).shape == (2, 0) and draw(rng(0), np.ones(3), 0, 2).shape == (0, 2)


def test_blocks_of_accounts_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = np.arange(20.0)
    whole = draw(rng(1), weights, 50, 4)
    monkeypatch.setattr(draws, "_CELLS", 60)
    assert (draw(rng(1), weights, 50, 4) == whole).all()
    each = np.tile(weights, (50, 1))
    assert (draw(rng(1), each, 50, 4) == whole).all()


def test_head_is_the_most_popular_share_of_active_items() -> None:
    popularity = np.array([5, 0, 9, 1, 1, 7, 0, 2, 3, 4, 6, 8])
    assert np.flatnonzero(head(popularity, 0.2)).tolist() == [2, 11]
    assert np.flatnonzero(head(popularity, 0.001)).tolist() == [2]
    assert np.flatnonzero(head(popularity, 1)).tolist() == np.flatnonzero(popularity).tolist()
    assert not head(np.zeros(4, np.int64), 0.5).any()


def test_repeats_keep_the_first() -> None:
    items = np.array([[4, 2, 4, 2, 1], [0, 0, 0, 0, 3]], np.int32)
    assert without_repeats(items).tolist() == [[4, 2, -1, -1, 1], [0, -1, -1, -1, 3]]
    assert merge(items[:, :2], items[:, 2:]).tolist() == [[4, 2, -1, -1, 1], [0, -1, -1, -1, 3]]
