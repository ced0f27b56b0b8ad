"""Every measure against reference numbers and by its properties."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from recaudit.datasets.errors import InputError
from recaudit.fairness import ibo, ifd_div, ifd_mul
from recaudit.fairness.catalogue import ALL, BY_SLUG, EXPOSURE
from recaudit.fairness.gain import missed_gain
from recaudit.fairness.measure import Formula, Measure
from recaudit.fairness.recommendations import Exposure, Recommendations

# ours -> (original, corrected) keys of the reference files
KEYS = {
    "qf": ("QF_ori", "QF_our"), "gini": ("Gini_ori", "Gini_our"), "jain": ("Jain_ori", "Jain_our"),
    "entropy": ("Ent_ori", "Ent_our"), "gini_w": ("Gini-w_ori", "Gini-w_our"), "fsat": ("FSat_ori", "FSat_our"),
    "vocd": ("VoCD_ori", None), "ai_d": ("AI-D_ori", None), "ii_d": ("II-D_ori", None),
    "ai_f": ("AI-F_ori", None), "ibo": ("IBO_ori", "IBO_our"), "iwo": ("IWO_ori", "IWO_our"),
    "iaa": ("IAA_ori", "IAA_our"), "ii_f": ("II-F_ori", "II-F_our"),
    "ifd_div": ("IFD_div_ori", "IFD_div_our"), "ifd_mul": ("IFD_mul_ori", "IFD_mul_our"), "hd": ("HD", None),
    "mme": ("MME_ori", None),
}  # fmt: skip
EXPOSURE_CASES = [
    "fewer_slots_than_items", "k1", "most_fair_divisible", "most_fair_remainder", "most_unfair",
    "one_item_dominates", "random_small", "zipf_medium", "zipf_small",
]  # fmt: skip
JOINT_CASES = [
    "degenerate_k_equals_n", "degenerate_one_user", "edge_relevant_exceeds_unlisted", "edge_users_without_relevant",
    "every_item_relevant_to_someone", "half_catalogue_unrecommended", "many_relevant_more_than_k",
    "most_fair_divisible", "most_fair_km_below_n", "most_fair_not_divisible", "most_unfair", "one_item_dominates",
    "perfect_relevance", "random_km_below_n", "random_small", "zipf_large", "zipf_medium",
]  # fmt: skip


def keyed(measure: Measure) -> list[tuple[str, Formula]]:
    """The forms of a measure that the reference files know, with their keys there."""
    pairs = zip(KEYS.get(measure.slug, ()), (measure.original, measure.corrected), strict=False)
    return [(key, formula) for key, formula in pairs if key and formula]


def close(expected: float | None) -> Any:
    return None if expected is None else pytest.approx(expected, abs=1e-9)


def relevance(rows: list[list[int]], n: int) -> sparse.csr_matrix:
    indptr = np.cumsum([0] + [len(row) for row in rows])
    indices = np.array([item for row in rows for item in sorted(row)], np.int32)
    return sparse.csr_matrix((np.ones(len(indices)), indices, indptr), shape=(len(rows), n))


def from_case(data: dict[str, Any], k: int) -> Recommendations:
    inputs, n = data["inputs"], data["params"]["n"]
    ranks = [
        rank
        for items, found in zip(inputs["relevant"], inputs["relevant_ranks"], strict=True)
        for _, rank in sorted(zip(items, found, strict=True))
    ]
    lists = np.array(inputs["recs"], np.int32)[:, :k]
    return Recommendations.of(lists, n, relevance(inputs["relevant"], n), np.array(ranks, np.int64))


@pytest.mark.parametrize("case", EXPOSURE_CASES)
def test_reference_numbers_of_exposure(shared: Path, case: str) -> None:
    data = json.loads((shared / "oracles" / "fairness" / f"{case}.json").read_text())
    recommendations = Recommendations.of(np.array(data["items_one_based"], np.int32) - 1, data["n_items"])
    for measure in EXPOSURE:
        for key, formula in zip(
            KEYS.get(measure.slug, (None, None)), (measure.original, measure.corrected), strict=True
        ):
            if key in data["reference"]:
                assert formula(recommendations).value == close(data["reference"][key]), key


@pytest.mark.parametrize("case", JOINT_CASES)
def test_reference_numbers_with_relevance(shared: Path, case: str) -> None:
    data = json.loads((shared / "oracles" / "fairness-joint" / f"{case}.json").read_text())
    for k, values in data["values"].items():
        expected = values["reference"] | values["own"]
        recommendations = from_case(data, int(k))
        for measure in ALL:
            for key, formula in zip(
                KEYS.get(measure.slug, (None, None)), (measure.original, measure.corrected), strict=True
            ):
                if key in expected:
                    assert formula(recommendations).value == close(expected[key]), (key, k)
        if "IFD_div_ori_cutoff" in expected:
            assert ifd_div.cutoff(recommendations).value == close(expected["IFD_div_ori_cutoff"]), k
        if "IAA_our_unfixed_att" in expected and int(k) > 1:
            attention = (int(k) - np.arange(1, int(k) + 1)) / (int(k) - 1)
            assert missed_gain(recommendations, attention).value == close(expected["IAA_our_unfixed_att"]), k


def test_the_published_insertion_experiment(shared: Path) -> None:
    """Ever more of the catalogue is shown evenly in place of ten popular items (SIGIR 2024, notebook 03b)."""
    data = json.loads((shared / "oracles" / "fairness-joint" / "published_insertion.json").read_text())
    m, n, k = data["m"], data["n"], data["k"]
    own = np.arange(n).reshape(m, k)
    for column in data["columns"]:
        lists = np.tile(np.arange(k), (m, 1))
        lists[:, k - column :] = own[:, k - column :]
        recommendations = Recommendations.of(lists, n, relevance(own.tolist(), n), insertion_ranks(lists, own, n))
        for measure in ALL:
            for key, formula in zip(
                KEYS.get(measure.slug, (None, None)), (measure.original, measure.corrected), strict=True
            ):
                if key in data["values"] and measure.slug != "hd":
                    expected = data["values"][key][column]
                    value = formula(recommendations).value
                    assert value == (None if expected is None else pytest.approx(expected, abs=6e-7)), (key, column)


def insertion_ranks(lists: np.ndarray, own: np.ndarray, n: int) -> np.ndarray:
    ranks = []
    for shown, wanted in zip(lists.tolist(), own.tolist(), strict=True):
        missing = [item for item in wanted if item not in shown]  # they stand at the end, in order
        behind = {item: n - len(missing) + 1 + place for place, item in enumerate(missing)}
        ranks += [shown.index(item) + 1 if item in shown else behind[item] for item in wanted]
    return np.array(ranks, np.int64)


def test_every_key_of_the_reference_files_is_compared(shared: Path) -> None:
    compared = {key for keys in KEYS.values() for key in keys if key}
    compared |= {"IFD_div_ori_cutoff", "IAA_our_unfixed_att", "Ent_0log0"}
    for file in (shared / "oracles").glob("fairness*/*.json"):
        data = json.loads(file.read_text())
        if "params" in data:
            for values in data["values"].values():
                assert set(values["reference"]) | set(values["own"]) <= compared, file.name


def random_lists(users: int, items: int, k: int, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed).random((users, items)) ** 3
    return np.argsort(-draw, axis=1)[:, :k].astype(np.int32)


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, sparse.csr_matrix, int]:
    """Lists [m, k] over n items, k < n, and relevance with users and items that have none."""
    users, items = draw(st.integers(2, 15)), draw(st.integers(3, 20))
    k, seed = draw(st.integers(1, items - 1)), draw(st.integers(0, 999))
    chance = draw(st.sampled_from([0.05, 0.3, 0.8, 1.0]))
    relevant = np.random.default_rng(seed).random((users, items)) < chance
    return random_lists(users, items, k, seed), sparse.csr_matrix(relevant.astype(float)), seed


def test_an_item_at_a_threshold_does_not_flip_with_the_order_in_which_users_are_summed() -> None:
    """Sums of the same reciprocals in another order differ in the last digits."""
    one, other = (sum(places) * 1.1 / (7 / 3) for places in ((1, 1, 1 / 3), (1 / 3, 1, 1)))
    assert one != other and min(one, other) < 1.1
    assert ibo._better(np.array([one, other, 1.1 - 1e-7])).tolist() == [True, True, False]
    assert ibo._worse(np.array([0.9 + 1e-15, 0.9, 0.9 + 1e-7])).tolist() == [True, True, False]


@settings(deadline=None)
@given(problems())
def test_corrected_values_lie_between_0_and_1_and_names_do_not_matter(
    problem: tuple[np.ndarray, sparse.csr_matrix, int],
) -> None:
    lists, relevant, seed = problem
    n = relevant.shape[1]
    source = np.random.default_rng(seed)
    relabel, users = source.permutation(n).astype(np.int32), source.permutation(len(lists))
    here = Recommendations.of(lists, n, relevant)
    # item i becomes relabel[i]
    there = Recommendations.of(relabel[lists][users], n, relevant[users][:, np.argsort(relabel)])
    for measure in ALL:
        value, moved = measure.reported(here), measure.reported(there)
        assert (value.value is None) == (moved.value is None), measure.slug
        if value.value is None:
            assert value.note, "undefined, and why"
            continue
        assert moved.value == pytest.approx(value.value, abs=1e-9), measure.slug
        if measure.bounded:
            assert value.value <= 1 + 1e-9, measure.slug
            assert value.value >= -1e-9 or measure.slug == "fsat", measure.slug


def test_corrected_fsat_can_be_negative() -> None:
    """Sharing so that most items are one view short satisfies fewer items than one list for everybody."""
    lists = np.array([[9, 5, 12, 10, 4, 14, 7, 0, 6, 8], [11, 12, 1, 13, 7, 14, 8, 9, 2, 4],
                      [8, 7, 3, 0, 12, 10, 4, 6, 14, 1], [0, 7, 4, 12, 5, 2, 11, 9, 6, 13],
                      [13, 7, 11, 5, 10, 3, 14, 12, 0, 8], [2, 3, 12, 8, 5, 10, 14, 11, 1, 7]], np.int32)  # fmt: skip
    assert BY_SLUG["fsat"].reported(Recommendations.of(lists, 15)).value == pytest.approx(-0.2)


@settings(deadline=None)
@given(problems())
def test_original_values_lie_within_their_reachable_range(problem: tuple[np.ndarray, sparse.csr_matrix, int]) -> None:
    lists, relevant, _ = problem
    data = Recommendations.of(lists, relevant.shape[1], relevant)
    for measure in ALL:
        if measure.ends is not None and (value := measure.original(data).value) is not None:
            low, high = measure.ends(len(lists), data.n_items, data.k)
            assert low - 1e-9 <= value <= high + 1e-9, measure.slug


shapes = st.tuples(st.integers(2, 30), st.integers(3, 25), st.integers(1, 24)).filter(lambda shape: shape[2] < shape[1])


@given(shapes)
def test_fairest_and_unfairest_lists_reach_the_ends(shape: tuple[int, int, int]) -> None:
    users, items, k = shape
    even = (np.arange(users * k) % items).reshape(users, k).astype(np.int32)
    same = np.tile(np.arange(k, dtype=np.int32), (users, 1))
    fair, unfair = Recommendations.of(even, items), Recommendations.of(same, items)
    for measure in EXPOSURE:
        if measure.slug == "fsat" and users * k < items:
            assert measure.reported(unfair).value == 1.0 and measure.reported(unfair).note
            continue
        low, high = (0.0, 1.0) if measure.direction == "down" else (1.0, 0.0)
        if measure.corrected is not None:
            assert measure.corrected(unfair).value == pytest.approx(high, abs=1e-9), measure.slug
        if measure.corrected is not None and measure.tight:
            assert measure.corrected(fair).value == pytest.approx(low, abs=1e-9), measure.slug
        if measure.ends is not None and measure.tight and measure.original(fair).value is not None:
            ends = measure.ends(users, items, k)
            assert (
                sorted([measure.original(fair).value, measure.original(unfair).value or ends[0]])
                == pytest.approx(sorted(ends), abs=1e-9)
                or measure.slug == "entropy"
            )


@given(st.integers(2, 20), st.integers(3, 30), st.integers(0, 99))
def test_gini_w_reaches_its_fair_end_with_fewer_slots_than_items(users: int, k: int, seed: int) -> None:
    items = users * k + seed
    lists = np.arange(users * k).reshape(users, k).astype(np.int32)
    gini_w = BY_SLUG["gini_w"]
    assert gini_w.reported(Recommendations.of(lists, items)).value == pytest.approx(0.0, abs=1e-9)


@given(st.integers(3, 12), st.integers(6, 20), st.integers(0, 999))
def test_a_transfer_from_the_rich_to_the_poor_is_fairer(users: int, items: int, seed: int) -> None:
    """Pigou-Dalton: one showing moves from an item to one that is shown at least two times less."""
    lists = random_lists(users, items, 3, seed)
    count = np.bincount(lists.ravel(), minlength=items)
    rich, poor = int(count.argmax()), int(count.argmin())
    rows = np.flatnonzero((lists == rich).any(axis=1) & ~(lists == poor).any(axis=1))
    if count[rich] - count[poor] < 2 or not len(rows):
        return
    moved = lists.copy()
    moved[rows[0]][moved[rows[0]] == rich] = poor
    before, after = Recommendations.of(lists, items), Recommendations.of(moved, items)
    for slug in ("gini", "jain", "entropy"):
        measure = BY_SLUG[slug]
        old, new = measure.reported(before).value, measure.reported(after).value
        assert new > old if measure.direction == "up" else new < old, slug


@settings(deadline=None)
@given(problems())
def test_corrected_iaa_and_ii_f_are_missed_gain_and_nothing_else(
    problem: tuple[np.ndarray, sparse.csr_matrix, int],
) -> None:
    """Item identity plays no part: any relabelling within a user leaves them alone, so they cannot see fairness."""
    lists, relevant, seed = problem
    n = relevant.shape[1]
    shuffle = [np.random.default_rng(seed + u).permutation(n) for u in range(len(lists))]
    other = np.stack([names[row] for names, row in zip(shuffle, lists, strict=True)])
    dense = relevant.toarray()
    moved = np.zeros_like(dense)
    for u, names in enumerate(shuffle):
        moved[u, names] = dense[u]
    for slug in ("iaa", "ii_f", "ifd_mul"):
        formula = BY_SLUG[slug].reported
        here = formula(Recommendations.of(lists, n, relevant)).value
        there = formula(Recommendations.of(other, n, sparse.csr_matrix(moved))).value
        assert (here is None and there is None) or here == pytest.approx(there, abs=1e-12), slug


@given(st.integers(2, 30), st.integers(4, 20), st.integers(1, 3), st.integers(0, 99))
def test_ii_d_is_a_constant(users: int, items: int, k: int, seed: int) -> None:
    value = BY_SLUG["ii_d"].original(Recommendations.of(random_lists(users, items, k, seed), items)).value
    assert value == pytest.approx(BY_SLUG["ii_d"].ends(users, items, k)[0], abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 6), st.integers(2, 7), st.integers(1, 6))
def test_ends_of_ifd_are_those_of_all_placings(relevant: int, n: int, k: int) -> None:
    from itertools import combinations

    relevant, k = min(relevant, n), min(k, n)
    data = sparse.csr_matrix((np.arange(n) < relevant).astype(float)[None])
    div, mul = [], []
    fewest = max(0, relevant - (n - k))
    for hits in range(fewest, min(relevant, k) + 1):
        for places in combinations(range(k), hits):
            own, others = iter(range(relevant)), iter(range(relevant, n))
            row = [next(own) if place in places else next(others) for place in range(k)]
            one = Recommendations.of(np.array([row], np.int32), n, data)
            div.append(ifd_div.cutoff(one).value)
            mul.append(BY_SLUG["ifd_mul"].original(one).value)
    assert ifd_div.extremes(relevant, k, fewest) == pytest.approx((min(div), max(div)), abs=1e-12)
    assert ifd_mul.extremes(relevant, k, n) == pytest.approx((min(mul), max(mul)), abs=1e-12)


def test_blocks_of_users_add_up() -> None:
    lists = random_lists(101, 40, 7, 3)
    whole = Exposure.of(lists, 40)
    parts = sum((Exposure.of(block, 40) for block in np.array_split(lists[9:], 7)), Exposure.of(lists[:9], 40))
    assert np.array_equal(whole.count, parts.count) and np.array_equal(whole.filled, parts.filled)
    assert np.allclose(whole.dcg, parts.dcg) and whole.n_lists == parts.n_lists
    weights = np.random.default_rng(0).integers(0, 4, 101)
    weighted, repeated = Exposure.of(lists, 40, weights), Exposure.of(np.repeat(lists, weights, axis=0), 40)
    assert np.array_equal(weighted.count, repeated.count) and weighted.n_lists == repeated.n_lists
    with pytest.raises(InputError, match="cannot be added"):
        _ = whole + Exposure.of(lists, 41)


@settings(deadline=None)
@given(problems())
def test_weights_count_users_as_often(problem: tuple[np.ndarray, sparse.csr_matrix, int]) -> None:
    lists, relevant, seed = problem
    weights = np.random.default_rng(seed).integers(0, 3, len(lists))
    if weights.sum() < 2:
        return
    n = relevant.shape[1]
    weighted = replace(Recommendations.of(lists, n, relevant), weights=weights)
    repeated = Recommendations.of(
        np.repeat(lists, weights, axis=0), n, relevant[np.repeat(np.arange(len(lists)), weights)]
    )
    for measure in ALL:
        for formula in measure.forms.values():
            here, there = formula(weighted), formula(repeated)
            assert here.users == there.users, measure.slug
            assert (here.value is None and there.value is None) or here.value == pytest.approx(there.value, abs=1e-9), (
                measure.slug
            )


def test_descriptors_are_complete() -> None:
    for measure in ALL:
        assert measure.symbol and measure.meaning.endswith(".") and measure.limits, measure.slug
        assert (measure.reported is not measure.original) == (measure.cured != ""), measure.slug
    for slug in ("iaa", "ii_f"):
        assert "Not evidence of fairness" in BY_SLUG[slug].caution
    assert "not invariant" in BY_SLUG["hd"].caution
