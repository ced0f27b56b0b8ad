"""Propensity-corrected utility: its definition user by user, and a simulation in which the truth is known."""

from __future__ import annotations

from dataclasses import replace
from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from recaudit.datasets.errors import InputError
from recaudit.fairness.propensity import Corrected, CorrectedUtility, Propensity, corrected_utility, estimate_gamma
from recaudit.fairness.recommendations import Recommendations
from recaudit.recommenders.metrics import measure

METRICS = ("recall", "ndcg", "hr")


def both(utility: CorrectedUtility) -> dict[str, Corrected]:
    return {name: getattr(utility, name) for name in METRICS}


def problem(m: int, n: int, k: int, seed: int) -> tuple[Recommendations, Propensity]:
    numbers = np.random.default_rng(seed)
    lists = np.argsort(numbers.random((m, n)), axis=1)[:, :k].astype(np.int32)
    lists[np.arange(k) >= numbers.integers(0, k + 1, (m, 1))] = -1
    relevant = sparse.csr_matrix((numbers.random((m, n)) < 0.3).astype(float))
    counts = numbers.integers(0, 50, n)
    counts[0] = 50
    return Recommendations.of(lists, n, relevant), Propensity.of(counts, float(numbers.uniform(-1, 3)), floor=0.05)


def ideal(relevant: int, k: int) -> float:
    return sum(1 / log2(rank + 2) for rank in range(min(relevant, k)))


def brute(data: Recommendations, weight: np.ndarray, k: int) -> dict[str, float] | None:
    assert data.relevant is not None
    recalls, ndcgs, hit, mass = [], [], 0.0, 0.0
    for user, items in enumerate(data.lists[:, :k].tolist()):
        wanted = data.relevant[user].indices.tolist()
        if not wanted:
            continue
        total = sum(weight[i] for i in wanted)
        got = sum(weight[i] for i in items if i in wanted)
        gain = sum(weight[i] / log2(rank + 2) for rank, i in enumerate(items) if i in wanted)
        recalls.append(got / total)
        ndcgs.append(gain / total * len(wanted) / ideal(len(wanted), k))
        hit, mass = hit + got, mass + total
    return {"recall": np.mean(recalls), "ndcg": np.mean(ndcgs), "hr": hit / mass} if recalls else None


shapes = st.tuples(st.integers(1, 8), st.integers(2, 12), st.integers(1, 12), st.integers(0, 999)).map(
    lambda s: (s[0], s[1], min(s[1], s[2]), s[3])
)


@settings(deadline=None)
@given(shapes, st.integers(1, 12))
def test_is_the_definition(shape: tuple[int, int, int, int], cut: int) -> None:
    data, propensity = problem(*shape)
    k = min(cut, data.k)
    found = corrected_utility(data, propensity, k)
    snips, naive = brute(data, 1 / propensity.value, k), brute(data, np.ones(data.n_items), k)
    for name, metric in both(found).items():
        assert metric.snips.value == (pytest.approx(snips[name]) if snips else None)
        assert metric.naive.value == (pytest.approx(naive[name]) if naive else None)
        assert snips is None or name == "ndcg" or 0 <= (metric.snips.value or 0) <= 1
    assert data.relevant is not None
    weights = 1 / propensity.value[data.relevant.indices]
    assert found.events == len(weights)
    if len(weights):
        assert found.effective == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
        assert 1 - 1e-9 <= found.effective <= found.events + 1e-9
    else:
        assert found.effective is None and "held-out" in found.hr.snips.note
    assert found.clipped_events == propensity.clipped[data.relevant.indices].sum()


@settings(deadline=None)
@given(shapes)
def test_naive_is_the_usual_metric_and_missing_at_random_corrects_nothing(shape: tuple[int, int, int, int]) -> None:
    data, _ = problem(*shape)
    assert data.relevant is not None
    at_random = corrected_utility(data, Propensity.of(np.arange(1, data.n_items + 1), gamma=-1))
    rows, usual = measure(data.lists, data.relevant, [data.k])
    for name, metric in both(at_random).items():
        assert metric.snips.value == (None if metric.naive.value is None else pytest.approx(metric.naive.value))
        if len(rows) and name != "hr":
            assert metric.naive.value == pytest.approx(usual[f"{name}@{data.k}"].mean())
            assert metric.naive.users == len(rows)
    assert at_random.effective is None or at_random.effective == pytest.approx(at_random.events)


@settings(deadline=None)
@given(shapes)
def test_relabelling_and_weights(shape: tuple[int, int, int, int]) -> None:
    data, propensity = problem(*shape)
    assert data.relevant is not None
    new = np.random.default_rng(shape[3]).permutation(data.n_items)
    moved = np.zeros(data.relevant.shape)
    moved[:, new] = data.relevant.toarray()
    lists = np.where(data.lists >= 0, new[data.lists], -1).astype(np.int32)
    old = np.argsort(new)
    relabelled = corrected_utility(
        Recommendations.of(lists, data.n_items, sparse.csr_matrix(moved)),
        replace(propensity, value=propensity.value[old], clipped=propensity.clipped[old]),
    )
    found = corrected_utility(data, propensity)
    weights = np.random.default_rng(shape[3]).integers(1, 4, len(lists))
    rows = np.repeat(np.arange(len(lists)), weights)
    weighted = corrected_utility(replace(data, weights=weights), propensity)
    repeated = corrected_utility(Recommendations.of(data.lists[rows], data.n_items, data.relevant[rows]), propensity)
    for one, other in ((found, relabelled), (weighted, repeated)):
        for name in METRICS:
            a, b = both(one)[name].snips, both(other)[name].snips
            assert a.users == b.users and a.value == (None if b.value is None else pytest.approx(b.value))
        assert (one.events, one.single_users, one.clipped_events) == (
            other.events, other.single_users, other.clipped_events,
        )  # fmt: skip
        assert one.effective == (None if other.effective is None else pytest.approx(other.effective))


def simulate(gamma: float, seed: int) -> tuple[CorrectedUtility, dict[str, float]]:
    """Relevance known in full; an item enters the data with a probability that follows the power law exactly.

    With n the true number of users, n_i = n p_i and p_i ~ n_i ** ((gamma + 1) / 2) hold together for gamma 0 if p ~ n,
    and for gamma 1 if all items are equally liked and p is anything.
    """
    m, n, k = 1500, 120, 15
    numbers = np.random.default_rng(seed)
    liked = np.full(n, 0.25) if gamma == 1 else np.geomspace(0.5, 0.05, n)
    seen = np.geomspace(0.9, 0.05, n) if gamma == 1 else 0.9 * liked / liked[0]
    relevant = numbers.random((m, n)) < liked
    counts = (relevant & (numbers.random((m, n)) < seen)).sum(axis=0)  # the training data
    held_out = relevant & (numbers.random((m, n)) < seen)
    scores = 2 * seen + relevant * 0.5 + numbers.random((m, n))  # a model with a taste for popular items
    lists = np.argsort(-scores, axis=1)[:, :k].astype(np.int32)
    truth = brute(Recommendations.of(lists, n, sparse.csr_matrix(relevant.astype(float))), np.ones(n), k)
    assert truth is not None
    # NDCG on as many items as are held out, drawn from all relevant ones with equal probability: its expectation
    gain = np.zeros((m, n))
    np.put_along_axis(gain, lists.astype(np.int64), 1 / np.log2(np.arange(2, k + 2)), axis=1)
    mean = (gain * relevant).sum(axis=1) / relevant.sum(axis=1)
    truth["ndcg"] = float(np.mean([a * r / ideal(r, k) for a, r in zip(mean, held_out.sum(axis=1), strict=True) if r]))
    data = Recommendations.of(lists, n, sparse.csr_matrix(held_out.astype(float)))
    return corrected_utility(data, Propensity.of(counts, gamma)), truth


@pytest.mark.parametrize("gamma", [0.0, 1.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_snips_is_nearer_to_the_truth_than_the_naive_mean(gamma: float, seed: int) -> None:
    found, truth = simulate(gamma, seed)
    for name, metric in both(found).items():
        assert metric.naive.value is not None and metric.snips.value is not None
        naive, snips = abs(metric.naive.value - truth[name]), abs(metric.snips.value - truth[name])
        assert snips < naive / 2, (name, truth[name], metric)
    assert found.hr.snips.value == pytest.approx(truth["hr"], abs=0.02)
    assert found.effective is not None and found.effective < found.events


def test_gamma_is_found_again() -> None:
    counts = np.arange(1, 200) ** 2
    assert estimate_gamma(counts, counts**2) == pytest.approx(2)
    fitted = Propensity.of(counts, shown=counts**2)
    assert fitted.gamma == pytest.approx(2) and fitted.origin == "estimated" and "gamma 2 estimated" in str(fitted)
    with pytest.raises(InputError, match="do not differ"):
        estimate_gamma(np.full(3, 5), np.arange(3))
    with pytest.raises(InputError, match="3 item counts"):
        estimate_gamma(np.arange(3), np.arange(4))


def test_clipping_is_stated() -> None:
    propensity = Propensity.of(np.array([100, 10, 1, 0]), gamma=1, floor=0.1)
    np.testing.assert_allclose(propensity.value, [1, 0.1, 0.1, 0.1])
    assert propensity.clipped.tolist() == [False, False, True, True]
    assert "clipped at 0.1: 2 of 4 items" in str(propensity) and "gamma 1 given" in str(propensity)


def test_one_held_out_item_cancels_and_says_so() -> None:
    lists = np.array([[0, 1], [0, 1]], np.int32)
    data = Recommendations.of(lists, 4, sparse.csr_matrix(np.array([[1.0, 0, 0, 0], [0, 0, 0, 1]])))
    found = corrected_utility(data, Propensity.of(np.array([9, 5, 5, 1]), gamma=1))
    assert found.recall.snips.value == found.recall.naive.value == 0.5
    assert "read hr" in found.recall.snips.note and not found.hr.snips.note and found.single_users == 2
    assert found.hr.snips.value == pytest.approx(1 / 10)


def test_refusals() -> None:
    counts = np.array([2, 1])
    for wrong, words in (
        ({}, "give gamma"),
        ({"gamma": -2.0}, "-1 or more"),
        ({"gamma": float("nan")}, "-1 or more"),
        ({"gamma": 1.0, "floor": 0.0}, "above 0"),
    ):
        with pytest.raises(InputError, match=words):
            Propensity.of(counts, **wrong)
    for none in (np.zeros(2, np.int64), np.array([1, -1]), np.array([], np.int64)):
        with pytest.raises(InputError, match="events"):
            Propensity.of(none, 1)
    data = Recommendations.of(np.array([[0]], np.int32), 2, sparse.csr_matrix(np.array([[1.0, 0]])))
    with pytest.raises(InputError, match="cut-off"):
        corrected_utility(data, Propensity.of(counts, 1), 2)
    with pytest.raises(InputError, match="catalogue"):
        corrected_utility(data, Propensity.of(np.array([1, 2, 3]), 1))
    with pytest.raises(InputError, match="relevant to whom"):
        corrected_utility(Recommendations.of(data.lists, 2), Propensity.of(counts, 1))
