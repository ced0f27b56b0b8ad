"""Detectors by the accounts most like an account."""

from __future__ import annotations

import numpy as np
import numpy.testing as npt
import pytest

from recaudit.attacks.detectors import rows
from recaudit.datasets.log import Profiles
from recaudit.defenses.detectors import neighbours
from recaudit.defenses.detectors.neighbours import nearness, overlap

from .fakes import FORMS, PLAIN, RATED, accounts, caught, crafted, log_of, scores, sound


@pytest.mark.parametrize("name", ["deg-sim", "near-copies"])
def test_any_log_and_any_order_of_accounts(name: str) -> None:
    sound(name)


def test_degree_of_similarity_by_hand() -> None:
    log = log_of([(0, 0), (0, 1), (1, 0), (1, 1), (2, 2)], 4, 3)
    npt.assert_allclose(nearness(rows(log)[:3], 1, False), [1, 1, 0], atol=1e-6)
    npt.assert_allclose(nearness(rows(log)[:3], 9, False), [0.5, 0.5, 0], atol=1e-6)
    root = np.sqrt(2)
    npt.assert_allclose(scores("deg-sim", log), [1 / root, 1 / root, root, 0], atol=1e-5)


def test_with_ratings_it_is_the_correlation_of_centred_rows() -> None:
    events = [(user, item) for user in range(4) for item in (0, 1)]
    log = log_of(events, 4, 2, [5, 1, 4, 2, 1, 5, 3, 3])  # two agree, one does not, one rates everything alike
    npt.assert_allclose(nearness(rows(log), 1, True), [1, 1, 0, 0], atol=1e-6)
    npt.assert_allclose(nearness(rows(log), 3, True), [0, 0, -2 / 3, 0], atol=1e-6)


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    held, wanted = rows(RATED), (nearness(rows(RATED), 25, True), overlap(RATED))
    monkeypatch.setattr(neighbours, "PAIRS", 7 * RATED.n_users)
    npt.assert_allclose(nearness(held, 25, True), wanted[0], atol=1e-6)
    npt.assert_array_equal(overlap(RATED), wanted[1])


def test_overlap_by_hand() -> None:
    events = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (1, 3), (1, 3), (2, 4), (3, 3)]
    npt.assert_allclose(overlap(log_of(events, 5, 5)), [1 / 2, 1 / 2, 0, 1 / 3, 0])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["deg-sim", "near-copies"])
def test_both_see_copies(name: str, form: str) -> None:
    log = FORMS[form]
    assert caught(name, log, accounts(log, [20] * 8, same=True)) > 0.95


def test_similarity_is_two_sided() -> None:
    assert caught("deg-sim", PLAIN, crafted(PLAIN, "random")) > 0.75


def test_a_cloned_user_is_as_suspicious_as_the_clone() -> None:
    own = PLAIN.item[PLAIN.user == 7]
    log = FORMS["neither"].with_accounts(Profiles(1, np.zeros(len(own), np.int32), own))
    found = overlap(log)
    assert found[7] == found[-1] == 1 > np.sort(found)[-3]


def test_each_is_blind_where_it_says_so() -> None:
    assert caught("near-copies", PLAIN, crafted(PLAIN, "random")) < 0.2
    assert caught("deg-sim", PLAIN, crafted(PLAIN, "clone-and-push")) < 0.6
