"""Genuine accounts told in neighbouring texts, and where the target stands."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from recaudit.attacks.base import Attack, Draft, Goal, Knowledge
from recaudit.attacks.budget import mean_profile
from recaudit.attacks.detectors import Float64
from recaudit.attacks.evasive_texts import (
    EvasiveTexts,
    EvasiveTextsConfig,
    Neighbours,
    distance,
    exchanged,
    places,
    templates,
)
from recaudit.attacks.goal import Kind
from recaudit.attacks.knowledge import KnowledgeError
from recaudit.attacks.popular import Popular
from recaudit.attacks.random_fillers import RandomFillers
from recaudit.datasets.demo import load_demo
from recaudit.datasets.errors import DataError, InputError
from recaudit.datasets.log import Float32, InteractionLog
from recaudit.datasets.seeding import rng
from recaudit.language.cache import open_cached
from recaudit.language.encoder import unit
from recaudit.language.texts import item_texts

from .conformance import TARGET, examine, examine_declaration, examine_edges, log_for, run

pytest.importorskip("wordllama")

ANGLES = np.deg2rad([0, 10, 20, 90, 100, 180])
"""Six items on a circle."""


def circle() -> Float32:
    return np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1).astype(np.float32)


@cache
def medium() -> InteractionLog:
    """Users who stay with one kind of things for a while; a target of one kind."""
    draw = rng(2)
    things = ("red apple fruit", "tax law court", "guitar rock music", "soccer team goal")
    words = ("old", "new", "small", "large", "late", "early", "famous", "cheap", "plain", "rare")
    titles = [f"{words[n % 10]} {things[n // 10 % 4]} {n}" for n in range(320)]
    kind = np.arange(320) // 10 % 4
    events = list[tuple[int, int, int]]()
    for user in range(200):
        now = int(draw.integers(4))
        seen: set[int] = set()
        for _ in range(int(draw.integers(12, 30))):
            now = int(draw.integers(4)) if draw.random() < 0.2 else now
            options = [item for item in np.flatnonzero(kind == now).tolist() if item not in seen]
            seen.add(item := int(draw.choice(options)))
            events.append((user, item, len(events)))
    user_, item_, time = np.array(events).T
    table = pd.DataFrame({"title": titles})
    names = (np.arange(200).astype(str), np.arange(320).astype(str))
    return InteractionLog(user_.astype(np.int32), item_.astype(np.int32), *names, None, time, None, table)


def steps(log: InteractionLog) -> Float64:
    """Mean text distance between neighbouring events of each account, float64 [U]."""
    vectors = open_cached("static").encode(item_texts(log))
    offsets, items = log.sequences()
    user = np.repeat(np.arange(log.n_users), np.diff(offsets))
    away, same = distance(items[:-1], items[1:], vectors), user[:-1] == user[1:]
    count = np.bincount(user[1:][same], minlength=log.n_users)
    return np.bincount(user[1:][same], away[same], log.n_users) / np.maximum(count, 1)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_conformance(kind: Kind) -> None:
    examine(EvasiveTexts, kind, "push")


def test_declaration_and_edges() -> None:
    examine_declaration(EvasiveTexts)
    examine_edges(EvasiveTexts)
    assert EvasiveTexts.own_places and not EvasiveTexts.applies("sequence", "nuke")


def test_without_texts_it_says_so() -> None:
    log, goal = log_for("implicit"), Goal((TARGET,), 3, 8)
    assert log.items is not None
    with pytest.raises(KnowledgeError, match="no item features"):
        run(EvasiveTexts(), replace(log, items=None), goal)
    with pytest.raises(DataError, match="items have no text"):
        run(EvasiveTexts(), replace(log, items=log.items[["year"]]), goal)
    with pytest.raises(InputError, match="encoder"):
        run(EvasiveTexts(EvasiveTextsConfig(encoder="no such encoder")), log, goal)


def of_fakes(attack: Attack, log: InteractionLog, goal: Goal) -> Float64:
    return steps(log.with_accounts(run(attack, log, goal)))[log.n_users :]


def test_accounts_are_as_coherent_as_genuine_ones_and_simple_ones_are_not() -> None:
    log, goal = medium(), Goal((5,), 30, 18, "sequence", placement="last")
    genuine = steps(log)
    low, high = np.quantile(genuine, [0.25, 0.75])
    ours = of_fakes(EvasiveTexts(), log, goal)
    assert 0.35 < (ours[:, None] > genuine).mean() < 0.65  # AUC of the statistic: it says nothing in either direction
    assert ours.mean() == pytest.approx(genuine.mean(), abs=(high - low) / 4)
    for other in (RandomFillers(), Popular()):
        assert of_fakes(other, log, goal).min() > high


@pytest.mark.parametrize("rank", [100, 1000])
def test_on_real_texts_steps_are_no_larger_than_genuine_ones(rank: int) -> None:
    log = load_demo().log
    target = int(np.argsort(log.item_counts, kind="stable")[rank])
    goal = Goal((target,), 20, mean_profile(log), "sequence", placement="last")
    genuine = steps(log)
    middle = np.median(genuine)
    assert np.quantile(genuine, 0.05) < np.median(of_fakes(EvasiveTexts(), log, goal)) <= middle
    assert np.median(of_fakes(RandomFillers(), log, goal)) > middle


def test_fillers_stand_for_the_templates_items_in_its_order_with_their_popularity() -> None:
    log = medium()
    config = EvasiveTextsConfig()
    vectors = open_cached("static").encode(item_texts(log))
    template = log.sequences()[1][: int(log.user_counts[0])][None]
    near = Neighbours.of(vectors, log.item_counts, np.unique(template), (5,), config)
    found = exchanged(template, near, vectors)
    level = np.log1p(log.item_counts)
    assert np.abs(level[found] - level[template]).max() <= config.tolerance
    assert (found != template).mean() > 0.9 and len(set(found[0].tolist())) == found.shape[1]
    assert (found // 10 % 4 == template // 10 % 4).mean() > 0.9  # the same kind of thing, place by place


def test_neighbours_by_hand() -> None:
    vectors = circle()
    vectors[5] = 0  # no text
    popularity = np.array([10, 10, 11, 10, 100, 10])
    config = EvasiveTextsConfig(neighbours=2)
    near = Neighbours.of(vectors, popularity, np.array([0, 3, 4, 5], np.int32), (2,), config)
    # item 2 is the target, item 4 too popular for anybody, item 5 has no text
    assert near.items.tolist() == [[1, 3, 0], [1, 0, 3], [-1, -1, 4], [-1, -1, 5]]
    assert near.row.tolist() == [0, -1, -1, 1, 2, 3]


def test_exchange_takes_the_step_nearest_to_the_templates() -> None:
    vectors = circle()
    rows = np.array([[-1, -1, -1, 0], [1, 2, 4, 3], [2, 4, -1, 1]], np.int32)
    near = Neighbours(rows, np.array([0, 2, -1, 1, -1, -1], np.int64))
    # the template goes on by 90 degrees: of 10, 20 and 100 it is 100; by 10: of 20 and 100 it is 20
    assert exchanged(np.array([[0, 3], [0, 1]], np.int32), near, vectors).tolist() == [[0, 4], [0, 2]]
    rows = np.array([[1, 2, 0], [4, -1, 3]], np.int32)
    near = Neighbours(rows, np.array([0, -1, -1, 1, -1, -1], np.int64))
    # what is held is not taken again, and what nobody can stand for is left to the finish line
    assert exchanged(np.array([[0, 0, 0, 0]], np.int32), near, vectors).tolist() == [[1, 2, 0, -1]]
    assert exchanged(np.array([[-1, 3]], np.int32), near, vectors).tolist() == [[-1, 4]]


def test_targets_stand_where_their_texts_fit_best() -> None:
    vectors = circle()
    fillers = np.array([[5, 4, 0, 2, 5], [3, 5, 5, 4, 1]], np.int32)
    # between 0 and 20 degrees; and after item 1, where there is one neighbour
    assert places(fillers, np.array([1], np.int32), vectors).tolist() == [[3], [5]]
    # the second target is sought behind the first
    two = places(fillers[:1], np.array([1, 4], np.int32), vectors)
    assert two.tolist() == [[3, 6]]
    assert places(np.empty((2, 0), np.int32), np.array([1, 2], np.int32), vectors).tolist() == [[0, 1], [0, 1]]
    log = medium()
    goal = Goal((5,), 20, 15, "sequence", placement="every-second")
    item = run(EvasiveTexts(), log, goal).item.reshape(20, 15)
    assert ((item == 5).sum(axis=1) == 1).all() and len(set((item == 5).argmax(axis=1).tolist())) > 3


def test_templates_by_hand() -> None:
    items = np.array([[4, -1, 5, 6], [7, -1, -1, -1], [-1, -1, -1, -1]], np.int32)
    scores = np.broadcast_to(np.arange(4.0), items.shape)
    found, ratings = templates(Draft(items, items.astype(np.float32), scores, ordered=True), 2)
    assert found.tolist() == [[5, 6], [7, 7], [-1, -1]] and ratings is not None and ratings.tolist() == found.tolist()
    found, _ = templates(Draft(items, None, scores, ordered=True), 5)
    assert found.tolist() == [[4, 5, 6, 4, 5], [7] * 5, [-1] * 5]


def test_distance_by_hand() -> None:
    vectors = circle()
    one, other = np.array([0, 0, -1, 3], np.int32), np.array([3, 5, 1, 3], np.int32)
    assert distance(one, other, vectors).tolist() == pytest.approx([1, 2, 1, 0], abs=1e-6)
    assert unit(vectors) == pytest.approx(vectors, abs=1e-6)


def test_ratings_are_the_templates() -> None:
    log = log_for("rating")
    assert log.value is not None
    flat = replace(log, value=np.where(log.user == 0, 2, 3).astype(np.float32))
    profiles = EvasiveTexts().profiles(Knowledge.of(flat, EvasiveTexts.grants), Goal((TARGET,), 5, 9, "rating"), rng(0))
    assert profiles.value is not None
    assert set(profiles.value[profiles.item == TARGET].tolist()) == {3.0}
    assert all(len(set(profiles.value[(profiles.account == a) & (profiles.item != TARGET)])) == 1 for a in range(5))
