"""The Pareto frontier against the algorithm and the measures written out, and the geometry of the distance."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from math import ceil, hypot, log, log2
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from recaudit.datasets.errors import InputError
from recaudit.fairness import pareto
from recaudit.fairness.oracle2fair import Walk, walk
from recaudit.fairness.pareto import Frontier, distance, frontier, reference

PAIRS = list(itertools.product(get_args(pareto.Relevance), get_args(pareto.Fairness)))


def matrix(cells: np.ndarray) -> sparse.csr_matrix:
    return sparse.csr_matrix(cells.astype(float))


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    """(relevant bool [m, n], consumed bool [m, n], k) with users that have none of either."""
    m, n = draw(st.integers(2, 9)), draw(st.integers(3, 12))
    k = draw(st.integers(1, n - 1))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    liking = rng.random(n) ** draw(st.sampled_from([1, 4])) * draw(st.sampled_from([0.3, 0.8, 1.0]))
    relevant = rng.random((m, n)) < liking
    relevant[0, 0] = True
    consumed = (rng.random((m, n)) < draw(st.sampled_from([0.0, 0.3, 0.9]))) & ~relevant
    for row in consumed:
        row[np.flatnonzero(row)[n - k :]] = False
    return relevant, consumed, k


def replay(path: Walk, relevant: np.ndarray) -> Iterator[np.ndarray]:
    """The lists at the start and after each step."""
    lists = path.lists.copy()
    yield lists
    for user, out, into in path.steps[:, :3]:
        row = [into if item == out else item for item in lists[user]]
        lists[user] = sorted(row, key=lambda item, user=user: not relevant[user, item])  # type: ignore[misc]
        yield lists


def mean_relevance(lists: np.ndarray, relevant: np.ndarray, name: str) -> float:
    values = []
    for row, liked in zip(lists, relevant, strict=True):
        if not (size := int(liked.sum())):
            continue
        k, hits = len(row), [bool(liked[item]) for item in row]
        ideal = range(1, min(size, k) + 1)
        at = [rank for rank, hit in enumerate(hits, 1) if hit]
        values.append(
            {
                "precision": len(at) / k,
                "recall": len(at) / size,
                "ndcg": sum(1 / log2(r + 1) for r in at) / sum(1 / log2(r + 1) for r in ideal),
                "map": sum(sum(hits[:r]) / r for r in at) / len(ideal),
            }[name]
        )
    return float(np.mean(values))


def exposure_fairness(count: np.ndarray, name: str) -> float:
    share = count / count.sum()
    values: dict[str, float] = {
        "jain": share.sum() ** 2 / (len(count) * (share**2).sum()),
        "entropy": -sum(p * log(p) for p in share if p),
        "gini": float(np.abs(share[:, None] - share).sum()) / (2 * len(count)),
    }
    return values[name]


def corrected_fairness(lists: np.ndarray, n: int, name: str) -> float:
    """Between the same measure of one list for all and of places dealt out in turn; Gini points down."""
    m, k = lists.shape
    even = np.bincount(np.arange(m * k) % n, minlength=n)
    here, same, dealt = (
        exposure_fairness(count, name)
        for count in (np.bincount(lists.ravel(), minlength=n), np.where(np.arange(n) < k, m, 0), even)
    )
    return (here - dealt) / (same - dealt) if name == "gini" else (here - same) / (dealt - same)


def slow_walk(start: np.ndarray, relevant: np.ndarray, consumed: np.ndarray) -> list[tuple[int, int, int]]:
    """The replacements (user, out, in), each found by looking at everything again."""
    (m, k), n = start.shape, relevant.shape[1]
    lists: list[list[int]] = start.tolist()
    steps: list[tuple[int, int, int]] = []
    stuck: set[int] = set()
    while True:
        count = np.bincount(np.ravel(lists), minlength=n)
        free = [item for item in range(n) if item not in stuck]
        if not free:
            return steps
        out = max(free, key=lambda item: (count[item], -item))
        if count[out] < 2:
            return steps
        most = count[out] - 2 if count[out] > ceil(m * k / n) else 0
        for into in sorted(np.flatnonzero(count <= most), key=lambda item: (count[item], item)):
            users = [u for u in range(m) if out in lists[u] and into not in lists[u] and not consumed[u, into]]
            if users:
                user = min(users, key=lambda u: (not relevant[u, into], -lists[u].index(out), u))
                lists[user][lists[user].index(out)] = int(into)
                lists[user].sort(key=lambda item: not relevant[user, item])
                steps.append((user, out, int(into)))
                break
        else:
            stuck.add(out)


@given(problems())
def test_steps_are_those_of_the_algorithm(problem: tuple[np.ndarray, np.ndarray, int]) -> None:
    relevant, consumed, k = problem
    path = walk(matrix(relevant), matrix(consumed), k)
    assert [tuple(step) for step in path.steps[:, :3].tolist()] == slow_walk(path.lists, relevant, consumed)


@given(problems())
def test_values_along_the_walk_are_those_of_the_lists(problem: tuple[np.ndarray, np.ndarray, int]) -> None:
    relevant, consumed, k = problem
    n = relevant.shape[1]
    path = walk(matrix(relevant), matrix(consumed), k)
    every = [lists.copy() for lists in replay(path, relevant)]
    for name in get_args(pareto.Relevance):
        expected = [mean_relevance(lists, relevant, name) for lists in every]
        np.testing.assert_allclose(pareto._relevance(path, name), expected, rtol=0, atol=1e-12)
    for name in get_args(pareto.Fairness):
        expected = [corrected_fairness(lists, n, name) for lists in every]
        np.testing.assert_allclose(pareto._fairness(path, name), expected, rtol=0, atol=1e-9)
        assert (np.diff(expected) * (-1 if name == "gini" else 1) > 0).all()


@given(problems())
def test_lists_are_whole_and_hold_nothing_consumed(problem: tuple[np.ndarray, np.ndarray, int]) -> None:
    relevant, consumed, k = problem
    for lists in replay(walk(matrix(relevant), matrix(consumed), k), relevant):
        assert (np.diff(np.sort(lists, axis=1), axis=1) > 0).all() and (lists >= 0).all()
        assert not np.take_along_axis(consumed, lists, axis=1).any()


@given(problems())
def test_the_start_is_as_relevant_as_can_be(problem: tuple[np.ndarray, np.ndarray, int]) -> None:
    relevant, consumed, k = problem
    path = walk(matrix(relevant), matrix(consumed), k)
    hits = np.take_along_axis(relevant, path.lists, axis=1)
    assert hits.sum(axis=1).tolist() == np.minimum(relevant.sum(axis=1), k).tolist()
    assert (np.diff(hits.astype(int), axis=1) <= 0).all()
    for name in ("ndcg", "map"):
        assert pareto._relevance(path, name)[0] == pytest.approx(1)


@given(problems())
def test_the_end_is_fair_where_nothing_was_consumed(problem: tuple[np.ndarray, np.ndarray, int]) -> None:
    relevant, _, k = problem
    m, n = relevant.shape
    *_, lists = replay(walk(matrix(relevant), None, k), relevant)
    count = np.bincount(lists.ravel(), minlength=n)
    assert count.max() <= ceil(m * k / n)
    assert count.min() >= min(1, m * k // n)  # with enough places every item has one
    if m * k % n == 0:
        assert (count == m * k // n).all()


@given(problems(), st.sampled_from(PAIRS), st.none() | st.integers(0, 6))
def test_the_frontier_holds_what_nothing_beats(
    problem: tuple[np.ndarray, np.ndarray, int], names: tuple[str, str], points: int | None
) -> None:
    relevant, consumed, k = problem
    path = walk(matrix(relevant), matrix(consumed), k)
    relevance, fairness = names
    found = frontier(path, relevance, fairness, points)  # type: ignore[arg-type]
    count = len(path.steps)
    at = range(count + 1)
    if points is not None:
        at = sorted({*at[:: max(count // (points + 1), 1)], count})  # type: ignore[assignment]
    turn = -1 if fairness == "gini" else 1
    every = list(zip(pareto._relevance(path, relevance), turn * pareto._fairness(path, fairness), strict=True))  # type: ignore[arg-type]
    every = [every[step] for step in at]
    best = {p for p in every if not any(q != p and q[0] >= p[0] and q[1] >= p[1] for q in every)}
    assert [(x, turn * y) for x, y in found.points.tolist()] == sorted(best, reverse=True)
    steps = [hypot(*(b - a)) for a, b in itertools.pairwise(found.points)]
    np.testing.assert_allclose(found.arc, [0, *np.cumsum(steps)], rtol=0, atol=1e-12)
    assert reference(found, 0).tolist() == found.points[0].tolist()
    assert reference(found, 1).tolist() == found.points[-1].tolist()


def test_distance_is_that_to_the_nearest_point_along_the_line() -> None:
    """Along two straight pieces of length 1 the middle is the corner, whichever end is nearer to a model."""
    corner = Frontier(np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]), np.array([0.0, 1.0, 2.0]))
    assert reference(corner).tolist() == [1, 1]
    assert distance(corner, 1, 1) == 0
    assert distance(corner, 0.4, 0.2) == hypot(1 - 0.4, 1 - 0.2)
    assert distance(corner, 0, 0, alpha=0) == 1 == distance(corner, 0, 0, alpha=1)
    # the average of the two values would prefer the first of these, which has hardly any fairness
    assert distance(corner, 1, 0.1) > distance(corner, 0.5, 0.5)
    assert (1 + 0.1) / 2 > (0.5 + 0.5) / 2


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_alpha_outside_its_range(alpha: float) -> None:
    with pytest.raises(InputError, match="alpha"):
        reference(Frontier(np.zeros((1, 2)), np.zeros(1)), alpha)


def test_where_relevance_is_already_even_the_frontier_is_one_point() -> None:
    found = frontier(walk(matrix(np.eye(4)), None, 1), "ndcg", "gini")
    assert found.points.tolist() == [[1, 0]] and found.arc.tolist() == [0]
    assert distance(found, 1, 0, alpha=0) == distance(found, 1, 0, alpha=1) == 0


def test_an_item_nobody_can_do_without_keeps_its_places() -> None:
    """Two users consumed all but items 0 and 1; only the third can have 2 or 3."""
    consumed = np.array([[0, 0, 1, 1]] * 2 + [[0, 0, 0, 0]])
    path = walk(matrix(np.array([[1, 0, 0, 0]] * 3)), matrix(consumed), 2)
    *_, lists = replay(path, np.array([[1, 0, 0, 0]] * 3))
    assert sorted(lists[2].tolist()) == [2, 3]


@pytest.mark.parametrize(
    ("relevant", "consumed", "k", "says"),
    [
        (np.eye(3), np.eye(3), 1, "relevant to a user who consumed"),
        (np.eye(3), np.zeros((3, 4)), 1, "shape"),
        (np.eye(3), 1 - np.eye(3), 2, "3 users have fewer than k = 2"),
        (np.eye(3), None, 3, "equally fair"),
        (np.eye(3), None, 0, "k = 0"),
        (np.ones((1, 3)), None, 1, "one user"),
    ],
)
def test_what_cannot_be_walked(relevant: np.ndarray, consumed: np.ndarray | None, k: int, says: str) -> None:
    with pytest.raises(InputError, match=says):
        walk(matrix(relevant), None if consumed is None else matrix(consumed), k)


def test_without_relevant_items_there_is_no_frontier() -> None:
    path = walk(sparse.csr_matrix((3, 4)), None, 2)
    with pytest.raises(InputError, match="nobody"):
        frontier(path, "recall", "jain")
    with pytest.raises(InputError, match="points"):
        frontier(path, "recall", "jain", points=-1)
