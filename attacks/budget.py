"""An attack's budget: how many accounts, how many events each."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np

from ..datasets.errors import InputError
from ..datasets.log import InteractionLog


def accounts_of(size: str | int, n_users: int) -> int:
    """The number A of fake accounts.

    Args:
        size: a number of accounts ("50" or 50), or a share of the genuine users ("1%", "0.5 %"), which is
            rounded half up and is at least one account unless it is 0 %.
        n_users: U, genuine users.

    Raises:
        InputError: not a size.
    """
    text = str(size).strip()
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(%?)", text)
    if found is None or (not found[2] and "." in found[1]):
        raise InputError(f"attack size {text!r}: expected a share of users such as '1%' or a whole number such as '50'")
    number = Fraction(found[1])
    if not found[2]:
        return int(number)
    if number > 100:
        raise InputError(f"attack size {text!r}: a share of users is at most 100%; give a number of accounts instead")
    # exact, so that half an account is always rounded up
    return max(1, int(number * n_users / 100 + Fraction(1, 2))) if number else 0


def mean_profile(log: InteractionLog) -> int:
    """The default P: events per genuine user with events, rounded half up, at least 1."""
    return max(1, int(np.floor(len(log) / max(int(np.count_nonzero(log.user_counts)), 1) + 0.5)))
