"""Files that are no log: each gets one clear line, never another exception, never silence."""

from __future__ import annotations

import gzip
import os
import random
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recaudit.datasets.errors import DataError
from recaudit.datasets.read import read_log

GOOD = b"user_id,item_id,rating,timestamp\n" + b"".join(b"%d,%d,4,1000000000\n" % (n, n % 7) for n in range(5000))
NOISE = random.Random(0).randbytes(5000)
LATE = b"".join(b"%d,%d\n" % (n, n * n % 1_000_003) for n in range(150_000))
REVIEW = b'{"reviewerID": "A1", "asin": "B000000001", "overall": 5.0, "unixReviewTime": 1377129600}\n'

FILES = {
    "empty": (b"", "empty"),
    "blank": (b"\n \n\n", "empty"),
    "noise": (NOISE, ""),
    "png": (b"\x89PNG\r\n\x1a\n" + NOISE, "image"),
    "zip": (b"PK\x03\x04" + NOISE, "unpack"),
    "pickle": (b"\x80\x04\x95" + NOISE, "never loaded"),
    "html": (b"<!DOCTYPE html><html><body>404\n</body></html>\n", "HTML"),
    "html in gzip": (gzip.compress(b"<html>\n<body>\n"), "HTML"),
    "prose": (b"This is a readme.\nIt tells, among other things,\nwhat to do.\n", "no log"),
    "header only": (b"user_id,item_id\n", "no events"),
    "other table": (b"a,b\nx,y\n", "name it"),
    "nul": (GOOD.replace(b"12,", b"1\0,", 1), "NUL"),
    "nul late": (b"user_id,item_id\n" + b"1,2\n" * 300_000 + b"1\0,2\n" * 400, "line 300002"),
    "cut gzip": (gzip.compress(GOOD)[:-2000], "damaged gzip"),
    "cut gzip late": (gzip.compress(b"user,item\n" + LATE)[:-9],
                      "damaged gzip"),
    "gzip head only": (gzip.compress(GOOD)[:12], ""),
    "gzip bit error": (bytes(byte ^ (n == 300) * 255 for n, byte in enumerate(gzip.compress(GOOD))), "gzip"),
    "gzip of nothing": (gzip.compress(b""), "empty"),
    "parquet cut": (None, "cannot be read"),
    "parquet magic only": (b"PAR1" + NOISE, "cannot be read"),
    "parquet in gzip": (gzip.compress(b"PAR1" + NOISE), "unpack"),
    "no line end": (b"a," * (1 << 20), "no line end"),
    "huge ids": (b"user,item\n" + b"a,b\n" * 5 + b"a" * 3_000_000 + b",b\n", "line 7"),
    "open quote": (b'user,item\na,b\nc,"d\n' + b"e,f\n" * 60_000, "line 3"),
    "bad quote": (b'user,item\na,b\nc,"d"e\n', "line 3"),
    "missing id": (b"user,item\na,b\n,c\n", "line 3: column 'user'"),
    "missing rating": (b"user,item,rating\na,b,1\na,c,\n", "line 3: column 'rating'"),
    "word for rating": (b"user,item,rating\na,b,good\n", "'good' is no rating"),
    "nan rating": (b"user,item,rating\na,b,nan\n", "rating"),
    "huge rating": (b"user,item,rating\na,b,1e40\n", "rating"),
    "word for time": (b"user,item,time\na,b,100\nc,d,soon\n", "line 3: column 'time': 'soon' is no time"),
    "time out of range": (b"user,item,time\na,b,1e30\nc,d,5\n", "line 2"),
    "too wide": (b"user,item\na,b\nc,d,e\n", "line 3"),
    "too narrow": (b"user,item\na,b\nc\n", "line 3: column 'item'"),
    "json array": (b'[{"reviewerID": "A"}]\n', "no log"),
    "json of another kind": (b'{"a": 1}\n{"a": 2}\n', ""),
    "broken json": (REVIEW * 3 + b'{"reviewerID": \n' + REVIEW, "line 4: no JSON object"),
    "deep json": (REVIEW + b'{"a":' * 100_000 + b"\n", "line 2: no JSON object"),
    "json long number": (REVIEW + REVIEW.replace(b"5.0", b"9" * 10_000), "line 2"),
    "json with a list for id": (REVIEW + REVIEW.replace(b'"A1"', b'["A1"]'), "line 2: column 'reviewerID'"),
    "atomic without items": (b"user_id:token\trating:float\n1\t2\n", "items"),
    "text with a word": (b"0 1 2\n1 2\n" * 200 + b"2 x\n", "line 401"),
    "movielens cut": (b"1::2::3::978300760\n" * 30 + b"1::2\n", "line 31"),
    "lone surrogate": (REVIEW + REVIEW.replace(b"A1", b"\\ud800"), "line 2: an id that is not UTF-8"),
    "bad byte in an id": (REVIEW + REVIEW.replace(b"A1", b"A\xff"), "line 2: an id that is not UTF-8"),
    "word in split": (b"user,item,split\na,b,train\nc,d,test\ne,f,tset\n", "line 4: column 'split'"),
}  # fmt: skip


def one_line(path: Path, **columns: str) -> str:
    with pytest.raises(DataError) as caught:
        read_log(path, **columns)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message and len(message) < 700
    return message


@pytest.mark.parametrize("name", FILES)
def test_one_line_for_each(tmp_path, name):
    content, expected = FILES[name]
    path = tmp_path / "log.file"
    if content is None:
        pl.DataFrame({"user": ["a"] * 1000, "item": ["b"] * 1000}).write_parquet(path)
        content = path.read_bytes()[:-10]
    path.write_bytes(content)
    assert expected in one_line(path)


def test_places_that_are_no_files(tmp_path):
    assert "no such file" in one_line(tmp_path / "absent")
    assert "no files" in one_line(tmp_path)
    (tmp_path / "readme.md").write_text("words\n")
    assert "nothing in this folder" in one_line(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "no regular file" in one_line(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    one_line(tmp_path / "loop")


def test_a_damaged_side_table_is_named(tmp_path):
    (tmp_path / "interactions.csv").write_text("user_id,item_id\na,b\n")
    (tmp_path / "items.csv").write_bytes(b"\x89PNG" + NOISE)
    with pytest.raises(DataError, match=r"items\.csv: not a log but an image"):
        read_log(tmp_path)


def test_a_gzip_bomb_is_refused(tmp_path):
    path = tmp_path / "bomb.csv.gz"
    with gzip.open(path, "wb", 9) as packed:
        packed.write(b"user,item\n")
        for _ in range(30):
            packed.write(b"1,1\n" * (1 << 20))
    assert "times its size" in one_line(path)


def test_lists_in_parquet_are_explained(tmp_path):
    path = tmp_path / "x.parquet"
    pl.DataFrame({"user": ["a"], "item": [["b", "c"]]}).write_parquet(path)
    assert "explode" in one_line(path)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_damage_anywhere_is_a_log_or_one_line(tmp_path, data):
    path = tmp_path / "x"
    kind = data.draw(st.sampled_from(["csv", "gz", "parquet", "json", "text"]))
    samples = {"csv": GOOD[:400], "gz": gzip.compress(GOOD[:400]), "json": REVIEW * 3, "text": b"1 2 3\n2 3\n"}
    content = bytearray(samples.get(kind, b""))
    if kind == "parquet":
        pl.DataFrame({"user": ["a", "b"], "item": ["c", "d"]}).write_parquet(path)
        content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        content = content or bytearray(b"x")
    path.write_bytes(content)
    try:
        log = read_log(path).log
    except DataError as error:
        assert "\n" not in str(error)
    else:
        assert len(log) > 0
