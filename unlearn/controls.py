"""What must not pass for forgetting: nothing at all, and the user's own row alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from scipy import sparse

from ..datasets.log import Int32, InteractionLog
from ..recommenders.base import Recipe
from ..recommenders.catalogue import build
from ..recommenders.fold_in import mapped, means
from .base import Served, Unlearner
from .request import Request


class DoNothing(Unlearner):
    """The model stays as it is, only the log forgets: the control that every verification must catch."""

    name: ClassVar[str] = "do-nothing"
    title: ClassVar[str] = "the model stays as it is (negative control)"
    reference: ClassVar[str] = "none: a control"

    def forget(self, served: Served, request: Request, seed: int) -> Served:
        """See Unlearner."""
        return served.after(request, request.retained(served.log), served.model)


class RowsOnly(Unlearner):
    """The rows of the touched users are made anew from their retained items; all else stays.

    What a provider does who deletes a user's record and nothing else. A row is what a user of such a history gets in
    this model: ridge regression of all other users' rows on the mean vector of their items. What the items have
    learnt from the forgotten pairs stays.
    """

    name: ClassVar[str] = "rows-only"
    title: ClassVar[str] = "new rows for the touched users, everything else stays (negative control)"
    reference: ClassVar[str] = "none: a control"

    def why_not(self, recipe: Recipe, log: InteractionLog) -> str | None:
        """Only models with a tensor of users have rows."""
        shapes = build(recipe).shapes(log.n_users, log.n_items)
        return None if _sides(shapes) else f"{recipe.model} keeps no vectors of users, so there is no row to change"

    def forget(self, served: Served, request: Request, seed: int) -> Served:
        """See Unlearner."""
        log = request.retained(served.log)
        touched = np.unique(served.log.user[request.rows])
        state = dict(served.trained.state())
        for user, item in _sides(state):
            state[user] = _renewed(state[user], state[item], served.log.matrix(), log.matrix(), touched)
        model = build(served.recipe)
        model.load(state, log.n_users, log.n_items)
        return served.after(request, log, model)


def _sides(names: Mapping[str, object]) -> list[tuple[str, str]]:
    """Names of tensors of users, each with that of the items: "user_base", "item_base"."""
    pairs = [(name, "item" + name.removeprefix("user")) for name in names if name.startswith("user")]
    return [(user, item) for user, item in pairs if item in names]


def _renewed(
    users: torch.Tensor, items: torch.Tensor, before: sparse.csr_matrix, after: sparse.csr_matrix, touched: Int32
) -> torch.Tensor:
    """The user vectors, float32 [U, d], with those of the touched rows predicted from what is left to them."""
    weights = mapped(users.numpy(), items.numpy(), before, touched)
    found = users.clone()
    found[torch.from_numpy(touched.astype(np.int64))] = torch.from_numpy(means(after[touched], items.numpy()) @ weights)
    return found
