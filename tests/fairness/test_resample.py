"""Uncertainty over users: by its plain definition, paired, and the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from recaudit.fairness.catalogue import ALL, BY_SLUG
from recaudit.fairness.recommendations import Exposure, Recommendations
from recaudit.fairness.references import random_lists
from recaudit.fairness.resample import draws, paired_errors, resampled, standard_errors


def system(seed: int, users: int = 300, items: int = 12, k: int = 4) -> Recommendations:
    generator = np.random.default_rng(seed)
    lists = np.argsort(generator.random((users, items)) ** np.arange(1, items + 1), axis=1)[:, :k].astype(np.int32)
    relevant = sparse.csr_matrix((generator.random((users, items)) < 0.2).astype(float))
    return Recommendations.of(lists, items, relevant, consumed=sparse.csr_matrix((users, items)))


def test_resampled_exposure_is_that_of_the_drawn_lists() -> None:
    data = system(1, users=40)
    lists = data.lists.copy()
    lists[::7, 3] = -1
    data = Recommendations.of(lists, 12)
    for sample, weights in zip(resampled(data, 5, 9), draws(40, 5, 9), strict=True):
        plain = Exposure.of(np.repeat(lists, weights, axis=0), 12)
        assert np.array_equal(sample.exposure.count, plain.count) and np.array_equal(
            sample.exposure.filled, plain.filled
        )
        assert np.allclose(sample.exposure.dcg, plain.dcg) and np.allclose(sample.exposure.rbp, plain.rbp)
        assert sample.exposure.n_lists == plain.n_lists == 40


def test_standard_errors_by_their_plain_definition() -> None:
    data = system(7)
    formulas = {slug: BY_SLUG[slug].reported for slug in ("gini", "ai_f", "ibo", "iaa")}
    found = standard_errors(data, formulas, 1, 800)
    generator = np.random.default_rng(0)
    plain: dict[str, list[float]] = {slug: [] for slug in formulas}
    for _ in range(800):
        users = generator.integers(0, 300, 300)
        sample = Recommendations.of(data.lists[users], 12, data.relevant[users])
        for slug, formula in formulas.items():
            plain[slug].append(formula(sample).value or 0.0)
    for slug, values in plain.items():
        assert found[slug] == pytest.approx(np.std(values), rel=0.12), slug
    assert found == standard_errors(data, formulas, 1, 800) != standard_errors(data, formulas, 2, 800)


def test_every_measure_has_an_error() -> None:
    found = standard_errors(system(3), {measure.slug: measure.reported for measure in ALL}, 0, 20)
    assert all(np.isfinite(value) for value in found.values())
    assert found["ii_d"] == pytest.approx(0.0, abs=1e-12), "a constant"


def test_pairing_takes_out_what_both_systems_share() -> None:
    data = system(4)
    other = data.lists.copy()
    other[:5] = other[:5, ::-1]
    changed = Recommendations.of(other, 12, data.relevant)
    formulas = {"gini_w": BY_SLUG["gini_w"].reported}
    alone = standard_errors(data, formulas, 0)["gini_w"]
    assert 0 < paired_errors(data, changed, formulas, 0)["gini_w"] < alone / 3
    assert paired_errors(data, data, formulas, 0)["gini_w"] == 0.0


def test_an_undefined_measure_has_no_error() -> None:
    one = Recommendations.of(np.array([[0, 1]]), 5)
    assert np.isnan(standard_errors(one, {"gini": BY_SLUG["gini"].reported}, 0)["gini"])


@pytest.mark.parametrize(("k", "items"), [(9, 12), (3, 500), (20, 20)])
def test_random_lists_have_no_repeats(k: int, items: int) -> None:
    lists = random_lists((200, k), items, 1)
    assert all(len(set(row)) == k for row in lists.tolist()) and 0 <= lists.min() and lists.max() < items
    assert np.array_equal(lists, random_lists((200, k), items, 1))
    share = np.bincount(lists.ravel(), minlength=items) / 200
    assert abs(share - k / items).max() < 6 * np.sqrt(k / items / 200)
