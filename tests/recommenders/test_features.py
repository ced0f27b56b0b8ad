"""Encoders: hand-computed rows, what is left out, and what injected rows must not move."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recaudit.datasets.log import Profiles
from recaudit.datasets.read import read_log
from recaudit.datasets.synthetic import generate
from recaudit.recommenders.features import FeatureSpace, Labels, Mixture, Number, encode, of_nodes
from recaudit.recommenders.sampling import Positives

PEOPLE = pd.DataFrame({"age": [20, 20, 30, 30, 30, 50, 50], "gender": ["F", "M", "F", "M", "F", None, "M"]})


def test_rows_are_the_hand_computed_ones() -> None:
    found = encode(PEOPLE, 7)
    assert found.names == ("age", "age>=20", "age>=30", "age>=50", "gender=F", "gender=M")
    assert found.matrix.dtype == np.float32 and found.matrix.has_sorted_indices
    # Median 30; 16th and 84th percentile 20 and 50, half their distance 15.
    low, high = -10 / 15, 20 / 15
    expected = [
        [low, 1, 0, 0, 1, 0],
        [low, 1, 0, 0, 0, 1],
        [0, 0, 1, 0, 1, 0],
        [0, 0, 1, 0, 0, 1],
        [0, 0, 1, 0, 1, 0],
        [high, 0, 0, 1, 0, 0],
        [high, 0, 0, 1, 0, 1],
    ]
    np.testing.assert_allclose(found.matrix.toarray(), expected, rtol=1e-6)


def test_several_labels_share_one() -> None:
    genres = ["Drama|War", "Drama", "War|Drama|War", "Comedy", "Comedy| Drama ", "", "Drama|Once"]
    table = pd.DataFrame({"genres": genres + ["Drama"] * 5})
    found = encode(table, 12)
    assert found.names == ("genres=Comedy", "genres=Drama", "genres=War")  # a label of one row is none
    rows = [[0, 0.5, 0.5], [0, 1, 0], [0, 0.5, 0.5], [1, 0, 0], [0.5, 0.5, 0], [0, 0, 0], [0, 1, 0]]
    np.testing.assert_allclose(found.matrix.toarray()[:7], rows)


def test_many_different_numbers_get_round_bins_and_are_clipped() -> None:
    ages = np.concatenate([np.arange(15, 75), np.tile(np.arange(20, 50), 4), [10_000]])
    space = FeatureSpace.fit(pd.DataFrame({"age": ages}))
    (column,) = space.columns
    assert isinstance(column, Number)
    assert column.edges == (10, 20, 30, 40, 50, 60)
    rows = space.encode(pd.DataFrame({"age": [3, 19, 20, 65, 10_000, np.nan, np.inf]})).toarray()
    assert rows[:, 1:].argmax(1)[:5].tolist() == [0, 0, 1, 5, 5]
    assert np.abs(rows[:, 0]).max() == 3
    assert not rows[5:].any()


@pytest.mark.parametrize(
    "column",
    [
        [f"title {n}" for n in range(40)],
        [f"title {n // 2}" for n in range(37)] + ["x", "y", "z"],
        list(range(1000, 1040)),
        [7] * 40,
        [None] * 40,
        [np.nan] * 40,
    ],
    ids=["titles", "titles with doubles", "ids", "constant", "none", "nan"],
)
def test_columns_without_use_are_left_out(column: list[object]) -> None:
    found = encode(pd.DataFrame({"x": column}), 40)
    assert found.names == () and found.matrix.shape == (40, 0)


def test_leading_zeros_are_codes_and_not_numbers() -> None:
    (column,) = FeatureSpace.fit(pd.DataFrame({"area": ["02139", "90210", "02139", "90210", "02139"]})).columns
    assert column == Labels("area", ("02139", "90210"))


def test_a_space_encodes_other_tables() -> None:
    space = FeatureSpace.fit(PEOPLE)
    other = pd.DataFrame({"gender": ["M", "X", np.nan], "shoe": [1, 2, 3]}, index=[9, 9, 4])
    rows = space.encode(other).toarray()
    assert rows[0].tolist() == [0, 0, 0, 0, 0, 1] and not rows[1:].any()
    assert space.encode(None, 4).shape == (4, 6) and space.encode(None, 4).nnz == 0
    with pytest.raises(ValueError, match="3 rows"):
        space.encode(other, 4)
    with pytest.raises(ValueError, match="None"):
        space.encode(None)
    assert space == FeatureSpace.fit(PEOPLE.copy())


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_tiny_tables(rows: int) -> None:
    found = encode(PEOPLE.head(rows), rows)
    assert found.matrix.shape == (rows, len(found.names))
    assert encode(None, rows).matrix.shape == (rows, 0)


def test_text_and_object_tables_encode_alike() -> None:
    """A checkpoint gives back texts; a join with rows without features gives objects."""
    log = generate(60, 50, 900, seed=4)
    for table in (log.users, log.items):
        assert table is not None
        plain = encode(table, len(table))
        for other in (table.astype(str), table.astype(object)):
            again = encode(other, len(table))
            assert again.names == plain.names and (again.matrix != plain.matrix).nnz == 0


def test_injected_rows_move_no_genuine_one() -> None:
    """Empty rows, absurd ages, new words and words for numbers, as 2 % of the rows."""
    log = generate(400, 50, 5000, seed=1)
    table = log.users
    assert table is not None
    before = FeatureSpace.fit(table)
    for features in (
        None,
        pd.DataFrame({"gender": ["M"] * 8, "age_group": [10**9] * 8}),
        pd.DataFrame({"gender": ["robot|toaster"] * 8, "age_group": ["old"] * 8}),
    ):
        fakes = Profiles(8, np.arange(8, dtype=np.int32), np.arange(8, dtype=np.int32), features=features)
        attacked = replace(log, value=None, time=None).with_accounts(fakes).users
        assert attacked is not None
        after = FeatureSpace.fit(attacked)
        assert set(before.names) <= set(after.names)
        kept = [after.names.index(name) for name in before.names]
        assert (after.encode(attacked)[:400][:, kept] != before.encode(table)).nnz == 0
        assert (before.encode(attacked)[:400] != before.encode(table)).nnz == 0


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.none() | st.integers(-5, 5) | st.floats() | st.text("ab|01", max_size=4), st.text("|xy")),
        max_size=30,
    )
)
def test_any_table_is_encoded(rows: list[tuple[object, str]]) -> None:
    table = pd.DataFrame(rows, columns=["a", "b"], dtype=object)
    found = encode(table, len(rows))
    assert found.matrix.shape == (len(rows), len(found.names)) and np.isfinite(found.matrix.data).all()
    assert len(set(found.names)) == len(found.names)


def test_users_who_are_not_trained_on_leave_no_trace() -> None:
    log = generate(60, 50, 900, seed=4)
    assert log.users is not None
    table = log.users.copy()
    table.loc[[7, 8], "gender"] = "X"
    log = replace(log, users=table)
    weights = np.ones(60, np.float32)
    width = of_nodes(log, Positives.of(log)).shape[1]
    weights[[7, 8]] = 0
    features = of_nodes(log, Positives.of(log, weights))
    gone = log.without(np.isin(log.user, [7, 8]))
    assert features.shape == (110, width - 1)
    assert (features != of_nodes(gone, Positives.of(gone))).nnz == 0


def test_blocks_of_users_and_items() -> None:
    log = generate(60, 50, 900, seed=4)
    pairs = Positives.of(log)
    both = of_nodes(log, pairs)
    users, items = of_nodes(log, pairs, items=False), of_nodes(log, pairs, users=False)
    assert both.shape == (110, users.shape[1] + items.shape[1]) and both.nnz == users.nnz + items.nnz
    assert users[60:].nnz == items[:60].nnz == 0
    assert (both[:, : users.shape[1]] != users).nnz == (both[:, users.shape[1] :] != items).nnz == 0
    assert of_nodes(replace(log, users=None, items=None), pairs).shape == (110, 0)


def test_product_and_its_gradient_are_the_dense_ones() -> None:
    matrix = encode(PEOPLE, 7).matrix
    pull = torch.randn(7, 3, generator=torch.Generator().manual_seed(1))
    ours, plain = (torch.arange(18.0).view(6, 3).requires_grad_() for _ in range(2))
    product, expected = Mixture(matrix, torch.device("cpu"))(ours), torch.from_numpy(matrix.toarray()) @ plain
    assert torch.allclose(product, expected)
    (product * pull).sum().backward()
    (expected * pull).sum().backward()
    assert ours.grad is not None and plain.grad is not None
    assert torch.allclose(ours.grad, plain.grad, atol=1e-6)


def test_movielens_has_features_and_no_titles(shared: Path) -> None:
    log = read_log(shared / "data" / "movielens-100k").log
    users, items = FeatureSpace.fit(log.users).names, FeatureSpace.fit(log.items).names
    assert users[:3] == ("age", "age>=10", "age>=20") and "gender=F" in users and "occupation=artist" in users
    assert items[0] == "year" and "genres=Drama" in items and len(items) < 40
    assert not any(name.startswith(("title", "source_id")) for name in items)
