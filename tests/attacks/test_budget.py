"""Accounts and events: what a person writes and what it comes to."""

from __future__ import annotations

import numpy as np
import pytest

from recaudit.attacks.budget import accounts_of, mean_profile
from recaudit.datasets.errors import InputError
from recaudit.datasets.log import InteractionLog


@pytest.mark.parametrize(
    ("size", "users", "accounts"),
    [
        ("1%", 943, 9), ("1%", 950, 10), ("1%", 949, 9), ("0.5 %", 300, 2), ("2.5%", 20, 1), ("1%", 3, 1),
        ("0.01%", 10, 1), ("50", 10, 50), (50, 10, 50), ("0", 10, 0), ("0%", 1000, 0), ("100%", 7, 7),
        ("0.3%", 500, 2), ("0.7%", 500, 4), ("1.1%", 50, 1), ("7%", 50, 4),
    ],
)  # fmt: skip
def test_sizes(size: str | int, users: int, accounts: int) -> None:
    assert accounts_of(size, users) == accounts


@pytest.mark.parametrize("size", ["", "one", "-1", "-1%", "1.5", "101%", "1%%", "nan", "1e3", "%"])
def test_no_sizes(size: str) -> None:
    with pytest.raises(InputError, match="attack size"):
        accounts_of(size, 100)


def test_the_default_profile_is_the_mean_rounded_half_up() -> None:
    user = np.array([0, 0, 1, 1, 1], np.int32)
    log = InteractionLog(user, np.arange(5, dtype=np.int32), np.array(["a", "b", "idle"]), np.array(list("vwxyz")))
    assert mean_profile(log) == 3
    assert mean_profile(log.take(np.zeros(5, bool))) == 1
