"""Which tensors of a checkpoint changed, and whose rows: the first look, which costs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ...datasets.log import Int64


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


def left_rows(before: Mapping[str, torch.Tensor], after: Mapping[str, torch.Tensor], users: Int64) -> int:
    """How many of these users, who were to be forgotten whole, have a row that is still what it was, bit for bit.

    Users who are folded in are judged by what the items have kept; that their own rows are gone must be looked up.

    Args:
        before: a model's state.
        after: another's.
        users: int64; rows of tensors named "user...", rows of zeros apart.
    """
    left = torch.zeros(len(users), dtype=torch.bool)
    rows = torch.from_numpy(users)
    for name, old in before.items():
        new = after.get(name)
        if name.startswith("user") and new is not None and new.shape == old.shape and old.ndim > 1:
            own = old[rows].flatten(1)
            left |= (new[rows].flatten(1) == own).all(dim=1) & (own != 0).any(dim=1)
    return int(left.sum())


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
