"""LoRec: users are weighed anew while the victim trains, by a calibrator that reads its states."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from ...audit.cell import Defended
from ...datasets.log import Float32, InteractionLog
from ...datasets.seeding import derive, rng
from ...language.texts import why_no_texts
from ...recommenders.base import Recipe
from ...recommenders.catalogue import model_class
from ...recommenders.trainer import Compared, RankingTraining
from ..base import DefenseConfig, Float64, RobustTraining, planned
from ..histories import Histories, simulated
from ..robust.base import Hardened, weighed
from ..texts import readings
from .config import EPOCHS, LoRecConfig, Timing
from .judging import Judge
from .states import Edges, States, states_of
from .weights import Compensation


@dataclass(frozen=True, eq=False)
class Round:
    """One try to update the weights.

    Attributes:
        epoch: after how many it was, whole or not.
        suspicion: float64 [U], as in `Defended`.
        done: False if it was refused.
    """

    epoch: float
    suspicion: Float64
    done: bool


class Calibrated(Hardened):
    """A victim's training in which a calibrator learns, and weighs users, after each round of some of its steps.

    Users the victim learns nothing from (fewer than two events, weight zero in the log) are not read at all: they keep
    their weight, and are as little suspicious as the least suspicious of the others.

    Attributes:
        rounds: all tries to update, in order.
        suspicion: float64 [U] after the last round; zeros before the first update.
        weights: float32 [U], what each user counts in the loss of this round.
        turn: the round that runs, from 1.
    """

    def __init__(
        self,
        training: RankingTraining[Any],
        log: InteractionLog,
        seed: int,
        config: LoRecConfig,
        epochs: int,
    ) -> None:
        """Simulate fraudsters, read the texts, make the calibrators.

        Raises:
            DataError: the items have no text, and the settings ask for it.
            InputError: the victim is trained on neither sequences nor pairs, or has no edges that are to be weighed.
        """
        super().__init__(training, log, seed, epochs, config)
        self.timing = Timing.of(config, epochs)
        victim = states_of(training, log)
        self.users, self.places = victim.users, victim.places
        self.edges = None if config.weigh == "loss" else Edges(training)
        self.judge = _make_judge(victim, log, config, seed)
        self.compensation = Compensation(len(self.users))
        self.rounds: list[Round] = []
        self.turn, self._updated, self._last = 0, 0, epochs * self.timing.rounds
        self.suspicion: Float64 = np.zeros(log.n_users)
        self.weights: Float32 = np.ones(log.n_users, np.float32)
        self._factor: torch.Tensor | None = None  # None is all ones, to the bit

    def rows(self, rng: np.random.Generator) -> Iterator[Any]:
        """See Hardened; what follows a batch is asked for when its step is done."""
        batches = list(super().rows(rng))
        for part in np.array_split(np.arange(len(batches)), self.timing.rounds):
            self.turn += 1
            self._weigh()
            for place in part:
                yield batches[place]
            self._judge()

    def _weigh(self) -> None:
        if self.turn < self.timing.start:
            return
        self.weights[self.users] = self.compensation.weights()
        if self.config.weigh != "edges":
            factor = np.ones(self.nodes, np.float32)
            factor[self.places] = self.weights
            self._factor = torch.from_numpy(factor).to(self.judge.device)
        if self.edges is not None:
            self.edges.weigh(self.weights)

    def _judge(self) -> None:
        self.judge.learn(self.turn, self.config.passes / self.timing.rounds)
        due = self.timing.due(self.turn, self._updated)
        if not due and self.turn != self._last:
            return
        suspicion = self.judge.suspicion()
        self.suspicion = np.full(len(self.weights), suspicion.min())
        self.suspicion[self.users] = suspicion
        if due:
            done = self.compensation.update(suspicion, self.judge.level(suspicion))
            self._updated = self.turn if done else self._updated
            self.rounds.append(Round(self.turn / self.timing.rounds, self.suspicion, done))

    def compared(self, vectors: Compared, batch: Any) -> torch.Tensor:
        """See Hardened."""
        training = self.training
        factor = None if self._factor is None else self._factor[training.users(batch)]
        return training.ranking(vectors, batch, weighed(training.weights(batch), factor))


def _make_judge(victim: States, log: InteractionLog, config: LoRecConfig, seed: int) -> Judge:
    users = victim.users
    accounts = Histories.of_accounts(log, users)
    count = max(len(config.attacks), round(config.fraudsters * len(users)))
    fraudsters = simulated(log, users, count, config.attacks, derive(seed, "fraudsters"))
    texts = None
    if config.reads_text:
        draw = rng(seed, "texts")
        everybody = accounts.plus(fraudsters)
        texts = readings(log, everybody, config.arm, config.encoder, config.account, draw)
    return Judge(victim, accounts, fraudsters, texts, config, derive(seed, "calibrator"))


class LoRec(RobustTraining):
    """Lowers the weight of accounts that a calibrator takes for fraudsters, again and again, while the victim trains.

    The calibrator never sees a label: it learns to tell fraudsters simulated from the log from the accounts of the log,
    fakes among them included. Text enters through one term of its loss alone, so the other arms belong beside `real`.

    Attributes:
        rounds: the tries to update weights in the last `fit`, refused ones included.
    """

    _own: Calibrated

    name: ClassVar[str] = "lorec"
    title: ClassVar[str] = "LoRec: users weighed by a calibrator that is tied to texts"
    reference: ClassVar[str] = (
        "Zhang et al. 2024, LoRec: Large Language Model for Robust Sequential Recommendation against Poisoning "
        "Attacks, SIGIR, arXiv 2401.17723"
    )
    config_type: ClassVar[type[DefenseConfig]] = LoRecConfig
    version: ClassVar[int] = 4

    def __init__(self, config: Any = None) -> None:
        """See Defense."""
        super().__init__(config)
        self.rounds: list[Round] = []

    def why_not(self, recipe: Recipe, log: InteractionLog) -> str | None:
        """See Defense. Whether texts are needed is a setting."""
        why = super().why_not(recipe, log)
        if why is not None:
            return why
        if self.config.weigh != "loss" and model_class(recipe.model).family != "graph":
            return f"{recipe.model} propagates along no edges that could be weighed; set weigh to loss"
        epochs = planned(recipe)
        if self.config.schedule == "published" and epochs is not None and epochs < EPOCHS // 10:
            return (
                f"the published schedule weighs users from epoch {EPOCHS // 10}, and {epochs} are trained; use scaled"
            )
        reads = self.config.reads_text and self.config.arm != "random-items"
        return why_no_texts(log) if reads else None

    def harden(self, training: RankingTraining[Any], log: InteractionLog, seed: int, epochs: int | None) -> Calibrated:
        """See RobustTraining.

        Raises:
            InputError: the model is trained on neither sequences nor pairs, or has no edges to weigh.
        """
        self._own = Calibrated(training, log, seed, self.config, epochs or EPOCHS)
        return self._own

    def fit(self, recipe: Recipe, log: InteractionLog, seed: int) -> Defended:
        """See Defense; the notes say how many updates of the weights were done and refused.

        Raises:
            DataError: the items have no text, and `arm` reads it.
        """
        model, own = super().fit(recipe, log, seed).model, self._own
        self.rounds = own.rounds
        done = sum(each.done for each in own.rounds)
        notes = {"updates": float(done), "refused": float(len(own.rounds) - done)}
        return Defended(model, own.suspicion, own.weights, notes, tuple(past.suspicion for past in own.rounds))
