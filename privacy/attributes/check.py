"""The check "attributes": can users' gender, age or occupation be told from what the model keeps and shows?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, field_validator

from ...audit.cell import Cell
from ...audit.evidence import Evidence
from ...audit.probe import NotApplicable, Probe, ProbeConfig, Results
from ...datasets.sides import plain, usual_columns
from ...recommenders.target import Target
from .inference import FOLDS, Labels
from .inquiry import ASKED, AttributeInquiry

AUTO = ("auto",)
AGES = ("age", "agegroup", "agerange", "ageband")
USUAL = ("gender", "sex", *AGES, "occupation", "profession", "job")
"""Columns that `auto` looks for; case, spaces, hyphens and underscores do not count."""

_VIEWS = {"embeddings": "the vector that the model keeps of a user", "lists": "the list that the model shows a user"}
_BASELINES = {"history": "raw history", "popular": "popular lists"}
_UNIT = "AUC of pairs of users, 0..1, .5 = chance"
_MORE = "difference of two AUCs, -1..1"


class AttributesConfig(ProbeConfig):
    """Settings of the check "attributes"."""

    columns: tuple[str, ...] = Field(default=AUTO, min_length=1)
    """Columns of the user table that are private; auto: gender, age and occupation by their usual names."""
    ages: tuple[Annotated[int, Field(ge=1, le=119)], ...] = Field(default=(18, 25, 35, 45, 50, 56), min_length=1)
    """Lower bounds of the groups that ages in years are cut into."""
    cutoff: int = Field(default=20, ge=1)
    """K of the lists that are read."""
    items: int = Field(default=1500, ge=1)
    """Most frequent items of the raw history that the classifiers read."""
    smallest: int = Field(default=30, ge=2 * FOLDS)
    """Users that a class needs; smaller classes are left out."""
    users: int = Field(default=10_000, ge=4 * FOLDS)
    """Users that are asked about at most; drawn where there are more."""

    @field_validator("columns")
    @classmethod
    def _once(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(columns))

    @field_validator("ages")
    @classmethod
    def _ascending(cls, ages: tuple[int, ...]) -> tuple[int, ...]:
        if list(ages) != sorted(set(ages)):
            raise ValueError(f"lower bounds of age groups must ascend, got {list(ages)}")
        return ages


class AttributesProbe(Probe):
    """Classifiers that know the attribute of four fifths of the users tell that of the others; no refit.

    Evidence, higher is worse: `attributes.COLUMN.embeddings.auc` and `attributes.COLUMN.lists.auc`, each with
    `....excess` over lists of popular unseen items, and `attributes.COLUMN.added`, what the model tells beyond the raw
    history. The sample is the users.
    """

    key = "attributes"
    title = "What do user vectors and lists tell about private attributes?"
    reference = (
        "Weinsberg, Bhagat, Ioannidis, Taft 2012, BlurMe: Inferring and Obfuscating User Gender Based on Ratings, "
        "RecSys (logistic regression on items); LeDell, Petersen, van der Laan 2015, EJS 9(1) (error of a "
        "cross-validated AUC); Nadeau, Bengio 2003, Machine Learning 52 (overlap of the folds)"
    )
    config_type = AttributesConfig

    def design(self, target: Target) -> Mapping[str, tuple[Cell, Labels | str]]:
        """A cell for each column, with the classes that it tells apart, or the reason why it cannot be asked.

        Raises:
            NotApplicable: the data have no such column.
        """
        config: AttributesConfig = self.config
        table = target.split.train.users
        known = [] if table is None else [str(name) for name in table.columns]
        columns = usual_columns(table, USUAL) if config.columns == AUTO else config.columns
        if not columns:
            raise NotApplicable(
                f"no column of gender, age or occupation in the user table ({', '.join(known) or 'there is none'}); "
                "name private columns in checks.attributes.columns"
            )
        if not set(columns) & set(known):
            raise NotApplicable(
                f"the data have no user column {', '.join(columns)}; they have {', '.join(known) or 'none'}"
            )
        found = {}
        for column in columns:
            ages = config.ages if plain(column) in AGES else ()
            asked = AttributeInquiry(column, ages, config.cutoff, config.items, config.smallest, config.users)
            cell = Cell("inquiry", f"what tells {column}", self.seed, inquiry=asked)
            found[column] = cell, asked.labels(target, self.seed)
        return found

    def cells(self, target: Target) -> Sequence[Cell]:
        """One for each column that has two classes of enough users."""
        return [cell for cell, labels in self.design(target).values() if isinstance(labels, Labels)]

    def evidence(self, target: Target, results: Results) -> Sequence[Evidence]:
        """By column: AUC of vectors and lists, their excess, what the model adds to the history."""
        found: list[Evidence] = []
        for column, (cell, labels) in self.design(target).items():
            if isinstance(labels, str):
                found.append(self._auc(column, "lists", missing=labels))
            elif cell not in results:
                found.append(
                    self._auc(column, "lists", missing="the test of the checkpoint did not end; see the failures")
                )
            else:
                values = results[cell].values
                found += self._of_column(target, column, labels, values, [results[cell].key])
        return found

    def _of_column(
        self, target: Target, column: str, labels: Labels, values: Mapping[str, float | None], cells: list[str]
    ) -> Iterator[Evidence]:
        shared: dict[str, Any] = {"n": len(labels.users), "cells": cells}
        notes = self._notes(target, column, labels)
        for view in ASKED:
            if f"{view}/auc" not in values:
                missing = (
                    f"the model keeps no vector of a user (family {target.model.family}): its lists alone are asked"
                )
                yield self._auc(column, view, missing=missing)
                continue
            baseline = {words: values[f"{name}/auc"] for name, words in _BASELINES.items()}
            yield self._auc(
                column, view, **shared,
                estimate=values[f"{view}/auc"],
                standard_error=values[f"{view}/standard_error"],
                limits=(0.0, 1.0),
                baseline=baseline | {
                    "small network": values[f"{view}/mlp/auc"],
                    "shuffled labels": values[f"{view}/shuffled/auc"],
                    "majority": 0.5,
                },
                details={"notes": notes, **_details(view, labels, values)},
            )  # fmt: skip
            yield self._difference(
                f"{column}.{view}.excess", f"What {_VIEWS[view]} tells of {column} beyond a list of popular items",
                view, "popular", values, shared,
            )  # fmt: skip
        view = next(view for view in ASKED if f"{view}/auc" in values)
        yield self._difference(
            f"{column}.added", f"What {_VIEWS[view]} tells of {column} beyond the raw history", view, "history",
            values, shared,
        )  # fmt: skip

    def _auc(self, column: str, view: str, **values: Any) -> Evidence:
        title = f"How well {column} can be told from {_VIEWS[view]}"
        return self.made(f"{column}.{view}.auc", title, "auc", _UNIT, "higher", **values)

    def _difference(
        self, name: str, title: str, view: str, other: str, values: Mapping[str, float | None], shared: dict[str, Any]
    ) -> Evidence:
        return self.made(
            name, title, name.rsplit(".", 1)[-1], _MORE, "higher", **shared,
            estimate=values[f"{view}/minus/{other}"],
            standard_error=values[f"{view}/minus/{other}/standard_error"],
            limits=(-1.0, 1.0),
            baseline={view: values[f"{view}/auc"], _BASELINES[other]: values[f"{other}/auc"]},
        )  # fmt: skip

    def _notes(self, target: Target, column: str, labels: Labels) -> list[str]:
        sizes = ", ".join(f"{name} {size:,}" for name, size in zip(labels.classes, labels.sizes, strict=True))
        notes = [f"users by {column}: {sizes}"]
        if labels.left_out:
            few = f"left out, of fewer than {self.config.smallest} users or beyond the largest classes"
            notes.append(f"{few}: {', '.join(labels.left_out)}")
        total = target.split.train.n_users
        if len(labels.users) < total:
            notes.append(f"{len(labels.users):,} of {total:,} users are asked about, at most {self.config.users:,}")
        return notes


def _details(view: str, labels: Labels, values: Mapping[str, float | None]) -> dict[str, Any]:
    """Classes, and balanced accuracy beside that of always naming one class."""
    shown = (view, *_BASELINES)
    return {
        "classes": [
            {"name": name, "users": size, "auc": values[f"{view}/class/{place}/auc"]}
            for place, (name, size) in enumerate(zip(labels.classes, labels.sizes, strict=True))
        ],
        "balanced_accuracy": {
            **{_BASELINES.get(name, name): values[f"{name}/balanced_accuracy"] for name in shown},
            "small network": values[f"{view}/mlp/balanced_accuracy"],
            "majority": 1 / len(labels.classes),
        },
    }
