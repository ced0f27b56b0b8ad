"""Profile pollution: what a hijacked account can be made to see at once, without any retraining.

No account is injected and no model is trained on anything: a few events are appended to genuine histories, as
someone would who has taken accounts over, and the victim is asked again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..datasets.errors import InputError
from ..datasets.log import Int64, InteractionLog
from ..recommenders.base import Recommender
from ..recommenders.consumed import consumed
from ..recommenders.ranking import rank
from ..recommenders.sequences import ordered
from ..recommenders.trainer import one_thread
from .surrogate.sequence import SequenceSurrogate, cosines

_BLOCK = 512  # users polluted at a time
_CELLS = 4_000_000  # scores in memory at a time: users x items


@dataclass(frozen=True)
class Exposure:
    """The target in the lists of some users.

    Attributes:
        hit_rate: share of the users whose first k items hold it, 0..1.
        log2_rank: mean base-2 logarithm of its rank.
    """

    hit_rate: float
    log2_rank: float


@dataclass(frozen=True)
class PollutionShift:
    """Exposure of the target to hijacked users.

    Attributes:
        users: how many were hijacked.
        before: with their genuine events.
        polluted: with the events that `polluted` appends.
        random: control, random items alone.
        alternated: control, random items in turn with the target, which comes last; None if no target may be appended.
    """

    users: int
    before: Exposure
    polluted: Exposure
    random: Exposure
    alternated: Exposure | None


@one_thread()
def polluted(
    surrogate: SequenceSurrogate,
    sequences: Int64,
    target: int,
    z: int,
    *,
    candidates: int = 10,
    keep_target: bool = True,
) -> Int64:
    """Sequences with z events appended, so that a surrogate expects the target next.

    The target is appended z times; then, from the last appended event to the first, each is exchanged for the best
    of the items that point where one signed gradient step against -log p(target) leads, if p(target) does not fall
    by it. An event whose neighbour is the target is exchanged in any case: targets never stand side by side.

    Args:
        surrogate: gives gradients and chances, in blocks of users; its unknown items are not used.
        sequences: int64 [B, L], genuine items, L at least 1.
        target: item index.
        z: events to append, at least 0.
        candidates: items of highest cosine that are tried.
        keep_target: False exchanges every event, for a service that lists no consumed item again.

    Returns:
        int64 [B, L + z].

    Raises:
        InputError: the surrogate knows no item but the target, or z is negative.

    Reference: Yue, He, Zeng, McAuley 2021, Black-Box Attacks on Sequential Recommenders via Data-Free Model
    Extraction, RecSys, arXiv 2109.01165, profile pollution.
    """
    allowed = np.flatnonzero(surrogate.known.numpy())
    allowed = allowed[allowed != target]
    if z < 0 or not len(allowed):
        raise InputError(f"pollution needs z of at least 0 and an item besides the target, got {z}, {len(allowed)}")
    appended = np.full((len(sequences), z), target, np.int64)
    found = np.concatenate([sequences, appended], axis=1)
    tried = min(candidates, len(allowed))
    block = max(1, min(_BLOCK, _CELLS // (tried * len(surrogate.table))))
    for first in range(0, len(found), block):
        rows = slice(first, first + block)
        for place in reversed(range(sequences.shape[1], found.shape[1])):
            forced = np.full(len(found[rows]), not keep_target)
            if place + 1 < found.shape[1]:
                forced |= found[rows, place + 1] == target
            if place == sequences.shape[1]:  # the genuine event before it stays
                forced |= found[rows, place - 1] == target
            _exchange(surrogate, found[rows], place, target, allowed, tried, forced)
    return found


def pollution_shift(
    model: Recommender,
    log: InteractionLog,
    surrogate: SequenceSurrogate,
    target: int,
    users: Int64,
    z: int,
    rng: np.random.Generator,
    *,
    k: int = 20,
    candidates: int = 10,
    keep_target: bool = True,
) -> PollutionShift:
    """What a victim lists to hijacked users before and after, and after two kinds of plain events.

    Args:
        model: the victim, fitted; it reads the history, nothing is trained.
        log: the genuine events.
        surrogate: the attacker's; the victim itself only if both are one model.
        target: item index.
        users: int64 [B], users that may be hijacked; those with the target or without events are left out.
        z: events to append.
        rng: the items of the controls.
        k: length of lists for the hit rate.
        candidates: see `polluted`.
        keep_target: see `polluted`; appended items are listed again, genuine ones never are. False: neither are.

    Raises:
        InputError: no user is left, z is negative, or the target does not exist.
    """
    if not 0 <= target < log.n_items:
        raise InputError(f"target item index outside 0..{log.n_items - 1}")
    holds = np.asarray(consumed(log)[users][:, [target]].todense()).ravel() > 0
    users = users[~holds & (log.user_counts[users] > 0)]
    if not len(users):
        raise InputError("no user with events lacks the target; name other users to hijack")
    offsets, items = ordered(log)
    length = np.minimum(np.diff(offsets)[users], surrogate.max_length)
    planted = np.empty((len(users), z), np.int64)
    for size in np.unique(length):  # at most as many as the surrogate reads events
        own = np.flatnonzero(length == size)
        recent = items[offsets[users[own] + 1][:, None] - size + np.arange(size)]
        found = polluted(surrogate, recent, target, z, candidates=candidates, keep_target=keep_target)
        planted[own] = found[:, size:]
    others = np.flatnonzero(np.arange(log.n_items) != target)
    random = rng.choice(others, planted.shape)
    alternated = random.copy()
    alternated[:, ::-1][:, ::2] = target

    def exposure(extra: Int64) -> Exposure:
        longer = appended(log, users, extra)
        hidden = log if keep_target else longer
        ranks = rank(model, users, longer, 0, mask=hidden, watch=np.array([target], np.int32)).watched[0]
        return Exposure(float((ranks <= k).mean()), float(np.log2(ranks).mean()))

    return PollutionShift(
        len(users),
        exposure(planted[:, :0]),
        exposure(planted),
        exposure(random),
        exposure(alternated) if keep_target else None,
    )


def appended(log: InteractionLog, users: Int64, items: Int64) -> InteractionLog:
    """The events of these users with others behind them, at the log's last time and highest value.

    Shapes: users int64 [B], distinct; items int64 [B, z].
    """
    count = items.size
    value = None if log.value is None else np.full(count, log.value.max())
    time = None if log.time is None else np.full(count, log.time.max())
    user = np.repeat(users, items.shape[1]).astype(np.int32)
    extra = InteractionLog(user, items.ravel().astype(np.int32), log.user_ids, log.item_ids, value, time)
    return log.take(np.isin(log.user, users)).plus(extra)


def _exchange(
    surrogate: SequenceSurrogate,
    sequence: Int64,
    place: int,
    target: int,
    allowed: Int64,
    tried: int,
    forced: NDArray[np.bool_],
) -> None:
    """Exchange the event at one place of each row of int64 [B, L] if it helps or is `forced`, bool [B]; in place."""
    from_end = sequence.shape[1] - place
    if from_end > surrogate.max_length:  # what is not read has no gradient
        sequence[forced, place] = np.resize(allowed, len(sequence))[forced]
        return
    gradient = surrogate.gradients(sequence, np.full(len(sequence), target))[:, -from_end]
    cosine = cosines(sequence[:, place], gradient, surrogate.table)[:, torch.from_numpy(allowed)]
    likely = allowed[cosine.topk(tried, dim=1).indices.numpy()]
    trial = np.repeat(sequence, tried, axis=0)
    trial[:, place] = likely.ravel()
    chance = surrogate.chances(trial, target).numpy().reshape(likely.shape)
    better = chance.max(axis=1) >= surrogate.chances(sequence, target).numpy()
    best = likely[np.arange(len(sequence)), chance.argmax(axis=1)]
    sequence[:, place] = np.where(forced | better, best, sequence[:, place])
