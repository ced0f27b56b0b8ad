"""Side tables (titles, genres, ages) aligned to the ids of a log."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
import polars as pl

from .log import Text

NAMES = {
    "movietitle": "title", "itemtitle": "title", "productname": "title", "productdescription": "title", "name": "title",
    "itemname": "title", "moviename": "title", "genre": "genres", "class": "genres", "category": "categories",
    "releaseyear": "year",
}  # fmt: skip
"""Other programs' names for the columns that recaudit looks for: title, genres, year."""


def align(table: pl.DataFrame | None, ids: Text, what: str, notes: list[str]) -> pd.DataFrame | None:
    """The rows of a side table in the order of `ids`, without its id column.

    Args:
        table: any columns and a text column `id`; the first row of an id counts.
        ids: text [N].
        what: "users" or "items", for the notes.
        notes: gets a line for repeated and for missing ids.

    Returns:
        N rows; ids that the table lacks have missing values. Whole columns of numbers become numbers.
    """
    if table is None or table.width < 2:
        return None
    known = table.filter(pl.col("id").is_not_null()).unique("id", keep="first", maintain_order=True)
    if known.height < table.height:
        notes.append(f"{table.height - known.height:,} rows of the {what} table repeat an id or have none; first kept")
    index = {each: row for row, each in enumerate(known["id"].to_list())}
    rows = [index.get(each) for each in ids.tolist()]
    missing = sum(row is None for row in rows)
    if missing == len(rows):
        notes.append(f"no id of the {what} table is in the log; the table is not used")
        return None
    if missing:
        notes.append(f"{missing:,} of {len(rows):,} {what} have no row in the {what} table")
    taken = known.drop("id")[pl.Series(rows, dtype=pl.UInt32).fill_null(0)]
    gap = np.array([row is None for row in rows])
    return pd.DataFrame({name: _column(taken[name], gap) for name in taken.columns})


def _column(column: pl.Series, gap: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> pd.Series:
    if gap.any():
        column = pl.select(pl.when(pl.Series(gap)).then(None).otherwise(column)).to_series()
    if column.dtype == pl.String:
        for number in (pl.Int64, pl.Float64):
            parsed = column.cast(number, strict=False)
            padded = column.str.contains(r"^[+-]?0\d").any()  # 007 is a name, not seven
            if parsed.null_count() == column.null_count() < len(column) and not padded:
                column = parsed
                break
    if column.dtype == pl.String or column.dtype.is_temporal() or column.dtype.is_nested():
        return pd.Series(column.to_list(), dtype=object if column.dtype.is_nested() else None)
    if column.null_count():
        return pd.Series(column.cast(pl.Float64).fill_null(np.nan).to_numpy())
    return pd.Series(column.to_numpy())


def standard(table: pl.DataFrame) -> pl.DataFrame:
    """Rename the well-known columns (movie_title, class, release_year) to title, genres, year."""
    renames: dict[str, str] = {}
    for name in table.columns:
        wanted = NAMES.get("".join(sign for sign in name.lower() if sign.isalnum()))
        if wanted and wanted not in table.columns and wanted not in renames.values():
            renames[name] = wanted
    return table.rename(renames)


def split_year(table: pl.DataFrame) -> pl.DataFrame:
    """Titles such as "Heat (1995)" as title "Heat" and year 1995."""
    year = pl.col("title").str.extract(r"\((\d{4})\)\s*$").cast(pl.Int64)
    title = pl.col("title").str.replace(r"\s*\(\d{4}\)\s*$", "").str.strip_chars()
    table = table.with_columns(year.alias("year"), title.alias("title"))
    order = ["id", "title", "year"]
    return table.select(order + [name for name in table.columns if name not in order])


def usual_columns(table: pd.DataFrame | None, names: Collection[str]) -> list[str]:
    """The columns of a side table that have one of these names, in the order of the names.

    Case, spaces, hyphens and underscores do not count: "Age group" is "age_group".
    """
    known = [] if table is None else [str(name) for name in table.columns]
    return [name for usual in dict.fromkeys(map(plain, names)) for name in known if plain(name) == usual]


def plain(name: str) -> str:
    """A column's name as `usual_columns` compares it: letters and digits, in lower case."""
    return "".join(sign for sign in name.lower() if sign.isalnum())
