"""Recommendation lists, relevance and catalogues from files, as arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from scipy import sparse

from ..datasets.errors import InputError
from ..fairness.recommendations import Recommendations
from .tables import read_frame


def read_recommendations(
    lists: Path, catalogue: str, relevance: Path | None, consumed: Path | None, cutoff: int | None
) -> tuple[Recommendations, pl.Series]:
    """Lists over a catalogue, with relevance and consumed items if there are files, and the users' ids in row order.

    Raises:
        InputError: a file that cannot be read, an item outside the catalogue, a rank that is no whole number from 1
            on, missing or given twice, a user without a list in the relevance file; it names file, column and value.
    """
    items = read_catalogue(catalogue)
    table = _with_items(read_frame(lists, ("user", "item", "rank")), items, lists, catalogue)
    table = _ranked(table, lists)
    users = table["user"].unique().sort()
    table = table.join(pl.DataFrame({"user": users}).with_row_index("row"), on="user", how="left")
    if cutoff is not None:
        table = table.filter(pl.col("place") < cutoff)
    k = int(table["place"].max()) + 1  # type: ignore[arg-type]
    found = np.full((len(users), k), -1, np.int32)
    found[table["row"].to_numpy(), table["place"].to_numpy()] = table["index"].to_numpy()
    relevant, past = (None if path is None else _cells(path, users, items, catalogue) for path in (relevance, consumed))
    return Recommendations.of(found, len(items), relevant, consumed=past), users


def read_catalogue(catalogue: str) -> pl.Series:
    """Ids of all items, text: from a number N (0..N-1), or a file with a column item, or else its first column."""
    if catalogue.isascii() and catalogue.isdigit():
        return pl.Series("item", range(int(catalogue))).cast(pl.String)
    path = Path(catalogue)
    frame = read_frame(path, ())
    ids = frame["item"] if "item" in frame.columns else frame.to_series(0)
    if ids.null_count() or ids.n_unique() < len(ids):
        raise InputError(f"{path}: item ids that are empty or given twice; a catalogue names every item once")
    return ids.alias("item")


def _with_items(table: pl.DataFrame, items: pl.Series, path: Path, catalogue: str) -> pl.DataFrame:
    table = table.join(
        pl.DataFrame({"item": items}).with_row_index("index"), on="item", how="left", maintain_order="left"
    )
    unknown = table.filter(pl.col("index").is_null())["item"]
    if len(unknown):
        raise InputError(
            f"{path}: item {unknown[0]!r} (and {unknown.n_unique() - 1} more) is not in the catalogue {catalogue}; "
            "ids are text: check leading zeros and case"
        )
    return table


def _ranked(table: pl.DataFrame, path: Path) -> pl.DataFrame:
    """The same with a column place from 0 on; ranks must be 1..n for each user."""
    place = table["rank"].cast(pl.Int64, strict=False) - 1
    if place.null_count() or int(place.min()) < 0:  # type: ignore[arg-type]
        row = int((place.is_null() | (place < 0)).arg_max() or 0)
        raise InputError(f"{path}: rank {table['rank'][row]!r} in row {row + 1}; ranks are whole numbers, 1 the best")
    table = table.with_columns(place.alias("place"))
    summary = table.group_by("user").agg(pl.len(), pl.col("place").max(), pl.col("place").n_unique().alias("different"))
    wrong = summary.filter((pl.col("place") + 1 != pl.col("len")) | (pl.col("different") != pl.col("len"))).sort("user")
    if len(wrong):
        raise InputError(
            f"{path}: the ranks of user {wrong['user'][0]!r} (and of {len(wrong) - 1} more) are not 1 to "
            f"{wrong['len'][0]}, each once; write every place of a list, best first"
        )
    return table


def _cells(path: Path, users: pl.Series, items: pl.Series, catalogue: str) -> sparse.csr_matrix:
    table = _with_items(read_frame(path, ("user", "item")), items, path, catalogue)
    table = table.join(pl.DataFrame({"user": users}).with_row_index("row"), on="user", how="left")
    unknown = table.filter(pl.col("row").is_null())["user"]
    if len(unknown):
        raise InputError(
            f"{path}: user {unknown[0]!r} (and {unknown.n_unique() - 1} more) stands here but has no list; "
            "leave them out here, or give them a list"
        )
    cells = table.select("row", "index").unique()
    at = cells["row"].to_numpy(), cells["index"].to_numpy()
    return sparse.csr_matrix((np.ones(len(cells)), at), shape=(len(users), len(items)))
