"""The Music Streaming Sessions Dataset's logs, with all published columns."""

from __future__ import annotations

import gzip

import pytest

from recaudit.datasets import rows, streaming_sessions
from recaudit.datasets.errors import DataError
from recaudit.datasets.read import read_log
from recaudit.datasets.source import Place

HEADER = (
    "session_id,session_position,session_length,track_id_clean,skip_1,skip_2,skip_3,not_skipped,context_switch,"
    "no_pause_before_play,short_pause_before_play,long_pause_before_play,hist_user_behavior_n_seekfwd,"
    "hist_user_behavior_n_seekback,hist_user_behavior_is_shuffle,hour_of_day,date,premium,context_type,"
    "hist_user_behavior_reason_start,hist_user_behavior_reason_end\n"
)
TAIL = "0,0,0,0,0,0,true,16,2018-07-15,true,editorial_playlist,trackdone,fwdbtn"


def play(session: str, position: object, track: str, skip: object = "false") -> str:
    return f"{session},{position},20,{track},false,{skip},true,false,{TAIL}\n"


PLAYS = play("0_a", 1, "t_x") + play("0_a", 2, "t_y", "true") + play("0_a", 3, "t_y") + play("0_b", 1, "t_x", "False")
EXPECTED = [("0_a", "t_x", 1), ("0_a", "t_y", 3), ("0_b", "t_x", 1)]


def events(log):
    return list(zip(log.user_ids[log.user].tolist(), log.item_ids[log.item].tolist(), log.time.tolist(), strict=True))


@pytest.mark.parametrize("track", ["track_id_clean", "track_id"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_plays_that_were_not_skipped_early_count(tmp_path, track, packed, end):
    data = (HEADER.replace("track_id_clean", track) + PLAYS).replace("\n", end).encode()
    path = tmp_path / ("log_0.csv" + ".gz" * packed)
    path.write_bytes(gzip.compress(data) if packed else data)
    loaded = read_log(path)
    assert events(loaded.log) == EXPECTED and not loaded.dated
    assert loaded.layout == f"Music Streaming Sessions ({path.name})"
    assert any("skip_2" in note and "1 of 4 rows left out" in note for note in loaded.notes)
    assert any("positions within a session" in note for note in loaded.notes)


def test_all_logs_of_a_folder_are_read_in_the_order_of_their_names(tmp_path):
    (tmp_path / "log_1.csv").write_text(HEADER + play("1_c", 1, "t_z"))
    (tmp_path / "log_0.csv").write_text(HEADER + PLAYS)
    (tmp_path / "tf_0.csv").write_text("track_id,duration\nt_x,200.5\n")
    loaded = read_log(tmp_path)
    assert events(loaded.log) == [*EXPECTED, ("1_c", "t_z", 1)] and "log_0.csv and 1 more" in loaded.layout
    assert any("1 of 5 rows" in note for note in loaded.notes)


def test_numbers_for_truth_values_and_rows_out_of_order(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(HEADER + play("a", 2, "x", 0) + play("a", 3, "y", 1) + play("a", 1, "z", 0))
    assert events(read_log(path).log) == [("a", "x", 2), ("a", "z", 1)]  # the order of the file; the times tell theirs


BAD = [
    (play("a", 1, "x", "maybe"), "skip_2 is neither"), (play("a", 1, "x", ""), "skip_2 is neither"),
    (play("a", -1, "x"), "session_position is no whole"), (play("a", "one", "x"), "session_position is no whole"),
    (play("", 1, "x"), "column 'session_id'"), (play("a", 1, "", "true"), "column 'track_id_clean'"),
    ("a,1,20,x\n", "skip_2 is neither"), ("a,1,20", "column 'track_id_clean'|skip_2 is neither"),
]  # fmt: skip


@pytest.mark.parametrize("blank", ["", "\n"])
@pytest.mark.parametrize("row, reason", BAD)
def test_bad_rows_are_shown_with_their_line(tmp_path, monkeypatch, row, reason, blank):
    path = tmp_path / "log.csv"
    path.write_text(HEADER + PLAYS + blank + row)
    with pytest.raises(DataError, match=f"line {6 + len(blank)}: ({reason})"):
        read_log(path)
    monkeypatch.setattr(rows, "TOLERATED", 0.3)
    loaded = read_log(path)
    assert events(loaded.log) == EXPECTED and any("1 of 4 rows left out: " in note for note in loaded.notes)


def test_a_bad_row_of_the_second_file_names_it(tmp_path):
    (tmp_path / "log_0.csv").write_text(HEADER + PLAYS)
    (tmp_path / "log_1.csv").write_text(HEADER + play("b", 1, "x", "true") + play("b", 2, "x", "?"))
    with pytest.raises(DataError, match=r"log_1\.csv: line 3: skip_2"):
        read_log(tmp_path)


def test_wide_rows_where_rows_are_read_one_by_one(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(HEADER + PLAYS + "\n" + play("b", 1, "x").replace("\n", ",more\n"))
    with pytest.raises(DataError, match="line 7: more fields than columns"):
        read_log(path)


def test_other_encodings_and_damage(tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes((HEADER + PLAYS + play("a", 4, "t_\xe9")).encode("latin-1"))
    loaded = read_log(path)
    assert events(loaded.log)[-1] == ("a", "t_é", 4)
    path.write_bytes((HEADER + PLAYS * 20_000 + play("a", 4, "t_\xe9")).encode("latin-1"))  # past what is looked at
    assert any("latin-1" in note for note in read_log(path).notes)
    path.write_bytes(gzip.compress((HEADER + PLAYS * 200).encode())[:-9])
    with pytest.raises(DataError, match="damaged gzip"):
        read_log(path)
    path.write_text(HEADER)
    with pytest.raises(DataError, match="holds no events"):
        read_log(path)
    path.write_text("")
    with pytest.raises(DataError, match="empty"):
        read_log(path)
    path.write_text("session_id,item\na,b\n")
    assert streaming_sessions.recognise(Place.at(path)) is None
    with pytest.raises(DataError, match="no streaming sessions"):
        read_log(path, layout="streaming-sessions")
