"""The check "attributes": what it asks, that a leak is found, and what it says where it cannot ask."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from audited import evidence_of
from pydantic import ValidationError
from victims import small_log, small_target

from recaudit.audit.evidence import Evidence
from recaudit.audit.probe import NotApplicable
from recaudit.datasets.log import Float32, InteractionLog
from recaudit.datasets.seeding import rng
from recaudit.datasets.split import Split, leave_last_out
from recaudit.privacy.attributes.check import AttributesConfig, AttributesProbe
from recaudit.privacy.attributes.inference import Labels, folds, infer
from recaudit.privacy.attributes.inquiry import AttributeInquiry, views
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.target import Target


@cache
def split_of() -> Split:
    """Generated events of 240 users with a gender, an age and a town of their own."""
    log = small_log(users=240, events=3600)
    draw = rng(0, "users")
    table = pd.DataFrame(
        {
            "Gender": draw.permutation(np.repeat(["M", "F", "x"], [130, 100, 10])),
            "age": draw.integers(10, 70, log.n_users),
            "town": [f"t{user}" for user in range(log.n_users)],
        }
    )
    return leave_last_out(replace(log, users=table))


@dataclass
class Tells:
    """A model whose user vectors hold the gender beside noise; its lists depend on noise alone."""

    n_users: int
    n_items: int
    female: Float32
    name = "tells"
    family = "factor"

    def embeddings(self) -> tuple[Float32, Float32]:
        draw = rng(1, "tells")
        user = draw.normal(size=(self.n_users, 8))
        item = draw.normal(size=(self.n_items, 8))
        user[:, 3], item[:, 3] = self.female + 0.1 * user[:, 3], 0.0
        return user.astype(np.float32), item.astype(np.float32)

    def scores(self, users: Any, history: InteractionLog) -> Float32:
        user, item = self.embeddings()
        return np.asarray(user[users] @ item.T, np.float32)

    def state(self) -> dict[str, Any]:
        return {}


def leaking() -> Target:
    train = split_of().train
    assert train.users is not None
    model: Any = Tells(train.n_users, train.n_items, (train.users["Gender"] == "F").to_numpy(np.float32))
    return Target("leak", model, Recipe("mf", {}), split_of(), 0, "1" * 64, {})


def probe(**settings: Any) -> AttributesProbe:
    """The check under run seed 7."""
    return AttributesProbe(AttributesConfig(**settings), 7)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Evidence]:
    evidence = evidence_of(probe(ages=(30, 50)), leaking(), tmp_path_factory.mktemp("cells"))
    return {e.id: e for e in evidence}


def test_columns_of_the_usual_names_are_asked(found: dict[str, Evidence]) -> None:
    tails = ("embeddings.auc", "embeddings.excess", "lists.auc", "lists.excess", "added")
    assert set(found) == {f"attributes.{column}.{tail}" for column in ("Gender", "age") for tail in tails}
    for evidence in found.values():
        assert evidence.missing is None and evidence.worse == "higher" and evidence.units == []
        assert evidence.standard_error is not None and 0 < evidence.standard_error < 0.1
        assert evidence.n == (230 if ".Gender." in evidence.id else 240)
    groups = found["attributes.age.lists.auc"].details["classes"]
    assert {row["name"] for row in groups} == {"under 30", "30-49", "50 and over"}


def test_vectors_that_hold_the_gender_give_it_away(found: dict[str, Evidence]) -> None:
    vectors, lists = found["attributes.Gender.embeddings.auc"], found["attributes.Gender.lists.auc"]
    assert vectors.estimate is not None and vectors.estimate > 0.95
    assert vectors.details["balanced_accuracy"]["embeddings"] > 0.9
    assert vectors.details["balanced_accuracy"]["majority"] == 0.5
    for name, value in vectors.baseline.items():
        # the genders were drawn, so neither events nor lists know them; the network sees the vectors, too
        assert value > 0.9 if name == "small network" else abs(value - 0.5) < 0.2, name
    assert lists.estimate == pytest.approx(0.5, abs=3 * (lists.standard_error or 0.0))
    added, excess = found["attributes.Gender.added"], found["attributes.Gender.embeddings.excess"]
    assert added.estimate == pytest.approx(vectors.estimate - vectors.baseline["raw history"])
    assert excess.estimate == pytest.approx(vectors.estimate - vectors.baseline["popular lists"])
    assert added.estimate > 3 * (added.standard_error or 1.0)
    ages = found["attributes.age.embeddings.auc"]
    assert ages.estimate == pytest.approx(0.5, abs=3 * (ages.standard_error or 0.0))


def test_what_was_left_out_is_said(found: dict[str, Evidence]) -> None:
    notes = found["attributes.Gender.lists.auc"].details["notes"]
    assert notes[0] == "users by Gender: M 130, F 100"
    assert notes[1].endswith("beyond the largest classes: x") and notes[2].startswith("230 of 240 users")
    assert len(found["attributes.age.lists.auc"].details["notes"]) == 1


def test_values_are_those_of_the_functions_called_directly(found: dict[str, Evidence]) -> None:
    asked = AttributeInquiry("Gender", (), 20, 1500, 30, 10_000)
    labels = asked.labels(leaking(), 7)
    assert isinstance(labels, Labels)
    fold = folds(labels.code, rng(7, "attributes", "Gender", "folds"))
    told = {
        name: infer(features, labels.code, fold, "logistic", rng(0))
        for name, features in views(leaking(), labels.users, 20, 1500).items()
    }
    assert list(told) == ["embeddings", "lists", "history", "popular"]
    for view in ("embeddings", "lists"):
        evidence = found[f"attributes.Gender.{view}.auc"]
        assert (evidence.estimate, evidence.standard_error) == (told[view].auc, told[view].standard_error)
        assert evidence.baseline["popular lists"] == told["popular"].auc
    lists = found["attributes.Gender.lists.excess"]
    assert (lists.estimate, lists.standard_error) == told["lists"].minus(told["popular"])
    added = found["attributes.Gender.added"]
    assert (added.estimate, added.standard_error) == told["embeddings"].minus(told["history"])


def test_nobody_sees_held_out_events() -> None:
    """Neither history nor masks change with the test part."""
    users = np.arange(200)
    split = split_of()
    blind = replace(leaking(), split=replace(split, test=split.test.take(np.zeros(len(split.test), bool))))
    for name, features in views(leaking(), users, 5, 40).items():
        other = views(blind, users, 5, 40)[name]
        assert abs(features - other).max() == 0, name


def test_models_without_vectors_are_asked_for_lists_alone(tmp_path: Path) -> None:
    target = small_target("ease", split=split_of())
    found = {e.id: e for e in evidence_of(probe(columns=("Gender",)), target, tmp_path)}
    assert set(found) == {
        f"attributes.Gender.{tail}" for tail in ("embeddings.auc", "lists.auc", "lists.excess", "added")
    }
    assert "keeps no vector of a user" in str(found["attributes.Gender.embeddings.auc"].missing)
    lists, added = found["attributes.Gender.lists.auc"], found["attributes.Gender.added"]
    assert lists.estimate is not None
    assert added.estimate == pytest.approx(lists.estimate - lists.baseline["raw history"])


def test_columns_that_cannot_be_asked_are_named() -> None:
    check = probe(columns=("town", "shoe"))
    assert check.cells(leaking()) == []
    found = {e.id: str(e.missing) for e in check.evidence(leaking(), {})}  # type: ignore[arg-type]
    assert found["attributes.town.lists.auc"].startswith("no class of 30 users or more among the 240")
    assert found["attributes.shoe.lists.auc"] == "the user table has no column 'shoe'"
    for settings in ({"columns": ("shoe",)}, {}):
        table = split_of().train.users
        assert table is not None
        nameless = replace(split_of().train, users=table[["town"]])
        with pytest.raises(NotApplicable, match="shoe" if settings else "name private columns"):
            probe(**settings).cells(replace(leaking(), split=replace(split_of(), train=nameless)))


def test_a_cell_that_failed_is_said() -> None:
    found = probe().evidence(leaking(), {})  # type: ignore[arg-type]
    assert [e.id for e in found] == ["attributes.Gender.lists.auc", "attributes.age.lists.auc"]
    assert all("did not end" in str(e.missing) and e.estimate is None for e in found)


def test_all_that_matters_is_in_the_key() -> None:
    others: list[dict[str, Any]] = [
        {}, {"ages": (30, 50)}, {"cutoff": 10}, {"items": 30}, {"smallest": 20}, {"users": 100},
    ]  # fmt: skip
    cells = [probe().cells(leaking())[0], *(probe(**settings).cells(leaking())[-1] for settings in others)]
    assert {cell.kind for cell in cells} == {"inquiry"} and not any(cell.trains for cell in cells)
    assert len({cell.key(leaking(), {}) for cell in cells}) == len(cells)
    inquiry = cells[0].inquiry
    assert pickle.loads(pickle.dumps(inquiry)) == inquiry  # noqa: S301


def test_too_many_users_are_drawn_from(tmp_path: Path) -> None:
    check = probe(users=80, smallest=10, columns=("Gender",))
    labels = check.design(leaking())["Gender"][1]
    assert isinstance(labels, Labels) and 70 <= len(labels.users) <= 80
    assert (np.diff(labels.users) > 0).all() and labels.users[-1] > 80
    (lists,) = [e for e in evidence_of(check, leaking(), tmp_path) if e.id.endswith("lists.auc")]
    assert "at most 80" in lists.details["notes"][-1] and lists.n == len(labels.users)


def test_settings_that_make_no_sense_are_refused() -> None:
    for settings in ({"ages": (30, 20)}, {"ages": ()}, {"smallest": 5}, {"cutoff": 0}, {"columns": ()}):
        with pytest.raises(ValidationError):
            AttributesConfig(**settings)
    assert AttributesConfig(columns=("a", "b", "a")).columns == ("a", "b")
