"""Logs and fakes that the tests of detectors share, and what every detector must stand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.testing as npt

from recaudit.attacks.injection import craft_only
from recaudit.attacks.visibility import auc
from recaudit.datasets.log import InteractionLog, Profiles
from recaudit.datasets.synthetic import generate
from recaudit.defenses.base import Detector, Float64, shuffled
from recaudit.defenses.catalogue import build

RATED = generate(users=400, items=200, events=8000, seed=0)
PLAIN = replace(RATED, value=None)
TARGET = int(np.argsort(RATED.item_counts)[5])
FORMS = {
    "ratings and times": RATED,
    "ratings": replace(RATED, time=None),
    "times": PLAIN,
    "neither": replace(PLAIN, time=None),
}


def log_of(
    events: list[tuple[int, int]],
    users: int,
    items: int,
    value: list[float] | None = None,
    time: list[int] | None = None,
) -> InteractionLog:
    user, item = np.array(events, np.int32).reshape(-1, 2).T
    return InteractionLog(
        user,
        item,
        np.arange(users).astype(str),
        np.arange(items).astype(str),
        None if value is None else np.array(value, np.float32),
        None if time is None else np.array(time, np.int64),
    )


def detector(name: str, **settings: Any) -> Detector:
    found = build(name, settings)
    assert isinstance(found, Detector)
    return found


def scores(name: str, log: InteractionLog, **settings: Any) -> Float64:
    return detector(name, **settings).detect(log, np.random.default_rng(0))


def caught(name: str, log: InteractionLog, profiles: Profiles) -> float:
    """AUC of the fakes."""
    attacked = log.with_accounts(profiles)
    found = auc(detector(name).suspicion(attacked, 0), np.arange(attacked.n_users) >= log.n_users)
    assert found is not None
    return found


def crafted(log: InteractionLog, attack: str, seed: int = 0) -> Profiles:
    return craft_only(log, attack, [TARGET], "5%", seed=seed)


def accounts(log: InteractionLog, lengths: list[int], seed: int = 0, *, same: bool = False) -> Profiles:
    """Accounts of the target and random items, at the highest rating; all of them alike if `same`."""
    draw = np.random.default_rng(seed)
    others = np.setdiff1d(np.arange(log.n_items), TARGET)
    fixed = draw.permutation(others)
    held = [np.append(fixed if same else draw.permutation(others), TARGET)[-length:] for length in lengths]
    account = np.repeat(np.arange(len(lengths)), lengths).astype(np.int32)
    first = 0 if log.time is None else int(log.time.min())
    return Profiles(
        len(lengths),
        account,
        np.concatenate(held).astype(np.int32),
        None if log.value is None else np.full(len(account), 5, np.float32),
        None if log.time is None else first + 3600 * np.arange(len(account), dtype=np.int64),
    )


def dated(log: InteractionLog) -> InteractionLog:
    """The log with times: where it has none, the order of its events."""
    return log if log.time is not None else replace(log, time=np.arange(len(log)))


def sound(name: str, *, timed: bool = False, **settings: Any) -> None:
    """One finite number for each account, whatever the log, and the same one wherever the account stands.

    With `timed` all logs have times, for detectors that judge no others.
    """
    pairs = [(user, item) for user in range(6) for item in range(3)]
    odd = [
        log_of([], 3, 4),
        log_of([(0, 0)], 1, 1),
        log_of([(0, 0), (1, 1)], 3, 2),
        log_of([(0, 0), (1, 0), (2, 0)], 3, 1, [3, 4, 3]),
        log_of([(0, 1), (0, 1), (0, 1)], 2, 3, time=[5, 5, 5]),
        log_of(pairs, 6, 3),
        log_of(pairs, 7, 9, [4] * 18, list(range(18))),
        log_of(pairs, 6, 3, [user % 5 + item - 2 for user, item in pairs]),
        log_of([(user, user % 4) for user in range(40)], 41, 5, time=list(range(40))),
    ]
    for log in map(dated, odd) if timed else odd:
        found = scores(name, log, **settings)
        assert found.shape == (log.n_users,) and found.dtype == np.float64 and np.isfinite(found).all()
        assert np.isfinite(detector(name, **settings).suspicion(log, 1)).all()
    for log in map(dated, FORMS.values()) if timed else FORMS.values():
        found = scores(name, log, **settings)
        assert np.isfinite(found).all()
        for seed in (0, 1):
            order = np.random.default_rng(seed).permutation(log.n_users)
            npt.assert_allclose(scores(name, shuffled(log, order), **settings), found[order], rtol=1e-6, atol=1e-6)
