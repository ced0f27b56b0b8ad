"""The check "takeover": what can someone who takes accounts over make them show at once, without any retraining?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

from pydantic import Field, field_validator

from ..audit.cell import Cell
from ..audit.evidence import Evidence
from ..audit.probe import NotApplicable, Probe, ProbeConfig, Results
from ..datasets.log import InteractionLog
from ..recommenders.target import Target
from .before_after import before_after
from .config import Strata
from .design import find_targets
from .hijacking import Pollution
from .surrogate.sequence import SequenceConfig
from .targets import STRATA, WORDS, Stratum, Targets

_CONTROLS = {"random": "random events", "alternated": "random events in turn with the item"}


class TakeoverConfig(ProbeConfig):
    """Settings of the check "takeover"."""

    events: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(2, 5), min_length=1)
    """Numbers of events that are planted in an account."""
    users: int = Field(default=500, ge=1)
    """Accounts taken over per target item, drawn among the genuine users with events who lack it."""
    per_stratum: int = Field(default=5, ge=1)
    """Target items per stratum; fewer than five rarely allow a verdict."""
    strata: Strata = STRATA
    """head: top 10 % of the items by popularity; middle: next 40 %; cold: the rest with at least two events."""
    items: tuple[str, ...] = ()
    """Ids of the target items; drawn by stratum if none is named."""
    cutoff: int = Field(default=20, ge=1)
    """K of HR@K."""
    relists: bool = False
    """Whether the service lists consumed items again, so that the target itself may be planted."""
    knowledge: float = Field(default=1.0, gt=0, le=1)
    """Share of the genuine users whose profiles the attacker sees."""
    surrogate: SequenceConfig = SequenceConfig()
    """The small model that the attacker trains to choose the events."""

    @field_validator("events")
    @classmethod
    def _once(cls, events: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(dict.fromkeys(events))


class TakeoverProbe(Probe):
    """HR@K and rank of target items for hijacked users before and after a few events are planted; no retraining.

    The events are chosen on a surrogate of the training log; random events stand beside them. Evidence, higher is
    worse: `takeover.Z-events.STRATUM.hr@K`, gain in the share of hijacked users, and `...log2_rank_shift`. Units are
    target items.
    """

    key = "takeover"
    title = "What can someone who takes accounts over make them show?"
    reference = (
        "Yue, He, Zeng, McAuley 2021, Black-Box Attacks on Sequential Recommenders via Data-Free Model Extraction, "
        "RecSys, arXiv 2109.01165, profile pollution"
    )
    config_type = TakeoverConfig

    def design(self, target: Target) -> tuple[Targets, Mapping[int, Cell]]:
        """The target items, and a cell for each number of events.

        Raises:
            NotApplicable: the model is not sequential, or no item is eligible.
            InputError: a named item that the log does not have.
        """
        if target.model.family != "sequential":
            raise NotApplicable(
                "the model does not read the sequence of an account's events when it makes a list; this check asks "
                "sequential models alone"
            )
        config: TakeoverConfig = self.config
        targets = find_targets(target, config.items, config.per_stratum, config.strata, self.seed)
        cells = {}
        for events in config.events:
            asked = Pollution(
                targets.items, events, config.users, config.cutoff, config.relists, config.knowledge, config.surrogate
            )
            label = f"{_planted(events)} in hijacked accounts, for {len(targets.items)} target items"
            cells[events] = Cell("inquiry", label, self.seed, watch=targets.items, inquiry=asked)
        return targets, cells

    def cells(self, target: Target) -> Sequence[Cell]:
        """One for each number of planted events."""
        return list(self.design(target)[1].values())

    def evidence(self, target: Target, results: Results) -> Sequence[Evidence]:
        """By number of events and stratum: gain in HR@K, change of log2 rank."""
        targets, cells = self.design(target)
        log = target.split.train
        return [
            found
            for events, cell in cells.items()
            for stratum in dict.fromkeys(targets.strata)
            for found in self._of_stratum(log, results, cell, events, stratum, targets.of(stratum))
        ]

    def _of_stratum(
        self, log: InteractionLog, results: Results, cell: Cell, events: int, stratum: Stratum, items: Sequence[int]
    ) -> Iterator[Evidence]:
        done = [results[cell]] if cell in results else []
        for found in before_after(
            f"{self.key}.{events}-events.{stratum}", f"{WORDS[stratum]} item", self.config.cutoff,
            "hijacked users", f"after {_planted(events)}",
            values=done[0].values if done else {},
            items=[str(log.item_ids[place]) for place in items],
            seed=self.seed,
            cells=[result.key for result in done],
            details={
                "events": events, "stratum": stratum,
                "relists": self.config.relists, "knowledge": self.config.knowledge,
            },
            after="polluted",
            beside=_CONTROLS,
        ):  # fmt: skip
            if found.missing is None:
                by_random = found.details["random"] - found.details["before"]
                found.details["gain_by_random"] = -by_random if found.measure == "log2_rank_shift" else by_random
            yield found


def _planted(events: int) -> str:
    return "1 planted event" if events == 1 else f"{events} planted events"
