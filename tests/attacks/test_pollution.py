"""Profile pollution raises a target for hijacked users more than random events do."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from recaudit.attacks.pollution import appended, polluted, pollution_shift
from recaudit.datasets.errors import InputError
from recaudit.datasets.seeding import rng
from recaudit.recommenders.base import Model
from recaudit.recommenders.catalogue import fit

from .conformance import log_for
from .sequence_tools import VICTIM, cold_item, learnt, medium_log, opposites, random_sasrec


@cache
def victim() -> Model:
    """A victim of the log that `learnt` has seen too, of another seed."""
    return fit(VICTIM, medium_log(), 3)


def test_each_event_is_the_best_of_its_candidates_or_stays() -> None:
    surrogate, target = random_sasrec(), 4
    sequences = rng(0).choice([0, 1, 2, 3, 5, 6, 7, 8], (30, 3))
    found = polluted(surrogate, sequences, target, 1, candidates=8)
    for before, after in zip(sequences, found, strict=True):
        # with all items as candidates one event is the best of all, the target included
        every = np.concatenate([np.tile(before, (9, 1)), np.arange(9)[:, None]], axis=1)
        chances = surrogate.chances(every, target)
        assert after[:3].tolist() == before.tolist() and int(chances.argmax()) == after[3]


def test_the_candidates_lie_where_the_gradient_points() -> None:
    surrogate = opposites()  # expects item 0 after item 4, and least of all after item 1
    found = polluted(surrogate, np.array([[2], [3]]), 0, 1, candidates=1)
    assert found.tolist() == [[2, 4], [3, 4]]


@pytest.mark.parametrize("z", [1, 2, 5, 9])
@pytest.mark.parametrize("last", [0, 4])
def test_targets_never_stand_side_by_side(z: int, last: int) -> None:
    surrogate = random_sasrec()
    sequences = rng(1).integers(9, size=(40, 4))
    sequences[:, -1] = last
    for keep in (True, False):
        found = polluted(surrogate, sequences, 4, z, candidates=2, keep_target=keep)
        assert found.shape == (40, 4 + z) and (found[:, :4] == sequences).all()
        here = found[:, 3:] == 4
        assert not (here[:, 1:] & here[:, :-1]).any()
        assert keep or not here[:, 1:].any()


def test_small_worlds() -> None:
    surrogate = random_sasrec(n_items=2)
    assert polluted(surrogate, np.array([[1]]), 0, 3).shape == (1, 4)
    assert polluted(surrogate, np.empty((0, 2), np.int64), 0, 3).shape == (0, 5)
    assert polluted(surrogate, np.array([[1]]), 0, 0).tolist() == [[1]]
    surrogate.known = torch.tensor([True, False])
    with pytest.raises(InputError, match="besides the target"):
        polluted(surrogate, np.array([[1]]), 0, 3)
    with pytest.raises(InputError, match="at least 0"):
        polluted(random_sasrec(), np.array([[1]]), 0, -1)


def test_only_known_items_are_planted() -> None:
    surrogate = random_sasrec()
    surrogate.known = torch.arange(9) % 2 == 0
    found = polluted(surrogate, np.ones((20, 2), np.int64), 3, 4)
    assert set(found[:, 2:].ravel().tolist()) <= {0, 2, 3, 4, 6, 8}


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    surrogate, sequences = random_sasrec(), rng(2).integers(9, size=(30, 3))
    whole = polluted(surrogate, sequences, 4, 4)
    monkeypatch.setattr("recaudit.attacks.pollution._BLOCK", 7)
    assert (polluted(surrogate, sequences, 4, 4) == whole).all()


def test_events_are_appended_behind_all_others() -> None:
    for log in (log_for("sequence"), log_for("rating"), log_for("sequence", times=False)):
        longer = appended(log, np.array([5, 2]), np.array([[7, 8], [9, 9]]))
        offsets, items = longer.sequences()
        own, before = log.sequences()
        for user, extra in ((5, [7, 8]), (2, [9, 9])):
            past = before[own[user] : own[user + 1]].tolist()
            assert items[offsets[user] : offsets[user + 1]].tolist() == past + extra
        assert longer.user_counts.sum() == log.user_counts[[2, 5]].sum() + 4


def test_it_raises_the_target_more_than_random_events_do() -> None:
    log, model = medium_log(), victim()
    for seed in range(3):
        target = cold_item(log, seed)
        found = pollution_shift(model, log, learnt(), target, np.arange(200), 4, rng(seed))
        assert 100 < found.users <= 200
        assert found.polluted.log2_rank < found.random.log2_rank - 0.5
        assert found.polluted.hit_rate > found.random.hit_rate


def test_without_target_events_its_own_surrogate_still_expects_the_target_more_than_after_random_events() -> None:
    surrogate, log = learnt(), medium_log()
    offsets, items = log.sequences()
    ends = offsets[1:][np.diff(offsets) >= 8][:150]
    sequences = np.stack([items[end - 8 : end] for end in ends]).astype(np.int64)
    for seed in range(3):
        target = cold_item(log, seed)
        found = polluted(surrogate, sequences, target, 4, keep_target=False)
        random = np.concatenate([sequences, rng(seed).integers(log.n_items, size=(len(sequences), 4))], axis=1)
        best, plain = (surrogate.chances(rows, target).log().mean() for rows in (found, random))
        assert float(best) > float(plain) + 0.2


def test_nothing_appended_moves_nothing_and_the_log_stays() -> None:
    log, target = medium_log(), cold_item(medium_log())
    before = replace(log, user=log.user.copy()).fingerprint
    found = pollution_shift(victim(), log, learnt(), target, np.arange(50), 0, rng(0))
    assert found.before == found.polluted == found.random == found.alternated
    assert replace(log, user=log.user.copy()).fingerprint == before


def test_users_who_hold_the_target_are_not_hijacked() -> None:
    log = medium_log()
    target = int(log.item_counts.argmax())
    holders = np.unique(log.user[log.item == target])
    lacking = np.setdiff1d(np.arange(log.n_users), holders)[:10]
    users = np.concatenate([holders[:10], lacking])
    assert pollution_shift(victim(), log, learnt(), target, users, 1, rng(0)).users == 10
    with pytest.raises(InputError, match="hijack"):
        pollution_shift(victim(), log, learnt(), target, holders, 1, rng(0))
    with pytest.raises(InputError, match="outside"):
        pollution_shift(victim(), log, learnt(), log.n_items, holders, 1, rng(0))
