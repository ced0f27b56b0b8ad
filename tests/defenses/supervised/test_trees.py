"""DegreeSAD and CoDetector: features by hand, equations, and whom they find."""

from __future__ import annotations

import numpy as np
import numpy.testing as npt
import pytest
from scipy import sparse

from recaudit.defenses.supervised import co_detector
from recaudit.defenses.supervised.base import TreeConfig, tree_judge
from recaudit.defenses.supervised.co_detector import CoDetectorConfig, _solved, factors, sppmi
from recaudit.defenses.supervised.degree_sad import popularity_features

from .common import LOG, caught


def table(rows: list[list[int]], items: int) -> sparse.csr_matrix:
    row = np.repeat(np.arange(len(rows)), [len(held) for held in rows])
    column = [item for held in rows for item in held]
    return sparse.csr_matrix((np.ones(len(row), np.float32), (row, column)), shape=(len(rows), items))


def test_popularity_by_hand() -> None:
    # popularity: item 0 is held by 4, 1 by 3, 2 by 2, 3 by 1, 4 by 1
    rows = table([[0, 1, 2, 3, 4], [0, 1, 2], [0, 1], [0], []], 5)
    expected = [[11 / 5, 3, 1], [3, 2, 2], [3.5, 1, 3], [4, 0, 4], [0, 0, 0]]
    npt.assert_allclose(popularity_features(rows), expected)


def test_popularity_of_a_log_is_that_of_a_plain_loop() -> None:
    rows = LOG.matrix()
    counts = np.bincount(rows.indices, minlength=LOG.n_items)
    for user, found in enumerate(popularity_features(rows)):
        own = np.sort(counts[rows[user].indices])
        npt.assert_allclose(found, [own.mean(), own[-1] - own[0], own[(len(own) - 1) // 4]])


def test_tree_says_the_share_of_its_leaf_and_learns_from_the_mask_alone() -> None:
    features = np.arange(20.0)[:, None]
    fake = np.arange(20) >= 10
    train = np.arange(20) % 2 == 0
    found = tree_judge(features, fake, TreeConfig(leaf=1))(train, np.random.default_rng(0))
    assert found.tolist() == [0.0] * 10 + [1.0] * 10
    wrong = np.where(train, fake, ~fake)  # answers outside the mask must have no effect
    again = tree_judge(features, wrong, TreeConfig(leaf=1))(train, np.random.default_rng(0))
    assert (again == found).all()
    assert (tree_judge(features, np.zeros(20, bool), TreeConfig())(train, np.random.default_rng(0)) == 0).all()


def test_tree_on_popularity_finds_fakes_of_another_family_if_their_items_are_as_rare() -> None:
    assert caught("degree-sad", "obscure", attacks=("random",)) > 0.85


def test_tree_on_popularity_is_blind_to_clones_and_to_popular_items_unless_taught() -> None:
    assert caught("degree-sad", "clone-and-push") < 0.65
    assert caught("degree-sad", "popular", attacks=("random",)) < 0.65
    assert caught("degree-sad", "popular", attacks=("popular",)) > 0.85


FOUR = [[0, 1, 2], [0, 1, 2], [0, 3], [3, 4]]
"""Shared: 0 and 1 three items, 0 and 2 one, 1 and 2 one, 2 and 3 one: f = 4, 4, 3, 1 and D = 12."""


def test_sppmi_by_hand() -> None:
    c = np.array([[0, 3, 1, 0], [3, 0, 1, 0], [1, 1, 0, 1], [0, 0, 1, 0]])
    f = np.array([4, 4, 3, 1])
    with np.errstate(divide="ignore"):
        pmi = np.log2(c * 12 / np.outer(f, f))
    assert pmi[0, 1] == pytest.approx(np.log2(36 / 16)) and pmi[2, 3] == 2 and pmi[0, 2] == 0
    for shift in (1.0, 2.0):
        expected = np.maximum(pmi - np.log2(shift), 0)
        expected /= expected.max()
        npt.assert_allclose(sppmi(table(FOUR, 5), 1, shift, 9).toarray(), expected, atol=1e-12)


def test_sppmi_reads_no_pair_with_few_shared_items_and_keeps_the_nearest() -> None:
    # of pairs with two shared items there is one: f = 3, 3 and D = 6
    assert sppmi(table(FOUR, 5), 2, 1.0, 9).toarray().tolist() == [[0, 1, 0, 0], [1, 0, 0, 0], [0] * 4, [0] * 4]
    assert sppmi(table(FOUR, 5), 4, 1.0, 9).nnz == 0
    every = sppmi(LOG.matrix(), 1, 1.0, 10_000).toarray()
    few = sppmi(LOG.matrix(), 1, 1.0, 3)
    assert np.diff(few.indptr).max() == 3
    best = -np.sort(-every, axis=1)[:, :3]
    npt.assert_allclose(-np.sort(-few.toarray(), axis=1)[:, :3], best, atol=1e-12)


def test_sppmi_does_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sppmi(LOG.matrix(), 2, 1.0, 20).toarray()
    monkeypatch.setattr(co_detector, "PAIRS", 1000)
    npt.assert_allclose(sppmi(LOG.matrix(), 2, 1.0, 20).toarray(), whole, atol=1e-12)


def test_solutions_are_those_of_each_row_alone() -> None:
    draw = np.random.default_rng(0)
    held = sparse.csr_matrix((draw.random((6, 5)) < 0.5).astype(float))
    vectors, target = draw.normal(size=(5, 3)), draw.normal(size=(6, 3))
    common = np.diag([1.0, 2.0, 3.0])
    found = _solved([(held, vectors, 0.7)], target, common, 0.2)
    for row in range(6):
        own = vectors[held[row].indices]
        npt.assert_allclose((common + 0.2 * np.eye(3) + 0.7 * own.T @ own) @ found[row], target[row], atol=1e-9)


def test_pairs_of_accounts_pull_their_factors_and_no_weight_leaves_them_out() -> None:
    rows = LOG.matrix()
    pairs = sppmi(rows, 2, 1.0, 50)
    empty = sparse.csr_matrix(pairs.shape)
    found = {
        gamma: factors(rows, pairs, CoDetectorConfig(gamma=gamma, rounds=3), np.random.default_rng(0))
        for gamma in (0.0, 1.0)
    }
    alone = factors(rows, empty, CoDetectorConfig(rounds=3), np.random.default_rng(0))
    npt.assert_allclose(found[0.0], alone, atol=1e-9)
    assert np.abs(found[1.0] - alone).max() > 0.01


def test_tree_on_factors_finds_fakes_of_another_family() -> None:
    assert caught("co-detector", "obscure", attacks=("random",)) > 0.8
