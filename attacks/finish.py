"""The finish line that all attacks share: from a draft to accounts of exactly P valid events."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..datasets.errors import InputError
from ..datasets.log import Float32, Int32, Int64, Profiles
from .draws import draw, without_repeats
from .goal import AttackError, Draft, Goal
from .knowledge import Public


def finish(draft: Draft, goal: Goal, forced: Int32, public: Public, rng: np.random.Generator) -> Profiles:
    """Force the targets in, drop repeats, cut or fill to P, round the ratings, draw the times, validate.

    Args:
        draft: what the attack chose.
        goal: targets and budget, A at least 1.
        forced: int32 [A, n_forced], what each account must hold.
        public: items, scale and rhythm of the log.
        rng: for everything the attack left open.

    Raises:
        InputError: the catalogue has fewer items than a profile needs.
        AttackError: the draft has the wrong shape or items that do not exist.
    """
    _check_draft(draft, goal, public.n_items)
    place_rng, fill_rng, time_rng, form_rng = rng.spawn(4)
    slots = target_slots(goal, place_rng) if draft.slots is None else draft.slots
    n_fillers = goal.profile - slots.shape[1]
    items, ratings = _choose(draft, goal, forced, n_fillers, place_rng)
    items = _fill(items, goal, forced, public.n_items, fill_rng)

    is_forced = forced_places(slots, goal.profile)
    profile = np.empty((goal.accounts, goal.profile), np.int32)
    profile[is_forced] = forced[:, np.arange(slots.shape[1]) % forced.shape[1]].ravel()
    profile[~is_forced] = items.ravel()

    value: Float32 | None = None
    if public.scale is not None:
        bad = goal.direction == "nuke" and not goal.by_rivals
        wanted = np.full(profile.shape, public.scale.lowest if bad else public.scale.highest)
        wanted[~is_forced] = _opinions(ratings, public.scale.highest).ravel()
        value = public.scale.nearest(wanted).ravel()
    time: Int64 | None = None
    if public.rhythm is not None:
        time = public.rhythm.sample(goal.accounts, goal.profile, time_rng).ravel()
    account = np.repeat(np.arange(goal.accounts, dtype=np.int32), goal.profile)
    features = _form(goal.accounts, public, form_rng) if draft.features is None else draft.features
    profiles = Profiles(goal.accounts, account, profile.ravel(), value, time, features)
    check(profiles, goal, public)
    return profiles


def check(profiles: Profiles, goal: Goal, public: Public) -> None:
    """Hold the budget: A accounts of exactly P events, ids in range, forced items present, values on the grid.

    Raises:
        AttackError: they are not; the message says what.
    """
    counts = np.bincount(profiles.account, minlength=goal.accounts)
    if profiles.n_accounts != goal.accounts or len(counts) != goal.accounts or (counts != goal.profile).any():
        raise AttackError(f"expected {goal.accounts} accounts of exactly {goal.profile} events")
    item = profiles.item.reshape(goal.accounts, goal.profile)
    if item.size and (item.min() < 0 or item.max() >= public.n_items):
        raise AttackError(f"item index outside 0..{public.n_items - 1}")
    for target in goal.targets:
        present = (item == target).any(axis=1)
        if goal.by_rivals and present.any():
            raise AttackError(f"item {target} is to be buried, yet a profile holds it")
        if not goal.by_rivals and not present.all():
            raise AttackError(f"a profile lacks its target {target}")
    if goal.kind != "sequence" and (without_repeats(item) < 0).any():
        raise AttackError("a profile repeats an item; only sequences may")
    scale, rhythm = public.scale, public.rhythm
    if scale is not None and (profiles.value is None or not np.isin(profiles.value, scale.grid).all()):
        raise AttackError("a value is not on the log's rating scale")
    if rhythm is not None and (
        profiles.time is None or profiles.time.min() < rhythm.first or profiles.time.max() > rhythm.last
    ):
        raise AttackError("a time lies outside the log's range")


def _check_draft(draft: Draft, goal: Goal, n_items: int) -> None:
    if goal.kind != "sequence" and goal.profile > n_items - (len(goal.targets) if goal.by_rivals else 0):
        raise InputError(
            f"a profile of {goal.profile} different items does not fit a catalogue of {n_items}; lower --profile"
        )
    if max(goal.targets) >= n_items:
        raise InputError(f"target item index outside 0..{n_items - 1}")
    items = draft.items
    if items.ndim != 2 or len(items) != goal.accounts:
        raise AttackError(f"a draft needs items of shape [{goal.accounts}, m], got {items.shape}")
    if items.size and (items.min() < -1 or items.max() >= n_items):
        raise AttackError(f"a draft has item indices outside -1..{n_items - 1}")
    for name in ("ratings", "scores"):
        array = getattr(draft, name)
        if array is not None and array.shape != items.shape:
            raise AttackError(f"a draft's {name} have shape {array.shape}, its items {items.shape}")
        if array is not None and not np.isfinite(array[items >= 0]).all():
            raise AttackError(f"a draft's {name} are not finite")
    if draft.features is not None and len(draft.features) != goal.accounts:
        raise AttackError(f"a draft has features of {len(draft.features)} accounts, the goal {goal.accounts}")
    slots = draft.slots
    if slots is not None:
        rows, width = slots.shape if slots.ndim == 2 else (0, 0)
        if goal.kind != "sequence" or rows != goal.accounts or not goal.n_forced <= width <= goal.profile:
            raise AttackError(f"a draft's slots belong to sequences and need shape [{goal.accounts}, {goal.n_forced}+]")
        if slots.min() < 0 or slots.max() >= goal.profile or (np.diff(slots, axis=1) <= 0).any():
            raise AttackError(f"a draft's slots must ascend within 0..{goal.profile - 1}")


def forced_places(slots: Int64, profile: int) -> NDArray[np.bool_]:
    """Which places of a profile hold forced events: int64 [A, s] -> bool [A, P]."""
    found = np.zeros((len(slots), profile), bool)
    np.put_along_axis(found, slots, True, axis=1)
    return found


def target_slots(goal: Goal, rng: np.random.Generator) -> Int64:
    """Places of the forced events, int64 [A, n_slots], ascending."""
    shape = (goal.accounts, goal.n_slots)
    if goal.kind == "sequence" and goal.placement != "spread":
        last = np.arange(goal.profile - goal.n_slots, goal.profile)
        second = np.arange(1, goal.profile, 2)
        alternates = goal.placement == "every-second" and len(second) == goal.n_slots
        return np.broadcast_to(second if alternates else last, shape).copy()
    keys = rng.random((goal.accounts, goal.profile))
    return np.sort(np.argsort(keys, axis=1)[:, : goal.n_slots], axis=1)


def _choose(
    draft: Draft, goal: Goal, forced: Int32, n: int, rng: np.random.Generator
) -> tuple[Int32, NDArray[np.float64]]:
    """The best n usable fillers of each account in the order of time: items [A, n] (-1 none), ratings (NaN none)."""
    accounts, width = draft.items.shape
    places = np.broadcast_to(np.arange(width), draft.items.shape)
    scores = -places.astype(np.float64) if draft.scores is None else draft.scores.astype(np.float64)
    scores = np.where(draft.items < 0, -np.inf, scores)
    order = np.argsort(-scores, axis=1, kind="stable")
    ranked = np.take_along_axis(draft.items, order, axis=1)
    if goal.kind != "sequence":  # behind the forced items, so that their repeats go too
        ranked = without_repeats(np.concatenate([forced, ranked], axis=1))[:, forced.shape[1] :]
    usable = (ranked >= 0) & ~np.isin(ranked, goal.targets)
    best = np.argsort(~usable, axis=1, kind="stable")[:, :n]
    places = np.where(np.take_along_axis(usable, best, axis=1), np.take_along_axis(order, best, axis=1), -1)
    places = np.concatenate([places, np.full((accounts, n - places.shape[1]), -1)], axis=1)
    # what the finish line fills in stands before a genuine order
    ordered = goal.kind == "sequence" and draft.ordered
    places = np.sort(places, axis=1) if ordered else rng.permuted(places, axis=1)
    return (
        _take(draft.items, places, -1).astype(np.int32),
        _take(np.full(draft.items.shape, np.nan) if draft.ratings is None else draft.ratings, places, np.nan),
    )


def _take(array: NDArray[np.generic], places: Int64, none: float) -> NDArray[np.float64]:
    if not array.shape[1]:
        return np.full(places.shape, none)
    found: NDArray[np.float64] = np.where(places < 0, none, np.take_along_axis(array, np.maximum(places, 0), axis=1))
    return found


def _fill(items: Int32, goal: Goal, forced: Int32, n_items: int, rng: np.random.Generator) -> Int32:
    """Items with every -1 replaced by a uniform draw of items that are not yet in the profile."""
    missing = items < 0
    short = np.flatnonzero(missing.any(axis=1))
    if not len(short):
        return items
    most = int(missing.sum(axis=1).max())
    free = np.ones((len(short), n_items), bool)
    free[:, list(goal.targets)] = False
    if goal.kind != "sequence" or most < n_items // 2:
        taken = np.concatenate([items[short], forced[short]], axis=1)
        rows = np.repeat(np.arange(len(short)), taken.shape[1])
        free[rows[taken.ravel() >= 0], taken.ravel()[taken.ravel() >= 0]] = False
    drawn = draw(rng, free, len(short), most)
    if (drawn < 0).any():  # a sequence longer than the catalogue repeats items
        again = np.flatnonzero(~np.isin(np.arange(n_items), goal.targets))
        if not len(again):
            again = np.arange(n_items)
        drawn = np.where(drawn < 0, rng.choice(again, drawn.shape), drawn).astype(np.int32)
    filled = items.copy()
    need = missing[short]
    rank = np.cumsum(need, axis=1) - 1
    rows, columns = np.nonzero(need)
    filled[short[rows], columns] = drawn[rows, rank[rows, columns]]
    return filled


def _form(accounts: int, public: Public, rng: np.random.Generator) -> pd.DataFrame | None:
    """Side features of accounts whose attack has no opinion: every field of the sign-up form ticked at random.

    Accounts without any would be odd in themselves, and would be compared for that.
    """
    fields = {name: rng.choice(values, accounts) for name, values in public.form.items() if len(values)}
    return pd.DataFrame(fields) if fields else None


def _opinions(ratings: NDArray[np.float64], default: float) -> NDArray[np.float64]:
    """Ratings without gaps: a filled-in item gets the mean of its account's own ratings, else the default."""
    known = ~np.isnan(ratings)
    mean = np.where(known, ratings, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    mean = np.where(known.any(axis=1), mean, default)
    return np.where(known, ratings, mean[:, None])
