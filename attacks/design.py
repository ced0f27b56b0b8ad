"""The design of an injection experiment: targets, seeds, and which refits are compared with which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..audit.cell import Cell
from ..audit.probe import NotApplicable
from ..datasets.log import InteractionLog
from ..datasets.seeding import derive
from ..recommenders.target import Target
from .budget import accounts_of, mean_profile
from .catalogue import attack_class, build, distinct
from .config import InjectionConfig
from .goal import Direction, Goal, Kind, data_kind
from .injection import AttackInjection, CloneInjection
from .targets import Stratum, Targets, choose_targets, named_targets


@dataclass(frozen=True)
class Trial:
    """One attacked refit with what it is compared with: the same refit seed without and with clones."""

    item: int
    stratum: Stratum
    attacked: Cell
    control: Cell
    clones: Cell


@dataclass(frozen=True, eq=False)
class Design:
    """All refits of an experiment.

    Attributes:
        targets: watched by every control.
        kind: what the victim reads.
        profile: P.
        genuine: number of genuine users, of which attack sizes are shares.
        controls: one per seed.
        clones: one per size and seed.
        trials: by attack and size.
        aliases: by attack, the asked-for names it stands for.
        inapplicable: asked-for attacks that do not exist on such data.
        queries: by attack, how many lists each craft asks the victim for.
    """

    targets: Targets
    kind: Kind
    profile: int
    genuine: int
    controls: tuple[Cell, ...]
    clones: Mapping[str, tuple[Cell, ...]]
    trials: Mapping[tuple[str, str], tuple[Trial, ...]]
    aliases: Mapping[str, tuple[str, ...]]
    inapplicable: tuple[str, ...]
    queries: Mapping[str, int]

    def cells(self) -> list[Cell]:
        """Controls first."""
        found = [*self.controls, *(cell for cells in self.clones.values() for cell in cells)]
        return found + [trial.attacked for trials in self.trials.values() for trial in trials]


def victim_kind(target: Target) -> Kind:
    """What the victim reads of a log.

    A model that reads rating values says so by an attribute `reads_ratings`; the built-in ones read who has what.
    """
    log = target.split.train
    if target.model.family == "sequential":
        return data_kind(log, sequential=True)
    return data_kind(log) if getattr(target.model, "reads_ratings", False) else "implicit"


def make_design(target: Target, config: InjectionConfig, direction: Direction, seed: int) -> Design:
    """Lay out the experiment; deterministic, computes no refit.

    Every target is attacked under `seeds_per_target` of the control seeds, in turn, and each attacked refit is
    paired with the controls of the same seed: common random numbers. Attacks, sizes and directions share
    targets, controls and the luck of the craft.

    Raises:
        NotApplicable: no eligible target, no applicable attack, or a profile longer than the catalogue.
        InputError: a named item that the log does not have.
    """
    train = target.split.train
    kind = victim_kind(target)
    profile = mean_profile(train) if config.profile is None else config.profile
    _check(train, kind, profile)
    targets = find_targets(target, config.items, config.per_stratum, config.strata, seed)
    runs = {
        name: asked
        for name, asked in distinct(config.attacks, kind).items()
        if attack_class(name).applies(kind, direction)
    }
    inapplicable = tuple(
        name for name, asked in distinct(config.attacks, kind).items() if name not in runs for name in asked
    )
    if not runs:
        raise NotApplicable(f"none of {', '.join(config.attacks)} can {direction} an item on {kind} data")

    seeds = [derive(seed, "control", number) >> 32 for number in range(config.control_seeds)]  # 31 bits
    controls = tuple(
        Cell("refit", f"control, seed {number}", own, watch=targets.items) for number, own in enumerate(seeds)
    )
    clones = {}
    for size in config.sizes:
        accounts = accounts_of(size, train.n_users)
        clones[size] = tuple(
            Cell(
                "refit",
                f"{size} cloned users, seed {number}",
                own,
                injection=CloneInjection(
                    accounts, profile, targets.items, kind == "sequence", derive(seed, "clones", number)
                ),
                watch=targets.items,
            )
            for number, own in enumerate(seeds)
        )

    def trial(name: str, size: str, place: int, number: int) -> Trial:
        item, stratum = targets.items[place], targets.strata[place]
        accounts = accounts_of(size, train.n_users)
        goal = Goal((item,), accounts, profile, kind, direction, placement=config.placement)
        craft = derive(seed, "craft", str(train.item_ids[item]), number)
        settings: Mapping[str, Any] = config.settings.get(name, {})
        label = f"{direction} {name} {size} -> item {train.item_ids[item]}, seed {number}"
        injection = AttackInjection(name, goal, craft, settings, config.knowledge)
        cell = Cell("refit", label, seeds[number], injection=injection, watch=(item,))
        return Trial(item, stratum, cell, controls[number], clones[size][number])

    pairs = [
        (place, (place * config.seeds_per_target + turn) % config.control_seeds)
        for place in range(len(targets.items))
        for turn in range(config.seeds_per_target)
    ]
    trials = {(name, size): tuple(trial(name, size, *pair) for pair in pairs) for name in runs for size in config.sizes}
    queries = {
        name: build(name, config.settings.get(name)).queries(Goal(targets.items[:1], 1, profile, kind, direction))
        for name in runs
    }
    return Design(targets, kind, profile, train.n_users, controls, clones, trials, runs, inapplicable, queries)


def find_targets(
    target: Target, items: Sequence[str], per_stratum: int, wanted: Sequence[Stratum], seed: int
) -> Targets:
    """The items that a check is tried on: those named by id, else a draw in strata, the same for all checks of a seed.

    Raises:
        NotApplicable: no eligible item.
        InputError: a named item that the log does not have.
    """
    split = target.split
    if items:
        return named_targets(split.train, items)
    found = choose_targets(split.train, split.history, per_stratum, seed, wanted)
    if not found.items:
        raise NotApplicable(f"no item of the strata {', '.join(wanted)} has enough events and users who lack it")
    return found


def _check(train: InteractionLog, kind: Kind, profile: int) -> None:
    if not len(train):
        raise NotApplicable("the training log has no events")
    if kind != "sequence" and profile >= train.n_items:
        raise NotApplicable(
            f"profiles of {profile} different items do not fit a catalogue of {train.n_items} items; lower `profile`"
        )


def by_stratum(trials: Sequence[Trial], stratum: Stratum) -> list[Trial]:
    """The trials on targets of one stratum."""
    return [trial for trial in trials if trial.stratum == stratum]
