"""One model of a verification, as a cell: a retrain, a training with the forget set, a forgetting."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from ..audit.cell import Answer
from ..recommenders.base import Recommender
from ..recommenders.catalogue import fit, reads_order
from ..recommenders.target import Target
from .base import Served
from .catalogue import build
from .request import Request
from .verify.changes import hindrances
from .verify.question import answers, question
from .verify.rows import learnt

VERSION = 5

How = Literal["refit", "retrain", "forget"]
"""Trained again with the forget set, or without; or the checkpoint made to forget by an unlearner."""


@dataclass(frozen=True)
class Trial:
    """A model and what it answers about a request (audit.cell.Inquiry).

    Attributes:
        request: rows of the target's training part.
        how: which model.
        method: of "forget", the unlearner's name. Of "refit" and "retrain", the unlearner that prepares a model of its
            own kind; empty for the victim's recipe.
        settings: of the unlearner.
        sample: seed of what is looked at of a large request (`question.sample_of`).
    """

    request: Request
    how: How
    method: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    sample: int = 0
    keeps_arrays: ClassVar[bool] = True
    trainings: ClassVar[float] = 1.0

    def describe(self) -> dict[str, Any]:
        """Everything that determines the answer beside target and seed, as JSON."""
        found: dict[str, Any] = {
            "inquiry": "unlearning", "version": VERSION, "how": self.how, "request": self.request.fingerprint
        }  # fmt: skip
        if self.method:
            own = build(self.method, self.settings)
            found |= {"method": own.name, "own": own.version, "settings": own.config.model_dump(mode="json")}
        if self.sample:  # requests that are judged whole keep their keys
            found["sample"] = self.sample
        return found

    def answer(self, target: Target, seed: int) -> Answer:
        """The arrays of `question.answers`; costs by step, `prepare`, `forget` or `fit`; the model, to be measured.

        Also what is kept of rows of users who are forgotten whole (`rows.Learnt.kept`), and of "forget" a value 1 for
        each of its `changes.hindrances`.
        """
        model, costs = self.model(target, seed)
        split = target.split
        asked = question(split, self.request, self.sample, in_order=reads_order(target.recipe))
        arrays = answers(model, asked)
        history = self.request.retained(split.train).plus(split.valid)
        rows = learnt(target, self.request) if isinstance(model, type(target.model)) else None
        if rows is not None:
            arrays |= rows.kept(model.state())  # type: ignore[attr-defined]
        values: dict[str, float | None] = {}
        if self.how == "forget":
            whole = self.request.whole_users(split.train)
            values = {name: 1.0 for name in hindrances(target.model, model, whole)}
        return Answer(values, arrays=arrays, costs=costs, served=(model, history))

    def model(self, target: Target, seed: int) -> tuple[Recommender, dict[str, float]]:
        """The model in question and the CPU seconds of its making, by step."""
        split, clock = target.split, time.process_time()
        log = self.request.retained(split.train) if self.how == "retrain" else split.train
        if not self.method:
            found: Recommender = fit(target.recipe, log, seed)
            return found, {"fit": round(time.process_time() - clock, 3)}
        unlearner = build(self.method, self.settings)
        before = Served(target.recipe, log, target.model, held_out=split.valid if len(split.valid) else None)
        prepared = unlearner.prepare(before, seed)
        ready = time.process_time()
        if self.how != "forget":
            return prepared.model, {"fit": round(ready - clock, 3)}
        after = unlearner.forget(prepared, self.request, seed)
        done = time.process_time()
        return after.model, {"prepare": round(ready - clock, 3), "forget": round(done - ready, 3)}
