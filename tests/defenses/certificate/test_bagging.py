"""Votes of base models: what a slow count gives, whoever is asked for beside whom, and what fakes cannot change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from recaudit.datasets.synthetic import generate
from recaudit.defenses.certificate import bagging
from recaudit.defenses.certificate.bagging import Base, Ensemble, drawn, listed, most_voted, scores, tie_order, votes

LOG = generate(users=40, items=25, events=320, seed=1, ratings=False)
POOL = LOG.matrix()
ORDER = tie_order(LOG.item_ids)
USERS = np.array([3, 17, 0, 39])
SMALL = Ensemble(models=25, sample=6, per_model=3)


def counted(ensemble: Ensemble, seed: int = 5) -> NDArray[np.int32]:
    return votes(POOL, POOL[USERS], USERS, ORDER, ensemble, seed)


def slowly(ensemble: Ensemble, seed: int = 5) -> NDArray[np.int64]:
    """Item by item, from the definition of the similarities."""
    rows = POOL.toarray()
    place = {int(item): number for number, item in enumerate(ORDER)}
    found = np.zeros((len(USERS), LOG.n_items), np.int64)
    for model in range(ensemble.models):
        bag = drawn(LOG.n_users, ensemble.sample, seed, model)
        together = rows[bag].T @ rows[bag]
        for row, user in enumerate(USERS):
            if ensemble.only_drawn and user not in bag:
                continue
            ranked = []
            for item in np.flatnonzero(rows[user] == 0):
                score = 0.0
                for other in np.flatnonzero(rows[user]):
                    scale = 1.0
                    if ensemble.base == "itemknn":
                        scale = np.sqrt(max(together[item, item], 1) * max(together[other, other], 1))
                    score += together[item, other] / scale
                if score > 0:
                    ranked.append((-round(score, 3), place[int(item)], int(item)))
            for _, _, item in sorted(ranked)[: ensemble.per_model]:
                found[row, item] += 1
    return found


@pytest.mark.parametrize("base", ["cooccurrence", "itemknn"])
@pytest.mark.parametrize("only_drawn", [False, True])
def test_votes_are_those_of_a_slow_count(base: Base, only_drawn: bool) -> None:
    ensemble = replace(SMALL, base=base, only_drawn=only_drawn)
    found = counted(ensemble)
    assert found.dtype == np.int32 and found.shape == (4, 25)
    want = slowly(ensemble)
    # similarities are rounded to 2**-16, so that near ties of the cosine may fall otherwise
    assert np.abs(found - want).sum() <= (0 if base == "cooccurrence" else 4)
    assert not found[POOL[USERS].toarray() > 0].any()
    assert found.sum(axis=1).max() <= ensemble.models * ensemble.per_model
    assert found.sum() > 0


def test_blocks_order_and_company_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = counted(SMALL)
    monkeypatch.setattr(bagging, "_CELLS", 2 * LOG.n_items)
    again = votes(POOL, POOL[USERS], USERS, ORDER, SMALL, 5)
    assert (again == whole).all()
    turned = votes(POOL, POOL[USERS[::-1]], USERS[::-1], ORDER, SMALL, 5)
    assert (turned == whole[::-1]).all()
    assert (counted(SMALL, seed=6) != whole).any()
    # models have seeds of their own: the first ten are the same ten
    fewer = counted(replace(SMALL, models=10))
    assert (fewer <= whole).all()


def test_bags_are_uniform_draws() -> None:
    bags = np.array([drawn(7, 3, 0, model) for model in range(1400)])
    assert (np.diff(bags, axis=1) > 0).all() and bags.min() == 0 and bags.max() == 6
    assert np.abs(np.bincount(bags.ravel(), minlength=7) - 600).max() < 80  # 4.3 standard deviations
    assert drawn(7, 7, 0, 0).tolist() == list(range(7))


@pytest.mark.parametrize("base", ["cooccurrence", "itemknn"])
def test_a_clean_model_lists_the_same_whatever_else_is_in_the_log(base: Base) -> None:
    draw = np.random.default_rng(0)
    dense = POOL.toarray()[:, ORDER]
    profiles = dense[USERS].T.astype(np.float64)
    for _ in range(20):
        bag = draw.choice(LOG.n_users, 8, replace=False)
        before = listed(sparse.csr_matrix(dense[bag]), profiles, 4, base)
        # fakes may change the order of accounts and add items that nobody else has; equal scores stay in order
        wide = np.hstack([dense[draw.permutation(bag)], np.zeros((8, 3), np.float32)])
        after = listed(sparse.csr_matrix(wide), np.vstack([profiles, np.zeros((3, 4))]), 4, base)
        assert (before == after).all()


def test_scores_by_hand() -> None:
    bag = sparse.csr_matrix(np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 0]], np.float32))
    profile = np.array([[1.0, 0, 0, 0], [1, 1, 0, 0]]).T
    assert scores(bag, profile, "cooccurrence").tolist() == [[2, 2, 1, 0], [4, 4, 2, 0]]
    cosine = scores(bag, profile, "itemknn") / 65536.0**2
    assert cosine == pytest.approx(np.array([[1, 1, 0.5, 0], [2, 2, 1, 0]]), abs=1e-4)
    # consumed and unscored items are not listed
    assert listed(bag, profile, 3, "itemknn").tolist() == [[1, 2, -1], [2, -1, -1]]


def test_ties_go_by_a_hash_of_ids() -> None:
    ids = [str(name) for name in LOG.item_ids]
    order = tie_order(ids)
    assert sorted(order.tolist()) == list(range(25)) and order.tolist() != list(range(25))
    named = [ids[item] for item in order]
    turned = tie_order(ids[::-1])
    assert [ids[::-1][item] for item in turned] == named  # places in the log play no part


def test_the_list_of_the_ensemble() -> None:
    counts = np.array([[2, 0, 5, 2], [0, 0, 0, 0]], np.int32)
    assert most_voted(counts, np.array([3, 2, 1, 0]), 4).tolist() == [[2, 3, 0, -1], [-1] * 4]
    assert most_voted(counts, np.array([0, 1, 2, 3]), 2).tolist() == [[2, 0], [-1, -1]]


def test_edges() -> None:
    one = sparse.csr_matrix(np.array([[1, 1, 0]], np.float32))
    alone = votes(one, one, np.array([0]), np.arange(3), Ensemble(4, 1, 2), 0)
    assert alone.tolist() == [[0, 0, 0]]  # nobody else to learn from
    two = sparse.csr_matrix(np.array([[1, 0, 0], [1, 0, 1]], np.float32))
    assert votes(two, two, np.arange(2), np.arange(3), Ensemble(4, 2, 3), 0).tolist() == [[0, 0, 4], [0, 0, 0]]
    empty = votes(two, two[:0], np.arange(0), np.arange(3), Ensemble(4, 2, 3), 0)
    assert empty.shape == (0, 3)
    idle = votes(two, sparse.csr_matrix((1, 3), dtype=np.float32), np.array([0]), np.arange(3), Ensemble(4, 2, 3), 0)
    assert not idle.any()  # an account without events has no neighbours
    with pytest.raises(ValueError, match="bags of 3"):
        votes(two, two, np.arange(2), np.arange(3), Ensemble(1, 3, 1), 0)
