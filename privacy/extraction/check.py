"""The check "extraction": how well can an outsider who only sees ordered lists copy the model, for how many queries?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from ...audit.cell import Cell
from ...audit.evidence import Evidence
from ...audit.probe import NotApplicable, Probe, ProbeConfig, Results
from ...datasets.errors import InputError
from ...recommenders.evaluate import relevance
from ...recommenders.target import Target
from .copies import Architecture, Student, reads_order, why_not
from .inquiry import AGREED, Copies, Judged, Retrained

_PER_SCORE = 2.5e-8
"""CPU seconds that a student's training takes for each score of a position and item, about; measured, see the docs."""

_NAMES: dict[Architecture, str] = {"sasrec": "SASRec", "gru4rec": "GRU4Rec", "linear": "linear"}

_LOST = "the model was not asked to the end; see the failures"


class ExtractionCheckConfig(ProbeConfig):
    """Settings of the check "extraction"."""

    budgets: tuple[int, ...] = Field(
        default=(1000, 4000), min_length=1, description="numbers of lists that are asked for; rounded down to sequences"
    )
    length: int = Field(default=20, ge=2, le=512, description="items of an invented history; each item is a query")
    listed: int = Field(default=100, ge=1, description="length of the lists that come back")
    student: Literal["auto", "sasrec", "gru4rec", "linear"] = Field(
        default="auto",
        description="auto: sasrec for models that read the order of a history, else linear",
    )
    other: Architecture | None = Field(default=None, description="a second copy of another architecture")
    dim: int = Field(default=32, ge=1, le=512, description="length of the copy's item vectors")
    steps: int = Field(default=1000, ge=1, description="training steps of a copy, for every budget the same")
    users: int = Field(default=2000, ge=1, description="users with test items on whose histories copies are judged")
    cutoff: int = Field(default=10, ge=1, description="K of NDCG@K and HR@K")
    retrains: int = Field(
        default=1, ge=0, description="trainings of the model's recipe with another seed: how far they agree with it"
    )

    @field_validator("budgets")
    @classmethod
    def _ascending(cls, budgets: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(budgets)))

    @model_validator(mode="after")
    def _enough(self) -> ExtractionCheckConfig:
        counts = [budget // self.length for budget in self.budgets]
        if counts[0] < 1:
            raise ValueError(
                f"a budget of {self.budgets[0]} queries is less than one history of `length` {self.length}"
            )
        if len(set(counts)) < len(counts):
            raise ValueError("two budgets give the same number of histories of `length` items; set them further apart")
        return self


class ExtractionProbe(Probe):
    """How far the lists of a copy agree with the model's, on histories of real users that its maker never saw.

    The outsider grows invented histories by the model's own lists and trains a student on what comes back, without
    scores, data or popularity. Evidence, higher is worse: `extraction.BUDGET.agreement@10`, the share of the model's
    first ten that are among the copy's; `...agreement@1`; `...utility`, NDCG of the copy over that of the model on
    held-out items. A second architecture has `extraction.BUDGET.other.` before the measure. The sample is users.
    """

    key = "extraction"
    title = "How well can an outsider who only sees lists copy the model?"
    reference = (
        "Yue, He, Zeng, McAuley 2021, Black-Box Attacks on Sequential Recommenders via Data-Free Model Extraction, "
        "RecSys, arXiv 2109.01165, model extraction"
    )
    config_type = ExtractionCheckConfig

    def cells(self, target: Target) -> Sequence[Cell]:
        """One that asks and copies, and one for each retraining.

        Raises:
            NotApplicable: the model cannot be asked with invented histories, or no user has held-out items.
        """
        _, asked, retrained = self._design(target)
        return [asked, *retrained]

    def evidence(self, target: Target, results: Results) -> Sequence[Evidence]:
        """By budget and copy: agreement and utility."""
        copies, asked, retrained = self._design(target)
        done = [results[asked]] if asked in results else []
        others = [results[cell] for cell in retrained if cell in results]
        values = (done[0].values if done else {}) | _means([result.values for result in others])
        cells = [result.key for result in (*done, *others)]
        return [
            found
            for name, student in copies.students
            for budget, count in zip(self.config.budgets, copies.sequences, strict=True)
            for found in self._of_copy(
                f"{budget}." + ("other." if name == "other" else ""), f"{name}/{count}",
                f"a {_NAMES[student.architecture]} copy made from {budget:,} lists", values, cells,
                {"copy": student.architecture, "model": target.recipe.model, "curve": self._curve(name, values)},
            )
        ]  # fmt: skip

    def _design(self, target: Target) -> tuple[Copies, Cell, list[Cell]]:
        config: ExtractionCheckConfig = self.config
        why = why_not(target.model)
        if why is not None:
            raise NotApplicable(why)
        try:
            relevance(target.split.test, target.split.history, target.split.train.n_users)
        except InputError:
            raise NotApplicable("no user has held-out items, on whose histories a copy could be judged") from None
        own: Architecture = config.student if config.student != "auto" else "linear"
        if config.student == "auto" and reads_order(target.model):
            own = "sasrec"
        students = {"student": Student(own, config.dim, config.steps)}
        if config.other not in (None, own):
            students["other"] = Student(config.other, config.dim, config.steps)
        counts = tuple(budget // config.length for budget in config.budgets)
        judged = Judged(config.users, config.cutoff)
        seen = sum(students["student"].settings(count, config.length).max_epochs * count for count in counts)
        seconds = _PER_SCORE * seen * config.length * target.model.n_items * len(students)
        copies = Copies(
            counts, config.length, config.listed, tuple(students.items()), judged,
            effort=seconds / target.fit_seconds if target.fit_seconds else 1.0,
        )  # fmt: skip
        label = f"copies of the model from up to {counts[-1] * config.length:,} lists"
        retrained = [
            Cell("inquiry", f"retraining {number + 1} beside the copies", self.seed, inquiry=Retrained(number, judged))
            for number in range(config.retrains)
        ]
        return copies, Cell("inquiry", label, self.seed, inquiry=copies), retrained

    def _of_copy(
        self,
        prefix: str,
        place: str,
        copied: str,
        values: Mapping[str, float | None],
        cells: Sequence[str],
        details: Mapping[str, Any],
    ) -> Iterator[Evidence]:
        config: ExtractionCheckConfig = self.config
        accuracy = [f"ndcg@{config.cutoff}", f"hr@{config.cutoff}"]
        settings = {name: getattr(config, name) for name in ("length", "listed", "dim", "steps")}
        sides = {"copy": place, "model": "victim", "popularity": "popularity", "retraining": "retrain"}
        measured = {f"{side}/{name}": values.get(f"{at}/{name}") for side, at in sides.items() for name in accuracy}
        shares = "share of the model's list, 0..1, mean over users with held-out items"
        told = [
            (f"agreement@{k}", f"How much of the model's top {k} is listed by {copied} as well", shares) for k in AGREED
        ]
        told.append(
            ("utility", f"Accuracy of {copied}, over the model's own", f"ratio of mean {accuracy[0]}, 0 and above")
        )
        for name, title, unit in told:
            head: dict[str, Any] = {"worse": "higher", "cells": list(cells)}
            estimate = values.get(f"{place}/{name}")
            if estimate is None:
                why = f"the model's own {accuracy[0]} is zero" if f"{place}/queries" in values else _LOST
                yield self.made(f"{prefix}{name}", title, name, unit, **head, missing=why)
                continue
            beside = {"popularity": "popularity", "chance": "chance", "a retraining of the model": "retrain"}
            read = {side: values.get(f"{at}/{name}") for side, at in beside.items()}
            yield self.made(
                f"{prefix}{name}", title, name, unit, **head, estimate=estimate, n=int(values["users"] or 0),
                standard_error=values[f"{place}/{name}/error"], limits=None if name == "utility" else (0.0, 1.0),
                baseline={side: value for side, value in read.items() if value is not None},
                details={**details, **settings, **measured, "queries": values[f"{place}/queries"]},
            )  # fmt: skip

    def _curve(self, name: str, values: Mapping[str, float | None]) -> list[dict[str, float | None]]:
        """What each budget gave, for plots."""
        counts = [budget // self.config.length for budget in self.config.budgets]
        measures = ("queries", *(f"agreement@{k}" for k in AGREED), "utility")
        return [{measure: values.get(f"{name}/{count}/{measure}") for measure in measures} for count in counts]


def _means(found: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Mean of each value over retrainings; values that are not there for all are left out."""
    columns = {name: [values.get(name) for values in found] for name in (found[0] if found else ())}
    known = {name: [value for value in column if value is not None] for name, column in columns.items()}
    return {name: float(np.mean(column)) for name, column in known.items() if len(column) == len(found)}
