"""Random damage to any file: refused in one line, or nothing has changed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recaudit.datasets.errors import CheckpointError
from recaudit.datasets.split import Split
from recaudit.recommenders.checkpoint import open_checkpoint

from .forging import RECORD, WEIGHTS, reseal
from .small_checkpoint import USERS, assert_same, save, small_split


@pytest.fixture(scope="module")
def split() -> Split:
    return small_split()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, split: Split) -> Path:
    path = tmp_path_factory.mktemp("good") / "ckpt"
    save(path, split, fit_seconds=0.25)
    return path


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
