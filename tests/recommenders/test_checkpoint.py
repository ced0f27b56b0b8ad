"""Checkpoints: what is saved comes back bit for bit; everything else is refused in one line and runs nothing."""

from __future__ import annotations

import errno
import os
import pickle
import resource
import shutil
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recaudit.datasets.errors import CheckpointError, InputError, RecauditError, UnfinishedError
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.read import LoadedLog
from recaudit.datasets.split import Split, make_split
from recaudit.recommenders import checkpoint_folder
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit, names
from recaudit.recommenders.checkpoint import agree, check_destination, open_checkpoint, reproduce, save_checkpoint
from recaudit.recommenders.checkpoint_tensors import read_tensors
from recaudit.recommenders.evaluate import evaluate
from recaudit.recommenders.target import Target

from .hostile import RECORD, WEIGHTS, hostile_checkpoints, payload_ran, reseal, write_tensors

USERS, ITEMS = 23, 17
RECIPE = Recipe("mf", {"dim": 3}, epochs=2)


def small_log() -> InteractionLog:
    """Ratings with times, awkward ids and side tables."""
    draw = np.random.default_rng(5)
    user = np.repeat(np.arange(USERS, dtype=np.int32), 8)
    item = np.concatenate([draw.permutation(ITEMS)[:8] for _ in range(USERS)]).astype(np.int32)
    users = pd.DataFrame({"age": [str(n) for n in range(USERS)], "note": ["NA"] * USERS}, dtype=str)
    titles = ['Cat, "the"', "line\nbreak", "re\rturn", "日本語 🎬", " 007 ", "nan", "1e5"]
    items = pd.DataFrame({"title": [titles[n % 7] + str(n) for n in range(ITEMS)]}, dtype=str)
    ids = [f"{n:04d}" for n in range(ITEMS - 3)] + ["Ünïcode", "a,b", "\u202e"]
    return InteractionLog(
        user,
        item,
        np.array([f"u{n:03d}" for n in range(USERS)]),
        np.array(ids),
        draw.integers(1, 6, len(user)).astype(np.float32),
        draw.integers(10**9, 2 * 10**9, len(user)),
        users,
        items,
    )


@pytest.fixture(scope="module")
def split() -> Split:
    return make_split(LoadedLog(small_log()), "leave-last-out")


def save(path: Path, split: Split, recipe: Recipe = RECIPE, **options: Any) -> Any:
    model = fit(recipe, split.train, 7)
    metrics = evaluate(model, split.test, split.history, cutoffs=(5, 20))
    save_checkpoint(path, model, recipe, split, 7, metrics, **options)
    return model


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, split: Split) -> Path:
    path = tmp_path_factory.mktemp("good") / "ckpt"
    save(path, split, fit_seconds=0.25)
    return path


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_same(target: Target, other: Target) -> None:
    everyone = np.arange(USERS)
    assert target.fingerprint == other.fingerprint
    assert np.array_equal(
        target.model.scores(everyone, target.split.history), other.model.scores(everyone, other.split.history)
    )
    for part in ("train", "valid", "test"):
        assert getattr(target.split, part).fingerprint == getattr(other.split, part).fingerprint
    assert (target.recipe, target.seed, target.stored_metrics) == (other.recipe, other.seed, other.stored_metrics)


def refusal(path: Path, *arguments: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path, *arguments)
    return str(caught.value)


# --- what is saved comes back -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", names())
def test_every_model_comes_back_bit_for_bit(name: str, split: Split, tmp_path: Path) -> None:
    recipe = Recipe(name, {"dim": 4} if name in ("mf", "lightgcn", "simgcl", "sasrec", "gru4rec") else {})
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


@contextmanager
def bounded(most: int) -> Iterator[None]:
    """Python and numpy allocate no more than so many bytes."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


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


edits = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4)


def mutate(path: Path, changes: list[tuple[float, int]], how: str) -> None:
    raw = bytearray(path.read_bytes())
    for where, byte in changes:
        place = int(where * len(raw))
        if how == "insert":
            raw[place:place] = bytes([byte])
        elif how == "delete":
            del raw[place : place + byte]
        elif raw:
            raw[place] = byte
    path.write_bytes(raw)


files = st.sampled_from([RECORD, WEIGHTS, "ids.json", "events.safetensors", "users.csv", "items.csv"])
hows = st.sampled_from(["replace", "insert", "delete"])


@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=files, changes=edits, how=hows)
def test_any_mutation_is_refused_or_changes_nothing(
    name: str, changes: list[tuple[float, int]], how: str, good: Path, tmp_path: Path
) -> None:
    place = tmp_path / "m"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(good, place)
    mutate(place / name, changes, how)
    try:
        target = open_checkpoint(place)
    except CheckpointError as error:
        assert str(error).isprintable()
    else:
        assert_same(target, open_checkpoint(good))


@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=files.filter(lambda name: name != RECORD), changes=edits, how=hows, head=st.booleans())
def test_mutations_with_right_digests_raise_nothing_else(
    name: str, changes: list[tuple[float, int]], how: str, head: bool, good: Path, tmp_path: Path
) -> None:
    place = tmp_path / "m"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(good, place)
    if head:  # aim at the header
        changes = [(where * 300 / (place / name).stat().st_size % 1, byte) for where, byte in changes]
    mutate(place / name, changes, how)
    reseal(place)
    try:
        target = open_checkpoint(place)
    except CheckpointError as error:
        assert str(error).isprintable()
    else:
        assert np.isfinite(target.model.scores(np.arange(USERS), target.split.history)).all() or name == WEIGHTS


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), value=json_values)
def test_any_field_with_any_value_raises_nothing_else(
    data: st.DataObject, value: Any, good: Path, tmp_path: Path
) -> None:
    place = tmp_path / "m"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(good, place)

    def change(record: dict[str, Any]) -> None:
        node = record
        while True:
            key = data.draw(st.sampled_from(sorted(node)))
            if not isinstance(node[key], dict) or not node[key] or data.draw(st.booleans()):
                node[key] = value
                return
            node = node[key]

    reseal(place, change)
    try:
        open_checkpoint(place)
    except CheckpointError as error:
        assert str(error).isprintable()


# --- saving: all or nothing ---------------------------------------------------------------------------------------


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
