"""Another checkpoint over the users of the one before: rows matched by id, since ids of deleted people may be gone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..datasets.errors import CheckpointError
from ..datasets.log import Int64, InteractionLog, Text
from ..datasets.split import Split
from ..recommenders.catalogue import build
from ..recommenders.checkpoint import open_checkpoint
from ..recommenders.checkpoint_record import EVENTS
from ..recommenders.target import Target
from .request import Request, tombstones

_PARTS = ("train", "valid", "test")


def open_after(path: Path, target: Target, request: Request) -> Target:
    """A checkpoint that was made from a target, its users in the target's order (`aligned`).

    Args:
        path: its folder. One that was saved without data must have the target's, less the request.
        target: the checkpoint before.
        request: rows of the target's training part.

    Raises:
        CheckpointError: it cannot be opened, or knows other users or items.
    """
    if (path / EVENTS).is_file():
        return aligned(open_checkpoint(path), target, request.users, str(path))
    split = target.split
    after = request.left_of(split)
    # as `unlearn run` leaves the data; with the ids still there; with the held-out parts as they were
    for given in (after, _named(after, split.train.user_ids)):
        try:
            return aligned(open_checkpoint(path, given), target, request.users, str(path))
        except CheckpointError:
            continue
    return open_checkpoint(path, replace(split, train=request.retained(split.train)))


def aligned(other: Target, target: Target, gone: Int64, name: str) -> Target:
    """The other model with its users in the target's order; the same object if they are so already.

    Who was forgotten whole may be missing in it, or stand under any other id. In what is returned these have
    tombstones of ours; where their rows had been taken out, they are zeros. Tombstones of ours may also be those of
    other requests.

    Args:
        other: a checkpoint over the same items.
        target: the one before.
        gone: int64, users of the target who are forgotten whole, ascending.
        name: of the other, for messages.

    Raises:
        CheckpointError: a user is missing whom the request does not name, an id is new, or items differ.
    """
    log, own = target.split.train, other.split.train
    if not np.array_equal(log.item_ids, own.item_ids):
        raise CheckpointError(f"{name}: knows other item ids than {target.name}; both must agree, in order too")
    if np.array_equal(log.user_ids, own.user_ids):
        return other
    place, missing = _places(log.user_ids, own.user_ids, gone, name, target.name)
    model = build(other.recipe)
    shapes, larger = (model.shapes(own.n_users + more, own.n_items) for more in (0, 1))
    state = {
        key: _rows(tensor, place, log.n_users) if shapes[key] != larger[key] else tensor
        for key, tensor in other.model.state().items()
    }
    model.load(state, log.n_users, log.n_items)
    ids = tombstones(log.user_ids, missing)
    parts = {part: _moved(getattr(other.split, part), place, ids) for part in _PARTS}
    return replace(other, model=model, split=Split(**parts, recipe=other.split.recipe))


def _places(before: Text, after: Text, gone: Int64, name: str, before_name: str) -> tuple[Int64, Int64]:
    """The place before of each user after, int64; and whose id is missing after, int64, ascending."""
    known = {user: place for place, user in enumerate(before.tolist())}
    gap = np.setdiff1d(np.arange(len(before)), [known[user] for user in after.tolist() if user in known])
    ours = dict(zip(tombstones(before, gap)[gap].tolist(), gap.tolist(), strict=True))  # of other requests too
    place = np.array([known.get(user, ours.get(user, -1)) for user in after.tolist()], np.int64)
    missing = np.setdiff1d(np.arange(len(before)), place)
    lost, new = np.setdiff1d(missing, gone), np.flatnonzero(place < 0)
    if len(lost):
        raise CheckpointError(
            f"{name}: user {str(before[lost[0]])!r} of {before_name} is missing in it ({len(lost):,} in all), and the "
            "request does not name them; only who is to be forgotten whole may be missing"
        )
    if len(new) not in (0, len(missing)):
        raise CheckpointError(
            f"{name}: has {len(new):,} user ids that {before_name} does not know, and {len(missing):,} of its users "
            "are missing; leave deleted users out, or put one other id in the place of each"
        )
    if len(new):  # in their order: a row that has only lost its id stays where it was
        place[new] = missing
    return place, gap


def _rows(tensor: torch.Tensor, place: Int64, count: int) -> torch.Tensor:
    """A tensor with a row for each user after as one with a row for each user before; zeros for who is missing."""
    found = torch.zeros((count, *tensor.shape[1:]), dtype=tensor.dtype)
    found[torch.from_numpy(place)] = tensor.cpu()
    return found


def _moved(part: InteractionLog, place: Int64, ids: Text) -> InteractionLog:
    """Events of the users after, by their places before."""
    users = part.users
    if users is not None:
        users = users.set_axis(place).reindex(np.arange(len(ids)))
    return replace(part, user=place[part.user].astype(np.int32), user_ids=ids, users=users)


def _named(split: Split, ids: Text) -> Split:
    parts = {part: replace(getattr(split, part), user_ids=ids) for part in _PARTS}
    return Split(**parts, recipe=split.recipe)
