"""Saving a checkpoint: all of it or nothing, and nothing replaced unasked."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recaudit.datasets.errors import CheckpointError, InputError, RecauditError, UnfinishedError
from recaudit.datasets.read import LoadedLog
from recaudit.datasets.split import Split, make_split
from recaudit.recommenders import checkpoint_folder
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.checkpoint import agree, check_destination, open_checkpoint, reproduce, save_checkpoint

from .forging import reseal
from .small_checkpoint import RECIPE, assert_same, listing, save, small_log, small_split


@pytest.fixture(scope="module")
def split() -> Split:
    return small_split()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, split: Split) -> Path:
    path = tmp_path_factory.mktemp("good") / "ckpt"
    save(path, split, fit_seconds=0.25)
    return path


def test_nothing_is_replaced_unasked(good: Path, split: Split, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "thesis.tex").write_text("years")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="other files"):
            save(work, split, overwrite=overwrite)
        with pytest.raises(InputError, match="other files"):
            check_destination(work, overwrite=overwrite)
    assert (work / "thesis.tex").read_text() == "years"
    shutil.copytree(good, tmp_path / "c")
    with pytest.raises(InputError, match="overwrite"):
        save(tmp_path / "c", split)
    (tmp_path / "c" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.txt"):
        save(tmp_path / "c", split, overwrite=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        check_destination(tmp_path / "file", overwrite=True)
    with pytest.raises(InputError):
        check_destination(tmp_path / "file" / "below")
    check_destination(tmp_path / "new" / "deep")
    assert not (tmp_path / "new").exists()


def test_overwriting_replaces_and_leaves_nothing_behind(good: Path, split: Split, tmp_path: Path) -> None:
    shutil.copytree(good, tmp_path / "c")
    save(tmp_path / "c", split, Recipe("popularity", {}), overwrite=True)
    assert open_checkpoint(tmp_path / "c").recipe.model == "popularity"
    (tmp_path / "empty").mkdir()
    save(tmp_path / "empty", split)
    assert_same(open_checkpoint(tmp_path / "empty"), open_checkpoint(good))
    assert listing(tmp_path) == ["c", "empty"]


def test_what_an_ended_writing_left_behind_goes_with_the_next(good: Path, split: Split, tmp_path: Path) -> None:
    """It may hold what was to be forgotten; names that are not of this checkpoint stay."""
    shutil.copytree(good, tmp_path / "c")
    for name in (".c.0123abcd.old", ".c.89ef0000.new"):
        shutil.copytree(good, tmp_path / name)
    others = [".c.old", ".cc.0123abcd.old", ".c.d.0123abcd.old", "xc.0123abcd.old"]
    for name in others:
        (tmp_path / name).mkdir()
    (tmp_path / ".c.11111111.old").write_text("a file")
    save(tmp_path / "c", split, overwrite=True)
    assert listing(tmp_path) == sorted(["c", ".c.11111111.old", *others])


def test_the_only_former_one_stays_until_the_new_one_stands(good: Path, split: Split, tmp_path: Path) -> None:
    shutil.copytree(good, tmp_path / ".c.0123abcd.old")  # ended between the two renames
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
        with pytest.raises(UnfinishedError):
            save(tmp_path / "c", split)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert listing(tmp_path) == [".c.0123abcd.old"]
    save(tmp_path / "c", split)
    assert listing(tmp_path) == ["c"]


@pytest.mark.parametrize("stale", [False, True])
def test_a_former_one_that_cannot_be_removed_is_named(
    stale: bool, good: Path, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(good, tmp_path / "c")
    left = [tmp_path / f".c.{mark}.old" for mark in ("0123abcd", "4567abcd")] if stale else []
    for folder in left:
        shutil.copytree(good, folder)
    real = shutil.rmtree

    def broken(path: Path, ignore_errors: bool = False) -> None:
        if path.name.endswith(".old") and not ignore_errors:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if not path.name.endswith(".old"):
            real(path, ignore_errors=ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", broken)
    with pytest.raises(UnfinishedError, match=r"\.c\.[0-9a-f]{8}\.old") as error:
        save(tmp_path / "c", split, Recipe("popularity", {}), overwrite=True)
    assert all(str(folder) in str(error.value) for folder in left)
    assert ("nothing was changed" if stale else "the new one is in place") in str(error.value)
    assert open_checkpoint(tmp_path / "c").recipe.model == ("mf" if stale else "popularity")


def test_a_folder_gets_ordinary_permissions(good: Path, tmp_path: Path) -> None:
    (tmp_path / "ordinary").mkdir()
    assert good.stat().st_mode == (tmp_path / "ordinary").stat().st_mode


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("call", range(8))
def test_a_full_disk_leaves_what_was_there(
    there: bool, call: int, good: Path, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if there:
        shutil.copytree(good, tmp_path / "c")
    real, calls = os.fsync, []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) == call + 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        if call < 7:  # the last one is the parent folder's, when the new name already stands
            with pytest.raises(UnfinishedError, match="free some space"):
                save(tmp_path / "c", split, replace(RECIPE, epochs=1), overwrite=True)
    assert listing(tmp_path) == (["c"] if there else [])
    if there:
        assert_same(open_checkpoint(tmp_path / "c"), open_checkpoint(good))


def test_a_real_write_that_fails(good: Path, split: Split, tmp_path: Path) -> None:
    model = fit(RECIPE, split.train, 7)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
        with pytest.raises(UnfinishedError):
            save_checkpoint(tmp_path / "c", model, RECIPE, split, 7, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert listing(tmp_path) == []


def test_a_rename_that_fails_puts_the_former_one_back(
    good: Path, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(good, tmp_path / "c")
    real = Path.rename

    def broken(self: Path, goal: Path) -> Path:
        if self.name.endswith(".new"):
            raise KeyboardInterrupt
        return real(self, goal)

    monkeypatch.setattr(checkpoint_folder.Path, "rename", broken)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path / "c", split, overwrite=True)
    assert listing(tmp_path) == ["c"]
    assert_same(open_checkpoint(tmp_path / "c"), open_checkpoint(good))


@pytest.mark.parametrize("metrics", [{"ndcg@20": float("nan")}, {"a metric": 0.1}, {"ndcg@0": 0.1}])
def test_metrics_that_could_not_be_read_back(metrics: dict[str, float], split: Split, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        save_checkpoint(tmp_path / "c", fit(RECIPE, split.train, 7), RECIPE, split, 7, metrics)
    assert listing(tmp_path) == []


def test_what_does_not_belong_together_is_not_saved(split: Split, tmp_path: Path) -> None:
    model: Any = fit(RECIPE, split.train, 7)
    with pytest.raises(InputError, match="ease"):
        save_checkpoint(tmp_path / "c", model, Recipe("ease", {}), split, 7, {})
    log = small_log()
    wider = make_split(LoadedLog(replace(log, user_ids=np.append(log.user_ids, "one more"), users=None)), "ratio")
    with pytest.raises(InputError, match="24"):
        save_checkpoint(tmp_path / "c", model, RECIPE, wider, 7, {})
    model.state()["user"].fill_(float("inf"))
    with pytest.raises(InputError, match="infinite"):
        save_checkpoint(tmp_path / "c", model, RECIPE, split, 7, {})
    assert listing(tmp_path) == []


def test_reproduce_finds_a_false_claim(good: Path, tmp_path: Path) -> None:
    assert agree(reproduce(open_checkpoint(good)))
    shutil.copytree(good, tmp_path / "c")
    reseal(tmp_path / "c", lambda record: record["metrics"].update({"ndcg@20": 0.999}))
    pairs = reproduce(open_checkpoint(tmp_path / "c"))
    assert not agree(pairs) and pairs["ndcg@20"][0] == 0.999 and pairs["ndcg@20"][1] < 0.99
    reseal(tmp_path / "c", lambda record: record["metrics"].update({"magic@5": 0.5}))
    assert not agree(reproduce(open_checkpoint(tmp_path / "c"))) and not agree({})


def test_errors_are_inputs_errors() -> None:
    assert CheckpointError.exit_code == 2 and issubclass(CheckpointError, RecauditError)
