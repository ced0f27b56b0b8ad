"""Accuracy measures against their plain definitions and against torchmetrics."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from torchmetrics import retrieval

from recaudit.datasets.errors import InputError
from recaudit.recommenders.metrics import coverage, find_hits, measure


def plain(listed, relevant, k):
    """The definitions, for one user."""
    found = [item in relevant for item in listed[:k]]
    ranks = [place + 1 for place, hit in enumerate(found) if hit]
    ideal = sum(1 / math.log2(1 + r) for r in range(1, min(len(relevant), k) + 1))
    return {
        f"recall@{k}": len(ranks) / len(relevant),
        f"ndcg@{k}": sum(1 / math.log2(1 + r) for r in ranks) / ideal,
        f"hr@{k}": float(bool(ranks)),
        f"mrr@{k}": 1 / ranks[0] if ranks else 0.0,
        f"precision@{k}": len(ranks) / k,
    }


@st.composite
def problems(draw):
    n_users, n_items = draw(st.integers(1, 8)), draw(st.integers(1, 15))
    source = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    length = draw(st.integers(1, 18))
    items = np.full((n_users, length), -1, np.int32)
    for row in items:
        n = min(source.integers(0, n_items + 1), length)
        row[:n] = source.permutation(n_items)[:n]
    relevant = sparse.csr_matrix(source.random((n_users, n_items)) < draw(st.sampled_from([0.0, 0.2, 0.7])))
    return items, relevant, draw(st.lists(st.integers(1, length), min_size=1, max_size=3))


@settings(max_examples=200, deadline=None)
@given(problems())
def test_equals_the_plain_definitions(problem):
    items, relevant, cutoffs = problem
    truth = [set(row.nonzero()[0]) for row in relevant.toarray()]
    rows, values = measure(items, relevant, cutoffs)
    assert rows.tolist() == [u for u, wanted in enumerate(truth) if wanted]
    for k in cutoffs:
        expected = [plain(items[u].tolist(), truth[u], k) for u in rows]
        for name in plain([], {0}, k):
            np.testing.assert_allclose(values[name], [e[name] for e in expected], rtol=1e-12, atol=0)
        distinct = {i for row in items for i in row[:k].tolist() if i >= 0}
        assert coverage(items, relevant.shape[1], k) == len(distinct) / relevant.shape[1]


@pytest.mark.parametrize("k", [1, 5, 20])
def test_equals_torchmetrics(k):
    source = np.random.default_rng(k)
    scores = source.random((60, 40)).astype(np.float32)
    truth = source.random((60, 40)) < 0.1
    truth[:5] = False
    items = np.argsort(-scores, axis=1)[:, :20].astype(np.int32)
    _, values = measure(items, sparse.csr_matrix(truth), [k])
    index = torch.arange(60).repeat_interleave(40)
    for name, kind in {
        "recall": retrieval.RetrievalRecall,
        "ndcg": retrieval.RetrievalNormalizedDCG,
        "hr": retrieval.RetrievalHitRate,
        "mrr": retrieval.RetrievalMRR,
        "precision": retrieval.RetrievalPrecision,
    }.items():
        metric = kind(top_k=k, empty_target_action="skip")
        expected = metric(torch.from_numpy(scores).flatten(), torch.from_numpy(truth).flatten(), index)
        assert values[f"{name}@{k}"].mean() == pytest.approx(float(expected), rel=1e-5)


def test_a_case_by_hand():
    items = np.int32([[3, 1, 0], [2, -1, -1], [0, 1, 2]])
    relevant = sparse.csr_matrix([[1, 0, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]])
    rows, values = measure(items, relevant, [3])
    assert rows.tolist() == [0, 1]
    assert values["recall@3"].tolist() == [2 / 3, 0]
    assert values["ndcg@3"][0] == pytest.approx((1 + 1 / 2) / (1 + 1 / math.log2(3) + 1 / 2))
    assert values["mrr@3"].tolist() == [1, 0]
    assert coverage(items, 4, 1) == 3 / 4
    assert values["ndcg@3"].dtype == np.float64


def test_what_cannot_be_measured_is_refused():
    items, relevant = np.int32([[0, 1]]), sparse.csr_matrix([[1, 0]])
    for cutoffs in ([], [0], [3]):
        with pytest.raises(InputError, match="cut-off"):
            measure(items, relevant, cutoffs)
    with pytest.raises(InputError, match="2 lists"):
        find_hits(np.int32([[0], [1]]), relevant)
