"""What the tests of the attacks with a twin share: a log it can learn from, and how targets stand in fresh twins."""

from __future__ import annotations

from functools import cache
from itertools import combinations
from typing import Any

import numpy as np

from recaudit.attacks.base import Attack, Goal
from recaudit.attacks.injection import crafted
from recaudit.attacks.surrogate.audience import Audience
from recaudit.attacks.surrogate.twin import Family, Twin, TwinConfig
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.seeding import rng
from recaudit.datasets.synthetic import generate
from recaudit.recommenders.sampling import Positives


@cache
def medium() -> InteractionLog:
    """A generated log in which a twin can learn something."""
    return generate(users=300, items=150, events=6000, seed=1, ratings=False)


def cold(log: InteractionLog, place: int = 5) -> int:
    """An item with few events, the fewest at place 0."""
    return int(np.argsort(log.item_counts, kind="stable")[place])


@cache
def learnt(family: Family = "lightgcn") -> Twin:
    """A twin of that log."""
    return Twin.fitted(Positives.of(medium()), family, TwinConfig(), rng(0))


def own_standing(attack: Attack, family: Family, goal: Goal) -> float:
    """Minus the mean log2 rank of the target in fresh twins refitted after an attack; seeds are not the attack's."""
    log = medium()
    profiles = crafted(attack, log, goal, 0)
    accounts = profiles.item.reshape(goal.accounts, -1)
    audience = Audience.of(log, goal)
    found = []
    for seed in (11, 12):
        clean = Twin.fitted(Positives.of(log), family, TwinConfig(), rng(seed))
        twin = clean.refitted(accounts, 8, rng(seed, "refit"))
        found.append(twin.standing(audience.sample(rng(0)), audience.targets, 20)[1])
    return float(np.mean(found))


def overlap(items: np.ndarray[Any, Any]) -> float:
    """Mean share of a profile that another one repeats, which is the cosine of 0/1 profiles of one length."""
    return float(np.mean([len(set(a) & set(b)) / len(a) for a, b in combinations(items.tolist(), 2)]))
