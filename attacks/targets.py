"""Which items the attacks are tried on: chosen before any attack sees anything, in strata of popularity."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from ..datasets.errors import InputError
from ..datasets.log import Int64, InteractionLog
from ..datasets.seeding import rng
from ..recommenders.consumed import consumed

Stratum = Literal["head", "middle", "cold"]
STRATA: tuple[Stratum, ...] = get_args(Stratum)
WORDS: dict[Stratum, str] = {"head": "a popular", "middle": "a middling", "cold": "a little-known"}
"""What to call an item of a stratum."""

HEAD, MIDDLE = 0.1, 0.5  # ends of the head and the middle in the popularity ranking of items with events
COLD_EVENTS = 2  # an item with one event is hardly ever an item someone sells
ELIGIBLE = 0.1  # at least this share of the users must lack a target, else hit rates rest on too few


@dataclass(frozen=True)
class Targets:
    """Target items, by stratum from head to cold.

    Attributes:
        items: item indices.
        strata: the stratum of each.
    """

    items: tuple[int, ...]
    strata: tuple[Stratum, ...]

    def of(self, stratum: Stratum) -> tuple[int, ...]:
        """The items of one stratum."""
        return tuple(item for item, own in zip(self.items, self.strata, strict=True) if own == stratum)


def strata(log: InteractionLog) -> dict[Stratum, Int64]:
    """Items by popularity: head = top 10 % of the items with events, middle = next 40 %, cold = the rest.

    Cold items have at least two events. Equal popularity is ordered by item index.
    """
    counts = log.item_counts
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    first, second = (int(np.floor(len(order) * share + 0.5)) for share in (HEAD, MIDDLE))
    cold = order[second:]
    return {"head": order[:first], "middle": order[first:second], "cold": cold[counts[cold] >= COLD_EVENTS]}


def named_targets(train: InteractionLog, ids: Sequence[str]) -> Targets:
    """These items, by stratum; items with a single event or none count as cold.

    Raises:
        InputError: an id that the log does not have.
    """
    known = {name: item for item, name in enumerate(train.item_ids.tolist())}
    for name in ids:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InputError(f"target item {name!r}: no event of the training part has this id{hint}")
    places = [known[name] for name in ids]
    groups = {stratum: set(members.tolist()) for stratum, members in strata(train).items()}
    order: dict[int, Stratum] = {
        item: next((stratum for stratum in STRATA if item in groups[stratum]), "cold") for item in places
    }
    chosen = sorted(order, key=lambda item: STRATA.index(order[item]))
    return Targets(tuple(chosen), tuple(order[item] for item in chosen))


def choose_targets(
    train: InteractionLog, history: InteractionLog, per_stratum: int, seed: int, wanted: Sequence[Stratum] = STRATA
) -> Targets:
    """Draw target items; a stratum with too few gives what it has.

    Items that nearly every user has consumed are left out: nobody is left to whom they could be recommended.
    A larger `per_stratum` keeps the items of a smaller one, and strata do not influence each other.

    Args:
        train: popularity is counted here.
        history: train and validation events, which no longer can be recommended.
        per_stratum: items per stratum.
        seed: the run seed.
        wanted: strata, in any order.
    """
    matrix = consumed(history)
    users = int(np.count_nonzero(history.user_counts))
    lacking = users - matrix.getnnz(axis=0)
    usable = lacking >= max(1, ELIGIBLE * users)
    items: list[int] = []
    names: list[Stratum] = []
    for stratum, members in strata(train).items():
        if stratum not in wanted:
            continue
        members = np.sort(members[usable[members]])
        chosen = rng(seed, "targets", stratum).permutation(members)[:per_stratum]
        items += chosen.tolist()
        names += [stratum] * len(chosen)
    return Targets(tuple(items), tuple(names))
