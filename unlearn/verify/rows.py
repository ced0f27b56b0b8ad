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
            it was left, 1 for a retrain with the same seed, about 1 or more for others; "likeness" float64 [W], the
            cosine of the row with what was learnt, which no change of length hides. Both empty for models of other
            tensors.
        """
        if not all(name in state and len(state[name]) > self.users.max(initial=-1) for name in self.names):
            return {}
        own = side_by_side(state, self.names, self.users)
        if own.shape != self.rows.shape:
            return {}
        learnt = self.rows - self.begun
        far = np.linalg.norm(learnt, axis=1)
        length = np.linalg.norm(own, axis=1) * far
        return {
            "moved": np.linalg.norm(own - self.rows, axis=1) / far,
            "likeness": (own * learnt).sum(axis=1) / np.where(length > 0, length, 1.0),
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

    Args:
        after: `Learnt.kept` of the model in question.
        retrains: of the retrains.
    """
    moved = after.get("moved", np.empty(0))
    others = [own["moved"] for own in retrains if "moved" in own]
    nearest = np.minimum.reduce([np.ones(len(moved)), *others])
    return int((moved < NEAR * nearest).sum())
