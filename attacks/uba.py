"""The UBA attack: the accounts are dealt out to groups of users by what each group gains from them."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from ..datasets.errors import InputError
from ..datasets.log import Int64, InteractionLog, Profiles
from ..recommenders.trainer import one_thread
from .base import Attack, AttackConfig, Draft, Goal, Knowledge
from .catalogue import build
from .clone import CloneAndPush
from .goal import Direction, Kind
from .knowledge import Grant
from .surrogate.audience import Audience
from .surrogate.base import Accounts, Factors
from .surrogate.descent import block
from .surrogate.wmf import WMF, WMFConfig

_DERIVED: frozenset[Grant] = frozenset({"catalogue", "global_ratings", "popularity", "item_means", "log"})
_LEAST = 5  # users of a group on average at least: a share of fewer says little

Measure = Literal["softmax", "hits"]
"""What a group gains: mean softmax of the target among what a user lacks, or the share of users with it in the list."""


class UBAConfig(AttackConfig):
    """Settings of UBA."""

    base: str = Field(default="clone-and-push", description="the attack whose accounts are dealt out")
    settings: dict[str, Any] = Field(default={}, description="settings of that attack")
    groups: int = Field(default=12, ge=1, le=100, description="groups of similar users, at most")
    measure: Measure = Field(default="softmax", description="what counts as gain on the surrogate: softmax or hits")
    cutoff: int = Field(default=20, ge=1, description="length of the lists, where hits are counted")
    temperature: float = Field(default=1.0, gt=0, description="of the softmax, in deviations of a user's scores")
    wmf: WMFConfig = WMFConfig()

    @field_validator("base")
    @classmethod
    def _another(cls, base: str) -> str:
        if base == "uba":
            raise ValueError("the base of uba must be another attack")
        return base


@dataclass(frozen=True, eq=False)
class Plan:
    """Groups, what they gain and what they get.

    Attributes:
        users: int64 [n], the audience.
        group: int64 [n], the group of each of them, 0..G-1.
        levels: int64 [L], numbers of accounts that were tried, from 0 to A.
        gain: float64 [G, L], expected users of a group who are shown the target, by number of accounts.
        accounts: int64 [G], what each group gets; A in all at most.
    """

    users: Int64
    group: Int64
    levels: Int64
    gain: NDArray[np.float64]
    accounts: Int64


class UBA(Attack):
    """Another attack's accounts, each aimed at a group of similar users, as many as the group's uplift deserves.

    The audience is clustered by the vectors of a surrogate. For each group the base attack crafts accounts; the
    surrogate goes on training with 0, 1, 2, 4, ... of them, which tells how many users of the group would be shown the
    target. Dynamic programming deals out the budget for the largest sum. With "clone-and-push" as a base the group's
    own users are the templates; any other base gets the group as its audience. Accounts that no group gains from
    are crafted for the whole audience.

    Groups stand in for single users of the publication, and what accounts of one group do to users of another is
    left out of the sum.
    """

    name = "uba"
    title = "Accounts dealt out to groups of users by their uplift"
    reference = (
        "After Wang, Wang, Feng, Shi, Ding and Chua 2024, Uplift Modeling for Target User Attacks on Recommender "
        "Systems, WWW, arXiv 2403.02692"
    )
    grants = frozenset({"catalogue", "log"})
    kinds: ClassVar[frozenset[Kind]] = frozenset({"rating", "implicit"})
    directions: ClassVar[frozenset[Direction]] = frozenset({"push"})
    version: ClassVar[int] = 2
    config_type = UBAConfig

    def craft(self, knowledge: Knowledge, goal: Goal, rng: np.random.Generator) -> Draft:
        """Plan, then take the first accounts of each group.

        Raises:
            InputError: the base does not apply to such data, or needs more than the log.
        """
        _, crafted = self.plan(knowledge, goal, rng)
        items = np.concatenate([_table(own, own.item)[:n] for own, n in crafted])
        if any(own.value is None for own, _ in crafted):
            return Draft(items)
        return Draft(items, np.concatenate([_table(own, own.value)[:n] for own, n in crafted]))

    def plan(
        self, knowledge: Knowledge, goal: Goal, rng: np.random.Generator
    ) -> tuple[Plan, list[tuple[Profiles, int]]]:
        """Who gets how many accounts, and the accounts.

        Returns:
            The plan; A accounts for each group, then A for the whole audience, each with how many of them, the first
            ones, are to be used: A in all.
        """
        by_rest, by_fit, by_groups, by_users, by_base = rng.spawn(5)
        config: UBAConfig = self.config
        base = self._base(goal)
        log, audience = knowledge.log, Audience.of(knowledge.log, goal)
        users = audience.users
        with one_thread():
            surrogate = WMF(log, goal.kind, config.wmf, by_fit)
            clean = surrogate.fit(_nobody(log.n_items))
            most = min(config.groups, max(1, len(users) // _LEAST))
            group = clusters(clean.user[torch.from_numpy(users)].numpy().astype(np.float64), most, by_groups)
            members = [users[group == number] for number in range(int(group.max()) + 1)]
            crafted = [
                _crafted(base, log, replace(goal, audience=tuple(own.tolist())), by)
                for own, by in zip(members, by_base.spawn(len(members)), strict=True)
            ]
            levels = np.unique([0, *(2**power for power in range(goal.accounts.bit_length())), goal.accounts])
            sample, consumed = audience.sample(by_users)
            of_sample = torch.from_numpy(group[np.searchsorted(users, sample.numpy())])
            gain = np.zeros((len(members), len(levels)))
            for number, (own, profiles) in enumerate(zip(members, crafted, strict=True)):
                mine = of_sample == number
                if mine.any():  # a sample of a large audience may hold none of a group
                    accounts = block(profiles, log.n_items, goal.kind == "rating")
                    lists = sample[mine], consumed[mine], audience.targets
                    gain[number] = len(own) * self._chances(surrogate, accounts, levels, *lists)
        every = np.arange(goal.accounts + 1)
        share = allocate(np.stack([np.interp(every, levels, own) for own in gain]))
        rest = _crafted(base, log, goal, by_rest)
        used = [*share.tolist(), goal.accounts - int(share.sum())]
        return Plan(users, group, levels, gain, share), list(zip([*crafted, rest], used, strict=True))

    def _chances(
        self,
        surrogate: WMF,
        accounts: Accounts,
        levels: Int64,
        users: torch.Tensor,
        consumed: torch.Tensor,
        targets: torch.Tensor,
    ) -> NDArray[np.float64]:
        """Mean chance that these users are shown a target, after the first accounts were added: float64 [L]."""
        found = []
        for level in levels:
            first = Accounts(accounts.present[:level], accounts.rating[:level])
            with torch.no_grad():
                factors = copy(surrogate).unrolled(first)  # the copy goes on from the clean fit and is dropped
            found.append(float(shown(factors, users, consumed, targets, self.config).mean()))
        return np.array(found)

    def _base(self, goal: Goal) -> Attack:
        config: UBAConfig = self.config
        base = build(config.base, config.settings)
        if not base.applies(goal.kind, goal.direction):
            raise InputError(f"attack 'uba': its base {config.base!r} does not apply to {goal.kind} data")
        if not base.needs(goal) <= _DERIVED:
            raise InputError(f"attack 'uba': its base {config.base!r} needs more than the log; choose another base")
        return base


def _crafted(base: Attack, log: InteractionLog, goal: Goal, rng: np.random.Generator) -> Profiles:
    """A accounts of the base, from what can be read off the visible log; clones come from the audience itself."""
    if isinstance(base, CloneAndPush) and goal.audience is not None:
        inside = np.zeros(log.n_users, bool)
        inside[list(goal.audience)] = True
        near = log.take(inside[log.user])
        log = near if len(near) else log
    return base.profiles(Knowledge.of(log, base.needs(goal)), goal, rng)


def shown(
    factors: Factors, users: torch.Tensor, consumed: torch.Tensor, targets: torch.Tensor, config: UBAConfig
) -> torch.Tensor:
    """How likely each user is shown a target, mean over the targets; 0 for one that the user has consumed.

    Shapes: users int64 [B], consumed bool [B, I], targets int64 [T] -> float [B], in 0..1.
    """
    scores = factors.scores(users)
    found = scores.new_zeros(len(scores))
    for target in targets:
        own, out = scores[:, target], consumed.clone()
        lacks = ~consumed[:, target]
        out[:, target] = False
        open_ = scores.masked_fill(out, -torch.inf)
        if config.measure == "hits":
            chance = ((open_ > own[:, None]).sum(1) < config.cutoff).to(scores.dtype)
        else:
            width = config.temperature * scores.std(1).clamp_min(1e-12)
            chance = torch.exp(own / width - torch.logsumexp(open_ / width[:, None], 1))
        found += chance * lacks
    return found / len(targets)


def allocate(value: NDArray[np.float64]) -> Int64:
    """How many accounts each group gets for the largest sum of values; the fewest accounts among equal sums. Exact.

    Shapes: value float64 [G, A + 1], of a group with 0..A accounts -> int64 [G], A in all at most. Time G A^2.
    """
    n_groups, width = value.shape
    best = np.zeros(width)  # of the groups so far, by budget
    chosen = np.zeros((n_groups, width), np.int64)
    for group in range(n_groups):
        now = best + value[group, 0]
        for accounts in range(1, width):
            offer = best[: width - accounts] + value[group, accounts]
            better = offer > now[accounts:]
            now[accounts:][better] = offer[better]
            chosen[group, accounts:][better] = accounts
        best = now
    found = np.zeros(n_groups, np.int64)
    left = int(np.argmax(best))
    for group in reversed(range(n_groups)):
        found[group] = chosen[group, left]
        left -= int(found[group])
    return found


def clusters(vectors: NDArray[np.float64], most: int, rng: np.random.Generator) -> Int64:
    """Groups of near vectors by k-means, all with members: float64 [n, d] -> int64 [n], 0..G-1.

    There are `most` groups, or fewer where vectors coincide.
    """
    distinct = len(np.unique(vectors, axis=0))
    means = KMeans(min(most, distinct), n_init=1, random_state=int(rng.integers(2**31)))
    with threadpool_limits(1):  # threads add in another order
        group = means.fit_predict(vectors)
    return np.unique(group, return_inverse=True)[1].astype(np.int64)


def _nobody(n_items: int) -> Accounts:
    return Accounts(torch.zeros(0, n_items), torch.zeros(0, n_items))


def _table(profiles: Profiles, column: NDArray[Any] | None) -> NDArray[Any]:
    """A column as a table of accounts, [A, P]."""
    assert column is not None
    return column.reshape(profiles.n_accounts, -1)
