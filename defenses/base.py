"""What a defence is: an author writes `detect` or `harden`, everything else is shared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ..audit.cell import Defended
from ..datasets.log import Float32, InteractionLog
from ..datasets.seeding import derive, rng
from ..recommenders.base import Recipe
from ..recommenders.catalogue import build, fit, model_class
from ..recommenders.pairwise import PairwiseModel
from ..recommenders.sequential import SequentialModel
from ..recommenders.trainer import RankingTraining, Trainable

Float64 = NDArray[np.float64]


def _enough(folds: int) -> int:
    if folds == 1:
        raise ValueError("one fold would leave nothing to learn from; give 0, or 2 folds and more")
    return folds


Folds = Annotated[int, Field(ge=0), AfterValidator(_enough)]
"""Folds of the accounts, each judged by a model that has not learnt from it; 0: one model judges all."""


class DefenseConfig(BaseModel):
    """Base of a defence's settings; unknown fields are refused, values frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Defense(ABC):
    """Trains a victim on a log that may hold fake accounts. One file, one line in `catalogue.py`.

    A defence sees the log with whatever was injected and no label: which accounts are fake is known to the harness
    alone.

    Class attributes:
        name: in policies, commands and evidence ids.
        title: one line for people.
        reference: authors, year, title, section.
        config_type: its settings.
        version: raise it when results change, so that stored ones are not reused.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    reference: ClassVar[str]
    config_type: ClassVar[type[DefenseConfig]] = DefenseConfig
    version: ClassVar[int] = 1

    def __init__(self, config: Any = None) -> None:
        """Keep the settings (defaults if None); compute nothing."""
        self.config: Any = self.config_type() if config is None else config

    def why_not(self, recipe: Recipe, log: InteractionLog) -> str | None:
        """Why this defence cannot protect such a model, or None."""
        return None

    @abstractmethod
    def fit(self, recipe: Recipe, log: InteractionLog, seed: int) -> Defended:
        """The victim trained with the defence, and what it thinks of the accounts if it thinks anything."""


class DetectorConfig(DefenseConfig):
    """Settings of the defences that look for fake accounts before training."""

    share: float = Field(
        default=0.02,
        gt=0,
        lt=1,
        description="share of the accounts that are flagged: twice a budget of 1 %; of fewer than 1 / share none is",
    )
    action: Literal["remove", "weigh"] = Field(
        default="remove",
        description="remove: flagged accounts teach nothing; weigh: each counts the share of the accounts that are at "
        "least as suspicious",
    )


class Detector(Defense):
    """Scores accounts by suspicion, without labels; the flagged ones are left out of training.

    How many are flagged is the operator's guess (`share`), since the true number is not known.

    Attributes:
        notes: what the last `detect` wants kept beside its scores, by name (`Defended.notes`); it may fill it.
    """

    config_type: ClassVar[type[DetectorConfig]] = DetectorConfig
    version: ClassVar[int] = 2

    def __init__(self, config: Any = None) -> None:
        """See Defense."""
        super().__init__(config)
        self.notes: dict[str, float] = {}

    @abstractmethod
    def detect(self, log: InteractionLog, rng: np.random.Generator) -> Float64:
        """Suspicion of every account, float64 [U], higher is more suspicious; nothing may be learnt from its place.

        Args:
            log: genuine and fake accounts, in random order and without their ids.
            rng: the only source of randomness.
        """

    def suspicion(self, log: InteractionLog, seed: int) -> Float64:
        """`detect` of the log with accounts shuffled and renamed, in the log's own order.

        Accounts without events get the lowest value of all. Ties are kept.

        Raises:
            ValueError: the detector gave NaN, or not one number for each account.
        """
        self.notes = {}
        order = rng(seed, "defense", "order").permutation(log.n_users)
        found = self.detect(shuffled(log, order), rng(seed, "defense", self.name))
        if found.shape != (log.n_users,) or np.isnan(found).any():
            raise ValueError(f"detector {self.name!r} gave shape {found.shape} or NaN for {log.n_users} accounts")
        back = np.empty(log.n_users)
        back[order] = found
        idle = log.user_counts == 0
        back[idle] = back[~idle].min(initial=0.0)
        return back

    def weights(self, suspicion: Float64, rng: np.random.Generator) -> Float32:
        """Weights of the accounts in training, float32 [U] in 0..1.

        Removed is the share, rounded to accounts, and nobody of a log so small that the share is less than one of them.
        Of accounts equally suspicious at the threshold, `rng` draws.

        Weighed is each by the share of the accounts that are at least as suspicious, itself among them: the least
        suspicious, and all where the scores do not differ, weigh 1; where they all differ half weigh less than half.
        """
        config: DetectorConfig = self.config
        if config.action == "remove":
            kept = np.ones(len(suspicion), np.float32)
            part = config.share * len(suspicion)
            flagged = round(part) if part > 1 - 1e-9 else 0
            kept[np.lexsort((rng.random(len(suspicion)), -suspicion))[:flagged]] = 0
            return kept
        order = np.sort(suspicion)
        below = np.searchsorted(order, suspicion, side="left")
        weights: Float32 = (1 - below / max(len(order), 1)).astype(np.float32)
        return weights

    def fit(self, recipe: Recipe, log: InteractionLog, seed: int) -> Defended:
        """See Defense."""
        suspicion = self.suspicion(log, seed)
        weights = self.weights(suspicion, rng(seed, "defense", "ties"))
        return Defended(fit(recipe, log, seed, weights=weights), suspicion, weights, self.notes)


class RobustTraining(Defense):
    """Trains so that single accounts weigh less. For models that learn by gradient."""

    @abstractmethod
    def harden(
        self, training: RankingTraining[Any], log: InteractionLog, seed: int, epochs: int | None
    ) -> Trainable[Any]:
        """The training that is run instead; `RankingTraining` says what it may use of the victim's own.

        Args:
            training: the victim's.
            log: what it is trained on.
            seed: of all that the defence draws.
            epochs: how many will be run, None if that is not known.
        """

    def why_not(self, recipe: Recipe, log: InteractionLog) -> str | None:
        """See Defense."""
        if issubclass(model_class(recipe.model), PairwiseModel | SequentialModel):
            return None
        return f"{recipe.model} is not trained row by row with a ranking loss"

    def fit(self, recipe: Recipe, log: InteractionLog, seed: int) -> Defended:
        """See Defense."""
        own, epochs = derive(seed, "defense", self.name), planned(recipe)
        return Defended(fit(recipe, log, seed, harden=lambda training: self.harden(training, log, own, epochs)))


def planned(recipe: Recipe) -> int | None:
    """The epochs a refit by this recipe runs: it has nothing to validate on and never stops early."""
    if recipe.epochs is not None:
        return recipe.epochs
    longest = getattr(build(recipe).config, "max_epochs", None)
    return None if longest is None else int(longest)


def shuffled(log: InteractionLog, order: NDArray[np.int64]) -> InteractionLog:
    """The log with account order[n] at place n under the name n; events of an account keep their order.

    Without times they have none and stand by item, those of one item as before: a file's own order (often by item)
    would tell genuine accounts from injected ones, whose events stand as they were drawn.

    Shapes: order int64 [U], a permutation.
    """
    place = np.empty(log.n_users, np.int32)
    place[order] = np.arange(log.n_users, dtype=np.int32)
    user = place[log.user]
    rows = np.lexsort((log.item, user)) if log.time is None else np.argsort(user, kind="stable")
    users = None if log.users is None else log.users.iloc[order].reset_index(drop=True)
    names = np.array([str(number) for number in range(log.n_users)])
    return replace(log, user=user, user_ids=names, users=users).take(rows)
