from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch

from recaudit.datasets.errors import DataError
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.split import Split
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.unlearn.drawing import draw
from recaudit.unlearn.request import Request
from recaudit.unlearn.trial import Trial
from recaudit.unlearn.verify.question import answers, question, sample_of

from ..conformance import small_log

LOG = small_log(users=80, items=60, events=1_600)


def split() -> Split:
    rows = np.random.default_rng(0).permutation(len(LOG))
    parts = [LOG.take(np.sort(part)) for part in np.split(rows, [1_200, 1_400])]
    return Split(*parts, "by hand")


def pairs(user: np.ndarray, item: np.ndarray) -> set[tuple[int, int]]:
    return set(zip(user.tolist(), item.tolist(), strict=True))


def test_part_of_users() -> None:
    own = split()
    request = draw(own.train, "part-of-users", 100, 0)
    asked = question(own, request)
    assert not len(asked.folded)
    gone = request.forgotten(own.train)
    assert pairs(asked.user, asked.item) == pairs(gone.user, gone.item)
    assert asked.known.fingerprint == asked.retained.fingerprint == request.retained(own.train).fingerprint
    trained = pairs(own.train.user, own.train.item)
    assert not pairs(asked.control_user, asked.control_item) & trained
    assert set(asked.control_user) <= set(gone.user)
    assert not set(asked.neighbours) & set(asked.touched)


def test_whole_users_are_known_by_their_first_half() -> None:
    own = split()
    request = Request.of(own.train, "x", users=np.array([3, 8]))
    asked = question(own, request)
    np.testing.assert_array_equal(asked.folded, [3, 8])
    for user in (3, 8):
        events = np.flatnonzero(own.train.user == user)
        known = set(asked.known.item[asked.known.user == user])
        scored = set(asked.item[asked.user == user])
        assert known | scored == set(own.train.item[events])
        assert not known & scored
        assert abs(len(known) - len(scored)) <= 1
    assert asked.retained.user_counts[[3, 8]].sum() == 0


@pytest.mark.parametrize("recipe", [Recipe("ials", {"dim": 8}), Recipe("ease", {"regularisation": 20.0})])
def test_deleted_users_are_told_by_what_the_items_learnt(recipe: Recipe) -> None:
    own = split()
    request = draw(own.train, "users", 300, 1)
    asked = question(own, request)
    before = answers(fit(recipe, own.train, 0), asked)
    clean = answers(fit(recipe, request.retained(own.train), 0), asked)
    assert before["forgotten"].mean() > clean["forgotten"].mean() + 0.02
    assert before["touched"].shape == (len(asked.touched), 20)


def test_controls_are_as_popular_as_the_forget_set() -> None:
    own = split()
    counts = own.train.item_counts
    popular = np.argsort(-counts)[:10]
    rows = np.flatnonzero(np.isin(own.train.item, popular) & (own.train.user < 40))
    asked = question(own, Request.of(own.train, "x", rows=rows))
    plain = counts[asked.control_item].mean()
    weighted = np.average(counts[asked.control_item], weights=asked.weights)
    wanted = counts[asked.item].mean()
    assert abs(weighted - wanted) < 0.3 * abs(plain - wanted)


@pytest.mark.parametrize("kind", ["part-of-users", "core-users"])
def test_random_items_are_none_that_the_user_has(kind: str) -> None:
    own = split()
    asked = question(own, draw(own.train, kind, 300, 2))
    assert not pairs(asked.user, asked.other) & pairs(LOG.user, LOG.item)
    assert len(np.unique(asked.other)) > 20


def test_random_items_need_no_table_of_pairs_and_items() -> None:
    own = split()
    many = draw(own.train, "part-of-users", 300, 2)
    wide = replace(own, **{
        name: replace(part, item_ids=np.array([f"i{n}" for n in range(400_000)]))
        for name, part in (("train", own.train), ("valid", own.valid), ("test", own.test))
    })  # fmt: skip
    tracemalloc.start()
    question(wide, many)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * len(np.unique(own.train.user[many.rows])) * 400_000 / 2


def test_of_a_large_request_the_seed_says_what_is_looked_at() -> None:
    log = small_log(users=700, items=60, events=6_000)
    few, many = (Request.of(log, "x", users=np.arange(count)) for count in (400, 600))
    assert (sample_of(log, few, 7), sample_of(log, many, 7)) == (0, 7)
    own = Split(log, log.take(np.arange(5_900, 6_000)), log.take(np.arange(5_800, 5_900)), "by hand")
    first, second = (Trial(many, "retrain", sample=sample) for sample in (0, 7))
    assert "sample" not in first.describe() and second.describe()["sample"] == 7
    assert Trial(few, "retrain", sample=sample_of(log, few, 7)).describe() == Trial(few, "retrain").describe()
    own = replace(own, test=held_out(log))
    assert set(question(own, many, 7).touched) != set(question(own, many).touched)


def held_out(log: InteractionLog) -> InteractionLog:
    """Pairs that the log does not have."""
    new = np.setdiff1d(np.arange(log.n_users * log.n_items), log.pair_keys)[::50]
    return InteractionLog((new // log.n_items).astype(np.int32), (new % log.n_items).astype(np.int32), log.user_ids,
                          log.item_ids)  # fmt: skip


def test_rows_are_read_as_they_are_served() -> None:
    """A row made from all forgotten events: folded in, the user is known by the first half alone."""
    own = split()
    request = draw(own.train, "users", 300, 1)
    asked = question(own, request)
    recipe = Recipe("ials", {"dim": 8})
    clean, before = fit(recipe, request.retained(own.train), 0), fit(recipe, own.train, 0)
    rows = torch.from_numpy(request.whole_users(own.train))
    state = {name: tensor.clone() for name, tensor in clean.state().items()}
    assert answers(clean, asked)["served"].mean() == 0.5  # one list for all of them
    assert answers(before, asked)["served"].mean() > 0.65
    made = own.train.matrix()[rows.numpy()] @ clean.state()["item_vectors"].numpy()
    state["user_vectors"][rows] = torch.from_numpy(made)
    clean.load(state, clean.n_users, clean.n_items)
    assert answers(clean, asked)["served"].mean() > 0.55
    state["user_vectors"][rows] = torch.from_numpy(made.mean(axis=0))  # a fallback
    clean.load(state, clean.n_users, clean.n_items)
    assert answers(clean, asked)["served"].mean() == 0.5
    assert not answers(fit(Recipe("ease", {}), own.train, 0), asked)["served"].size


def test_nothing_held_out() -> None:
    own = split()
    bare = Split(own.train, own.valid.take(np.empty(0, np.int64)), own.test.take(np.empty(0, np.int64)), "none")
    with pytest.raises(DataError, match="never trained on"):
        question(bare, Request.of(own.train, "x", users=np.array([3])))


def test_users_of_one_event_are_asked_only_if_there_are_no_others() -> None:
    own = split()
    rows = np.flatnonzero(own.train.user == 5)
    single = Split(own.train.without(np.isin(np.arange(len(own.train)), rows[1:])), own.valid, own.test, "x")
    both = question(single, Request.of(single.train, "x", users=np.array([3, 5])))
    assert both.folded.tolist() == [3]
    assert set(both.user) == {3}
    alone = question(single, Request.of(single.train, "x", users=np.array([5])))
    assert alone.folded.tolist() == []
    assert alone.user.tolist() == [5]


class Bigrams:
    """Scores what has followed the last item read, as a model would that has learnt nothing but that."""

    def __init__(self, log: InteractionLog) -> None:
        self.n_users, self.n_items = log.n_users, log.n_items
        offsets, items = log.sequences()
        inside = np.ones(len(items), bool)
        inside[offsets[1:][offsets[1:] > 0] - 1] = False
        first = np.flatnonzero(inside)
        self.counts = np.zeros((log.n_items, log.n_items), np.float32)
        np.add.at(self.counts, (items[first], items[first + 1]), 1)

    def scores(self, users: np.ndarray, history: InteractionLog) -> np.ndarray:
        offsets, items = history.sequences()
        found = np.zeros((len(users), self.n_items), np.float32)
        for row, user in enumerate(users):
            if offsets[user + 1] > offsets[user]:
                found[row] = self.counts[items[offsets[user + 1] - 1]]
        return found


def test_models_of_sequences_are_asked_at_the_place() -> None:
    own = split()
    request = draw(own.train, "part-of-users", 100, 0)
    asked = {in_order: question(own, request, in_order=in_order) for in_order in (False, True)}
    place = asked[True]
    assert place.prefix is not None and place.control_prefix is not None
    assert pairs(place.user, place.item) <= pairs(asked[False].user, asked[False].item)
    assert place.prefix.user_counts.min() >= 1
    assert place.control_prefix.user_counts.tolist() == own.train.user_counts[place.control_user].tolist()
    before, clean = Bigrams(own.train), Bigrams(request.retained(own.train))
    gap = {way: answers(before, one)["forgotten"].mean() - answers(clean, one)["forgotten"].mean()
           for way, one in asked.items()}  # fmt: skip
    assert gap[True] > 0.1 > 2 * abs(gap[False])
