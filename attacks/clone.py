"""The clone-and-push attack, and cloned accounts without a target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..datasets.log import Int64, InteractionLog
from .base import Attack, Draft, Goal, Knowledge


@dataclass(frozen=True, eq=False)
class Clones:
    """Events of genuine users, copied to accounts.

    Attributes:
        account: int64 [N], ascending.
        event: int64 [N], index of the event in the log, in the user's order of time.
        place: int64 [N], the event's place in its user's history, from 0.
    """

    account: Int64
    event: Int64
    place: Int64


def choose_users(
    log: InteractionLog, without: tuple[int, ...], accounts: int, events: int, rng: np.random.Generator
) -> Int64:
    """Users to clone, at random without replacement: int64 [A].

    Users with enough events that hold none of the items come first; then shorter ones, the longest first; then
    those that hold one of them. Only more accounts than users make repeats.
    """
    counts = log.user_counts
    holds = np.zeros(log.n_users, bool)
    holds[log.user[np.isin(log.item, without)]] = True
    users = rng.permutation(np.flatnonzero(counts > 0))
    short = np.maximum(events - counts[users], 0)
    order = np.lexsort((short, holds[users]))
    return np.resize(users[order], accounts)


def clones_of(log: InteractionLog, users: Int64, without: tuple[int, ...]) -> Clones:
    """All events of these users, one account each, less those of some items."""
    offsets = np.zeros(log.n_users + 1, np.int64)
    np.cumsum(log.user_counts, out=offsets[1:])
    lengths = log.user_counts[users]
    account = np.repeat(np.arange(len(users)), lengths)
    place = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    event = log.chronological()[offsets[users][account] + place]
    keep = ~np.isin(log.item[event], without)
    return Clones(account[keep], event[keep], place[keep])


def copied(log: InteractionLog, goal: Goal, users: Int64, rng: np.random.Generator) -> Draft:
    """All events of these users but the targets', one account each: of sequences the latest are kept first.

    Without an order a random part is; `rng` draws it.
    """
    clones = clones_of(log, users, goal.targets)
    width = int(clones.place.max(initial=-1)) + 1
    cells = (clones.account, clones.place)
    items = np.full((goal.accounts, width), -1, np.int32)
    items[cells] = log.item[clones.event]
    ratings = None
    if log.value is not None:
        ratings = np.zeros(items.shape, np.float32)
        ratings[cells] = log.value[clones.event]
    if goal.kind == "sequence":
        scores = np.broadcast_to(np.arange(width, dtype=np.float64), items.shape)
    else:
        scores = rng.random(items.shape)
    return Draft(items, ratings, scores, ordered=True)


class CloneAndPush(Attack):
    """Genuine profiles with the target added: the cheapest attack that hardly any detector can see.

    Users are chosen at random among those with enough events that lack the target. Of longer profiles a random
    part is kept, of sequences the latest part in its own order; ratings are copied.
    """

    name = "clone-and-push"
    title = "Copies of real profiles with the target added"
    reference = (
        "After Fan et al. 2020, Attacking Black-box Recommendations via Copying Cross-domain User Profiles, "
        "arXiv 2005.08147, with random choice instead of learning"
    )
    grants = frozenset({"catalogue", "log"})

    def craft(self, knowledge: Knowledge, goal: Goal, rng: np.random.Generator) -> Draft:
        """Copy the events of one genuine user into each account."""
        users = choose_users(knowledge.log, goal.targets, goal.accounts, goal.fillers, rng)
        return copied(knowledge.log, goal, users, rng)
