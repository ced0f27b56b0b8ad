"""What a folder's name in a setting stands for."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from recaudit.language.opening import fingerprints


def model(folder: Path, weights: bytes) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "config.json").write_text("{}")
    return folder


def test_folders_of_one_name_are_told_apart_by_what_they_hold(tmp_path: Path) -> None:
    one, other, copy = (
        model(tmp_path / parent / "bert", weights) for parent, weights in (("a", b"1"), ("b", b"2"), ("c", b"1"))
    )
    settings = {"defense": {"encoder": f"{one}#layer=3", "arm": "real"}, "more": [{"chat": str(other)}]}
    found = fingerprints([settings, {"encoder": str(copy)}])
    assert set(found) == {f"{one}#layer=3", str(other), str(copy)}
    assert found[str(copy)] == found[f"{one}#layer=3"] != found[str(other)]


def test_names_that_are_no_folders_add_nothing(tmp_path: Path) -> None:
    names = ("static", "sentence", "endpoint:m@https://h/v1", str(tmp_path / "gone"), str(tmp_path))
    assert fingerprints([{"encoder": name} for name in names]) == {}


@given(st.recursive(st.text() | st.none(), lambda more: st.lists(more) | st.dictionaries(st.text(), more)))
def test_any_settings_are_read(settings: object) -> None:
    assert fingerprints(settings) == {}
