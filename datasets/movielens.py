"""MovieLens as GroupLens publishes it: 100K (u.data), 1M and 10M (ratings.dat), latest and 20M to 32M (ratings.csv)."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from .columns import Columns
from .errors import DataError
from .rows import Raw, source_of
from .sheet import read_sheet
from .sides import split_year
from .source import Place

NAME = "movielens"
NAMES_COLUMNS = False

_ROLES = ["user", "item", "rating", "time"]
_GENRES = (
    "unknown Action Adventure Animation Children's Comedy Crime Documentary Drama Fantasy Film-Noir Horror Musical "
    "Mystery Romance Sci-Fi Thriller War Western"
).split()
_AGES = "under 18, 18-24, 25-34, 35-44, 45-49, 50-55, 56 and over, given as the lower bound"


def recognise(place: Place) -> str | None:
    """Which MovieLens it is, by how the ratings are written."""
    found = _ratings(place)
    return None if found is None else f"MovieLens {found[1]}"


def read(place: Place, wanted: Columns) -> Raw:
    """Read the ratings with the films and, where there are any, the users. Zip codes are left out.

    Raises:
        DataError: the file of ratings is not as published.
    """
    found = _ratings(place)
    if found is None:
        raise DataError(f"{place.path}: no MovieLens ratings (u.data, ratings.dat or ratings.csv)")
    path, version = found
    separator = {"100K": "\t", "1M/10M": "::", "latest": ","}[version]
    sheet = read_sheet(path, separator, None if version == "latest" else _ROLES, version == "latest", place.head(path))
    events = sheet.frame
    events.columns = _ROLES
    if sheet.errors is not None:
        events = events.with_columns(sheet.errors.alias("error"))
    names = ["userId", "movieId", "rating", "timestamp"] if version == "latest" else _ROLES
    notes = [*sheet.notes]
    raw = Raw(f"MovieLens {version} ({path.name})", events, [source_of(sheet)],
              dict(zip(_ROLES, names, strict=True)), notes=notes)  # fmt: skip
    beside = Place.at(path.parent)
    if version == "100K":
        raw.items, raw.users = _films_100k(beside, notes), _users_100k(beside, notes)
    else:
        raw.items = _films(beside, separator, notes)
        raw.users = _users_1m(beside, notes) if version == "1M/10M" else None
    return raw


def _ratings(place: Place) -> tuple[Path, str] | None:
    """The file of ratings and the version its lines are written in."""
    if not place.is_folder:
        version = _version(place, place.path)
        return None if version is None else (place.path, version)
    for name in ("u.data", "ratings.dat", "ratings.csv", "ratings.csv.gz"):
        if name in place.files and (version := _version(place, place.files[name])):
            return place.files[name], version
    return None


def _version(place: Place, path: Path) -> str | None:
    lines = place.first_lines(path)[:20]
    if not lines:
        return None
    if lines[0].strip() == "userId,movieId,rating,timestamp":
        return "latest"
    if all(_numbers(line.split("::"), 4) for line in lines):
        return "1M/10M"
    tabs = all(_numbers(line.split("\t"), 4) for line in lines)
    return "100K" if tabs and (path.name == "u.data" or (path.parent / "u.item").is_file()) else None


def _numbers(fields: list[str], count: int) -> bool:
    return len(fields) == count and all(field.strip().replace(".", "", 1).isdigit() for field in fields)


def _films_100k(beside: Place, notes: list[str]) -> pl.DataFrame | None:
    path = beside.files.get("u.item")
    if path is None:
        return None
    names = ["id", "title", "date", "video", "url", *_GENRES]
    table = read_sheet(path, "|", names, quoted=False, encoding="latin-1").frame
    flags = [pl.when(pl.col(genre) == "1").then(pl.lit(genre)) for genre in _GENRES]
    table = table.with_columns(pl.concat_str(flags, separator="|", ignore_nulls=True).alias("genres"))
    notes.append("films from u.item (latin-1): title, year, genres")
    return split_year(table.select("id", "title", "genres"))


def _users_100k(beside: Place, notes: list[str]) -> pl.DataFrame | None:
    path = beside.files.get("u.user")
    if path is None:
        return None
    table = read_sheet(path, "|", ["id", "age", "gender", "occupation", "zip"], quoted=False).frame
    notes.append("users from u.user: age, gender, occupation (zip codes left out)")
    return table.drop("zip")


def _films(beside: Place, separator: str, notes: list[str]) -> pl.DataFrame | None:
    path = beside.beside("movies.dat" if separator == "::" else "movies.csv")
    if path is None:
        return None
    if separator == "::":
        table = read_sheet(path, separator, ["id", "title", "genres"], quoted=False).frame
    else:
        table = read_sheet(path, separator).frame
        if table.width != 3:
            notes.append(f"{path.name}: not the three columns movieId, title, genres; not used")
            return None
        table.columns = ["id", "title", "genres"]
    none = pl.col("genres") == "(no genres listed)"
    table = table.with_columns(pl.when(none).then(None).otherwise(pl.col("genres")).alias("genres"))
    notes.append(f"films from {path.name}: title, year, genres")
    return split_year(table)


def _users_1m(beside: Place, notes: list[str]) -> pl.DataFrame | None:
    path = beside.beside("users.dat")
    if path is None:
        return None
    table = read_sheet(path, "::", ["id", "gender", "age_group", "occupation", "zip"], quoted=False).frame
    notes.append(f"users from users.dat: gender, age_group ({_AGES}), occupation (zip codes left out)")
    return table.drop("zip")
