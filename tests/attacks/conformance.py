"""The examination that every attack passes, ours and those of others."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any, get_args

import numpy as np

from recaudit.attacks.base import Attack, Goal, Knowledge
from recaudit.attacks.goal import Direction, Kind
from recaudit.attacks.knowledge import Grant
from recaudit.datasets.log import Int64, InteractionLog, Profiles
from recaudit.datasets.seeding import rng
from recaudit.datasets.synthetic import generate

TARGET = 11
COLUMNS = ("account", "item", "value", "time")


class Circle:
    """A stand-in for a victim: lists the items that come after the last one, in a circle."""

    def __init__(self, n_items: int, k: int = 20) -> None:
        self.n_items, self.k, self.calls = n_items, min(k, n_items), 0

    def __call__(self, sequences: Int64) -> Int64:
        self.calls += len(sequences)
        return (sequences[:, -1:] + 1 + np.arange(self.k)) % self.n_items


class Tripwire(Knowledge):
    """Knowledge that notes what is read and trips over what the attack does not declare."""

    def __init__(self, log: InteractionLog, allowed: frozenset[Grant]) -> None:
        everything = Knowledge.of(log, get_args(Grant), query=Circle(log.n_items))
        super().__init__(everything.grants, everything._held)
        object.__setattr__(self, "allowed", allowed)
        object.__setattr__(self, "read", set())

    def _read(self, name: Grant) -> Any:
        assert name in self.allowed, f"reads {name!r} without declaring it"  # type: ignore[attr-defined]
        self.read.add(name)  # type: ignore[attr-defined]
        return super()._read(name)


def log_for(kind: Kind, *, ratings: bool | None = None, times: bool = True) -> InteractionLog:
    """A generated log of 60 users and 50 items; with half stars where it has ratings."""
    log = generate(users=60, items=50, events=900, seed=4)
    if not (kind == "rating" if ratings is None else ratings):
        log = replace(log, value=None)
    elif log.value is not None:
        log = replace(log, value=log.value - np.float32(0.5) * (log.item % 2).astype(np.float32))
    return log if times else replace(log, time=None)


def columns(profiles: Profiles) -> list[bytes | None]:
    """All bytes of some profiles."""
    arrays = (getattr(profiles, name) for name in COLUMNS)
    return [None if array is None else array.tobytes() for array in arrays]


def run(attack: Attack, log: InteractionLog, goal: Goal, seed: int = 0) -> Profiles:
    """The attack as the harness runs it."""
    knowledge = Knowledge.of(log, attack.needs(goal), query=Circle(log.n_items))
    return attack.profiles(knowledge, goal, rng(seed, "craft"))


def examine(attack_type: type[Attack], kind: Kind, direction: Direction) -> None:
    """One attack on one kind of data in one direction."""
    attack = attack_type()
    goal = Goal((TARGET,), accounts=7, profile=9, kind=kind, direction=direction)
    for number, log in enumerate((log_for(kind), log_for(kind, ratings=True), log_for(kind, times=False))):
        if kind == "rating" and number == 1:
            continue  # it is the first log again
        before = (log.fingerprint, columns(Profiles(0, log.user, log.item, log.value, log.time)))
        profiles = run(attack, log, goal)
        examine_profiles(profiles, log, goal)
        if number == 0:
            assert columns(run(attack, log, goal, seed=1)) != columns(profiles), "the seed changes nothing"
        # one more craft, in another process as it were, by an attacker who must not read more than is granted
        again = pickle.loads(pickle.dumps(attack_type()))  # noqa: S301
        tripwire = Tripwire(log, attack.needs(goal))
        assert columns(again.profiles(tripwire, goal, rng(0, "craft"))) == columns(profiles), "same seed, other bytes"
        after = replace(log, user=log.user.copy())  # a new object computes its hash anew
        assert (after.fingerprint, columns(Profiles(0, log.user, log.item, log.value, log.time))) == before
    empty = run(attack, log, replace(goal, accounts=0))
    assert empty.n_accounts == 0 and len(empty.item) == 0 and log.with_accounts(empty) is log
    for profile in (1, 2, 40):
        sized = replace(goal, profile=profile)
        examine_profiles(run(attack, log, sized), log, sized)
    if not goal.by_rivals:
        both = replace(goal, targets=(TARGET, 30))
        examine_profiles(run(attack, log, both), log, both)
    few = Knowledge.of(log, attack.needs(goal), share=0.05, seed=3, query=Circle(log.n_items))
    examine_profiles(attack.profiles(few, goal, rng(0, "craft")), log, goal, few)


def examine_profiles(profiles: Profiles, log: InteractionLog, goal: Goal, knowledge: Knowledge | None = None) -> None:
    """The plain definition of a valid set of accounts."""
    assert profiles.n_accounts == goal.accounts
    assert profiles.account.dtype == np.int32 and profiles.item.dtype == np.int32
    scale = set() if log.value is None else set(log.value.tolist())
    for account in range(goal.accounts):
        rows = profiles.account == account
        items = profiles.item[rows].tolist()
        assert len(items) == goal.profile
        assert all(0 <= item < log.n_items for item in items)
        assert all((target in items) != goal.by_rivals for target in goal.targets)
        if goal.kind != "sequence":
            assert len(set(items)) == len(items)
        if log.value is None:
            assert profiles.value is None
        else:
            assert profiles.value is not None and set(profiles.value[rows].tolist()) <= scale
        if log.time is None:
            assert profiles.time is None
        else:
            assert profiles.time is not None
            time = profiles.time[rows]
            assert log.time.min() <= time.min() and time.max() <= log.time.max() and (np.diff(time) >= 0).all()
    if goal.kind == "rating" and log.value is not None and profiles.value is not None and knowledge is None:
        own = profiles.value[np.isin(profiles.item, goal.targets)]
        assert set(own.tolist()) == {log.value.max() if goal.direction == "push" else log.value.min()}
    assert log.with_accounts(profiles).n_users == log.n_users + goal.accounts


def examine_edges(attack_type: type[Attack]) -> None:
    """An implicit attack on logs that have next to nothing: the accounts are valid all the same."""
    log = log_for("implicit")
    never = replace(log, user=log.user[log.item != TARGET], item=log.item[log.item != TARGET], time=None)
    single = generate(users=1, items=12, events=4, seed=0, ratings=False)
    tiny = replace(log, user=log.user[:2], item=log.item[:2], time=None)
    for case, goal in (
        (never, Goal((TARGET,), 4, 9)),
        (never, Goal((TARGET, 30), 4, 9, audience=(1, 2))),
        (single, Goal((3,), 2, 12)),
        (tiny, Goal((TARGET,), 1, 5)),
        (log, Goal((TARGET,), 3, 50)),
    ):
        examine_profiles(run(attack_type(), case, goal), case, goal)


def examine_declaration(attack_type: type[Attack]) -> None:
    """What an attack says about itself is complete, and it declares nothing that it never reads."""
    assert attack_type.name and attack_type.title and len(attack_type.reference) > 20 and attack_type.__doc__
    assert attack_type.kinds <= set(get_args(Kind)) and attack_type.directions <= set(get_args(Direction))
    assert attack_type.grants <= set(get_args(Grant)) and attack_type.kinds and attack_type.directions
    config = attack_type().config
    assert attack_type.config_type.model_validate_json(config.model_dump_json()) == config
    read: set[Grant] = set()
    for kind in attack_type.kinds:
        for direction in attack_type.directions:
            goal = Goal((TARGET,), 3, 8, kind, direction)
            tripwire = Tripwire(log_for(kind), attack_type.grants | {"catalogue", "log"})
            attack_type().craft(tripwire, goal, rng(0))
            read |= tripwire.read  # type: ignore[attr-defined]
    assert attack_type.grants - read <= {"catalogue"}, "declares what it never reads"
