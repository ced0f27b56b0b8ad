"""Yambda's Parquet files, flat and sequential, with the published types."""

from __future__ import annotations

import polars as pl
import pytest

from recaudit.datasets import read, rows, tables, yambda
from recaudit.datasets.errors import DataError
from recaudit.datasets.read import read_log
from recaudit.datasets.source import Place

TYPES = {
    "uid": pl.UInt32, "timestamp": pl.UInt32, "item_id": pl.UInt32, "is_organic": pl.UInt8,
    "played_ratio_pct": pl.UInt16, "track_length_seconds": pl.UInt32,
}  # fmt: skip
LISTENS = [
    (100, 0, 7, 1, 100, 200), (100, 25_999_995, 8, 0, 50, 180), (100, 25_999_995, 7, 0, 49, 200),
    (300, 5, 9_390_623, 1, 159, 90), (300, 10, 8, 1, 0, 180),
]  # fmt: skip
EXPECTED = [("100", "7", 0), ("100", "8", 25_999_995), ("300", "9390623", 5)]
KINDS = pl.Enum(["listen", "like", "dislike", "unlike", "undislike"])


def listens(extra=(), types=TYPES):
    return pl.DataFrame([*LISTENS, *extra], schema=types, orient="row")


def events(log):
    return list(zip(log.user_ids[log.user].tolist(), log.item_ids[log.item].tolist(), log.time.tolist(), strict=True))


@pytest.mark.parametrize("sequential", [False, True])
@pytest.mark.parametrize("folder", [False, True])
def test_listens_of_half_a_track_count(tmp_path, sequential, folder):
    frame = listens()
    if sequential:
        frame = frame.group_by("uid", maintain_order=True).agg(pl.all())
    frame.write_parquet(tmp_path / "listens.parquet")
    frame.drop("played_ratio_pct", "track_length_seconds").write_parquet(tmp_path / "likes.parquet")
    loaded = read_log(tmp_path if folder else tmp_path / "listens.parquet")
    assert events(loaded.log) == EXPECTED and loaded.dated
    assert loaded.layout == f"Yambda {'sequential' if sequential else 'flat'} (listens.parquet)"
    assert loaded.log.time.dtype == "int64" and loaded.log.value is None
    assert any("played_ratio_pct >= 50: 2 of 5 rows left out" in note for note in loaded.notes)
    assert any("1 of 3 events (33.3%) have is_organic = 0" in note for note in loaded.notes)
    assert any("unknown start" in note for note in loaded.notes)
    assert any("likes.parquet is not read" in note for note in loaded.notes) == folder


@pytest.mark.parametrize("name, words", [("likes", "every row counts"), ("undislikes", "no sign of liking")])
def test_other_kinds_have_their_own_files(tmp_path, name, words):
    listens().select("uid", "timestamp", "item_id", "is_organic").write_parquet(tmp_path / f"{name}.parquet")
    loaded = read_log(tmp_path)
    assert len(loaded.log) == 5 and any(words in note for note in loaded.notes)


@pytest.mark.parametrize("sequential", [False, True])
@pytest.mark.parametrize("kinds", [KINDS, pl.String, pl.Categorical])
def test_of_multi_event_the_listens_are_read(tmp_path, sequential, kinds):
    kind = pl.Series("event_type", ["listen"] * 5 + ["like", "unlike"], kinds)
    frame = listens([(400, 5, 1, 1, None, None), (400, 10, 1, 1, None, None)]).with_columns(kind)
    if sequential:
        frame = frame.group_by("uid", maintain_order=True).agg(pl.all())
    frame.write_parquet(tmp_path / "multi_event.parquet")
    loaded = read_log(tmp_path / "multi_event.parquet")
    assert events(loaded.log) == EXPECTED
    assert any("of 7 events 2 are no listens" in note for note in loaded.notes)


def test_rows_keep_their_order_over_row_groups_and_bad_ones_their_number(tmp_path, monkeypatch):
    path = tmp_path / "listens.parquet"
    wide = dict.fromkeys(TYPES, pl.Int64)
    good = [(n // 50, n * 5, n * 31 % 977, n % 2, n % 101, 100) for n in range(20_000)]
    bad = {3: (-1, 5, 1, 1, 80, 100), 9_000: (5, 5, -2, 1, 80, 100), 15_000: (5, 5, 2, 1, None, 100)}
    lines = [bad.get(n, row) for n, row in enumerate(good)]
    pl.DataFrame(lines, schema=wide, orient="row").write_parquet(path, row_group_size=700)
    monkeypatch.setattr(rows, "TOLERATED", 0.01)
    loaded = read_log(path)
    assert events(loaded.log) == [
        (str(u), str(i), t) for n, (u, t, i, _, r, _) in enumerate(good) if n not in bad and r >= 50
    ]  # fmt: skip
    (note,) = [note for note in loaded.notes if "cannot" in note or "rows left out: " in note]
    for row, reason in ((4, "negative uid"), (9_001, "negative item_id"), (15_001, "listen without played_ratio_pct")):
        assert f"row {row}: {reason}" in note
    monkeypatch.undo()
    pl.DataFrame([bad[3]], schema=wide, orient="row").write_parquet(path)
    monkeypatch.setattr(read, "LAYOUTS", (yambda, tables))
    with pytest.raises(DataError, match="row 1: negative uid"):
        read_log(path)


def test_missing_ids_are_bad_rows(tmp_path):
    path = tmp_path / "listens.parquet"
    listens([(None, 5, 7, 1, 80, 100)]).write_parquet(path)
    with pytest.raises(DataError, match="row 6: column 'uid': None is no id"):
        read_log(path)


def test_lists_that_differ_in_length_and_users_without_events(tmp_path):
    path = tmp_path / "likes.parquet"
    kinds = {name: TYPES[name] if name == "uid" else pl.List(TYPES[name]) for name in list(TYPES)[:4]}
    pl.DataFrame([(1, [5], [7], [1]), (2, [], [], [])], schema=kinds, orient="row").write_parquet(path)
    loaded = read_log(path)
    assert events(loaded.log) == [("1", "7", 5)] and any("1 users have no events" in note for note in loaded.notes)
    for odd in ([5, 6], None):
        pl.DataFrame([(1, [5], [7], [1]), (2, odd, [7], [1])], schema=kinds, orient="row").write_parquet(path)
        with pytest.raises(DataError, match="row 2: its lists differ"):
            read_log(path)


def test_other_parquet_and_damage(tmp_path):
    path = tmp_path / "listens.parquet"
    listens().write_parquet(path)
    path.write_bytes(path.read_bytes()[:-10])
    assert yambda.recognise(Place.at(path)) is None
    with pytest.raises(DataError, match="cannot be read"):
        read_log(path)
    listens().with_columns(pl.col("item_id").cast(pl.String)).write_parquet(path)
    assert yambda.recognise(Place.at(path)) is None
    listens().clear().write_parquet(path)
    with pytest.raises(DataError, match="holds no events"):
        read_log(path)
    path.write_text("uid,item_id,timestamp,is_organic\n1,2,3,1\n")
    with pytest.raises(DataError, match="no Yambda file"):
        read_log(path, layout="yambda")
