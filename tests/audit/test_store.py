"""Cells on disk: atomic, checked, recomputed when damaged."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from recaudit.audit.evidence import CellResult
from recaudit.audit.store import Store, write_atomically
from recaudit.datasets.errors import UnfinishedError


def result(key: str = "k" * 32) -> CellResult:
    return CellResult(
        key=key, kind="model", label="x", params={}, seed=0, values={"ndcg@20": 0.25, "none": None}, seconds=1.0
    )


def test_round_trip(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(result(), {"items": np.arange(6, dtype=np.int32).reshape(2, 3)})
    assert store.read(result().key, with_arrays=True) == result()
    assert store.arrays(result().key)["items"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{result().key}.json", f"{result().key}.npz"]


@pytest.mark.parametrize("suffix", ["json", "npz"])
@pytest.mark.parametrize("keep", [0, 1, 40, -1])
def test_damaged_cells_are_not_there(tmp_path: Path, suffix: str, keep: int) -> None:
    store = Store(tmp_path)
    store.write(result(), {"items": np.zeros(5, np.int32)})
    path = tmp_path / f"{result().key}.{suffix}"
    path.write_bytes(path.read_bytes()[:keep])
    assert store.read(result().key, with_arrays=True) is None


def test_a_cell_under_another_name_is_not_there(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(result(), {})
    (tmp_path / f"{result().key}.json").rename(tmp_path / "other.json")
    assert store.read("other", with_arrays=False) is None


def test_pickled_arrays_are_never_loaded(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(result(), {})
    np.savez(tmp_path / f"{result().key}.npz", items=np.array([{"a": 1}], dtype=object))
    assert store.read(result().key, with_arrays=True) is None


def test_full_disk_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.json"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UnfinishedError, match="free some space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["run.json"]
