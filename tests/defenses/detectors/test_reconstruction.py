"""Detectors by the structure of the whole log."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.testing as npt
import pytest

from recaudit.attacks.detectors import rows
from recaudit.datasets.log import InteractionLog
from recaudit.defenses.base import Float64
from recaudit.defenses.detectors.reconstruction import peeled, unexplained, unusual_error

from .fakes import FORMS, PLAIN, RATED, accounts, caught, crafted, log_of, scores, sound


@pytest.mark.parametrize("name", ["reconstruction", "dense-block"])
def test_any_log_and_any_order_of_accounts(name: str) -> None:
    sound(name)


def test_unexplained_by_hand() -> None:
    two = log_of([(0, 0), (0, 1), (1, 0), (1, 1), (2, 2)], 3, 3)
    npt.assert_allclose(unexplained(rows(two), 1), [0, 0, 1], atol=1e-9)
    tied = log_of([(0, 0), (1, 1), (2, 2), (3, 3)], 4, 4)
    npt.assert_allclose(unexplained(rows(tied), 1), 1), "no vector is better than another"


@pytest.mark.parametrize("log", [RATED, PLAIN], ids=["ratings", "plain"])
def test_unexplained_is_that_of_the_dense_decomposition(log: InteractionLog) -> None:
    dense = rows(log).toarray()
    _, _, right = np.linalg.svd(dense)
    rest = dense - dense @ right[:10].T @ right[:10]
    npt.assert_allclose(unexplained(rows(log), 10), (rest**2).sum(1) / (dense**2).sum(1), atol=1e-8)


def test_length_explains_no_error_any_more() -> None:
    length = np.log(np.diff(rows(PLAIN).indptr))
    found = unusual_error(rows(PLAIN), 10)
    assert abs(found.mean()) < 1e-6
    for power in (1, 2):
        assert abs(np.corrcoef(found, length**power)[0, 1]) < 1e-4


def test_peeling_by_hand() -> None:
    level, inside = peeled(log_of([(0, 0), (0, 1), (1, 0), (1, 1), (2, 2)], 4, 3).matrix())
    npt.assert_allclose(level, [2 / np.log(7), 2 / np.log(7), 1 / np.log(6), 0])
    assert inside.tolist() == [True, True, False, False]
    found = scores("dense-block", log_of([(0, 0), (0, 1), (1, 0), (1, 1), (2, 2)], 4, 3))
    assert found[0] == found[1] > found[2] + 1 > found[3] + 1


def test_peeling_is_the_plain_loop_and_keeps_its_promise() -> None:
    draw = np.random.default_rng(0)
    for _ in range(20):
        held = (draw.random((5, 4)) < 0.5).astype(np.float64)
        weight = held / np.log(held.sum(axis=0) + 5)
        level, inside = peeled(rows(log_of([(int(u), int(i)) for u, i in np.argwhere(held)], 5, 4)))
        wanted, density = plainly(weight)
        npt.assert_allclose(level, wanted, atol=1e-8)
        choices = [np.array(kept, bool) for kept in product((0, 1), repeat=9) if any(kept)]
        best = max(float(weight[kept[:5]][:, kept[5:]].sum()) / kept.sum() for kept in choices)
        reached = max(density[value] for value in set(np.round(level[inside], 6))) if inside.any() else 0.0
        assert best / 2 - 1e-9 <= reached <= best + 1e-9


def plainly(weight: Float64) -> tuple[Float64, dict[float, float]]:
    """Levels of the accounts by definition, and the density of what is left when a level begins."""
    users, items = weight.shape
    graph = np.zeros((users + items, users + items))
    graph[:users, users:], graph[users:, :users] = weight, weight.T
    alive, level, reached = np.ones(users + items, bool), np.zeros(users + items), -1.0
    density: dict[float, float] = {}
    while alive.any():
        degree = np.where(alive, graph[:, alive].sum(axis=1), np.inf)
        node = int(degree.argmin())
        if degree[node] > reached + 1e-9:
            reached = float(degree[node])
            density[round(reached, 6)] = float(graph[alive][:, alive].sum()) / 2 / int(alive.sum())
        level[node], alive[node] = reached, False
    return level[:users], density


@pytest.mark.parametrize("form", FORMS)
def test_each_catches_what_it_is_made_for(form: str) -> None:
    log = FORMS[form]
    assert caught("reconstruction", log, crafted(log, "random")) > 0.85
    assert caught("dense-block", log, accounts(log, [60] * 40, same=True)) > 0.95


@pytest.mark.parametrize("form", FORMS)
def test_each_is_blind_where_it_says_so(form: str) -> None:
    log = FORMS[form]
    group = accounts(log, [20] * 40, same=True)
    assert caught("reconstruction", log, group) < 0.1
    assert caught("reconstruction", log, crafted(log, "popular")) < 0.1
    assert 0.4 < caught("dense-block", log, group) < 0.7, "short profiles hide below heavy users"
