"""What a cell adds to the training log: the accounts of an attack, or clones of genuine users as a control."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..datasets.log import InteractionLog, Profiles
from ..datasets.seeding import derive, rng
from ..recommenders.base import Recommender
from .base import Attack
from .budget import accounts_of, mean_profile
from .catalogue import build
from .clone import choose_users, clones_of
from .goal import Direction, Goal, Kind, data_kind
from .knowledge import Knowledge, Query
from .surrogate.extracted import ModelQuery
from .visibility import visibility


@dataclass(frozen=True)
class AttackInjection:
    """An attack with its goal (audit.cell.Injection).

    Attributes:
        attack: its name.
        goal: targets, direction and budget.
        seed: of the craft.
        settings: of the attack; its defaults where not given.
        share: of the users that the attacker sees, 0 < share <= 1.
    """

    attack: str
    goal: Goal
    seed: int
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    share: float = 1.0

    def describe(self) -> dict[str, Any]:
        """Everything that determines the accounts, as JSON."""
        goal, attack = self.goal, build(self.attack, self.settings)
        found: dict[str, Any] = {
            "injection": "attack", "attack": self.attack, "version": attack.version,
            "settings": attack.config.model_dump(mode="json"), "seed": self.seed, "share": self.share,
            "targets": list(goal.targets), "direction": goal.direction, "kind": goal.kind,
            "accounts": goal.accounts, "profile": goal.profile,
            "audience": None if goal.audience is None else list(goal.audience),
        }  # fmt: skip
        if goal.kind == "sequence":
            found |= {"placement": goal.placement, "repeats": goal.repeats}
        return found

    @property
    def asks(self) -> bool:
        """Whether the attack queries the victim."""
        return "query" in build(self.attack, self.settings).needs(self.goal)

    def profiles(self, log: InteractionLog, model: Recommender | None = None) -> Profiles:
        """The accounts, from what the attacker may see of the training log and may ask the model; deterministic."""
        query = ModelQuery(model) if self.asks and model is not None else None
        return crafted(build(self.attack, self.settings), log, self.goal, self.seed, self.share, query)

    def observe(self, log: InteractionLog, profiles: Profiles) -> dict[str, float | None]:
        """How visible the accounts are in what the victim reads."""
        return _observed(log, profiles, self.goal.kind)


@dataclass(frozen=True)
class CloneInjection:
    """The second control: as many accounts as an attack has, copied from genuine users, with no target.

    What it changes is the effect of more data; what an attack changes beyond it is the effect of the attack.

    Attributes:
        accounts: A.
        profile: events per account at most; longer profiles keep a random part, of sequences the latest.
            Shorter ones stay as they are: nothing is invented.
        without: items whose events are not copied: all targets of the experiment.
        sequence: whether the order of events matters.
        seed: which users and which events.
    """

    accounts: int
    profile: int
    without: tuple[int, ...]
    sequence: bool
    seed: int

    def describe(self) -> dict[str, Any]:
        """Everything that determines the accounts, as JSON."""
        return {
            "injection": "clone", "accounts": self.accounts, "profile": self.profile,
            "without": list(self.without), "sequence": self.sequence, "seed": self.seed,
        }  # fmt: skip

    @property
    def asks(self) -> bool:
        """It does not."""
        return False

    def profiles(self, log: InteractionLog, model: Recommender | None = None) -> Profiles:
        """The accounts, with the genuine ratings and times; the model is not asked."""
        if not self.accounts or not len(log):
            return Profiles.empty()
        draw = rng(self.seed, "clone")
        # chosen by length alone: to ask for users without any of many popular targets would choose odd users
        users = choose_users(log, (), self.accounts, self.profile, draw)
        clones = clones_of(log, users, self.without)
        key = -clones.place if self.sequence else draw.random(len(clones.event))
        order = np.lexsort((key, clones.account))
        account = clones.account[order]
        begins = np.searchsorted(account, np.arange(self.accounts))
        kept = np.sort(order[np.arange(len(order)) - begins[account] < self.profile])
        event = clones.event[kept]
        return Profiles(
            self.accounts,
            clones.account[kept].astype(np.int32),
            log.item[event],
            None if log.value is None else log.value[event],
            None if log.time is None else log.time[event],
            None if log.users is None else log.users.iloc[users].reset_index(drop=True),
        )

    def observe(self, log: InteractionLog, profiles: Profiles) -> dict[str, float | None]:
        """The same measures of genuine profiles cut to the length of fakes: what length alone gives away."""
        return _observed(log, profiles, "sequence" if self.sequence else "implicit")


def _observed(log: InteractionLog, profiles: Profiles, kind: Kind) -> dict[str, float | None]:
    if not profiles.n_accounts:
        return {}
    if kind != "rating":  # the victim does not read ratings, nor does who watches over it
        log, profiles = replace(log, value=None), replace(profiles, value=None)
    return visibility(log, profiles)


def crafted(
    attack: Attack, log: InteractionLog, goal: Goal, seed: int, share: float = 1.0, query: Query | None = None
) -> Profiles:
    """The accounts of an attack on a training log; the attack sees only what it declares.

    The stream of the craft does not depend on the attack's name, so that attacks of one seed share their
    luck and differ in their method. `query` is the victim, for attacks that may ask it.
    """
    knowledge = Knowledge.of(log, attack.needs(goal), share=share, seed=derive(seed, "share"), query=query)
    return attack.profiles(knowledge, goal, rng(seed, "craft"))


def craft_only(
    log: InteractionLog,
    attack: str,
    targets: list[int],
    accounts: str | int = "1%",
    profile: int | None = None,
    seed: int = 0,
    *,
    direction: Direction = "push",
    kind: Kind | None = None,
    settings: Mapping[str, Any] | None = None,
    share: float = 1.0,
) -> Profiles:
    """Fake accounts for a red team's own pipeline (`recaudit attack`); nothing is trained.

    Args:
        log: what the attacker can know at most.
        attack: name of the attack.
        targets: item indices.
        accounts: number, or share of the users ("1%").
        profile: events per account; the rounded mean of the genuine users if None.
        seed: of the craft.
        direction: push or nuke.
        kind: what the victim reads; what the log offers if None (never "sequence": say so).
        settings: of the attack.
        share: of the users whose profiles are seen.

    Raises:
        InputError: unknown attack, a budget that makes no sense, an attack that does not apply to these data.
        DataError: an empty log.
    """
    goal = Goal(
        targets=tuple(targets),
        accounts=accounts_of(accounts, log.n_users),
        profile=mean_profile(log) if profile is None else profile,
        kind=data_kind(log) if kind is None else kind,
        direction=direction,
    )
    return crafted(build(attack, settings), log, goal, seed, share)
