"""What simulated users do with the lists they are shown: look, like, click.

A user who is active in a round looks at the place r of a list with the chance r^-eta and clicks what it looks at if it
likes it (the position-based model of clicks). Assumptions, all of them strong:

- What users like is given (`truth.Truth`) and does not change: neither lists nor fake accounts move tastes.
- Looking depends on the place alone, liking on user and item alone; the items beside it do not matter.
- Users look independently, come back at random, never leave, and get one list a round.
- A click is an event like any other in the log, and a consumed item is not listed again.
- Fake accounts do not click; their events are those they were made with.

References: Richardson, Dominowska, Ragno 2007, Predicting Clicks, WWW, and Joachims, Swaminathan, Schnabel 2017, WSDM,
for clicks as examination times relevance with eta; Dean, Dong, Jagadeesan, Liu 2024, arXiv 2404.12366, for stating the
model of how users and system shape each other; the interactive simulators RecoWorld (Liu et al. 2025, arXiv 2509.10397)
and SimUSER (Bougie, Watanabe 2025, ACL, arXiv 2504.12722), whose users are language models, for what a simulated user
is asked to do. Ours is far simpler than theirs and can be computed by hand.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy import sparse
from scipy.special import expit

from ..datasets.log import Int32, Int64
from ..datasets.seeding import rng
from ..recommenders.ranking import top_k

Float64 = NDArray[np.float64]
_ROWS = 512


class UserModel(BaseModel):
    """How users behave; every user alike."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    eta: float = Field(default=1.0, ge=0, le=10)
    """The place r is looked at with the chance r^-eta; 0 looks at all places."""
    temperature: float = Field(default=1.0, gt=0, le=100)
    """Log odds of liking are divided by it: below 1 users tell items apart more sharply, above 1 less."""
    pickiness: float = Field(default=0.0, ge=-20, le=20)
    """Subtracted from the log odds of liking: 0 likes an unknown item as often as not, 2 one in eight."""
    active: float = Field(default=0.5, ge=0, le=1)
    """Share of the users who look at a list in a round, drawn anew each round."""
    explore: float = Field(default=0.0, ge=0, le=1)
    """Share of the active users who look at as many random items that they lack instead of their list."""


def examination(places: int, eta: float) -> Float64:
    """The chance r^-eta that the place r = 1..K is looked at: float64 [K]."""
    return np.arange(1, places + 1, dtype=np.float64) ** -eta


def click_chances(logits: Float64, people: UserModel) -> Float64:
    """The chance that each place of each list is clicked: r^-eta / (1 + exp((pickiness - logit) / temperature)).

    Shapes: float64 [U, K], log odds that the user likes the item, -inf for no item -> float64 [U, K] in 0..1.
    """
    liked: Float64 = expit((logits - people.pickiness) / people.temperature)
    return liked * examination(logits.shape[1], people.eta)


def clicks(items: Int32, logits: Float64, people: UserModel, n_items: int, seed: int, number: int) -> NDArray[np.bool_]:
    """Which places are clicked if every user looks at its list.

    The luck of user u with item i in a round is the fractional part of a_u + b_i, a and b uniform: uniform, any two of
    them independent, and the same wherever and in whichever arm the item is shown (common random numbers) without a
    table of all pairs. Counts have the mean and the variance that independent draws would give.

    Args:
        items: int32 [U, K], -1 for none; row u belongs to user u.
        logits: float64 [U, K], -inf for none.
        people: how they behave.
        n_items: I.
        seed: of the simulation.
        number: of the round.

    Returns:
        bool [U, K].
    """
    of_users = rng(seed, "luck of users", number).random(len(items))
    of_items = rng(seed, "luck of items", number).random(n_items)
    luck = (of_users[:, None] + of_items[np.maximum(items, 0)]) % 1.0
    found: NDArray[np.bool_] = (luck < click_chances(logits, people)) & (items >= 0)
    return found


def present(n_users: int, people: UserModel, seed: int, number: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Who is active in a round, and who of these browses instead of looking at the list: bool [U], bool [U].

    A larger share contains the users of a smaller one.
    """
    active = rng(seed, "active", number).random(n_users) < people.active
    browsing = active & (rng(seed, "explore", number).random(n_users) < people.explore)
    return active, browsing


def browsed(held: sparse.csr_matrix, users: Int64, places: int, seed: int, number: int) -> Int32:
    """Distinct items at random, in random order, that the users lack.

    Args:
        held: [U, I], a stored cell for every item that a user has.
        users: int64 [B].
        places: K.
        seed: of the simulation.
        number: of the round.

    Returns:
        int32 [B, K], -1 where a user lacks fewer items.
    """
    found = np.full((len(users), places), -1, np.int32)
    draw = rng(seed, "browse", number)
    for start in range(0, len(users), _ROWS):
        rows = slice(start, min(start + _ROWS, len(users)))
        keys = draw.random((rows.stop - rows.start, held.shape[1]), np.float32)
        cells = held[users[rows]].tocoo()
        keys[cells.row, cells.col] = -np.inf
        found[rows] = top_k(keys, places)[0]
    return found
