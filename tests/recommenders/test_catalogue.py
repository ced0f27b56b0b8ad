"""Models by name: each one is what it says, nothing is imported unasked, and errors name the field."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from recaudit.datasets import plugins
from recaudit.datasets.errors import InputError
from recaudit.datasets.log import InteractionLog
from recaudit.recommenders.base import ModelConfig, Recipe
from recaudit.recommenders.catalogue import CATALOGUE, MODELS, build, fit, model_class, names
from recaudit.recommenders.popularity import Popularity


class Outsider(Popularity):
    """A model of another package."""


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EntryPoint]]:
    """Entry points as other packages would give them."""
    found: list[EntryPoint] = []
    monkeypatch.setattr(plugins, "entry_points", lambda group: found if group == "recaudit.models" else [])
    CATALOGUE.__dict__.pop("outsiders", None)  # found once in a process
    yield found
    CATALOGUE.__dict__.pop("outsiders", None)


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, "recaudit.models")


def test_every_line_is_a_model() -> None:
    assert names()[: len(MODELS)] == tuple(line.split(":")[0] for line in MODELS)
    for name in names():
        kind = model_class(name)
        assert kind.name == name
        assert kind.title and kind.reference and kind.__doc__
        assert kind.family in ("popularity", "neighbour", "linear", "factor", "graph", "sequential")
        config = kind.config_type()
        assert kind.config_type.model_validate(config.model_dump(mode="json")) == config
        assert isinstance(build(Recipe(name, {})), kind)


def test_names_import_no_model() -> None:
    code = (
        "import sys, recaudit.recommenders.catalogue as c; c.names();"
        "modules = {line.split(':')[1] for line in c.MODELS};"
        "print([m for m in modules if 'recaudit.recommenders.' + m.strip() in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match="Did you mean 'lightgcn'"):
        model_class("lightgnc")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"dims": 3}, ("'dims'", "Did you mean 'dim'", "learning_rate")),
        ({"dim": -3}, ("'dim'", "got -3", "explain mf")),
        ({"dim": "x" * 500}, ("'dim'", "...")),
        ({"learning_rate": float("inf")}, ("'learning_rate'", "finite")),
    ],
)
def test_a_wrong_field_is_named(config: dict[str, object], words: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as caught:
        build(Recipe("mf", config))
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


def test_fit_repeats_the_recipes_epochs() -> None:
    log = InteractionLog(
        np.array([0, 0, 1, 1], np.int32),
        np.array([0, 1, 1, 2], np.int32),
        np.array(["a", "b"]),
        np.array(["x", "y", "z"]),
    )
    recipe = Recipe("mf", {"dim": 2}, epochs=3)
    assert fit(recipe, log, 0).epochs == 3
    assert fit(recipe, log, 0, epochs=2).epochs == 2


def test_an_outsiders_model_is_one_of_the_names(outside: list[EntryPoint]) -> None:
    outside.append(entry("outsider", f"{__name__}:Outsider"))
    assert names()[-1] == "outsider"
    assert model_class("outsider") is Outsider
    assert isinstance(build(Recipe("outsider", {})), Outsider)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("no_such_package.models:Model", "cannot be imported"),
        (f"{ModelConfig.__module__}:ModelConfig", "lacks"),
    ],
)
def test_a_broken_outsider_is_named_when_asked_for(value: str, words: str, outside: list[EntryPoint]) -> None:
    outside.append(entry("broken", value))
    assert "broken" in names()
    with pytest.raises(InputError, match=words):
        model_class("broken")


def test_no_outsider_takes_a_name_that_is_there(outside: list[EntryPoint]) -> None:
    outside.append(entry("ease", f"{__name__}:Outsider"))
    with pytest.raises(InputError, match="'ease'"):
        names()
