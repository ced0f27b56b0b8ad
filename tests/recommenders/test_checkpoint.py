"""Checkpoints: what is saved comes back bit for bit; everything else is refused in one line and runs nothing."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recaudit.datasets.errors import CheckpointError
from recaudit.datasets.read import LoadedLog
from recaudit.datasets.split import Split
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit, names
from recaudit.recommenders.checkpoint import agree, open_checkpoint, reproduce, save_checkpoint
from recaudit.recommenders.checkpoint_tensors import read_tensors
from recaudit.recommenders.evaluate import evaluate

from .forging import RECORD, WEIGHTS, reseal, write_tensors
from .hostile import hostile_checkpoints, payload_ran
from .small_checkpoint import ITEMS, RECIPE, USERS, assert_same, bounded, listing, refusal, save, small_log, small_split


@pytest.fixture(scope="module")
def split() -> Split:
    return small_split()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, split: Split) -> Path:
    path = tmp_path_factory.mktemp("good") / "ckpt"
    save(path, split, fit_seconds=0.25)
    return path


# --- what is saved comes back -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", names())
def test_every_model_comes_back_bit_for_bit(name: str, split: Split, tmp_path: Path) -> None:
    recipe = Recipe(name, {"dim": 4} if name in ("mf", "lightgcn", "simgcl", "sasrec", "gru4rec", "fmlp-rec") else {})
    model = fit(recipe, split.train, 7, epochs=1)
    metrics = evaluate(model, split.test, split.history)
    save_checkpoint(tmp_path / "c", model, recipe, split, 7, metrics)
    target = open_checkpoint(tmp_path / "c")
    everyone = np.arange(USERS)
    assert np.array_equal(target.model.scores(everyone, split.history), model.scores(everyone, split.history))
    assert target.recipe == Recipe(name, model.config.model_dump(mode="json"), model.epochs)
    assert agree(reproduce(target), 0.0) and reproduce(target).keys() == metrics.keys()
    again = fit(target.recipe, target.split.train, target.seed)
    assert np.array_equal(again.scores(everyone, split.history), model.scores(everyone, split.history))


@pytest.mark.parametrize("name", names())
def test_no_setting_of_any_model_costs_memory_or_time_on_opening(name: str, split: Split, tmp_path: Path) -> None:
    recipe = Recipe(name, {})
    save_checkpoint(tmp_path / "c", fit(recipe, split.train, 7, epochs=1), recipe, split, 7, {})
    fields = open_checkpoint(tmp_path / "c").recipe.config
    for field, value in fields.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        for wild in (10**9, 4096, -1):
            shutil.copytree(tmp_path / "c", tmp_path / "w")
            reseal(tmp_path / "w", lambda record, f=field, w=wild: record["recipe"]["config"].update({f: w}))
            with bounded(64 << 20):
                try:
                    open_checkpoint(tmp_path / "w")  # a field that shapes nothing may well take that value
                except CheckpointError as error:
                    assert "\n" not in str(error)
            shutil.rmtree(tmp_path / "w")


def test_everything_is_there_again(good: Path, split: Split) -> None:
    target = open_checkpoint(good)
    assert (target.name, target.seed, target.fit_seconds, target.split.recipe) == ("ckpt", 7, 0.25, "leave-last-out")
    assert target.recipe == Recipe("mf", {**target.recipe.config, "dim": 3}, 2)
    for part in ("train", "valid", "test"):
        log, own = getattr(target.split, part), getattr(split, part)
        assert log.fingerprint == own.fingerprint
        assert log.users.equals(own.users) and log.items.equals(own.items)
    assert set(listing(good)) == {RECORD, WEIGHTS, "ids.json", "events.safetensors", "users.csv", "items.csv"}


def test_same_content_same_bytes(good: Path, split: Split, tmp_path: Path) -> None:
    save(tmp_path / "ckpt", split, fit_seconds=0.25)
    for path in good.iterdir():
        assert path.read_bytes() == (tmp_path / "ckpt" / path.name).read_bytes(), path.name


def test_a_recipe_or_a_weight_more_is_another_fingerprint(good: Path, split: Split, tmp_path: Path) -> None:
    first = open_checkpoint(good).fingerprint
    save(tmp_path / "c", split, replace(RECIPE, epochs=3))
    assert open_checkpoint(tmp_path / "c").fingerprint != first
    shutil.copytree(good, tmp_path / "d")
    reseal(tmp_path / "d", lambda record: record["recipe"].update(epochs=9))
    assert open_checkpoint(tmp_path / "d").fingerprint != first


def test_a_log_without_ratings_times_and_tables(split: Split, tmp_path: Path) -> None:
    parts = {
        part: replace(getattr(split, part), value=None, time=None, users=None, items=None)
        for part in ("train", "valid", "test")
    }
    bare = Split(**parts, recipe="given")
    save(tmp_path / "c", bare)
    train = open_checkpoint(tmp_path / "c").split.train
    assert (train.value, train.time, train.users, train.items) == (None, None, None, None)


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=12)


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ids=st.lists(text, min_size=ITEMS, max_size=ITEMS, unique=True), titles=st.lists(text, min_size=3, max_size=3))
def test_any_text_comes_back(ids: list[str], titles: list[str], split: Split, tmp_path: Path) -> None:
    items = pd.DataFrame({"title": (titles * ITEMS)[:ITEMS]}, dtype=str)
    parts = {
        part: replace(getattr(split, part), item_ids=np.array(ids), items=items) for part in ("train", "valid", "test")
    }
    save(tmp_path / "c", Split(**parts, recipe="given"), Recipe("popularity", {}), overwrite=True)
    train = open_checkpoint(tmp_path / "c").split.train
    assert train.item_ids.tolist() == ids
    assert train.items is not None and train.items["title"].tolist() == items["title"].tolist()


# --- data left out, or given beside -----------------------------------------------------------------------------


def test_without_data_the_data_must_be_given_and_match(split: Split, tmp_path: Path, good: Path) -> None:
    save(tmp_path / "c", split, include_data=False)
    assert set(listing(tmp_path / "c")) == {RECORD, WEIGHTS, "ids.json"}
    assert "--data" in refusal(tmp_path / "c")
    assert_same(open_checkpoint(tmp_path / "c", split), open_checkpoint(good))
    assert_same(open_checkpoint(tmp_path / "c", LoadedLog(small_log())), open_checkpoint(good))
    assert_same(open_checkpoint(good, split), open_checkpoint(good))


def test_other_data_say_which_part_differs(good: Path, split: Split) -> None:
    fewer = replace(split, valid=split.valid.take(np.arange(len(split.valid) - 1)))
    assert "valid part" in refusal(good, fewer)
    value = split.test.value
    assert value is not None
    assert "test part" in refusal(good, replace(split, test=replace(split.test, value=value[::-1].copy())))
    log = small_log()
    other = replace(log, user_ids=np.array([f"x{n}" for n in range(USERS)]))
    assert "0 of them the same" in refusal(good, LoadedLog(other))
    without_times = LoadedLog(replace(log, time=None))
    assert refusal(good, without_times)


# --- what is not as saved is refused ----------------------------------------------------------------------------


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(folder)): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.rglob("*")
    }


_forbidden: list[str] | None = None
_ACTS = (
    *("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.", "pickle.", "marshal.", "socket.", "shutil."),
    *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate", "tempfile.", "ctypes.dlopen"),
)


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _forbidden is None:
        return
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    if event.startswith(_ACTS) or writes:
        _forbidden.append(f"{event}{arguments}")


def test_the_battery(good: Path, tmp_path: Path) -> None:
    global _forbidden
    sys.addaudithook(_watch)
    open_checkpoint(good)
    before = snapshot(good)
    count, wrong = 0, []
    for name, path in hostile_checkpoints(tmp_path, good):
        count += 1
        there = snapshot(tmp_path)
        _forbidden = []
        try:
            with bounded(300 << 20):
                open_checkpoint(path)
            wrong.append(f"{name}: opened")
        except CheckpointError as error:
            message = str(error)
            if not message.isprintable() or len(message) > 2000 or not message.startswith(str(path)):
                wrong.append(f"{name}: {message!r}")
            if "expected" not in message or "found" not in message or ";" not in message:
                wrong.append(f"{name}: says not what was expected, what came, how to mend: {message}")
        except BaseException as error:
            wrong.append(f"{name}: {error!r}")
        acts, _forbidden = _forbidden, None
        if acts or snapshot(tmp_path) != there:
            wrong.append(f"{name}: acted: {acts}")
    assert not wrong, "\n".join(wrong)
    assert count >= 250
    assert not payload_ran(tmp_path) and snapshot(good) == before


def test_the_payload_would_run_if_unpickled(good: Path, tmp_path: Path) -> None:
    for _, path in hostile_checkpoints(tmp_path, good, only={"foreign-pickle.pth"}):
        pickle.loads(path.read_bytes())  # noqa: S301
    assert payload_ran(tmp_path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("foreign-pickle.pth", ("pickle", "recaudit train")),
        ("foreign-pickle-protocol-0.pt", ("pickle", "recaudit train")),
        ("foreign-torch-zip.pth", ("pickle", "zip", "recaudit train")),
        ("foreign-folder-of-pickle", ("model.pth", "pickle", "recaudit train")),
        ("foreign-weights-are-a-pickle", ("pickle", "never opens")),
        ("foreign-empty-folder", ("empty folder", "recaudit train")),
        ("foreign-hugging-face", ("config.json", "recaudit train")),
        ("record-newer", ("written by a newer recaudit", "upgrade")),
        ("record-unknown-model", ("Did you mean 'lightgcn'?",)),
        ("record-config-unknown-field", ("'hook'", "dim")),
        ("files-weights.safetensors-link-to-secret", ("symbolic link",)),
        ("files-weights.safetensors-pipe", ("named pipe",)),
        ("files-unlisted-code", ("setup.py", "move it")),
        ("copy-weights.safetensors-missing", ("no such file",)),
        ("weights-nan", ("NaN", "finite")),
        ("weights-other-model's", ("SHA-256", "another checkpoint")),
        ("ids-twice", ("item_ids", "twice")),
        ("events-user-beyond", ("user indices", f"0..{USERS - 1}")),
        ("events-part-moved", ("train part",)),
    ],
)
def test_messages_say_what_is_wrong(name: str, words: tuple[str, ...], good: Path, tmp_path: Path) -> None:
    made = [refusal(path) for _, path in hostile_checkpoints(tmp_path, good, only={name})]
    assert len(made) == 1
    for word in words:
        assert word in made[0], made[0]


def test_hidden_files_and_a_readme_may_lie_beside(good: Path, tmp_path: Path) -> None:
    shutil.copytree(good, tmp_path / "c")
    (tmp_path / "c" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "c" / "README.md").write_text("a model")
    open_checkpoint(tmp_path / "c")


def test_the_folder_itself_may_be_a_link_or_oddly_named(good: Path, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(good)
    assert_same(open_checkpoint(tmp_path / "latest"), open_checkpoint(good))
    odd = tmp_path / "two\nlines \x1b[31m"
    shutil.copytree(good, odd)
    assert "\n" not in open_checkpoint(odd).name
    (odd / WEIGHTS).unlink()
    assert refusal(odd).isprintable()
    assert refusal(Path("a\x00b")).isprintable()


def test_read_only_folders_open(good: Path, tmp_path: Path) -> None:
    shutil.copytree(good, tmp_path / "c")
    for path in (*(tmp_path / "c").iterdir(), tmp_path / "c"):
        path.chmod(0o444 if path.is_file() else 0o555)
    assert_same(open_checkpoint(tmp_path / "c"), open_checkpoint(good))


def test_permission_denied(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def deny(path: Any, *rest: Any, **more: Any) -> int:
        if str(path).endswith(WEIGHTS):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *rest, **more)

    monkeypatch.setattr(os, "open", deny)
    message = refusal(good)
    assert message.startswith(str(good / WEIGHTS)) and "permission denied" in message


def test_more_than_the_machine_holds_is_refused_before_reading(tmp_path: Path) -> None:
    path = tmp_path / "w"
    entry = {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}
    write_tensors(path, {"w": entry}, b"")
    try:
        os.truncate(path, path.stat().st_size + (1 << 42))
    except OSError:
        pytest.skip("no sparse files of this size here")
    with bounded(1 << 20), pytest.raises(CheckpointError, match="memory"):
        read_tensors(path, {"w": ((1 << 40,), "F32")})


@pytest.mark.parametrize("length", [640, 896, 1152, 1408])
def test_a_header_length_that_looks_like_a_pickle_is_none(length: int, tmp_path: Path) -> None:
    header = b'{"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}'
    write_tensors(tmp_path / "w", header.ljust(length), np.array([1, 2], "<f4").tobytes())
    assert (tmp_path / "w").read_bytes()[0] == 0x80
    arrays, _ = read_tensors(tmp_path / "w", {"w": ((2,), "F32")})
    assert arrays["w"].tolist() == [1, 2]
