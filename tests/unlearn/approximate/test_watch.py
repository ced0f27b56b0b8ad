"""Which pairs are watched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recaudit.datasets.errors import InputError
from recaudit.privacy.signals import percentiles
from recaudit.recommenders.base import Recipe
from recaudit.unlearn.approximate.watch import Watch
from recaudit.unlearn.base import Served
from recaudit.unlearn.request import Request

from ..conformance import served, small_log


@pytest.fixture(scope="module")
def before() -> Served:
    log = small_log(users=80, items=60, events=1_600)
    rows = np.random.default_rng(0).permutation(len(log)) < 1_300
    return replace(served(Recipe("ials", {"dim": 8}), log.take(rows)), held_out=log.take(~rows))


def test_own_users_are_the_controls_if_they_have_enough(before: Served) -> None:
    assert before.held_out is not None
    many, few = (
        Request.of(before.log, "x", rows=np.flatnonzero((before.log.user < n) & (before.log.item % 2 == 0)))
        for n in (40, 2)
    )
    own = Watch(before, many, many.retained(before.log), 0)
    assert set(own.controls[0]) <= set(before.log.user[many.rows])
    other = Watch(before, few, few.retained(before.log), 0)
    assert len(other.controls[0]) == len(before.held_out)


def test_look_and_gap_are_mean_percentiles(before: Served) -> None:
    request = Request.of(before.log, "x", rows=np.arange(0, 400, 3))
    kept = request.retained(before.log)
    watch = Watch(before, request, kept, 0)
    wanted = [percentiles(before.model, *pairs, kept).mean() for pairs in (watch.forgotten, watch.controls)]
    assert watch.look(before.model) == pytest.approx(tuple(wanted))
    assert watch.gap(before.model) == pytest.approx(wanted[0] - wanted[1])


def test_without_held_out_events_nothing_is_known(before: Served) -> None:
    request = Request.of(before.log, "x", users=np.array([3]))
    watch = Watch(replace(before, held_out=None), request, request.retained(before.log), 0)
    assert not watch.known
    assert watch.rivals == 8
    with pytest.raises(InputError, match="no held-out pairs"):
        watch.gap(before.model)
