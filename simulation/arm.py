"""One arm of a simulation as a cell: all its rounds, with or without fake accounts."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from ..audit.cell import Answer, Injection
from ..datasets.log import InteractionLog, Profiles
from ..recommenders.base import Recommender
from ..recommenders.catalogue import fit
from ..recommenders.target import Target
from . import truth
from .feedback import UserModel
from .loop import Course, simulate

VERSION = 1


@dataclass(frozen=True)
class Arm:
    """Rounds of retraining on simulated clicks (audit.cell.Inquiry).

    Attributes:
        injection: the fake accounts; None for the clean arm.
        people: how users behave.
        course: how long.
        watch: item indices.
        tastes: seed of what users like, the same for all arms of an audit.
    """

    injection: Injection | None
    people: UserModel
    course: Course
    watch: tuple[int, ...]
    tastes: int
    keeps_arrays: ClassVar[bool] = False

    @property
    def trainings(self) -> float:
        """One a round."""
        return float(self.course.total)

    def describe(self) -> dict[str, Any]:
        """Everything that determines the answer beside target and seed, as JSON."""
        return {
            "inquiry": "simulation", "version": VERSION, "truth": truth.VERSION, "tastes": self.tastes,
            "injection": None if self.injection is None else self.injection.describe(),
            "people": self.people.model_dump(mode="json"), "course": asdict(self.course), "watch": list(self.watch),
        }  # fmt: skip

    def answer(self, target: Target, seed: int) -> Answer:
        """The values of `loop.simulate`; CPU seconds of `truth`, `craft` and `rounds`."""
        split, clocks = target.split, [time.process_time()]
        tastes = truth.fit_truth(split.history.plus(split.test), self.tastes)
        clocks.append(time.process_time())
        profiles = Profiles.empty()
        if self.injection is not None:
            profiles = self.injection.profiles(split.train, target.model)
        clocks.append(time.process_time())

        def train(log: InteractionLog, own: int) -> Recommender:
            model: Recommender = fit(target.recipe, log, own)
            return model

        values = simulate(train, split, tastes, self.people, profiles, self.watch, self.course, seed)
        clocks.append(time.process_time())
        steps = zip(("truth", "craft", "rounds"), clocks, clocks[1:], strict=False)
        return Answer(values, costs={name: round(after - before, 3) for name, before, after in steps})
