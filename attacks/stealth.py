"""Distances between fake and genuine profiles: what a look at the data would show, without any detector.

All are pure functions of the genuine log and the profiles. None means undefined; `Stealth.undefined` says why.
Distances have no "significant" value by themselves: read them beside those of another attack, or beside the fields
`usual_...`, which say the same of genuine users.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType

import numpy as np
from scipy import sparse
from scipy.stats import rankdata, wasserstein_distance

from ..datasets.log import Int64, InteractionLog, Profiles
from .detectors import Float64, rows
from .likeness import alike
from .transitions import repeat_share, transition_bits

REASONS: Mapping[str, str] = MappingProxyType({
    "rating_js": "the log has no ratings, or the same one everywhere",
    "fake_cosine": "fewer than two accounts have events",
    "fake_jaccard": "fewer than two accounts have events",
    "usual_cosine": "fewer than two genuine users have events",
    "usual_nearest": "fewer than two genuine users have events",
    "transition": "no times, or no fake or fewer than two genuine steps from one event to the next",
    "usual_transition": "no times, or fewer than two genuine steps from one event to the next",
})  # fmt: skip


@dataclass(frozen=True)
class Stealth:
    """All distances of one set of accounts.

    Attributes:
        length_ks: see `length_ks`, 0..1.
        popularity: see `popularity_distance`, 0..log2 I.
        rating_js: see `rating_js`, 0..1.
        item_tvd: see `item_tvd`, over all items, 0..1.
        item_tvd_rated: over items that a fake holds, 0..1.
        fake_cosine_mean: over pairs of fakes, of ratings (0 where nothing is rated), 0..1; high for copied profiles.
        fake_cosine_max: largest of them.
        fake_jaccard_mean: shared items over all items of both, over pairs of fakes, 0..1.
        fake_jaccard_max: largest of them.
        nearest_cosine: with the most similar genuine user, mean over fakes, 0..1; high for clones.
        nearest_jaccard: likewise.
        nearest_containment: largest share of a fake's items that one genuine user holds, mean over fakes, 0..1; near
            1 for clones cut to a part. It grows with the length of the longest genuine profiles.
        repeat_share: see `repeat_share`, 0..1.
        transition_bits: see `transition_bits`, at most 0.
        usual_cosine_mean: `fake_cosine_mean` of genuine users.
        usual_nearest_cosine: `nearest_cosine` of `SAMPLE` genuine users with all other ones.
        usual_nearest_jaccard: likewise.
        usual_nearest_containment: likewise.
        usual_repeat_share: of genuine users.
        usual_transition_bits: of genuine users, each step under a chain fitted without it.
    """

    length_ks: float | None = None
    popularity: float | None = None
    rating_js: float | None = None
    item_tvd: float | None = None
    item_tvd_rated: float | None = None
    fake_cosine_mean: float | None = None
    fake_cosine_max: float | None = None
    fake_jaccard_mean: float | None = None
    fake_jaccard_max: float | None = None
    nearest_cosine: float | None = None
    nearest_jaccard: float | None = None
    nearest_containment: float | None = None
    repeat_share: float | None = None
    transition_bits: float | None = None
    usual_cosine_mean: float | None = None
    usual_nearest_cosine: float | None = None
    usual_nearest_jaccard: float | None = None
    usual_nearest_containment: float | None = None
    usual_repeat_share: float | None = None
    usual_transition_bits: float | None = None

    @classmethod
    def of(cls, genuine: InteractionLog, profiles: Profiles) -> Stealth:
        """Everything that is defined for these data; without genuine or fake events nothing is.

        Raises:
            DataError: the log has ratings or times and the profiles have none.
        """
        if not len(genuine) or not len(profiles.item):
            return cls()
        held = rows(genuine.with_accounts(profiles))
        distance = _item_distances(genuine, profiles, held)
        bits, usual_bits = transition_bits(genuine, profiles)
        return cls(
            length_ks=length_ks(genuine, profiles),
            popularity=popularity_distance(genuine, profiles),
            rating_js=rating_js(genuine, profiles),
            item_tvd=float(distance.mean()),
            item_tvd_rated=float(distance[np.unique(profiles.item)].mean()),
            repeat_share=repeat_share(profiles.account, profiles.item),
            usual_repeat_share=repeat_share(genuine.user, genuine.item),
            transition_bits=bits,
            usual_transition_bits=usual_bits,
            **alike(held[: genuine.n_users], held[genuine.n_users :]),
        )

    def as_values(self) -> dict[str, float | None]:
        """All fields by name."""
        return asdict(self)

    def undefined(self) -> dict[str, str]:
        """Why each field that is None is so."""
        found: dict[str, str] = {}
        for name, value in asdict(self).items():
            if value is None:
                fitting = [key for key in REASONS if name.startswith(key)] if self.length_ks is not None else []
                found[name] = REASONS[max(fitting, key=len)] if fitting else "no genuine or no fake events"
        return found


def length_ks(genuine: InteractionLog, profiles: Profiles) -> float | None:
    """Kolmogorov-Smirnov distance of profile lengths (users and accounts with events), 0..1; None without events."""
    ours, fakes = (np.sort(lengths[lengths > 0]) for lengths in (genuine.user_counts, _lengths(profiles)))
    if not len(ours) or not len(fakes):
        return None
    at = np.concatenate([ours, fakes])
    below = (np.searchsorted(each, at, side="right") / len(each) for each in (ours, fakes))
    first, second = below
    return float(np.abs(first - second).max())


def popularity_distance(genuine: InteractionLog, profiles: Profiles) -> float | None:
    """Wasserstein-1 distance of log2 popularity rank between genuine and fake events, 0..log2 I; None without events.

    Rank 1 is the most popular item among genuine users, equal ones share their mean rank. 1 means that events lie,
    on average, a factor of two of rank apart.
    """
    counts = genuine.item_counts
    fakes = np.bincount(profiles.item, minlength=genuine.n_items)
    if not counts.sum() or not fakes.sum():
        return None
    rank = np.log2(rankdata(-counts))
    return float(wasserstein_distance(rank, rank, counts, fakes))


def rating_js(genuine: InteractionLog, profiles: Profiles) -> float | None:
    """Jensen-Shannon divergence of the histograms of ratings in bits, 0..1; None without (varying) ratings."""
    if genuine.value is None or profiles.value is None or not len(genuine.value) or not len(profiles.value):
        return None
    if float(genuine.value.min()) == float(genuine.value.max()):
        return None
    grid, at = np.unique(np.concatenate([genuine.value, profiles.value]), return_inverse=True)
    own = np.bincount(at[: len(genuine)], minlength=len(grid)) / len(genuine)
    fake = np.bincount(at[len(genuine) :], minlength=len(grid)) / len(profiles.value)
    middle = (own + fake) / 2
    parts = (each[each > 0] @ np.log2(each[each > 0] / middle[each > 0]) for each in (own, fake))
    return float(min(max(sum(parts) / 2, 0.0), 1.0))


def item_tvd(genuine: InteractionLog, profiles: Profiles, *, rated: bool = False) -> float | None:
    """Total variation distance between what genuine users and fakes do with an item, mean over items, 0..1.

    What one does with an item is a rating or nothing, so without ratings this is the difference of the shares that
    hold it. Over all items it is near 0 by construction, since most items are held by hardly anybody on either
    side (the usual figure, e.g. of Leg-UP's code); `rated` takes only items that a fake holds. None without events.
    """
    if not len(genuine) or not len(profiles.item):
        return None
    distance = _item_distances(genuine, profiles, rows(genuine.with_accounts(profiles)))
    return float((distance[np.unique(profiles.item)] if rated else distance).mean())


def _item_distances(genuine: InteractionLog, profiles: Profiles, held: sparse.csr_matrix) -> Float64:
    """The total variation distance of each item, float64 [I]; `held` has the rows of genuine users, then of fakes."""
    is_fake = np.arange(held.nnz) >= held.indptr[genuine.n_users]
    grid, at = np.unique(held.data, return_inverse=True)
    shares: list[Float64] = []
    for side, lengths in ((~is_fake, genuine.user_counts), (is_fake, _lengths(profiles))):
        cells = held.indices[side].astype(np.int64) * len(grid) + at[side]
        counts = np.bincount(cells, minlength=genuine.n_items * len(grid)).reshape(genuine.n_items, len(grid))
        share = counts / np.count_nonzero(lengths)
        shares.append(np.column_stack([share, 1 - share.sum(axis=1)]))
    found: Float64 = np.abs(shares[0] - shares[1]).sum(axis=1) / 2
    return found


def _lengths(profiles: Profiles) -> Int64:
    return np.bincount(profiles.account, minlength=profiles.n_accounts)
