"""What a model has kept of users who were to be forgotten whole, in the rows that it has of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...datasets.log import Int64
from ...privacy.signals import Float64
from ...recommenders.catalogue import fit
from ...recommenders.target import Target
from ..request import Request

NEAR = 0.1
"""A row that has moved by less than this part of how far a retrain's lies counts as left."""

_CELLS = 1 << 22
"""Distances of rows that are held at once."""


@dataclass(frozen=True, eq=False)
class Learnt:
    """The rows of users who are to be forgotten whole, in the checkpoint before.

    Attributes:
        users: int64 [W], with rows other than zeros.
        names: the tensors of users.
        rows: float64 [W, d], the checkpoint's, side by side.
        begun: float64 [W, d], where a training with the checkpoint's own seed begins. A retrain with that seed leaves
            them there, so what was learnt of a user is the row less this.
    """

    users: Int64
    names: tuple[str, ...]
    rows: Float64
    begun: Float64

    def kept(self, state: Mapping[str, torch.Tensor]) -> dict[str, Float64]:
        """What a model has of these rows.

        Returns:
            "moved" float64 [W], how far each row lies from the checkpoint's, over how far the beginning does: 0 where
            it was left, 1 for a retrain with the same seed, about 1 or more for others; "nearest" float64 [W], the
            same from the nearest of all these rows and their negatives, so that none is left in another's place or with
            the other sign; "alike" float64 [W], the cosine of the row with what was learnt, which no change of length
            hides. It is taken across the direction of the beginning, in which a row that shrank was learnt to be unlike
            one that was never touched. None of them for models of other tensors.
        """
        if not all(name in state and len(state[name]) > self.users.max(initial=-1) for name in self.names):
            return {}
        own = side_by_side(state, self.names, self.users)
        if own.shape != self.rows.shape:
            return {}
        far = np.linalg.norm(self.rows - self.begun, axis=1)
        now, learnt = _across(own, self.begun), _across(self.rows, self.begun)
        length = np.linalg.norm(now, axis=1) * np.linalg.norm(learnt, axis=1)
        return {
            "moved": np.linalg.norm(own - self.rows, axis=1) / far,
            "nearest": np.linalg.norm(own - _nearest(own, self.rows), axis=1) / far,
            "alike": (now * learnt).sum(axis=1) / np.where(length > 0, length, 1.0),
        }


def learnt(target: Target, request: Request) -> Learnt | None:
    """The rows that a checkpoint has of the users whom a request forgets whole; None where there are none."""
    state = target.model.state()
    whole = request.whole_users(target.split.train)
    names = tuple(
        name for name, tensor in state.items() if name.startswith("user") and len(tensor) > whole.max(initial=0)
    )
    if not len(whole) or not names:
        return None
    begun = fit(target.recipe, request.retained(target.split.train), target.seed, epochs=0).state()
    names = tuple(name for name in names if name in begun and begun[name].shape == state[name].shape)
    rows, first = (side_by_side(own, names, whole) for own in (state, begun))
    there = (rows != first).any(axis=1)
    return Learnt(whole[there], names, rows[there], first[there]) if there.any() else None


def side_by_side(state: Mapping[str, torch.Tensor], names: tuple[str, ...], users: Int64) -> Float64:
    """The rows of these users in several tensors, float64 [N, d]."""
    which = torch.from_numpy(users)
    parts = [state[name][which].reshape(len(users), -1).double() for name in names]
    found: Float64 = torch.cat(parts, dim=1).numpy() if parts else np.empty((len(users), 0))
    return found


def left_rows(after: Mapping[str, NDArray[Any]], retrains: Sequence[Mapping[str, NDArray[Any]]]) -> int:
    """How many rows count as left: nearer to the checkpoint's than `NEAR` of where the nearest retrain's lies.

    To its own of the checkpoint's, or to any of them or their negatives ("moved", "nearest"): of R + 1 retrains that
    happens to a row of d numbers once in (R + 1) / NEAR^d.

    Args:
        after: `Learnt.kept` of the model in question.
        retrains: of the retrains.
    """
    left = np.zeros(len(after.get("moved", ())), np.bool_)
    for key in ("moved", "nearest"):
        others = [own[key] for own in retrains if key in own]
        if key in after and (others or not retrains):
            left |= after[key] < NEAR * np.minimum.reduce([np.ones(len(left)), *others])
    return int(left.sum())


def _across(rows: Float64, begun: Float64) -> Float64:
    """Rows less their part along where they began, float64 [W, d]; zeros where no more than rounding is left."""
    along = (rows * begun).sum(axis=1) / np.maximum((begun**2).sum(axis=1), 1e-300)
    rest: Float64 = rows - along[:, None] * begun
    rest[np.linalg.norm(rest, axis=1) <= 1e-6 * np.linalg.norm(rows, axis=1)] = 0
    return rest


def _nearest(own: Float64, rows: Float64) -> Float64:
    """For each row of the first [N, d] the nearest of the second [W, d] or of their negatives, float64 [N, d]."""
    found, half = np.empty_like(own), (rows**2).sum(axis=1) / 2
    for block in np.array_split(np.arange(len(own)), 1 + len(own) * len(rows) // _CELLS):
        like = own[block] @ rows.T
        place = (half - np.abs(like)).argmin(axis=1)  # |x -+ r|^2 / 2, less what is the same for all r
        sign = np.where(like[np.arange(len(block)), place] < 0, -1.0, 1.0)
        found[block] = sign[:, None] * rows[place]
    return found
