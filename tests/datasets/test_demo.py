"""The embedded data are what their notice says."""

from __future__ import annotations

import gzip
from importlib import resources

import numpy as np

from recaudit.datasets.demo import load_demo
from recaudit.datasets.filters import k_core
from recaudit.datasets.read import read_log
from recaudit.datasets.split import make_split


def test_sizes_and_side_table():
    loaded = load_demo()
    log = loaded.log
    assert (log.n_users, log.n_items, len(log)) == (2_059, 1_099, 44_613)
    assert log.user_counts.min() == log.item_counts.min() == 10
    assert list(log.items.columns) == ["title", "year", "genres"] and not log.items["title"].isna().any()
    assert log.value.min() >= 0 and log.value.max() == 10
    assert (np.array(log.time, "datetime64[s]").astype("datetime64[Y]") == np.datetime64("2013")).all()
    assert max(len(each) for each in log.item_ids.tolist()) == 7 and any(log.item_ids == "0111161")  # zeros kept
    assert not any("left out" in note for note in loaded.notes)
    assert make_split(loaded).recipe == "leave-last-out"


def test_files_are_as_made_from_the_snapshot(shared):
    snapshot = k_core(read_log(shared / "data" / "movietweetings-100k").log, 10, 10)
    made = load_demo().log  # numbered anew by first appearance, so compared in the data's own ids
    assert (made.user_ids[made.user] == snapshot.user_ids[snapshot.user]).all()
    assert (made.item_ids[made.item] == snapshot.item_ids[snapshot.item]).all()
    assert (made.value == snapshot.value).all() and (made.time == snapshot.time).all()
    films = [log.items.set_index(log.item_ids).sort_index() for log in (made, snapshot)]
    assert films[0].equals(films[1])


def test_notice_and_time_stamps():
    folder = resources.files("recaudit.datasets") / "embedded"
    notice = (folder / "NOTICE").read_text("utf-8")
    assert "Copyright (c) 2013 Simon Dooms" in notice and "MIT License" in notice and "44,613" in notice
    for name in ("interactions.csv.gz", "items.csv.gz"):
        packed = (folder / name).read_bytes()
        assert packed[3:8] == bytes(5) and gzip.decompress(packed)  # no file name, no time
