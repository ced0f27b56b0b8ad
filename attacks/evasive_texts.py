"""Accounts against defences that read texts: text neighbours of a genuine account's items, in its order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..datasets.log import Float32, Int32, Int64
from ..language.cache import open_cached
from ..language.encoder import CHOICES
from ..language.texts import item_texts
from .base import Attack, AttackConfig, Draft, Goal, Knowledge
from .clone import choose_users, copied
from .goal import Direction

_CELLS = 4_000_000  # items x items in memory at a time


class EvasiveTextsConfig(AttackConfig):
    """Settings of the attack on defences that read texts."""

    encoder: str = Field(default="static", description=CHOICES)
    neighbours: int = Field(default=16, ge=1, description="nearest texts that may stand for an item of the template")
    tolerance: float = Field(
        default=0.25,
        gt=0,
        description="largest difference of ln(1 + events) between a filler and the item it stands for",
    )


class EvasiveTexts(Attack):
    """Each account is a genuine one told in neighbouring texts, with the target where it disturbs least.

    A sampled genuine account, one with enough events if there is any, is the template. Each of its items is exchanged
    for one of the `neighbours` items of nearest text whose popularity differs by no more than `tolerance`; the item
    itself stays where no such item is free. Of those the one is taken whose text distance to the filler before is
    nearest to the template's own step: an account of nearest texts alone would be more coherent than genuine ones,
    which shows as well. In a sequence each target stands once, in the gap where its mean text distance to its
    neighbours is least; the goal's placement and repeats are not used, since a target that comes again and again is
    what such defences see first. Ratings are those of the template's events.

    Blind to everything but texts, popularity and length: the exchanged items need not be consumed together (PCA,
    reconstruction), nor follow each other in genuine sequences; a template shorter than the goal's profile is gone
    through again. A cold target among popular items remains an odd text in every account. What a calibrator learns
    from states of the victim is not attacked.
    """

    name = "evasive-texts"
    title = "Text neighbours of a real profile's items, target where its text fits best"
    reference = "recaudit; against LoRec (Zhang et al. 2024, SIGIR) and detectors by coherence of texts"
    grants = frozenset({"catalogue", "log", "item_features"})
    directions: ClassVar[frozenset[Direction]] = frozenset({"push"})
    own_places: ClassVar[bool] = True
    config_type = EvasiveTextsConfig

    def craft(self, knowledge: Knowledge, goal: Goal, rng: np.random.Generator) -> Draft:
        """Sample templates, exchange their items, find the targets' places.

        Raises:
            KnowledgeError: the data have no item table.
            DataError: the items have no texts.
            InputError: there is no such encoder.
        """
        config: EvasiveTextsConfig = self.config
        by_template, by_event = rng.spawn(2)
        log = knowledge.log
        vectors = open_cached(config.encoder).encode(item_texts(replace(log, items=knowledge.item_features)))
        targets = np.array(goal.targets, np.int32)
        width = goal.profile - len(targets)
        users = choose_users(log, goal.targets, goal.accounts, width, by_template)
        template, ratings = templates(copied(log, goal, users, by_event), width)
        near = Neighbours.of(vectors, log.item_counts, np.unique(template[template >= 0]), goal.targets, config)
        fillers = exchanged(template, near, vectors)
        if goal.kind != "sequence":
            return Draft(fillers, ratings)
        # what the finish line has to fill in stands first, so the places are sought in that order
        order = np.argsort(fillers >= 0, axis=1, kind="stable")
        fillers = np.take_along_axis(fillers, order, axis=1)
        ratings = None if ratings is None else np.take_along_axis(ratings, order, axis=1)
        return Draft(fillers, ratings, ordered=True, slots=places(fillers, targets, vectors))


def templates(copies: Draft, width: int) -> tuple[Int32, Float32 | None]:
    """Items (and ratings) of copied accounts at exactly this width, in the order of time.

    Of longer accounts the best by `copies.scores` are kept, shorter ones are gone through again; -1 where an account
    has nothing but targets.

    Shapes: int32 [A, width] and float32 likewise.
    """
    items = copies.items
    if not width or not items.shape[1]:
        empty = np.full((len(items), width), -1, np.int32)
        return empty, None if copies.ratings is None else np.zeros(empty.shape, np.float32)
    scores = np.where(items < 0, -np.inf, 0.0 if copies.scores is None else copies.scores)
    kept = min(width, items.shape[1])
    best = np.argsort(-scores, axis=1, kind="stable")[:, :kept]
    there = np.take_along_axis(items, best, axis=1) >= 0
    # events that are there come first, in their own order
    best = np.sort(np.where(there, best, best + items.shape[1]), axis=1) % items.shape[1]
    length = np.maximum(there.sum(axis=1), 1)
    again = np.take_along_axis(best, np.arange(width) % length[:, None], axis=1)
    found = np.take_along_axis(items, again, axis=1)
    if copies.ratings is None:
        return found, None
    return found, np.take_along_axis(copies.ratings, again, axis=1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Neighbours:
    """What may stand for an item.

    Attributes:
        items: int32 [n, K + 1], nearest text first, then the item itself; -1 for none.
        row: int64 [I], the row of an item in `items`, -1 where it was not asked for.
    """

    items: Int32
    row: Int64

    @classmethod
    def of(
        cls, vectors: Float32, popularity: Int64, wanted: Int32, targets: tuple[int, ...], config: EvasiveTextsConfig
    ) -> Neighbours:
        """Those of the wanted items, by cosine of texts within the tolerance of popularity, without targets.

        An item without text has no neighbour but itself, and is nobody's.

        Args:
            vectors: float32 [I, D], rows of length 1 or 0.
            popularity: int64 [I].
            wanted: int32 [n], distinct.
            targets: never neighbours.
            config: `neighbours` and `tolerance`.
        """
        size = min(config.neighbours, len(vectors))
        level = np.log1p(popularity.astype(np.float64))
        barred = np.asarray(~vectors.any(axis=1))
        barred[list(targets)] = True
        found = np.full((len(wanted), size + 1), -1, np.int32)
        found[:, size] = wanted
        step = max(1, _CELLS // len(vectors))
        for start in range(0, len(wanted), step):
            own = wanted[start : start + step]
            cosine = vectors[own] @ vectors.T
            cosine[np.abs(level[own][:, None] - level) > config.tolerance] = -np.inf
            cosine[:, barred] = -np.inf
            cosine[~vectors[own].any(axis=1)] = -np.inf
            cosine[np.arange(len(own)), own] = -np.inf
            best = np.argpartition(-cosine, size - 1, axis=1)[:, :size]
            likeness = np.take_along_axis(cosine, best, axis=1)
            order = np.argsort(-likeness, axis=1, kind="stable")
            best = np.where(np.isinf(likeness), -1, best)
            found[start : start + step, :size] = np.take_along_axis(best, order, axis=1)
        row = np.full(len(vectors), -1, np.int64)
        row[wanted] = np.arange(len(wanted))
        return cls(found, row)


def exchanged(template: Int32, near: Neighbours, vectors: Float32) -> Int32:
    """The template in other items, place by place, no item twice in an account: int32 [A, m] -> int32 [A, m].

    -1 where the template has none, or where everything that could stand there is held already.
    """
    found = np.full(template.shape, -1, np.int32)
    before = np.zeros((len(template), vectors.shape[1]), np.float32)
    for place in range(template.shape[1]):
        own = template[:, place]
        options = np.where((own >= 0)[:, None], near.items[near.row[np.maximum(own, 0)]], -1)
        free = (options >= 0) & ~(options[:, :, None] == found[:, None, :place]).any(axis=2)
        step = 1 - np.einsum("akd,ad->ak", vectors[np.maximum(options, 0)], before)
        wanted = np.zeros(len(own)) if not place else distance(template[:, place - 1], own, vectors)
        rank = np.abs(step - wanted[:, None])  # as coherent as the template, neither less nor more
        if not place:
            rank = np.broadcast_to(np.arange(options.shape[1], dtype=np.float64), options.shape)
        rank = np.where(free, rank, np.inf)
        rank[:, -1] = np.where(free[:, -1], 1e9, np.inf)  # the item itself comes last
        best = rank.argmin(axis=1)[:, None]
        taken = np.take_along_axis(options, best, axis=1)[:, 0]
        found[:, place] = np.where(np.isinf(np.take_along_axis(rank, best, axis=1)[:, 0]), -1, taken)
        chosen = found[:, place] >= 0
        before[chosen] = vectors[found[chosen, place]]
    return found


def distance(one: Int32, other: Int32, vectors: Float32) -> NDArray[np.float64]:
    """1 less the cosine of two items' texts, element by element, in 0..2; 1 where a text or an item (-1) is missing."""
    cosine = (vectors[np.maximum(one, 0)] * vectors[np.maximum(other, 0)]).sum(axis=-1)
    found: NDArray[np.float64] = 1 - np.where((one < 0) | (other < 0), 0.0, cosine.astype(np.float64))
    return found


def places(fillers: Int32, targets: Int32, vectors: Float32) -> Int64:
    """Where the targets stand: one after the other, each where its mean text distance to its neighbours is least.

    Of equal places the last. The finish line puts targets into their places in the goal's order, so each is sought
    behind the one before.

    Shapes: fillers int32 [A, m], targets int32 [T] -> int64 [A, T], ascending, in 0..m + T - 1.
    """
    accounts, sequence = len(fillers), fillers
    rows = np.arange(accounts)
    found = np.empty((accounts, len(targets)), np.int64)
    for number, target in enumerate(targets):
        away = distance(np.broadcast_to(target, sequence.shape), sequence, vectors)
        side = np.full((accounts, 1), np.nan)
        left, right = np.concatenate([side, away], axis=1), np.concatenate([away, side], axis=1)
        # gap n lies before event n; at both ends there is one neighbour
        cost = np.where(np.isnan(left), right, np.where(np.isnan(right), left, (left + right) / 2))
        cost = np.nan_to_num(cost, nan=0.0)
        if number:
            cost[np.arange(cost.shape[1]) <= found[:, number - 1][:, None]] = np.inf
        gap = cost.shape[1] - 1 - cost[:, ::-1].argmin(axis=1)
        found[:, number] = gap
        longer = np.empty((accounts, sequence.shape[1] + 1), np.int32)
        is_target = np.zeros(longer.shape, bool)
        is_target[rows, gap] = True
        longer[is_target], longer[~is_target] = target, sequence.ravel()
        sequence = longer
    return found
