"""How visible fake accounts are: distances to genuine users, and what detectors without labels make of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from ..datasets.errors import InputError
from ..datasets.log import InteractionLog, Profiles
from .detectors import DETECTORS, Float64
from .stealth import Stealth

PREFIX = "stealth/"


def visibility(log: InteractionLog, profiles: Profiles) -> dict[str, float | None]:
    """All measures of one set of fake accounts, by name; every name is there whatever the data.

    `stealth/FIELD` for each field of `Stealth`; `stealth/DETECTOR/auc` and `stealth/DETECTOR/recall` (at 1 % false
    positives) for each detector, which sees the log with the accounts appended. Users and accounts without events
    are left out of these two.

    Args:
        log: genuine users only.
        profiles: the fakes, made for this log.

    Raises:
        DataError: the log has ratings or times and the profiles have none.
    """
    found: dict[str, float | None] = {
        PREFIX + name: value for name, value in Stealth.of(log, profiles).as_values().items()
    }
    attacked = log.with_accounts(profiles)
    active = attacked.user_counts > 0
    fake = np.arange(attacked.n_users)[active] >= log.n_users
    both = bool(fake.any() and not fake.all())
    for name, detector in DETECTORS.items():
        suspicion = detector(attacked)[active] if both else np.zeros(len(fake))
        found[f"{PREFIX}{name}/auc"] = auc(suspicion, fake)
        found[f"{PREFIX}{name}/recall"] = recall_at(suspicion, fake)
    return found


def auc(suspicion: Float64, fake: NDArray[np.bool_]) -> float | None:
    """Chance that a fake is more suspicious than a genuine user, ties counted half: 0..1, .5 by chance.

    None without fakes or without genuine users. Shapes: suspicion float64 [U], fake bool [U].
    """
    n_fake = int(np.count_nonzero(fake))
    n_genuine = len(fake) - n_fake
    if not n_fake or not n_genuine:
        return None
    ranks = float(rankdata(suspicion)[fake].sum())
    return (ranks - n_fake * (n_fake + 1) / 2) / (n_fake * n_genuine)


def recall_at(suspicion: Float64, fake: NDArray[np.bool_], false_positives: float = 0.01) -> float | None:
    """Share of the fakes that are flagged when this share of the genuine users is: 0..1.

    Users at the threshold are flagged with one probability, the one at which the expected share of false positives
    is exact: no order of tied users matters, and constant suspicion gives `false_positives`. None as for `auc`.

    Raises:
        InputError: false_positives outside 0..1.
    """
    if not 0 <= false_positives <= 1:
        raise InputError(f"the share of false positives must be within 0..1, got {false_positives}")
    n_fake = int(np.count_nonzero(fake))
    n_genuine = len(fake) - n_fake
    if not n_fake or not n_genuine:
        return None
    _, group = np.unique(-suspicion, return_inverse=True)
    hits = np.cumsum(np.bincount(group, fake))
    alarms = np.cumsum(np.bincount(group, ~fake))
    budget = false_positives * n_genuine
    last = int(np.searchsorted(alarms, budget + 1e-9, side="right"))  # groups flagged whole
    if last == len(hits):
        return 1.0
    before_hits, before_alarms = (float(hits[last - 1]), float(alarms[last - 1])) if last else (0.0, 0.0)
    part = max(0.0, budget - before_alarms) / (alarms[last] - before_alarms)
    return float(before_hits + part * (float(hits[last]) - before_hits)) / n_fake
