"""What is proved must hold: against every attack on logs small enough to enumerate, and in its formulas."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, pairwise, product
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recaudit.defenses.certificate.bounds import (
    certified,
    leak,
    not_promotable,
    survival,
    tolerated,
)

ITEMS = 5
FAKES = np.array(list(product((0, 1), repeat=ITEMS)), np.int64)  # every row there is


@dataclass(frozen=True)
class World:
    """A log and an ensemble, small enough that every draw and every fake account can be tried."""

    log: NDArray[np.int64]
    s: int
    per_model: int
    n_list: int
    only_drawn: bool

    @property
    def n(self) -> int:
        return len(self.log)

    def chances(self, e: int) -> tuple[float, float]:
        return survival(self.n, self.s, e), leak(self.n, self.s, e, self.only_drawn)

    def counts(self, log: NDArray[np.int64]) -> NDArray[np.int64]:
        """In how many of all draws of s rows of `log` an item is listed for a genuine account, int64 [n, I]."""
        found = np.zeros((self.n, ITEMS), np.int64)
        for bag in combinations(range(len(log)), self.s):
            rows = log[list(bag)]
            scores = (self.log @ rows.T) @ rows * (1 - self.log)  # co-occurrence; nothing consumed is listed
            keys = np.where(scores > 0, scores * ITEMS + np.arange(ITEMS)[::-1], 0)  # lower item first among equals
            best = np.argsort(-keys, axis=1)[:, : self.per_model]
            hit = np.take_along_axis(keys, best, 1) > 0
            served = np.isin(np.arange(self.n), bag) if self.only_drawn else np.ones(self.n, bool)
            row, place = np.nonzero(hit & served[:, None])
            found[row, best[row, place]] += 1
        return found

    def attacked(self, fake: NDArray[np.int64]) -> NDArray[np.int64]:
        return self.counts(np.vstack([self.log, fake[None]]))


def worlds(only_drawn: bool, count: int = 60) -> list[World]:
    draw = np.random.default_rng(11)
    return [
        World(
            (draw.random((int(draw.integers(5, 7)), ITEMS)) < 0.5).astype(np.int64),
            int(draw.integers(2, 4)), int(draw.integers(1, 3)), int(draw.integers(1, 3)), only_drawn,
        )
        for _ in range(count)
    ]  # fmt: skip


def top(counts: NDArray[np.int64], n_list: int) -> NDArray[np.bool_]:
    """The current list: largest counts, lower item first, none without a vote."""
    keys = np.where(counts > 0, counts * ITEMS + np.arange(ITEMS)[::-1], 0)
    found = np.zeros(counts.shape, bool)
    np.put_along_axis(found, np.argsort(-keys, axis=1)[:, :n_list], True, 1)
    return found & (keys > 0)


def left(counts: NDArray[np.int64], keep: NDArray[np.bool_], n_list: int) -> NDArray[np.int64]:
    """How many kept items are in the list when every tie goes against them."""
    keys = np.where(counts > 0, 2 * counts + ~keep, 0)
    places = np.argsort(-keys, axis=1, kind="stable")[:, :n_list]
    return (np.take_along_axis(keep, places, 1) & (np.take_along_axis(keys, places, 1) > 0)).sum(axis=1)


@pytest.mark.parametrize("only_drawn", [False, True])
def test_no_fake_account_breaks_a_certificate(only_drawn: bool) -> None:
    proved = tight = safe = could = 0
    for world in worlds(only_drawn):
        clean, all_draws = world.counts(world.log), comb(world.n, world.s)
        p = np.array([[float(Fraction(int(c), all_draws)) for c in row] for row in clean])
        upper = np.where(world.log > 0, -np.inf, p)
        keep = top(clean, world.n_list)
        sigma, delta = world.chances(1)
        stay = certified(p, upper, keep, world.n_list, sigma, delta, world.per_model)
        shut = not_promotable(p, upper, np.arange(ITEMS), world.n_list, sigma, delta)
        worst = np.full(world.n, ITEMS)
        entered = np.zeros((world.n, ITEMS), bool)
        for fake in FAKES:
            poisoned = world.attacked(fake)
            worst = np.minimum(worst, left(poisoned, keep, world.n_list))
            # an item with the same votes as the last of the list may be in it
            better = (poisoned[:, None, :] > poisoned[:, :, None]).sum(axis=2)
            entered |= (better < world.n_list) & (poisoned > 0)
        assert (stay <= worst).all(), world
        assert not (shut & entered).any(), world
        proved += int((stay > 0).any())
        tight += int(((stay == worst) & (stay > 0)).any())
        safe, could = safe + int((shut & (world.log == 0)).sum()), could + int((~shut).sum())
    assert proved >= 30 and tight >= 30, (proved, tight)  # it says something, and sometimes all there is to say
    assert safe > 0 and could > 0, (safe, could)


@pytest.mark.parametrize("only_drawn", [False, True])
def test_bounds_on_chances_hold_for_sets_of_items(only_drawn: bool) -> None:
    for world in worlds(only_drawn, 15):
        n, s = world.n, world.s
        sigma = Fraction(comb(n, s), comb(n + 1, s))
        delta = (Fraction(s, n + 1) - sigma * Fraction(s, n)) if only_drawn else 1 - sigma
        clean = world.counts(world.log)
        for fake in FAKES[::3]:
            poisoned = world.attacked(fake)
            for user, c in product(range(n), range(1, ITEMS + 1)):
                for chosen in combinations(range(ITEMS), c):
                    before = Fraction(int(clean[user, list(chosen)].sum()), comb(n, s))
                    after = Fraction(int(poisoned[user, list(chosen)].sum()), comb(n + 1, s))
                    assert sigma * before <= after <= sigma * before + min(world.per_model, c) * delta


@pytest.mark.parametrize(("n", "s", "e"), [(4, 2, 1), (5, 2, 2), (6, 3, 2), (5, 5, 1), (4, 1, 3), (6, 4, 0)])
def test_sigma_and_delta_count_draws(n: int, s: int, e: int) -> None:
    draws = list(combinations(range(n + e), s))
    clean = [bag for bag in draws if max(bag) < n]
    assert survival(n, s, e) == pytest.approx(len(clean) / len(draws), abs=1e-14)
    assert leak(n, s, e) == pytest.approx(1 - len(clean) / len(draws), abs=1e-14)
    mixed = [bag for bag in draws if 0 in bag and max(bag) >= n]
    assert leak(n, s, e, only_drawn=True) == pytest.approx(len(mixed) / len(draws), abs=1e-14)


def test_sigma_on_the_published_size() -> None:
    assert survival(943, 200, 9) == pytest.approx((1 - 200 / 943) ** 9, rel=0.02)
    assert survival(943, 20, 9) == pytest.approx(0.82, abs=0.01)
    with pytest.raises(ValueError, match="draws of 6 from 5"):
        survival(5, 6, 1)


@given(n=st.integers(1, 300), data=st.data())
def test_more_fakes_never_prove_more(n: int, data: st.DataObject) -> None:
    s, only = data.draw(st.integers(1, n)), data.draw(st.booleans())
    sigmas = [survival(n, s, e) for e in range(6)]
    ratios = [leak(n, s, e, only) / sigmas[e] for e in range(6)]
    assert sigmas[0] == 1 and ratios[0] == pytest.approx(0)
    assert all(a >= b for a, b in pairwise(sigmas))
    assert all(a <= b + 1e-12 for a, b in pairwise(ratios))
    assert all(0 <= leak(n, s, e, only) <= 1 - sigmas[e] + 1e-12 for e in range(6))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), n_list=st.integers(1, 6), per_model=st.integers(1, 6), only=st.booleans())
def test_certificates_are_monotone(seed: int, n_list: int, per_model: int, only: bool) -> None:
    draw = np.random.default_rng(seed)
    p = draw.random((4, 8)) ** 3
    lower, upper = np.maximum(p - 0.02, 0), np.minimum(p + 0.02, 1)
    keep = np.argsort(np.argsort(-p, axis=1), axis=1) < n_list

    def stays(e: int, low: NDArray[np.float64] = lower, names: int = per_model) -> NDArray[np.int64]:
        return certified(low, upper, keep, n_list, survival(50, 5, e), leak(50, 5, e, only), names)

    by_fakes = np.array([stays(e) for e in range(8)])
    assert (np.diff(by_fakes, axis=0) <= 0).all() and by_fakes.min() >= 0 and by_fakes.max() <= n_list
    assert (stays(2, np.maximum(lower - 0.05, 0)) <= stays(2)).all()
    assert (stays(2, names=per_model + 1) <= stays(2)).all()
    most = tolerated(
        lower, upper, keep, n_list, per_model, lambda e: (survival(50, 5, e), leak(50, 5, e, only)), limit=7
    )  # fmt: skip
    assert (most == (by_fakes >= 1).sum(axis=0) - 1).all()


def test_certificate_by_hand() -> None:
    p = np.array([[0.9, 0.5, 0.3, 0.2, 0.0]])
    keep = np.array([[True, True, False, False, False]])
    # r = 2, one outsider: .8 * .5 = .4 against .8 * .3 + .2 = .44; r = 1, two: .72 against (.8 * (.3 + .2) + .2) / 2
    assert certified(p, p, keep, 2, 0.8, 0.2, 1).tolist() == [1]
    # sigma .9: .45 against .27 + .1
    assert certified(p, p, keep, 2, 0.9, 0.1, 1).tolist() == [2]
    assert certified(p, p, keep, 2, 0.0, 1.0, 1).tolist() == [0]
    # r = 1: two outsiders share delta with N' = 1, (.8 * (.3 + .2) + .2) / 2 = .3; with N' = 2 .8 * .2 + .2 is least
    middle = np.array([[0.42, 0.41, 0.3, 0.2, 0.0]])
    assert certified(middle, middle, keep, 2, 0.8, 0.2, 1).tolist() == [1]  # .336 > .3
    assert certified(middle, middle, keep, 2, 0.8, 0.2, 2).tolist() == [0]  # .336 < .36
    # equal scores prove nothing; without outsiders nothing can be pushed out, but what has no vote is in no list
    equal = np.array([[0.5, 0.5, 0.5]])
    assert certified(equal, equal, np.array([[True, False, False]]), 1, 1.0, 0.0, 1).tolist() == [0]
    alone = np.array([[0.1, 0.0, 0.0]])
    nobody = np.array([[0.1, -np.inf, -np.inf]])
    assert certified(alone, nobody, np.array([[True, False, False]]), 2, 0.1, 0.9, 1).tolist() == [1]
    assert certified(np.zeros((1, 3)), nobody, np.array([[True, False, False]]), 2, 1.0, 0.0, 1).tolist() == [0]


def test_promotion_by_hand() -> None:
    p = np.array([[0.9, 0.6, 0.2, 0.0]])
    items = np.arange(4)
    # N = 2, sigma .8, delta .2: the second best keeps .48; item 2 reaches .36, item 3 .2; the listed are in it
    assert not_promotable(p, p, items, 2, 0.8, 0.2).tolist() == [[False, False, True, True]]
    # sigma .7: .42 against .44 and .3
    assert not_promotable(p, p, items, 2, 0.7, 0.3).tolist() == [[False, False, False, True]]
    assert not not_promotable(p, p, items, 4, 1.0, 0.0).any()  # a list that has room for all
