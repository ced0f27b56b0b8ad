"""What an unlearner is: an author writes `forget`, and `prepare` if something must be ready before."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from pydantic import BaseModel, ConfigDict

from ..datasets.log import InteractionLog
from ..recommenders.base import Model, Recipe, Recommender
from ..recommenders.catalogue import model_class
from ..recommenders.pairwise import PairwiseModel
from ..recommenders.sequential import SequentialModel
from .request import Request


class UnlearnerConfig(BaseModel):
    """Base of an unlearner's settings; unknown fields are refused, values frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, eq=False)
class Served:
    """A model in service.

    Attributes:
        recipe: how it was trained.
        log: what it was trained on, less all that it was made to forget.
        model: what is served.
        memory: what the unlearner keeps beside it, from `prepare` on.
        held_out: events that it was not trained on and is not judged on (the validation part), for methods that stop
            when forgotten pairs look like pairs never seen; None if there are none.
    """

    recipe: Recipe
    log: InteractionLog
    model: Recommender
    memory: Any = None
    held_out: InteractionLog | None = None

    @property
    def trained(self) -> Model:
        """The model, for methods that change its tensors."""
        return cast(Model, self.model)

    def after(self, request: Request, log: InteractionLog, model: Recommender, memory: Any = None) -> Served:
        """What is in service once a request is served: the held-out events hold nothing of it either.

        Args:
            request: rows of `log` of this object.
            log: the retain set.
            model: the new model.
            memory: what the unlearner keeps from now on; None for what it kept before.
        """
        memory = self.memory if memory is None else memory
        return Served(self.recipe, log, model, memory, self.unseen(request))

    def unseen(self, request: Request) -> InteractionLog | None:
        """The held-out events less what the request forgets: all that a method may read of them while it serves it."""
        return None if self.held_out is None else request.purged(self.log, self.held_out)


class Unlearner(ABC):
    """Makes a served model forget. One file, one line in `catalogue.py`.

    Class attributes:
        name: in policies, commands and evidence ids.
        title: one line for people.
        reference: authors, year, title, section.
        exact: whether the result is distributed as a training without the forget set.
        own_model: whether `prepare` puts a model of its own kind in the victim's place (shards); it is then verified
            against others of that kind, prepared with and without the forget set.
        config_type: its settings.
        version: raise it when results change, so that stored ones are not reused.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    reference: ClassVar[str]
    exact: ClassVar[bool] = False
    own_model: ClassVar[bool] = False
    config_type: ClassVar[type[UnlearnerConfig]] = UnlearnerConfig
    version: ClassVar[int] = 1

    def __init__(self, config: Any = None) -> None:
        """Keep the settings (defaults if None); compute nothing."""
        self.config: Any = self.config_type() if config is None else config

    def why_not(self, recipe: Recipe, log: InteractionLog) -> str | None:
        """Why such a model cannot be made to forget by this method, or None."""
        return None

    def prepare(self, served: Served, seed: int) -> Served:
        """What is done once for a model, before any request: nothing, or `memory` is filled.

        A method that must train its own way (shards) gives its own model here.
        """
        return served

    @abstractmethod
    def forget(self, served: Served, request: Request, seed: int) -> Served:
        """The model after the request (`Served.after`), ready for the next one. Deterministic.

        Nothing of `served` is changed. Of held-out events only `Served.unseen` may be read.

        Args:
            served: what `prepare` or an earlier `forget` gave.
            request: rows of `served.log`.
            seed: of all that is drawn.
        """


def not_by_gradient(recipe: Recipe) -> str | None:
    """Why a model is not trained row by row with a ranking loss (see `trainer.RankingTraining`), or None."""
    if issubclass(model_class(recipe.model), PairwiseModel | SequentialModel):
        return None
    return f"{recipe.model} is not trained row by row with a ranking loss"
