"""Detectors by what follows what, and the isolation forest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.testing as npt
import pytest

from recaudit.attacks.transitions import STRENGTHS
from recaudit.datasets.errors import DataError
from recaudit.datasets.log import Profiles
from recaudit.datasets.synthetic import generate
from recaudit.defenses.detectors.sequence import features, gap_entropy, surprise
from recaudit.recommenders.base import Recipe

from .fakes import FORMS, PLAIN, RATED, accounts, caught, crafted, detector, log_of, scores, sound


def test_any_log_and_any_order_of_accounts() -> None:
    sound("surprise", timed=True)
    sound("together", trees=10)


def test_surprise_by_hand() -> None:
    """Two accounts go from item 0 to 1, a third from 0 to 2; a fourth has no step."""
    events = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 2), (3, 1)]
    common = {b: (1 + b * 2 / 5) / (2 + b) for b in STRENGTHS}
    rare = {b: (0 + b * 1 / 5) / (2 + b) for b in STRENGTHS}
    best = max(STRENGTHS, key=lambda b: 2 * np.log(common[b]) + np.log(rare[b]))
    wanted = [-np.log(common[best]), -np.log(common[best]), -np.log(rare[best]), -np.log(common[best])]
    npt.assert_allclose(surprise(log_of(events, 5, 3))[:4], wanted, atol=1e-8)
    late = log_of(events[::-1], 5, 3, time=[9, 8, 7, 6, 5, 4, 3])  # the file is turned round, times are not
    npt.assert_allclose(surprise(late)[:4], wanted, atol=1e-8)


def test_own_steps_do_not_count_however_often_they_are_taken() -> None:
    """With the account's steps taken out of the log by hand, the chain is what is left."""
    events = [(0, item) for item in (0, 1, 0, 1, 0, 2)] + [(1, item) for item in (0, 1, 2, 0, 1)]
    log = log_of(events, 2, 3)
    moves = {0: [(0, 1), (1, 0), (0, 1), (1, 0), (0, 2)], 1: [(0, 1), (1, 2), (2, 0), (0, 1)]}

    def mean(user: int, b: float) -> float:
        others = moves[1 - user]
        found = []
        for start, end in moves[user]:
            prior = (sum(e == end for _, e in others) + 1) / (len(others) + 3)
            found.append((others.count((start, end)) + b * prior) / (sum(s == start for s, _ in others) + b))
        return float(np.log(found).mean())

    best = max(STRENGTHS, key=lambda b: 5 * mean(0, b) + 4 * mean(1, b))
    npt.assert_allclose(surprise(log), [-mean(0, best), -mean(1, best)], atol=1e-8)


def test_entropy_of_gaps_by_hand() -> None:
    events = [(0, 0)] * 5 + [(1, 0)] * 3 + [(2, 0)]
    found = gap_entropy(log_of(events, 4, 1, time=[0, 1, 2, 102, 202, 0, 60, 120, 7]))
    npt.assert_allclose(found, [1, 0, 0, 0])  # two gaps each of two sizes; a clock; a single event; none


def test_features_by_hand() -> None:
    log = log_of([(0, 0), (0, 1), (1, 0), (1, 0)], 3, 2)
    found = features(log, 1)
    assert found.shape == (3, 5) and features(RATED, 10).shape == (400, 7)
    npt.assert_allclose(found[:2, 0], np.log(2))
    npt.assert_allclose(found[:2, 1], [np.log(3) / 2, np.log(3)])
    npt.assert_allclose(found[:2, 2], [np.log(3) / 2, 0], atol=1e-9)
    npt.assert_allclose(found[:2, 3], 1 / 2)


@pytest.mark.parametrize("form", FORMS)
def test_each_catches_what_it_is_made_for(form: str) -> None:
    log = FORMS[form]
    fakes = crafted(log, "random")
    if log.time is not None:
        assert caught("surprise", log, fakes) > 0.9
    assert caught("together", log, fakes) > 0.7
    assert caught("together", log, accounts(log, [20] * 8, same=True)) > 0.95


def test_surprise_is_blind_to_copied_sequences_and_to_popular_items() -> None:
    assert caught("surprise", PLAIN, accounts(PLAIN, [20] * 8, same=True)) < 0.1
    assert caught("surprise", PLAIN, crafted(PLAIN, "popular")) < 0.5


def test_together_is_blind_to_fakes_that_are_usual_in_every_number() -> None:
    more = replace(generate(users=500, items=200, events=10_000, seed=0), value=None)
    late = more.user >= 400
    fakes = Profiles(100, more.user[late] - np.int32(400), more.item[late], None, more.time[late])  # type: ignore[index]
    genuine = replace(more.take(~late), user_ids=more.user_ids[:400], users=None)
    assert 0.4 < caught("together", genuine, fakes) < 0.6


def test_without_times_nothing_is_read_out_of_the_order_of_the_file() -> None:
    """Genuine events by item, as files are often stored, and those of fakes as they were drawn."""
    genuine = PLAIN.take(np.lexsort((PLAIN.item, PLAIN.user)))
    log = replace(genuine, time=None)
    why = detector("surprise").why_not(Recipe("mf", {}), log)
    assert why is not None and "`position`" in why
    assert detector("surprise").why_not(Recipe("mf", {}), genuine) is None
    with pytest.raises(DataError, match="surprise: the log has no times"):
        scores("surprise", log)
    attacked = log.with_accounts(crafted(log, "popular"))
    mixed = attacked.take(np.random.default_rng(0).permutation(len(attacked)))
    one, two = (detector("together", trees=10).suspicion(own, 3) for own in (attacked, mixed))
    assert one.tobytes() == two.tobytes()


def test_together_repeats_itself() -> None:
    one, two = (detector("together", trees=10).suspicion(PLAIN, 3) for _ in range(2))
    assert one.tobytes() == two.tobytes()
    assert (detector("together", trees=10).suspicion(PLAIN, 4) != one).any()
