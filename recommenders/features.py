"""Side features of users and items as sparse rows: one-hots, multi-hots, standardised and binned numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import sparse

from ..datasets.log import Int64, InteractionLog
from .propagation import on_device
from .sampling import Positives

Float64 = NDArray[np.float64]

SHARE = 0.5
"""A text column with more different labels than this share of its rows (titles, free text) is left out."""

_CODES = 24  # a number with at most so many repeated values gets a bin for each of them
_CLIP = 3.0  # standardised numbers lie within this, so that one absurd value cannot dominate


@dataclass(frozen=True)
class Number:
    """A numeric column: its standardised value, and one bin of it.

    Centre and scale are the median and half the distance of the 16th and 84th percentile (mean and standard
    deviation if normal), and bins start at round numbers: a few injected accounts move neither, so the genuine
    users' features stay what they were.

    Attributes:
        name: of the column.
        centre: median.
        scale: above 0.
        edges: where bins start, ascending; the first and the last bin are open. Empty for no bins.
    """

    name: str
    centre: float
    scale: float
    edges: tuple[float, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of its features."""
        return (self.name, *(f"{self.name}>={edge:g}" for edge in self.edges))

    def cells(self, column: pd.Series) -> tuple[Int64, Int64, Float64]:
        """Row, feature and value of the features that are not zero."""
        values = _numbers(column)
        rows = np.flatnonzero(np.isfinite(values))
        known = values[rows]
        standard = np.clip((known - self.centre) / self.scale, -_CLIP, _CLIP)
        if not self.edges:
            return rows, np.zeros(len(rows), np.int64), standard
        bins = np.searchsorted(self.edges, known, side="right").clip(1)
        ones = np.ones(len(rows))
        columns = np.concatenate([np.zeros(len(rows), np.int64), bins])
        return np.concatenate([rows, rows]), columns, np.concatenate([standard, ones])


@dataclass(frozen=True)
class Labels:
    """A text column: its labels, which `|` separates where a row has several; each row's features sum to 1.

    Attributes:
        name: of the column.
        labels: known ones, sorted; any other gives no feature.
    """

    name: str
    labels: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of its features."""
        return tuple(f"{self.name}={label}" for label in self.labels)

    def cells(self, column: pd.Series) -> tuple[Int64, Int64, Float64]:
        """Row, feature and value of the features that are not zero."""
        each = _labels(column)
        places = pd.Index(self.labels).get_indexer(pd.Index(each))
        pairs = np.stack([each.index.to_numpy(np.int64), places.astype(np.int64)])[:, places >= 0]
        pairs = np.unique(pairs, axis=1)
        counts = np.bincount(pairs[0], minlength=1)
        return pairs[0], pairs[1], 1.0 / counts[pairs[0]]


class Encoded(NamedTuple):
    """Features and their names.

    Attributes:
        matrix: float32 CSR [rows, F].
        names: text, F of them, for example "age", "age>=20", "gender=F", "genres=Drama".
    """

    matrix: sparse.csr_matrix
    names: tuple[str, ...]


@dataclass(frozen=True)
class FeatureSpace:
    """Which features there are, fitted on one table and good for others (injected accounts, for example).

    What is a number and what a label is decided by the values, not by the dtype: a table that went through a text
    file, or was joined to rows without features, encodes alike. Left out are text with more different labels than
    `SHARE` of the rows, labels that one row alone has (its id says as much), whole numbers that are different in
    nearly every row (ids), and numbers that are all the same.

    Attributes:
        columns: in the order of the table.
    """

    columns: tuple[Number | Labels, ...] = ()

    @classmethod
    def fit(cls, frame: pd.DataFrame | None) -> FeatureSpace:
        """The features of this table; none for None or a table without rows."""
        if frame is None:
            return cls()
        found = (_column(name, column) for name, column in _named(frame).items())
        return cls(tuple(column for column in found if column is not None))

    @property
    def names(self) -> tuple[str, ...]:
        """F names, in the order of the matrix's columns."""
        return tuple(name for column in self.columns for name in column.names)

    def encode(self, frame: pd.DataFrame | None, rows: int | None = None) -> sparse.csr_matrix:
        """The features of these rows.

        Missing values, unknown labels, and columns that the table lacks give zeros.

        Args:
            frame: N rows, or None: all zeros.
            rows: N, needed without a frame.

        Returns:
            float32 CSR [N, F], columns sorted.

        Raises:
            ValueError: neither a frame nor `rows`, or they differ.
        """
        count = rows if frame is None else len(frame)
        if count is None or (rows is not None and rows != count):
            raise ValueError(f"the table has {count} rows, {rows} are asked for")
        table = {} if frame is None else _named(frame)
        parts = [
            (row, place + start, value)
            for start, column in zip(self._starts(), self.columns, strict=True)
            if column.name in table
            for row, place, value in [column.cells(table[column.name])]
        ]
        row, place, value = (
            np.concatenate([part[k] for part in parts]) if parts else np.zeros(0, np.int64) for k in range(3)
        )
        matrix = sparse.csr_matrix((value.astype(np.float32), (row, place)), shape=(count, len(self.names)))
        matrix.sort_indices()
        return matrix

    def _starts(self) -> list[int]:
        sizes = [0, *(len(column.names) for column in self.columns)]
        return [int(start) for start in np.cumsum(sizes)[:-1]]


def encode(frame: pd.DataFrame | None, rows: int) -> Encoded:
    """Fit on a table and encode it.

    Args:
        frame: `rows` rows, or None: no features.
        rows: N.

    Raises:
        ValueError: the table has another number of rows.
    """
    space = FeatureSpace.fit(frame)
    return Encoded(space.encode(frame, rows), space.names)


def of_nodes(log: InteractionLog, pairs: Positives, *, users: bool = True, items: bool = True) -> sparse.csr_matrix:
    """The features of all users, then all items, block by block: float32 CSR [U + I, F_user + F_item].

    User features are fitted on the users with pairs alone, so that users who are removed or have weight zero leave
    no trace in them; item features are fitted on the whole catalogue.

    Args:
        log: with side tables or not.
        pairs: the training pairs.
        users: False leaves the users' features out.
        items: False leaves the items' features out.
    """
    user_table, item_table = (log.users if users else None), (log.items if items else None)
    known = None if user_table is None else user_table.iloc[np.unique(pairs.user)]
    of_users = FeatureSpace.fit(known).encode(user_table, log.n_users)
    of_items = FeatureSpace.fit(item_table).encode(item_table, log.n_items)
    return sparse.csr_matrix(sparse.block_diag([of_users, of_items], format="csr", dtype=np.float32))


class Mixture:
    """Products X W of constant sparse features with dense parameters, at the price of the bare product.

    X' is kept beside X; autograd would transpose anew in every step.
    """

    def __init__(self, matrix: sparse.csr_matrix, device: torch.device) -> None:
        """Put X, CSR [n, F], on the device in both orders."""
        self.size = int(matrix.shape[1])
        self.forward, self.backward = on_device(matrix, device), on_device(matrix.T.tocsr(), device)

    def __call__(self, weight: torch.Tensor) -> torch.Tensor:
        """X W, float32 [n, d], of W [F, d], F > 0; differentiable in W."""
        result: torch.Tensor = _Product.apply(self.forward, self.backward, weight)  # type: ignore[no-untyped-call]
        return result


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: torch.Tensor, transposed: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(transposed)
        return matrix @ weight

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[None, None, torch.Tensor]:
        (transposed,) = ctx.saved_tensors
        return None, None, transposed @ gradients[0].contiguous()


def _named(frame: pd.DataFrame) -> dict[str, pd.Series]:
    """The columns by name, the first of each name, rows numbered from 0."""
    named: dict[str, pd.Series] = {}
    for place, name in enumerate(frame.columns):
        named.setdefault(str(name), frame.iloc[:, place].reset_index(drop=True))
    return named


def _column(name: str, column: pd.Series) -> Number | Labels | None:
    """What to make of a column, or None if nothing."""
    known = column.dropna()
    if known.empty:
        return None
    values = _numbers(known)
    # A share, not all: one injected account with a word for its age must not turn numbers into labels. Leading
    # zeros mark codes (02139), which are labels.
    padded = known.astype(str).str.match(r"[+-]?0\d").mean()
    if np.isfinite(values).mean() >= 0.9 and padded <= 0.01:
        return _number(name, values[np.isfinite(values)])
    labels, counts = np.unique(_labels(known).to_numpy(str), return_counts=True)
    kept = labels[counts > 1]
    if not len(kept) or len(labels) > SHARE * len(known):
        return None
    return Labels(name, tuple(kept.tolist()))


def _number(name: str, values: Float64) -> Number | None:
    different, counts = np.unique(values, return_counts=True)
    if (len(different) > 0.9 * len(values) and (values % 1 == 0).all()) or len(different) < 2:
        return None
    p10, p16, p50, p84, p90 = np.quantile(values, [0.1, 0.16, 0.5, 0.84, 0.9], method="nearest")
    scale = float(p84 - p16) / 2 or float(values.std())
    repeated = different[counts > 1]
    if len(repeated) <= _CODES:
        edges = repeated if len(repeated) > 1 else repeated[:0]
    elif p90 > p10:
        width = _round((p90 - p10) / 4)
        edges = width * np.arange(math.floor(p10 / width) - 1, math.floor(p90 / width) + 2)
    else:
        edges = repeated[:0]
    return Number(name, float(p50), scale, tuple(float(edge) for edge in edges))


def _round(width: float) -> float:
    """The nearest, in ratio, of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(width))
    return min((power * step for step in (1, 2, 5, 10)), key=lambda each: abs(math.log(each / width)))


def _numbers(column: pd.Series) -> Float64:
    """The values as numbers, float64; NaN where they are none."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    return np.where(np.isfinite(values), values, np.nan)


def _labels(column: pd.Series) -> pd.Series:
    """One row for each label of each row, under the row's index."""
    each = column.dropna().astype(str).str.split("|", regex=False).explode().str.strip()
    return each[each != ""]
