"""Which tensors of a checkpoint changed, and whose rows: the first look, which costs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ...datasets.log import Int64
from ...recommenders.base import Recommender
from ...recommenders.fold_in import foldable

HINDRANCES = {
    "unfolded": "the model keeps rows of users and cannot be asked by a history alone: of users who are forgotten "
    "whole it shows their own rows, and not what the items have learnt of them",
    "unmoved": "nothing but rows of users has changed: what the items have learnt stays in the model",
}
"""Why a model cannot be called honoured, whatever it answers."""


@dataclass(frozen=True)
class Change:
    """One tensor before and after.

    Attributes:
        name: in the model's state.
        rows: how many rows differ in any bit.
        of: rows it has.
        touched: share of the changed rows that belong to touched users or items; None for tensors of neither.
        size: mean length of the change of a changed row, relative to the mean length of the rows before.
    """

    name: str
    rows: int
    of: int
    touched: float | None
    size: float


def changes(
    before: Mapping[str, torch.Tensor], after: Mapping[str, torch.Tensor], users: Int64, items: Int64
) -> list[Change]:
    """Every tensor of `before`, compared with that of the same name and shape.

    Args:
        before: a model's state.
        after: another's; a tensor that is missing or has another shape counts as changed in every row.
        users: int64, touched users: rows of tensors named "user...".
        items: int64, touched items: rows of tensors named "item...".
    """
    found = []
    for name, old in before.items():
        new = after.get(name)
        rows = old.reshape(len(old), -1).double() if old.ndim else old.reshape(1, 1).double()
        if new is None or new.shape != old.shape:
            found.append(Change(name, len(rows), len(rows), None, float("inf")))
            continue
        moved = (new.reshape(rows.shape).double() - rows).norm(dim=1)
        which = torch.nonzero(moved > 0).ravel()
        side = users if name.startswith("user") else items if name.startswith("item") else None
        share = None
        if side is not None and len(which):
            share = float(torch.isin(which, torch.from_numpy(side)).double().mean())
        length = float(rows.norm(dim=1).mean())
        size = float(moved[which].mean()) / length if len(which) and length else 0.0
        found.append(Change(name, len(which), len(rows), share, size))
    return found


def traces(found: list[Change]) -> list[str]:
    """What the changes alone show, in words; empty where nothing stands out."""
    if not any(change.rows for change in found):
        return ["no tensor changed: the model after is the model before, bit for bit"]
    by_user = [change for change in found if change.name.startswith("user") and change.rows]
    if by_user and all(change.rows == 0 for change in found if not change.name.startswith("user")):
        return [
            "only rows of users changed: what items have learnt from the forget set stays in the model ("
            + ", ".join(f"{change.name}: {change.rows:,} of {change.of:,} rows" for change in by_user)
            + ")"
        ]
    return []


def hindrances(before: Recommender, after: Recommender, whole: Int64) -> list[str]:
    """Which of `HINDRANCES` a model has.

    Args:
        before: the checkpoint.
        after: the model in question.
        whole: int64, users who are to be forgotten whole.
    """
    found = ["unfolded"] if len(whole) and not foldable(after) else []
    old, new = (model.state() if hasattr(model, "state") else {} for model in (before, after))
    others = [name for name in old if not name.startswith("user")]
    if others and all(name in new and torch.equal(old[name], new[name]) for name in others):
        found.append("unmoved")
    return found
