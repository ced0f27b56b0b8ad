"""The three parts of a log that a model is trained, chosen and judged on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .errors import DataError, InputError
from .log import Int64, InteractionLog
from .seeding import rng

if TYPE_CHECKING:
    from .read import LoadedLog


@dataclass(frozen=True, eq=False)
class Split:
    """Train, validation and test events over the same users and items; no event in two parts.

    Attributes:
        train: what the model is fitted on.
        valid: what its training is stopped by; may be empty.
        test: what it is judged on.
        recipe: how the split was made, as text a person can repeat ("leave-last-out").
    """

    train: InteractionLog
    valid: InteractionLog
    test: InteractionLog
    recipe: str

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the fingerprints of the three parts."""
        parts = (self.train, self.valid, self.test)
        return hashlib.sha256("".join(part.fingerprint for part in parts).encode()).hexdigest()

    @property
    def history(self) -> InteractionLog:
        """What is known of a user at test time: train and validation events."""
        return self.train.plus(self.valid)


def leave_last_out(log: InteractionLog) -> Split:
    """Each user's last event is the test event, the one before it the validation event.

    Events of one second are ordered as in the file. Users with fewer than three events stay whole in train.

    Raises:
        DataError: the log has no times, or no user has three events.
    """
    if log.time is None:
        raise DataError("leave-last-out needs times, this log has none; use ratio:0.7,0.1,0.2")
    order = log.chronological()
    counts = log.user_counts
    from_end = np.empty(len(log), np.int64)
    from_end[order] = (np.cumsum(counts) - 1)[log.user[order]] - np.arange(len(log))
    enough = counts[log.user] >= 3
    return _split(log, enough & (from_end == 1), enough & (from_end == 0), "leave-last-out")


def global_temporal(log: InteractionLog, valid: float = 0.1, test: float = 0.1) -> Split:
    """The latest share of all events is the test part, the share before it the validation part.

    Events of one second are ordered as in the file, also across users. Users and items that first appear
    late have no training events; that is how it was at that time.

    Args:
        log: with times.
        valid: share of events, 0 <= valid.
        test: share of events, 0 < test, valid + test < 1.

    Raises:
        DataError: the log has no times, or is too short.
        InputError: shares out of range.
    """
    _check_shares(valid, test)
    if log.time is None:
        raise DataError("a temporal split needs times, this log has none; use ratio:0.7,0.1,0.2")
    rank = np.empty(len(log), np.int64)
    rank[np.argsort(log.time, kind="stable")] = np.arange(len(log))
    for_test = _share(np.array([len(log)]), test)[0]
    for_valid = _share(np.array([len(log)]), valid)[0]
    in_test = rank >= len(log) - for_test
    in_valid = ~in_test & (rank >= len(log) - for_test - for_valid)
    return _split(log, in_valid, in_test, f"temporal:{_shares(valid, test)}")


def ratio_per_user(log: InteractionLog, valid: float = 0.1, test: float = 0.2, seed: int = 0) -> Split:
    """A random share of each user's events, rounded down, is the test part, another the validation part.

    Users with too few events for a whole one stay in train.

    Args:
        log: any log.
        valid: share of a user's events, 0 <= valid.
        test: share of a user's events, 0 < test, valid + test < 1.
        seed: which events.

    Raises:
        DataError: no user has enough events for one test event.
        InputError: shares out of range.
    """
    _check_shares(valid, test)
    rank = _random_rank(log, seed, "ratio")
    for_test, for_valid = _share(log.user_counts, test)[log.user], _share(log.user_counts, valid)[log.user]
    in_test = rank < for_test
    in_valid = ~in_test & (rank < for_test + for_valid)
    return _split(log, in_valid, in_test, f"ratio:{_shares(valid, test)} seed {seed}")


def given(parts: Mapping[str, InteractionLog], seed: int = 0) -> Split:
    """The parts that the files give; without a validation part a tenth of each user's train events, at random.

    Args:
        parts: train, test and perhaps valid, over the same users and items.
        seed: which train events become the validation part.

    Raises:
        DataError: no train or no test part.
    """
    for name in ("train", "test"):
        if name not in parts or len(parts[name]) == 0:
            raise DataError(f"the data give no {name} part (parts: {', '.join(parts) or 'none'}); use another split")
    train = parts["train"]
    if "valid" in parts:
        return Split(train, parts["valid"], parts["test"], "given")
    held = _random_rank(train, seed, "given") < _share(train.user_counts, 0.1)[train.user]
    return Split(train.without(held), train.take(held), parts["test"], f"given seed {seed}")


def make_split(loaded: LoadedLog, spec: str | None = None, seed: int = 0) -> Split:
    """A split by its description.

    Args:
        loaded: the log, with the parts its files give.
        spec: "leave-last-out", "temporal:0.8,0.1,0.1", "ratio:0.7,0.1,0.2", "given", or the `recipe` of a
            split, whose own seed then counts. None: given if the data have parts, else leave-last-out if they
            have times, else ratio.
        seed: for the random ones.

    Raises:
        InputError: the description is not understood.
        DataError: the data do not allow this split, or the test part would be empty.
    """
    log = loaded.log
    if spec is None:
        spec = "given" if loaded.parts else "ratio" if log.time is None else "leave-last-out"
    found = re.fullmatch(r"([a-z-]+)(?::([\d.,\s]+))?(?: seed (\d+))?", spec.strip().lower())
    if found is None or found[1] not in ("leave-last-out", "temporal", "ratio", "given"):
        raise InputError(
            f"unknown split {spec!r}; expected leave-last-out, given, "
            "temporal:TRAIN,VALID,TEST or ratio:TRAIN,VALID,TEST"
        )
    kind, seed = found[1], seed if found[3] is None else int(found[3])
    if found[2] and kind in ("leave-last-out", "given"):
        raise InputError(f"split {kind!r} takes no shares, got {found[2]!r}")
    if kind == "leave-last-out":
        return leave_last_out(log)
    if kind == "given":
        return given(loaded.parts, seed)
    valid, test = (0.1, 0.1 if kind == "temporal" else 0.2) if not found[2] else _parse_shares(spec, found[2])
    if kind == "ratio":
        return ratio_per_user(log, valid, test, seed)
    if not loaded.dated:
        raise DataError("a temporal split needs dates; the times of these data are positions within a user")
    return global_temporal(log, valid, test)


def _split(log: InteractionLog, valid: NDArray[np.bool_], test: NDArray[np.bool_], recipe: str) -> Split:
    if not test.any():
        raise DataError(f"split {recipe} leaves no test event: the users have too few events; use another split")
    return Split(log.without(valid | test), log.take(valid), log.take(test), recipe)


def _random_rank(log: InteractionLog, seed: int, purpose: str) -> Int64:
    """Each event's place, from 0, in a random order of its user's events: int64 [E]."""
    order = np.lexsort((rng(seed, "split", purpose).random(len(log)), log.user))
    counts = log.user_counts
    rank = np.empty(len(log), np.int64)
    rank[order] = np.arange(len(log)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rank


def _share(counts: Int64, share: float) -> Int64:
    """Rounded down, but 0.1 of 30 is 3."""
    whole: Int64 = np.floor(counts * share + 1e-9).astype(np.int64)
    return whole


def _shares(valid: float, test: float) -> str:
    return f"{1 - valid - test:.10g},{valid:.10g},{test:.10g}"


def _check_shares(valid: float, test: float) -> None:
    if not (0 <= valid < 1 and 0 < test < 1 and valid + test < 1):
        raise InputError(f"shares must leave something for train and test, got valid {valid}, test {test}")


def _parse_shares(spec: str, text: str) -> tuple[float, float]:
    try:
        train, valid, test = (float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"split {spec!r}: expected three shares TRAIN,VALID,TEST such as 0.8,0.1,0.1") from error
    if abs(train + valid + test - 1) > 1e-6:
        raise InputError(f"split {spec!r}: the shares add up to {train + valid + test:g}, not 1")
    return valid, test
