"""Names, outsiders and settings, whatever they are of."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest
from pydantic import BaseModel, ConfigDict, Field

from recaudit.attacks.catalogue import CATALOGUE as ATTACKS
from recaudit.attacks.popular import Popular
from recaudit.datasets import plugins
from recaudit.datasets.errors import InputError
from recaudit.datasets.plugins import Catalogue
from recaudit.defenses.base import Detector
from recaudit.defenses.catalogue import CATALOGUE as DEFENSES
from recaudit.recommenders.catalogue import CATALOGUE as MODELS


class Settings(BaseModel):
    """Of something."""

    model_config = ConfigDict(extra="forbid")
    share: float = Field(default=0.1, gt=0)


def catalogue(offered: list[EntryPoint], monkeypatch: pytest.MonkeyPatch, of: Catalogue[object]) -> Catalogue[object]:
    """A new catalogue like a real one, with these outsiders."""
    monkeypatch.setattr(plugins, "entry_points", lambda group: [each for each in offered if each.group == group])
    return Catalogue(of.what, of.group, of.lines, of._package, of._fault)


@pytest.mark.parametrize(("real", "good"), [(ATTACKS, Popular), (DEFENSES, Detector)], ids=["attacks", "defences"])
def test_outsiders_are_found_checked_and_named(
    real: Catalogue[object], good: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"{good.__module__}:{good.__name__}"
    offered = [
        EntryPoint("theirs", place, real.group), EntryPoint("broken", "no_such_module:X", real.group),
        EntryPoint("wrong", f"{__name__}:Settings", real.group), EntryPoint("elsewhere", place, "another.group"),
    ]  # fmt: skip
    found = catalogue(offered, monkeypatch, real)
    assert found.names() == (*real.own, "broken", "theirs", "wrong")
    assert found.find("theirs") is good
    with pytest.raises(InputError, match="cannot be imported"):
        found.find("broken")
    with pytest.raises(InputError, match="must be a subclass"):
        found.find("wrong")
    with pytest.raises(InputError, match="Did you mean 'theirs'"):
        found.find("theirss")


@pytest.mark.parametrize("real", [ATTACKS, DEFENSES, MODELS], ids=["attacks", "defences", "models"])
def test_no_outsider_takes_a_name(real: Catalogue[object], monkeypatch: pytest.MonkeyPatch) -> None:
    taken = next(iter(real.own))
    with pytest.raises(InputError, match=f"'{taken}', which is taken"):
        catalogue([EntryPoint(taken, "a:B", real.group)], monkeypatch, real).names()
    twice = [EntryPoint("theirs", value, real.group) for value in ("a:B", "c:D")]
    with pytest.raises(InputError, match="'theirs', which is taken"):
        catalogue(twice, monkeypatch, real).names()


def test_settings_that_make_no_sense_name_the_field() -> None:
    assert DEFENSES.settings("fap", Settings, {"share": 0.2}).share == 0.2
    with pytest.raises(InputError, match=r"defence 'fap' has no field 'shar'\. Did you mean 'share'"):
        DEFENSES.settings("fap", Settings, {"shar": 1})
    with pytest.raises(InputError, match="field 'share': input should be greater than 0, got 0"):
        DEFENSES.settings("fap", Settings, {"share": 0})
