"""Profile pollution: events appended to a real history at test time."""

from __future__ import annotations

import numpy as np
import pytest

from recaudit.attacks.pollution import append_target, pollute
from recaudit.datasets.errors import InputError
from recaudit.datasets.seeding import rng

from .sequence_tools import by_hand, cold_item, learnt, medium_log, opposites


def test_the_target_is_appended() -> None:
    history = np.array([4, 5])
    assert append_target(history, 7, 3).tolist() == [4, 5, 7, 7, 7] and history.tolist() == [4, 5]
    assert append_target(np.empty(0, np.int64), 7, 1).tolist() == [7]
    with pytest.raises(InputError, match="at least one"):
        append_target(history, 7, 0)


def test_the_item_after_which_the_target_is_most_expected_is_taken() -> None:
    surrogate = opposites()  # the very model on which poisoning takes item 1
    found = pollute(surrogate, np.array([1]), 0, times=1, candidates=1)
    assert found.items.tolist() == [1, 4]
    assert found.before == pytest.approx(float(surrogate.chances(np.array([[1]]), 0)[0]))
    assert found.trace.tolist() == pytest.approx([float(surrogate.chances(np.array([[4]]), 0)[0])] * 2)


@pytest.mark.parametrize("times", [1, 2, 5, 10])
def test_no_two_targets_in_a_row_and_the_chance_never_falls(times: int) -> None:
    surrogate, log = learnt(), medium_log()
    offsets, items = log.sequences()
    for user in range(12):
        target = cold_item(log, user)
        history = items[offsets[user] : offsets[user + 1]].astype(np.int64)
        if user % 3 == 0:
            history = np.append(history, target)  # the run begins beside a genuine target
        if user == 1:
            history = history[:0]
        found = pollute(surrogate, history, target, times)
        assert found.items[: len(history)].tolist() == history.tolist()
        assert len(found.items) == len(history) + times and len(found.trace) == times + 1
        added = found.items[max(len(history) - 1, 0) :] == target
        assert not (added[1:] & added[:-1]).any() and found.items[-1] != target
        assert (np.diff(found.trace) >= 0).all()
        final = float(surrogate.chances(found.items[None], target)[0])
        assert final == pytest.approx(found.trace[-1], rel=1e-4)
        again = pollute(surrogate, history, target, times)
        assert again.items.tolist() == found.items.tolist()


def test_it_beats_the_history_alone_and_targets_between_random_items() -> None:
    surrogate, log = learnt(), medium_log()
    offsets, items = log.sequences()
    draw = rng(0)
    gains = []
    for user in range(30):
        history = items[offsets[user] : offsets[user + 1]].astype(np.int64)
        target = cold_item(log, user)
        found = pollute(surrogate, history, target, 4)
        fill = draw.choice(np.setdiff1d(np.arange(log.n_items), [target]), 2)
        random = np.concatenate([history, [target, fill[0], target, fill[1]]])
        chance = float(surrogate.chances(random[None], target)[0])
        gains.append((np.log(found.trace[-1] / found.before), np.log(found.trace[-1] / chance)))
    assert (np.mean(gains, axis=0) > 0.5).all()


def test_what_cannot_be_is_refused() -> None:
    surrogate = by_hand([[1.0], [2.0]])
    history = np.array([1])
    with pytest.raises(InputError, match="reads 50"):
        pollute(surrogate, history, 0, times=51)
    with pytest.raises(InputError, match="candidate"):
        pollute(surrogate, history, 0, candidates=0)
    surrogate.known[1] = False
    with pytest.raises(InputError, match="no item but the target"):
        pollute(surrogate, history, 0)
