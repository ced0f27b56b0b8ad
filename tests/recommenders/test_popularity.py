"""Popularity counts distinct users; its recent form those of the last days."""

import numpy as np
import pytest

from recaudit.datasets.errors import DataError
from recaudit.datasets.log import InteractionLog
from recaudit.recommenders.popularity import (
    Popularity,
    PopularityConfig,
    RecentPopularity,
    RecentPopularityConfig,
)

DAY = 86_400


def log_of(user, item, time=None):
    ids = lambda n: np.array([str(i) for i in range(n)])  # noqa: E731
    time = None if time is None else np.array(time, np.int64)
    return InteractionLog(np.int32(user), np.int32(item), ids(3), ids(4), time=time)


def test_repeats_of_one_user_count_once():
    log = log_of([0, 0, 0, 1, 2], [2, 2, 2, 1, 1])
    model = Popularity(PopularityConfig())
    model.fit(log, 0)
    assert model.scores(np.array([0, 1]), log).tolist() == [[0, 2, 1, 0]] * 2


def test_only_the_last_days_count():
    log = log_of([0, 1, 2, 0], [0, 0, 1, 2], [0, 3 * DAY, 9 * DAY, 10 * DAY])
    for days, counts in ((7, [0, 1, 1, 0]), (7.5, [1, 1, 1, 0]), (100, [2, 1, 1, 0])):
        model = RecentPopularity(RecentPopularityConfig(days=days))
        model.fit(log, 0)
        assert model.scores(np.array([0]), log).tolist() == [counts]


def test_without_times_the_recent_form_says_so():
    with pytest.raises(DataError, match="times"):
        RecentPopularity(RecentPopularityConfig()).fit(log_of([0], [1]), 0)
