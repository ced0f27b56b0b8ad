"""Small tables that users hand in and get back: ids as text, CSV or Parquet by the file's suffix."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..datasets.errors import InputError, UnfinishedError

SUFFIXES = (".csv", ".parquet")


def read_frame(path: Path, columns: tuple[str, ...]) -> pl.DataFrame:
    """A CSV or Parquet file, every cell as text; InputError names the file and which of these columns is missing."""
    try:
        if path.suffix == ".parquet":
            table = pl.read_parquet(path).cast(pl.String)
        else:
            table = pl.read_csv(path, infer_schema=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{path}: cannot be read as a table: {str(error).splitlines()[0]}") from None
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise InputError(f"{path}: lacks column {missing[0]!r}; it has {', '.join(table.columns)}")
    for name in columns:
        if table[name].null_count():
            raise InputError(f"{path}: column {name} has {table[name].null_count()} empty cells; remove those rows")
    if not len(table):
        raise InputError(f"{path}: holds no row")
    return table


def read_columns(path: Path, columns: tuple[str, ...]) -> list[NDArray[np.str_]]:
    """These columns of a CSV or Parquet file as text arrays; errors as `read_frame`."""
    table = read_frame(path, columns)
    return [table[name].to_numpy().astype(np.str_) for name in columns]


def rows_of(ids: NDArray[np.str_], known: NDArray[np.str_], path: Path, kind: str) -> NDArray[np.int64]:
    """Index of every id among the known ones, int64; InputError for an unknown id."""
    order = np.argsort(known)
    at = np.searchsorted(known, ids, sorter=order)
    rows = order[np.minimum(at, len(known) - 1)]
    unknown = known[rows] != ids
    if unknown.any():
        raise InputError(
            f"{path}: {kind} {str(ids[unknown][0])!r} (and {int(unknown.sum()) - 1} more) is not in the training data; "
            "ids are text: check leading zeros and case"
        )
    return rows


def check_suffix(path: Path, option: str) -> None:
    """Refuse, before anything is computed, a table whose form its suffix does not say; InputError names the option."""
    if path.suffix not in SUFFIXES:
        raise InputError(f"{option} {path}: the suffix says the form; end it with {' or '.join(SUFFIXES)}")


def write_table(path: Path, columns: Mapping[str, Any]) -> None:
    """Write columns as CSV or Parquet."""
    table = pl.DataFrame(dict(columns))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            table.write_parquet(path)
        else:
            table.write_csv(path)
    except OSError as error:
        raise UnfinishedError(f"cannot write {path}: {error.strerror or error}") from None
