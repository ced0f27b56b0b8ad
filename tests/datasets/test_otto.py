"""OTTO's JSON lines: what is read, what is refused, that chunks change nothing and bound the memory."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys

import pytest

from recaudit.datasets import otto, rows
from recaudit.datasets.errors import DataError
from recaudit.datasets.read import read_log
from recaudit.datasets.source import Place

START = 1_661_200_010_000


def session(number: int, *events: tuple[int, int, str], tight: bool = True) -> str:
    record = {"session": number, "events": [{"aid": aid, "ts": ts, "type": kind} for aid, ts, kind in events]}
    return json.dumps(record, separators=(",", ":") if tight else None) + "\n"


def many(count: int) -> str:
    kinds = ("clicks", "clicks", "carts", "orders")
    return "".join(
        session(n, *((n * 7 % 90 + e, START + 1000 * e, kinds[e % 4]) for e in range(n % 6 + 1)), tight=n % 3 > 0)
        for n in range(count)
    )


def events(log):
    return list(zip(log.user_ids[log.user].tolist(), log.item_ids[log.item].tolist(), log.time.tolist(), strict=True))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("tight", [False, True])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_events_are_read_in_order_with_whole_seconds(tmp_path, packed, tight, end):
    content = session(42, (0, START, "clicks"), (2, START + 30_999, "carts"), tight=tight)
    content += session(7, (2, START + 5_000, "orders"), tight=tight)
    data = content.replace("\n", end).encode()
    path = tmp_path / ("train.jsonl" + ".gz" * packed)
    path.write_bytes(gzip.compress(data) if packed else data)
    loaded = read_log(path)
    second = START // 1000
    assert events(loaded.log) == [("42", "0", second), ("42", "2", second + 30), ("7", "2", second + 5)]
    assert loaded.layout == f"OTTO sessions ({path.name})" and loaded.dated
    assert any("1 clicks, 1 carts, 1 orders" in note and "otto-carts" in note for note in loaded.notes)
    assert any("milliseconds" in note for note in loaded.notes)


def test_seconds_are_told_by_their_size(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(session(1, (5, START // 1000, "clicks")))
    loaded = read_log(path)
    assert loaded.log.time.tolist() == [START // 1000]
    assert any("taken as seconds" in note for note in loaded.notes)


@pytest.mark.parametrize("kind, expected", [("clicks", ["1", "3"]), ("carts", ["1"]), ("orders", [])])
def test_one_kind_by_name(tmp_path, kind, expected):
    path = tmp_path / "x.jsonl"
    path.write_text(session(8, (1, START, "clicks"), (1, START, "carts"), (3, START, "clicks")))
    if not expected:
        with pytest.raises(DataError, match="holds no events"):
            read_log(path, layout=f"otto-{kind}")
        return
    loaded = read_log(path, layout=f"otto-{kind}")
    assert loaded.log.item_ids[loaded.log.item].tolist() == expected and f"{kind} only" in loaded.layout
    assert any("left out" in note and "0 orders" in note for note in loaded.notes)


def test_other_ways_of_writing_mean_the_same(tmp_path):
    path = tmp_path / "x.jsonl"
    usual = many(40)
    other = "".join(
        json.dumps({"events": [dict(reversed(each.items()), more="\\u2028 ]") for each in record["events"]], "x": [1],
                    "session": record["session"]}) + "\n\n"
        for record in map(json.loads, usual.splitlines())
    )  # fmt: skip
    path.write_text(usual)
    expected = read_log(path)
    path.write_text(other)
    loaded = read_log(path)
    assert events(loaded.log) == events(expected.log) and loaded.notes == expected.notes


@pytest.mark.parametrize("line, reason", [
    ('{"session":1,"events":[{"aid":1', "no JSON object"), ("[1]", "no JSON object"), ("words", "no JSON object"),
    ('{"a":' * 50_000, "no JSON object"), ('{"session":1,"events":[{"aid":' + "9" * 9000 + "}]}", "no JSON object"),
    ('{"events":[]}', "session is no whole number"), ('{"session":-1,"events":[]}', "session is no whole number"),
    ('{"session":"1","events":[]}', "session is no whole number"), ('{"session":1}', "no list of events"),
    ('{"session":1,"events":[7]}', "no list of events"), ('{"session":1,"events":[{"ts":1,"type":"carts"}]}', "aid is"),
    ('{"session":1,"events":[{"aid":-1,"ts":1,"type":"carts"}]}', "aid is no whole number"),
    ('{"session":1,"events":[{"aid":1.5,"ts":1,"type":"carts"}]}', "aid is no whole number"),
    ('{"session":1,"events":[{"aid":01,"ts":1,"type":"carts"}]}', "no JSON object"),
    ('{"session":1,"events":[{"aid":true,"ts":1,"type":"carts"}]}', "aid is no whole number"),
    ('{"session":1,"events":[{"aid":99999999999999999999,"ts":1,"type":"carts"}]}', "aid is no whole number"),
    ('{"session":1,"events":[{"aid":1,"type":"carts"}]}', "ts is no whole number"),
    ('{"session":1,"events":[{"aid":1,"ts":1}]}', "type is not"),
    ('{"session":1,"events":[{"aid":1,"ts":1,"type":"cl\\u00fccks"}]}', "type is not"),
    ('{"session":1,"events":[{"aid":1,"ts":1,"type":["clicks"]}]}', "type is not"),
])  # fmt: skip
def test_bad_lines_are_shown_and_stop_the_reading(tmp_path, line, reason):
    path = tmp_path / "x.jsonl"
    path.write_text(many(5) + "\n" + line + "\n" + many(5))
    with pytest.raises(DataError, match=f"line 7: {reason}"):
        read_log(path)
    path.write_text(many(900) + line)  # as a cut last line; one in over 3,000
    loaded = read_log(path)
    assert any("1 of 3,151 rows left out" in note and f"line 901: {reason}" in note for note in loaded.notes)


def test_bytes_that_are_not_utf8_are_bad_rows(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(many(900).encode() + session(1, (1, START, "clicks")).encode().replace(b"cl", b"c\xff"))
    assert any("line 901: type is not" in note for note in read_log(path).notes)


def test_sessions_without_events_and_large_numbers(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(session(1) + session(2, (1 << 40, START, "clicks")) + session(3, tight=False))
    loaded = read_log(path)
    assert events(loaded.log) == [("2", str(1 << 40), START // 1000)]
    assert any("2 sessions have no events" in note for note in loaded.notes)


@pytest.mark.parametrize("content, words", [("", "empty"), (session(1), "holds no events"), ("\n\n", "empty")])
def test_files_without_events(tmp_path, content, words):
    path = tmp_path / "x.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=words):
        read_log(path)


def test_a_cut_gzip_and_other_files_are_refused(tmp_path):
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(many(20_000).encode())[:-9])
    with pytest.raises(DataError, match="damaged gzip"):
        read_log(path)
    other = tmp_path / "x.csv"
    other.write_text("user,item\na,b\n")
    with pytest.raises(DataError, match="no OTTO sessions"):
        read_log(other, layout="otto")
    assert otto.recognise(Place.at(other)) is None


def test_of_a_folder_the_train_file_is_read(tmp_path):
    (tmp_path / "otto-recsys-train.jsonl").write_text(many(3))
    (tmp_path / "otto-recsys-test.jsonl").write_text(many(2))
    (tmp_path / "test_labels.jsonl").write_text('{"session":1,"labels":{"clicks":1}}\n')
    loaded = read_log(tmp_path)
    assert loaded.layout == "OTTO sessions (otto-recsys-train.jsonl)" and len(loaded.log) == 6
    assert any(note.startswith("otto-recsys-test.jsonl is not read") for note in loaded.notes)


@pytest.mark.parametrize("chunk", [1, 1000, 5000])
def test_chunks_change_nothing(tmp_path, monkeypatch, chunk):
    path = tmp_path / "x.jsonl"
    lines = many(400).splitlines(keepends=True)
    lines[70], lines[150] = "damage\n", '{"session":5,"events":[{"aid":-4,"ts":1,"type":"carts"}]}\n'
    path.write_text("".join(lines))
    monkeypatch.setattr(rows, "TOLERATED", 0.01)
    whole = read_log(path)
    assert any("line 71: no JSON" in note and "line 151: aid" in note for note in whole.notes)
    monkeypatch.setattr(otto, "CHUNK", chunk)
    parts = read_log(path)
    assert parts.log.fingerprint == whole.log.fingerprint and parts.notes == whole.notes


MEASURE = """
import sys
from pathlib import Path
from recaudit.datasets import otto
from recaudit.datasets.columns import Columns
from recaudit.datasets.source import Place

def read(path):
    raw = otto.read(Place.at(Path(path)), Columns())
    (peak,) = (line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return raw.events.height, raw.events.estimated_size(), int(peak) * 1024

otto.CHUNK = int(sys.argv[1])
_, _, before = read(sys.argv[2])
height, size, after = read(sys.argv[3])
print(height, size, after - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is asked of Linux")
def test_memory_is_that_of_the_columns_and_a_chunk(tmp_path):
    small, large = tmp_path / "small.jsonl", tmp_path / "large.jsonl"
    small.write_text(many(10_000))
    large.write_text(many(86_000))
    grown = []
    for chunk in (1 << 19, 1 << 30):
        command = [sys.executable, "-c", MEASURE, str(chunk), str(small), str(large)]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
        height, size, more = map(int, answer.stdout.split())
        grown.append(more)
    assert height == 300_996 and size <= 17.5 * height
    assert grown[0] < 4 * size + (30 << 20) and grown[0] < grown[1] / 2  # against the file taken apart at once
