"""Generated logs with known truth: tastes, popularity, habits of sequence, and groups that differ by design."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .errors import InputError
from .log import Float32, Int32, Int64, InteractionLog
from .seeding import rng

_BLOCK = 1024  # users at a time: memory is one block of users x items
_TRIES = 8
_START = 1_420_070_400  # 2015-01-01
_GENRES = ("Drama", "Comedy", "Action", "Romance", "Horror", "Western", "Musical", "Mystery", "Fantasy", "War")
_FIRST = ("Silent", "Golden", "Broken", "Hidden", "Distant", "Burning", "Crooked", "Last", "Winter", "Paper")
_SECOND = ("River", "Harbour", "Garden", "Letter", "Mountain", "Mirror", "Station", "Orchard", "Voyage", "Lantern")
_AGES = (18, 25, 35, 50)

Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Truth:
    """What was planted.

    Attributes:
        taste: float64 [U, G], each user's shares of genres, rows sum to 1.
        genre: int32 [I], the genre of an item, in 0..G-1.
        weight: float64 [I], popularity within the genre (unnormalised, Zipf).
        successor: int32 [I], the item that follows an item where the habit of sequence strikes.
        group: int32 [U], 0 or 1: the gender column, whose genres differ by `group_gap`.
        follows: share of events drawn as the successor of the event before (where not yet consumed).
    """

    taste: Float64
    genre: Int32
    weight: Float64
    successor: Int32
    group: Int32
    follows: float


def generate(
    users: int = 200,
    items: int = 100,
    events: int = 5_000,
    seed: int = 0,
    *,
    genres: int = 5,
    skew: float = 0.8,
    follows: float = 0.3,
    group_gap: float = 1.0,
    ratings: bool = True,
) -> InteractionLog:
    """A log of exactly so many events; no user meets an item twice.

    Args:
        users: U.
        items: I, at least two per genre.
        events: E, between 3 U and 0.8 U I.
        seed: same seed, same log.
        genres: G, number of genres, 1 to 10.
        skew: exponent of Zipf's law within a genre; 0 is no skew.
        follows: probability that an event is the planted successor of the one before; 0 is no order at all.
        group_gap: how far (in log odds) the two genders' tastes lie apart; 0 is no difference.
        ratings: whether events have ratings 1 to 5 that grow with the user's taste for the genre.

    Raises:
        InputError: sizes that cannot be met.
    """
    return generate_with_truth(
        users,
        items,
        events,
        seed,
        genres=genres,
        skew=skew,
        follows=follows,
        group_gap=group_gap,
        ratings=ratings,
    )[0]


def generate_with_truth(
    users: int = 200,
    items: int = 100,
    events: int = 5_000,
    seed: int = 0,
    *,
    genres: int = 5,
    skew: float = 0.8,
    follows: float = 0.3,
    group_gap: float = 1.0,
    ratings: bool = True,
) -> tuple[InteractionLog, Truth]:
    """As `generate`, with the planted truth beside the log.

    Raises:
        InputError: sizes that cannot be met.
    """
    if not 1 <= genres <= len(_GENRES) or items < 2 * genres:
        raise InputError(f"genres must be 1 to {len(_GENRES)} with two items each, got {genres} for {items} items")
    if not 3 * users <= events <= 0.8 * users * items or users < 1:
        raise InputError(
            f"events must lie between 3 x users and 0.8 x users x items, got {events:,} for {users:,} x {items:,}"
        )
    truth = _plant(rng(seed, "synthetic", "truth"), users, items, genres, skew, follows, group_gap)
    lengths = _lengths(rng(seed, "synthetic", "lengths"), users, items, events)
    chosen = np.concatenate(
        [
            _consume(rng(seed, "synthetic", "events", first), truth, slice(first, first + _BLOCK), lengths)
            for first in range(0, users, _BLOCK)
        ]
    )
    user = np.repeat(np.arange(users, dtype=np.int32), lengths)
    time = _times(rng(seed, "synthetic", "times"), lengths)
    value = _ratings(rng(seed, "synthetic", "ratings"), truth, user, chosen) if ratings else None
    order = np.argsort(time, kind="stable")
    width = len(str(max(users, items)))
    log = InteractionLog(
        user[order],
        chosen[order],
        np.array([f"u{number:0{width}}" for number in range(users)]),
        np.array([f"i{number:0{width}}" for number in range(items)]),
        None if value is None else value[order],
        time[order],
        _user_table(rng(seed, "synthetic", "users"), truth.group),
        _item_table(rng(seed, "synthetic", "items"), truth.genre),
    )
    return log, truth


def _plant(
    draw: np.random.Generator, users: int, items: int, genres: int, skew: float, follows: float, gap: float
) -> Truth:
    genre = (np.arange(items) % genres).astype(np.int32)
    draw.shuffle(genre)
    group = draw.integers(0, 2, users).astype(np.int32)
    lean = np.where(np.arange(genres) % 2 == 0, 0.5, -0.5) * gap  # group 0 leans to even genres, group 1 to odd
    logits = draw.gumbel(0, 1, (users, genres)) + np.where(group[:, None] == 0, lean, -lean)
    taste = np.exp(logits - logits.max(axis=1, keepdims=True))
    weight = np.empty(items)
    for each in range(genres):
        members = np.flatnonzero(genre == each)
        weight[members] = draw.permutation(1.0 / np.arange(1, len(members) + 1) ** skew)
    cycle = draw.permutation(items).astype(np.int32)
    successor = np.empty(items, np.int32)
    successor[cycle] = np.roll(cycle, -1)  # one cycle over all items: everybody follows and is followed once
    return Truth(taste / taste.sum(axis=1, keepdims=True), genre, weight, successor, group, follows)


def _lengths(draw: np.random.Generator, users: int, items: int, events: int) -> Int64:
    """Events per user, int64 [U]: log-normal, at least 3, at most 0.9 I, summing to exactly `events`."""
    most = max(3, int(0.9 * items))
    raw = draw.lognormal(0, 0.8, users)
    lengths: Int64 = np.clip(np.round(raw / raw.sum() * events).astype(np.int64), 3, most)
    while (missing := events - int(lengths.sum())) != 0:
        movable = np.flatnonzero(lengths < most if missing > 0 else lengths > 3)
        moved = draw.permutation(movable)[: abs(missing)]
        lengths[moved] += np.sign(missing)
    return lengths


def _consume(draw: np.random.Generator, truth: Truth, block: slice, lengths: Int64) -> Int32:
    """The items of a block of users, user by user, each in the order of consumption: int32."""
    taste, lengths = truth.taste[block], lengths[block]
    users, items = len(taste), len(truth.genre)
    seen = np.zeros((users, items), bool)
    table = np.full((users, int(lengths.max())), -1, np.int32)
    by_genre = np.argsort(truth.genre, kind="stable")
    bounds = np.concatenate([[0.0], np.cumsum(truth.weight[by_genre])])
    edges = bounds[np.searchsorted(truth.genre[by_genre], np.arange(taste.shape[1] + 1))]
    shares = np.cumsum(taste, axis=1)
    for step in range(table.shape[1]):
        who = np.flatnonzero(lengths > step)
        genre = (draw.random((len(who), _TRIES))[:, :, None] > shares[who][:, None, :-1]).sum(axis=2)
        spot = edges[genre] + draw.random(genre.shape) * (edges[genre + 1] - edges[genre])
        tries = by_genre[(np.searchsorted(bounds, spot, side="right") - 1).clip(0, items - 1)].astype(np.int32)
        if step:
            follow = draw.random(len(who)) < truth.follows
            tries[:, 0] = np.where(follow, truth.successor[table[who, step - 1]], tries[:, 0])
        fresh = ~seen[who[:, None], tries]
        picked = tries[np.arange(len(who)), fresh.argmax(axis=1)]
        stuck = np.flatnonzero(~fresh.any(axis=1))
        if len(stuck):  # all tries are consumed already: draw exactly, among what is left
            odds = np.log(taste[who[stuck]][:, truth.genre] * truth.weight + 1e-12)
            odds = np.where(seen[who[stuck]], -np.inf, odds + draw.gumbel(0, 1, odds.shape))
            picked[stuck] = odds.argmax(axis=1)
        table[who, step] = picked
        seen[who, picked] = True
    return table[table >= 0]


def _times(draw: np.random.Generator, lengths: Int64) -> Int64:
    """Unix seconds, strictly growing within a user: int64 [E]."""
    starts = draw.integers(0, 300 * 86_400, len(lengths))
    gaps = 1 + draw.exponential(86_400, int(lengths.sum())).astype(np.int64)
    total = np.cumsum(gaps)
    first = np.cumsum(lengths) - lengths
    time: Int64 = _START + np.repeat(starts - total[first], lengths) + total
    return time


def _ratings(draw: np.random.Generator, truth: Truth, user: Int32, item: Int32) -> Float32:
    liking = truth.taste[user, truth.genre[item]] * truth.taste.shape[1]
    noisy = 3 + np.log(liking + 1e-3) + draw.normal(0, 0.7, len(user))
    value: Float32 = np.clip(np.round(noisy), 1, 5).astype(np.float32)
    return value


def _user_table(draw: np.random.Generator, group: Int32) -> pd.DataFrame:
    return pd.DataFrame(
        {"gender": np.where(group == 0, "F", "M"), "age_group": draw.choice(np.array(_AGES), len(group))}
    )


def _item_table(draw: np.random.Generator, genre: Int32) -> pd.DataFrame:
    numbers = np.arange(len(genre))
    first, second = numbers % len(_FIRST), numbers // len(_FIRST) % len(_SECOND)
    series = numbers // (len(_FIRST) * len(_SECOND))
    titles = [
        f"{_FIRST[a]} {_SECOND[b]}" + (f" {c + 1}" if c else "") for a, b, c in zip(first, second, series, strict=True)
    ]
    return pd.DataFrame(
        {
            "title": titles,
            "year": draw.integers(1960, 2015, len(genre)),
            "genres": [_GENRES[each] for each in genre.tolist()],
        }
    )
