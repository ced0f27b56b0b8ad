"""What the certificate PORE proves from the votes of base models: pure functions, vectorised over users.

Source: Jia, Liu, Hu, Gong 2023, PORE: Provably Robust Recommender Systems against Data Poisoning Attacks, USENIX
Security, arXiv 2303.14601. The bounds below are derived anew; tests hold them against enumeration.

A base model is fitted to s of n accounts, drawn without replacement, and lists N' items for an account; p is the chance
that an item is among them. The ensemble lists the N items of largest p. An attacker adds e accounts of any content.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

SLACK = 1e-12
"""The gap a strict inequality must have, so that no tie is certified by rounding."""


def survival(n: int, s: int, e: int) -> float:
    """Sigma, the chance that a draw of s from n + e accounts holds no fake, in 0..1.

    Of C(n + e, s) equally likely draws C(n, s) hold none; the quotient is the product over k = 1..e of
    (n + k - s) / (n + k). Such draws are distributed as those from the clean log.

    Raises:
        ValueError: not 1 <= s <= n, or e is negative.
    """
    if not 1 <= s <= n or e < 0:
        raise ValueError(f"draws of {s} from {n} accounts and {e} fakes: expected 1 <= s <= n and e >= 0")
    grown = np.arange(n + 1, n + e + 1, dtype=np.float64)
    return float(np.prod((grown - s) / grown))


def leak(n: int, s: int, e: int, only_drawn: bool = False) -> float:
    """Delta, the chance of a draw that holds a fake and in which the account gets a list, in 0..1.

    All accounts are listed for: 1 - sigma. Drawn ones alone: an account is in s / (n + e) of all draws, of which
    sigma s / n hold no fake, so that s / (n + e) - sigma s / n is left. In either rule, for an item and any attack,
    sigma p <= p' <= sigma p + delta, and for c items sum p' <= sigma sum p + min(N', c) delta, since a model lists N'
    items at most.

    Args:
        n: genuine accounts.
        s: accounts in a draw.
        e: fake accounts.
        only_drawn: whether a base model lists for the accounts it was fitted to alone, as in the paper.

    Raises:
        ValueError: see survival.
    """
    sigma = survival(n, s, e)
    if not only_drawn:
        return 1.0 - sigma
    return max(0.0, s / (n + e) - sigma * s / n)


def certified(
    lower: Float64,
    upper: Float64,
    keep: NDArray[np.bool_],
    n_list: int,
    sigma: float,
    delta: float,
    n_per_model: int,
) -> NDArray[np.int64]:
    """How many of the items to keep provably stay in the list, int64 [U] in 0..n_list.

    To push out one of the r kept items with the largest p, k = N - r + 1 outsiders must reach its p', which is
    sigma p at least; the least of any c of them is at most their mean, (sigma sum p + min(N', c) delta) / c. So r stay
    if the r-th lower bound times sigma exceeds that mean for some c <= k, with the outsiders of rank k - c + 1 to k.
    At least as tight as the published code, which looks at one outsider or at all k.

    Args:
        lower: float64 [U, I], bounds on p that hold at once for all of a user's items.
        upper: float64 [U, I]; -inf for items that are never listed for the user, such as consumed ones.
        keep: bool [U, I], the items that are to stay.
        n_list: N.
        sigma: see survival.
        delta: see leak.
        n_per_model: N'.
    """
    return _Ordered(lower, upper, keep, n_list).staying(sigma, delta, n_per_model)


def tolerated(
    lower: Float64,
    upper: Float64,
    keep: NDArray[np.bool_],
    n_list: int,
    n_per_model: int,
    chances: Callable[[int], tuple[float, float]],
    *,
    wanted: int = 1,
    limit: int = 1000,
) -> NDArray[np.int64]:
    """The largest number of fakes at which `wanted` kept items provably stay, int64 [U]; -1 if not even without any.

    What stays never grows with the fakes: sigma falls, and delta / sigma rises in both rules.

    Args:
        lower: see certified.
        upper: see certified.
        keep: see certified.
        n_list: see certified.
        n_per_model: see certified.
        chances: sigma and delta for a number of fakes.
        wanted: items that must stay, at least 1.
        limit: numbers of fakes above it are not looked at.
    """
    ordered = _Ordered(lower, upper, keep, n_list)
    found = np.full(len(lower), -1, np.int64)
    for e in range(limit + 1):
        holds = ordered.staying(*chances(e), n_per_model) >= wanted
        if not holds.any():
            break
        found[holds] = e
    return found


def not_promotable(
    lower: Float64, upper: Float64, items: NDArray[np.integer], n_list: int, sigma: float, delta: float
) -> NDArray[np.bool_]:
    """Whether an item provably cannot enter the user's list, bool [U, T].

    Its p' is at most sigma p + delta. If N other items have a larger sigma p, which their p' does not fall below, they
    fill the list. Follows from the same two bounds; the paper states untargeted attacks alone.

    Args:
        lower: see certified.
        upper: see certified.
        items: int [T], the items somebody may promote.
        n_list: N.
        sigma: see survival.
        delta: see leak.
    """
    best = _largest(lower, n_list + 1, 0.0)
    own = lower[:, items]
    # an item among the N best itself leaves the next one as the N-th of the others
    rival = np.where(own >= best[:, n_list - 1, None], best[:, n_list, None], best[:, n_list - 1, None])
    return np.asarray(sigma * rival > sigma * upper[:, items] + delta + SLACK)


class _Ordered:
    """Lower bounds of the kept items and upper bounds of the others, largest first, N of each."""

    def __init__(self, lower: Float64, upper: Float64, keep: NDArray[np.bool_], n_list: int) -> None:
        self.kept = _largest(np.where(keep, lower, 0.0), n_list, 0.0)
        self.others = _largest(np.where(keep, -np.inf, upper), n_list, -np.inf)

    def staying(self, sigma: float, delta: float, n_per_model: int) -> NDArray[np.int64]:
        n_list = self.kept.shape[1]
        found = np.zeros(len(self.kept), np.int64)
        for r in range(1, n_list + 1):
            k = n_list - r + 1
            total, reach = np.zeros(len(found)), np.full(len(found), np.inf)
            for c in range(1, k + 1):
                # without k outsiders the sum is -inf: nothing can push the item out
                total = total + self.others[:, k - c]
                reach = np.minimum(reach, (sigma * total + min(n_per_model, c) * delta) / c)
            # an item that no model may list is in no list, however few rivals it has
            found[sigma * self.kept[:, r - 1] > np.maximum(reach, 0.0) + SLACK] = r
        return found


def _largest(values: Float64, count: int, none: float) -> Float64:
    """The largest of each row, largest first, float64 [U, count]; `none` where there are fewer."""
    width = values.shape[1]
    if width < count:
        values = np.pad(values, ((0, 0), (0, count - width)), constant_values=none)
    elif width > count:
        values = np.partition(values, width - count, axis=1)[:, width - count :]
    return np.asarray(-np.sort(-values, axis=1))
