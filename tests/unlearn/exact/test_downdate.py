from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from recaudit.datasets.log import InteractionLog
from recaudit.datasets.synthetic import generate
from recaudit.recommenders.base import Recipe
from recaudit.unlearn.exact.downdate import Downdate, _inverse
from recaudit.unlearn.request import Request

from ..conformance import examine, requests, served, small_log

EASE = Recipe("ease", {"regularisation": 20.0})


def test_conformance() -> None:
    examine(Downdate(), EASE)


@pytest.mark.parametrize("kind", ["one user", "five users", "one item", "pairs", "one pair"])
def test_equals_inversion(kind: str) -> None:
    """Unlearning notes, section 9: below 1e-9 in double precision, by Woodbury and by inversion."""
    log = generate(users=300, items=150, events=5_000, seed=1)
    unlearner, request = Downdate(), requests(log)[kind]
    after = unlearner.forget(unlearner.prepare(served(EASE, log), 0), request, 0)
    np.testing.assert_allclose(after.memory, _inverse(request.retained(log), 20.0), atol=1e-9)


def test_equals_a_fit_of_the_retain_set() -> None:
    log = small_log()
    unlearner, request = Downdate(), requests(log)["one user"]
    after = unlearner.forget(unlearner.prepare(served(EASE, log), 0), request, 0)
    fresh = served(EASE, request.retained(log))
    np.testing.assert_allclose(scores(after.model, log), scores(fresh.model, log), atol=1e-5)


def test_rows_are_not_spread_out_where_all_is_inverted_anew() -> None:
    """Old and new rows of 5,000 users would be 16 MB here, of 58,000 users they were a gigabyte."""
    draw = np.random.default_rng(0)
    user, item = (draw.integers(0, size, 40_000).astype(np.int32) for size in (5_000, 200))
    log = InteractionLog(user, item, np.arange(5_000).astype(str), np.arange(200).astype(str))
    before = Downdate().prepare(served(EASE, log), 0)
    request = Request.of(log, "x", rows=np.arange(20_000))
    tracemalloc.start()
    after = Downdate().forget(before, request, 0)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 8e6
    np.testing.assert_allclose(after.memory, _inverse(request.retained(log), 20.0), atol=1e-12)


def test_ids_of_a_long_stream_do_not_drift() -> None:
    log = generate(users=200, items=60, events=3_000, seed=2)
    unlearner = Downdate()
    now = unlearner.prepare(served(EASE, log), 0)
    for user in range(50):
        now = unlearner.forget(now, Request.of(now.log, "x", users=np.array([user])), 0)
    np.testing.assert_allclose(now.memory, _inverse(now.log, 20.0), atol=1e-9)


def test_only_ease() -> None:
    assert Downdate().why_not(Recipe("ials", {}), small_log()) is not None


def scores(model: object, log: InteractionLog) -> np.ndarray:
    found: np.ndarray = model.scores(np.arange(log.n_users), log)  # type: ignore[attr-defined]
    return found
