"""Detectors by single numbers of a profile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.testing as npt
import pytest

from recaudit.datasets.log import InteractionLog
from recaudit.defenses.catalogue import build
from recaudit.defenses.detectors.ratings import Entries, hv, retrieved

from .fakes import FORMS, PLAIN, RATED, accounts, caught, crafted, log_of, scores, sound

NAMES = ("rdma", "wdma", "wda", "length-var", "unrap")
QUALITY = np.random.default_rng(0).normal(3.5, 1, RATED.n_items)
NOISE = np.random.default_rng(1).normal(0, 0.7, len(RATED))
JUDGED = replace(RATED, value=np.clip(np.round(QUALITY[RATED.item] + NOISE), 1, 5).astype(np.float32))
"""A log in which items are good or bad: without that the means of items hold nothing that UnRAP could use."""
EVENTS = [(0, 0), (1, 0), (1, 1), (2, 1), (3, 1)]


@pytest.mark.parametrize("name", NAMES)
def test_any_log_and_any_order_of_accounts(name: str) -> None:
    sound(name)


def test_deviations_by_hand() -> None:
    rated = log_of(EVENTS, 5, 3, [5, 3, 4, 2, 3])  # both items have mean 4 and 3, and 2 and 3 holders; user 4 is idle
    npt.assert_allclose(scores("rdma", rated)[:4], [1 / 2, (1 / 2 + 1 / 3) / 2, 1 / 3, 0])
    npt.assert_allclose(scores("wdma", rated)[:4], [1 / 4, (1 / 4 + 1 / 9) / 2, 1 / 9, 0])
    npt.assert_allclose(scores("wda", rated)[:4], [1 / 2, 1 / 2 + 1 / 3, 1 / 3, 0])
    plain = log_of(EVENTS, 5, 3)  # four accounts have events: inverse popularity less 1/4
    npt.assert_allclose(scores("rdma", plain)[:4], [1 / 4, (1 / 4 + 1 / 12) / 2, 1 / 12, 1 / 12])
    npt.assert_allclose(scores("wdma", plain)[:4], [1 / 8, (1 / 8 + 1 / 36) / 2, 1 / 36, 1 / 36])
    npt.assert_allclose(scores("wda", plain)[:4], [1 / 4, 1 / 4 + 1 / 12, 1 / 12, 1 / 12])


def test_length_variance_by_hand() -> None:
    found = scores("length-var", log_of(EVENTS, 5, 3))  # lengths 1, 2, 1, 1, of mean 5/4
    npt.assert_allclose(found[:4], [1 / 3, 1, 1 / 3, 1 / 3])
    assert scores("length-var", log_of([(0, 0), (1, 1)], 2, 2)).tolist() == [0, 0]


def test_hv_by_hand() -> None:
    log = log_of([(0, 0), (0, 1), (1, 0), (1, 1)], 2, 2, [5, 1, 1, 3])  # means of users and items 3 and 2, of all 2.5
    npt.assert_allclose(hv(Entries.of(log)), [4 * 1.5**2 / 2 / 8, 4 * 1.5**2 / 2 / 2])


def test_hv_without_ratings_is_the_definition_over_all_items() -> None:
    dense = PLAIN.matrix().toarray().astype(np.float64)
    items, users = dense.mean(axis=0), dense.mean(axis=1, keepdims=True)
    above = ((dense - items - users + dense.mean()) ** 2).sum(axis=1)
    npt.assert_allclose(hv(Entries.of(PLAIN)), above / ((dense - users) ** 2).sum(axis=1), atol=1e-8)


def test_hv_of_who_rates_everything_alike() -> None:
    events = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (3, 1)]
    found = hv(Entries.of(log_of(events, 4, 2, [5, 1, 1, 3, 4, 4, 2])))
    assert found[2] > found[:2].max() and found[3] == np.median(found[:2]), "one rating says nothing"


def test_second_part_retrieves_who_agrees_on_the_target() -> None:
    log = JUDGED.with_accounts(crafted(JUDGED, "love-hate"))
    entries = Entries.of(log)
    found = retrieved(entries, hv(entries), 10) > 0
    assert found[RATED.n_users :].mean() > 0.9 and found[: RATED.n_users].mean() < 0.02
    high = scores("unrap", log)
    assert high[found].min() >= 1 > high[~found].max()
    assert build("unrap", {"window": 5}).config.window == 5


@pytest.mark.parametrize(
    ("name", "log", "attack", "least"),
    [
        ("rdma", PLAIN, "random", 0.85),
        ("wdma", PLAIN, "random", 0.8),
        ("wda", PLAIN, "random", 0.65),
        ("unrap", PLAIN, "random", 0.75),
        ("unrap", JUDGED, "love-hate", 0.95),
    ],
)
def test_catches_what_it_is_made_for(name: str, log: InteractionLog, attack: str, least: float) -> None:
    assert caught(name, log, crafted(log, attack)) > least


@pytest.mark.parametrize(
    ("name", "log", "attack"),
    [("rdma", PLAIN, "popular"), ("wdma", PLAIN, "popular"), ("wda", PLAIN, "popular"), ("unrap", PLAIN, "popular")],
)
def test_is_blind_where_it_says_so(name: str, log: InteractionLog, attack: str) -> None:
    assert caught(name, log, crafted(log, attack)) < 0.3


def test_unrap_is_blind_to_ratings_that_follow_the_means_of_items() -> None:
    assert 0.4 < caught("unrap", JUDGED, crafted(JUDGED, "average")) < 0.6


@pytest.mark.parametrize("form", FORMS)
def test_length_variance_sees_length_alone(form: str) -> None:
    log = FORMS[form]
    lengths = np.random.default_rng(0).choice(log.user_counts, 100).tolist()
    assert 0.4 < caught("length-var", log, accounts(log, lengths)) < 0.6
    assert caught("length-var", log, accounts(log, [70] * 20)) > 0.95
    assert caught("length-var", log, accounts(log, [20] * 20)) < 0.1
