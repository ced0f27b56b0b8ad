"""An attacker sees what is granted, from the users it sees, and can change nothing."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from recaudit.attacks.knowledge import Grant, Knowledge, KnowledgeError
from recaudit.attacks.rhythm import DAY, Rhythm
from recaudit.attacks.scale import RatingScale
from recaudit.datasets.errors import DataError, InputError
from recaudit.datasets.log import InteractionLog

from .conformance import Circle, log_for

READERS = {
    "catalogue": "public", "global_ratings": "global_ratings", "popularity": "popularity",
    "item_means": "item_ratings", "log": "log", "item_features": "item_features", "user_features": "user_features",
    "query": "query",
}  # fmt: skip


@pytest.mark.parametrize("granted", get_args(Grant))
def test_only_what_is_granted_can_be_read(granted: Grant) -> None:
    knowledge = Knowledge.of(log_for("rating"), {granted}, query=Circle(50))
    assert getattr(knowledge, READERS[granted]) is not None
    assert set(knowledge._held) == {granted}
    for other in set(get_args(Grant)) - {granted}:
        with pytest.raises(KnowledgeError, match=f"{other}.*declare"):
            getattr(knowledge, READERS[other])


def test_what_the_data_lack_is_said() -> None:
    log = replace(log_for("implicit"), users=None)
    knowledge = Knowledge.of(log, get_args(Grant))
    for reader in ("global_ratings", "item_ratings", "user_features", "scale"):
        with pytest.raises(KnowledgeError, match="data have no"):
            getattr(knowledge, reader)
    with pytest.raises(KnowledgeError, match="no victim to query"):
        _ = knowledge.query


def test_statistics_by_their_definitions() -> None:
    log = log_for("rating")
    assert log.value is not None
    knowledge = Knowledge.of(log, get_args(Grant))
    for item in range(log.n_items):
        own = log.value[log.item == item]
        assert knowledge.popularity[item] == len(own)
        assert knowledge.item_ratings.mean[item] == pytest.approx(own.mean(), abs=1e-5)
        assert knowledge.item_ratings.deviation[item] == pytest.approx(own.std(), abs=1e-5)
    assert knowledge.global_ratings.mean == pytest.approx(log.value.mean(), abs=1e-5)
    assert knowledge.public.mean_profile == 15 and knowledge.n_items == 50
    assert knowledge.scale.grid.tolist() == sorted(set(log.value.tolist()))


def test_items_without_or_with_one_rating_fall_back_to_all() -> None:
    two = np.array([0, 0, 1], np.int32)
    log = InteractionLog(two, np.array([0, 1, 1], np.int32), np.array(["a", "b"]), np.array(["x", "y", "z"]),
                         np.array([1, 5, 4], np.float32))  # fmt: skip
    ratings = Knowledge.of(log, {"item_means"}).item_ratings
    assert log.value is not None
    overall, spread = float(log.value.mean()), float(log.value.std())
    assert ratings.mean.tolist() == pytest.approx([1, 4.5, overall])
    assert ratings.deviation.tolist() == pytest.approx([spread, 0.5, spread])


def test_a_share_shows_whole_users_and_nothing_of_others() -> None:
    log = log_for("rating")
    knowledge = Knowledge.of(log, get_args(Grant), share=0.25, seed=3)
    seen = np.flatnonzero(knowledge.log.user_counts)
    assert len(seen) == 15
    assert (knowledge.log.user_counts[seen] == log.user_counts[seen]).all()
    part = log.take(np.isin(log.user, seen))
    assert (knowledge.popularity == part.item_counts).all()
    assert part.value is not None and knowledge.global_ratings.mean == pytest.approx(part.value.mean(), abs=1e-5)
    assert knowledge.user_features.index.tolist() == seen.tolist()
    again = Knowledge.of(log, get_args(Grant), share=0.25, seed=3)
    assert again.log.fingerprint == knowledge.log.fingerprint
    assert Knowledge.of(log, {"log"}, share=0.25, seed=4).log.fingerprint != knowledge.log.fingerprint


def test_nothing_can_be_written() -> None:
    log = log_for("rating")
    knowledge = Knowledge.of(log, get_args(Grant))
    seen = knowledge.log
    arrays = (
        seen.user, seen.item, seen.value, seen.time, knowledge.popularity, knowledge.item_ratings.mean,
        knowledge.item_ratings.deviation, knowledge.scale.grid, knowledge.public.rhythm.gaps,  # type: ignore[union-attr]
    )  # fmt: skip
    for array in arrays:
        assert array is not None
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    assert log.user.flags.writeable, "the log itself is as it was"
    features = knowledge.item_features
    features.iloc[:, 0] = None
    pd.testing.assert_frame_equal(knowledge.item_features, log.items)  # type: ignore[arg-type]
    assert seen.users is None and seen.items is None, "side features are grants of their own"


def test_it_survives_pickling() -> None:
    knowledge = Knowledge.of(log_for("rating"), get_args(Grant))
    copy = pickle.loads(pickle.dumps(knowledge))  # noqa: S301
    assert copy.grants == knowledge.grants and copy.log.fingerprint == knowledge.log.fingerprint


def test_wrong_use() -> None:
    log = log_for("rating")
    with pytest.raises(InputError, match="popularity"):
        Knowledge.of(log, {"popularty"})  # type: ignore[arg-type]
    for share in (0, 1.5, -1):
        with pytest.raises(InputError, match="share"):
            Knowledge.of(log, {"log"}, share=share)
    with pytest.raises(DataError, match="no events"):
        Knowledge.of(log.take(np.zeros(len(log), bool)), {"log"})


def test_scale_rounds_to_what_is_used() -> None:
    scale = RatingScale.of(np.array([0.5, 2, 1, 4, 5, 5], np.float32))
    wanted = np.array([[-3, 0.7, 0.75, 1.4], [2.9, 3.0, 4.6, 99]])
    assert scale.nearest(wanted).tolist() == [[0.5, 0.5, 1, 1], [2, 4, 5, 5]]
    assert (scale.lowest, scale.highest) == (0.5, 5.0)
    assert RatingScale.of(np.ones(3, np.float32)).nearest(np.array([0.0, 7])).tolist() == [1, 1]


def timed(users: list[int], times: list[int]) -> InteractionLog:
    """A log of one item at these times."""
    names = np.array([str(user) for user in range(max(users) + 1)])
    return InteractionLog(np.array(users, np.int32), np.zeros(len(users), np.int32), names, np.array(["x"]),
                          time=np.array(times, np.int64))  # fmt: skip


def test_rhythm_of_a_small_log_by_hand() -> None:
    rhythm = Rhythm.of(timed([0, 0, 0, 1, 1], [0, 10, 10 + 2 * DAY, 50, 60]))
    assert rhythm is not None
    assert (rhythm.first, rhythm.last) == (0, 10 + 2 * DAY)
    assert rhythm.starts.tolist() == [0, 50, 10 + 2 * DAY]
    assert sorted(rhythm.gaps.tolist()) == [10, 10, 2 * DAY]
    assert rhythm.recent == 2


def test_times_are_genuine_starts_and_gaps() -> None:
    log = log_for("implicit")
    rhythm = Rhythm.of(log)
    assert rhythm is not None and log.time is not None
    times = rhythm.sample(500, 3, np.random.default_rng(0))
    assert times.min() >= log.time.min() and times.max() <= log.time.max()
    assert np.isin(times[:, 0], rhythm.starts).all() and np.isin(np.diff(times, axis=1), rhythm.gaps).all()
    single = rhythm.sample(500, 1, np.random.default_rng(0))
    assert single.min() >= np.sort(log.time)[int(0.9 * len(log))], "starts lie in the latest tenth"


def test_gaps_longer_than_the_log_are_shrunk() -> None:
    rhythm = Rhythm.of(timed([0, 0, 1, 1], [0, 100, 0, 90]))
    assert rhythm is not None
    times = rhythm.sample(20, 30, np.random.default_rng(0))
    assert times.min() >= 0 and times.max() <= 100 and (np.diff(times, axis=1) >= 0).all()


def test_positions_in_place_of_times_begin_at_the_first_position() -> None:
    rhythm = Rhythm.of(timed([0] * 8 + [1] * 5, [*range(8), *range(5)]))
    assert rhythm is not None
    times = rhythm.sample(9, 6, np.random.default_rng(0))
    assert (times == np.arange(6)).all()
    lonely = Rhythm.of(timed([0, 1], [5, 7]))
    assert lonely is not None and lonely.gaps.tolist() == [0]
