"""Profile pollution: what the owner of someone's account can make a sequential model recommend there.

Not an injection: no account is added and nothing is trained. The events are appended to a real user's history at
test time, as malware or an account takeover would. What it changes is p(target), the chance that the target comes
next: where a system masks what a user has consumed, a target that was appended is masked too, and no list shows it.

Source: Yue, He, Zeng, McAuley 2021, Black-Box Attacks on Sequential Recommenders via Data-Free Model Extraction,
RecSys, arXiv 2109.01165, profile pollution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..datasets.errors import InputError
from ..datasets.log import Int64
from ..recommenders.trainer import one_thread
from .surrogate.sequence import SequenceSurrogate, cosines


@dataclass(frozen=True, eq=False)
class Polluted:
    """A polluted history.

    Attributes:
        items: int64 [L + z], the history and the appended events.
        before: p(target) after the history alone; nan if it is empty.
        trace: float64 [z + 1], p(target) at the start of the search and after each slot; it never falls.
    """

    items: Int64
    before: float
    trace: NDArray[np.float64]


def append_target(history: Int64, target: int, times: int) -> Int64:
    """The history with the target appended so many times, int64 [L + z]: the plain pollution.

    Raises:
        InputError: times is below 1.
    """
    if times < 1:
        raise InputError(f"pollution needs at least one appended event, got {times}")
    return np.concatenate([history, np.full(times, target)]).astype(np.int64)


@one_thread()
def pollute(
    surrogate: SequenceSurrogate, history: Int64, target: int, times: int = 2, candidates: int = 10
) -> Polluted:
    """Append the target, then replace slots from the last one backwards by items that make the target likelier.

    The candidates of a slot are the items of *highest* cosine with a signed step against -log p(target). No two
    targets ever stand in a row, and none stands last, because the target is what should come next. So first, from
    the last slot on, every target with a target behind it must give way, to the best candidate there is, and this
    may cost probability; then each slot is searched once more, and a candidate is taken only if p(target) does not
    fall. (The reference does both in one pass with the gradient of the run of targets; here the gradient is taken
    anew at every slot.)

    Args:
        surrogate: what the attacker believes the model to be, or a white box.
        history: int64 [L], oldest first, may be empty.
        target: item index.
        times: z, events to append.
        candidates: tried per slot.

    Raises:
        InputError: times or candidates below 1, or more events than the model reads.
    """
    items = append_target(history, target, times)
    if times > surrogate.max_length or candidates < 1:
        raise InputError(
            f"pollution: {times} events and {candidates} candidates; the model reads {surrogate.max_length} events, "
            "and at least one candidate is needed"
        )
    before = float(surrogate.chances(history[None], target)[0]) if len(history) else float("nan")
    slots = range(len(items) - 1, len(history) - 1, -1)
    for slot in slots:
        # within the run the later of two targets gives way, and the earlier one may then stay
        before_target = slot == len(items) - 1 or items[slot + 1] == target
        if before_target or (slot == len(history) > 0 and history[-1] == target):
            items, _ = _best(surrogate, items, slot, target, candidates)
    trace = [float(surrogate.chances(items[None], target)[0])]
    for slot in slots:
        changed, chance = _best(surrogate, items, slot, target, candidates)
        if chance >= trace[-1]:
            items = changed
        trace.append(max(chance, trace[-1]))
    return Polluted(items, before, np.array(trace))


def _may_hold(items: Int64, slot: int, target: int) -> bool:
    """Whether a target in this slot stands neither last nor beside another one."""
    return slot < len(items) - 1 and items[slot + 1] != target and (slot == 0 or items[slot - 1] != target)


def _best(surrogate: SequenceSurrogate, items: Int64, slot: int, target: int, candidates: int) -> tuple[Int64, float]:
    """The items with the slot's best candidate in place, and p(target) then."""
    gradient = surrogate.gradients(items[None], np.array([target]))[:, slot - len(items)]
    cosine = cosines(items[slot : slot + 1], gradient, surrogate.table)[0]
    cosine[~surrogate.known] = -torch.inf
    if not _may_hold(items, slot, target):
        cosine[target] = -torch.inf
    highest = torch.argsort(cosine, descending=True, stable=True)[:candidates]
    highest = highest[cosine[highest] > -torch.inf]
    if not len(highest):
        raise InputError("pollution: the model knows no item but the target; nothing can stand between")
    tried = np.repeat(items[None], len(highest), axis=0)
    tried[:, slot] = highest.numpy()
    chance = surrogate.chances(tried, target)
    best = int(chance.argmax())
    return tried[best], float(chance[best])
