"""EASE without the forget set, exactly, by correcting its inverse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import linalg

from ...datasets.log import InteractionLog
from ...recommenders.base import Recipe
from ...recommenders.catalogue import build
from ...recommenders.ease import EASE
from ..base import Served, Unlearner
from ..request import Request


class Downdate(Unlearner):
    """EASE's weights follow from P, the inverse of X'X + lambda 1; the changed rows of X change P by a low rank.

    With A the old and the new rows of the touched users, c = -1 for old and +1 for new ones,

        P' = P - P A' (C^-1 + A P A')^-1 A P,

    and the weights are 1 - P' / diag(P') by columns. Exact up to rounding, and the oracle of the verification: EASE
    has no seed. The inverse is made once in double precision, I x I; a request that touches more than a quarter
    of I in rows is inverted anew, which is then cheaper.

    Reference: Steck 2019, Embarrassingly Shallow Autoencoders for Sparse Data, WWW, equation 8; Woodbury's identity.
    """

    name: ClassVar[str] = "downdate"
    title: ClassVar[str] = "exact correction of EASE's inverse"
    reference: ClassVar[str] = "Steck 2019, WWW, equation 8; Woodbury's identity"
    exact: ClassVar[bool] = True

    def why_not(self, recipe: Recipe, log: InteractionLog) -> str | None:
        """EASE alone has the inverse."""
        return None if recipe.model == EASE.name else "only EASE has a closed form to correct"

    def prepare(self, served: Served, seed: int) -> Served:
        """Keep the inverse, float64 [I, I]."""
        return replace(served, memory=_inverse(served.log, _regularisation(served.recipe)))

    def forget(self, served: Served, request: Request, seed: int) -> Served:
        """See Unlearner."""
        log = request.retained(served.log)
        touched = np.unique(served.log.user[request.rows])
        if served.memory is None or 2 * len(touched) > log.n_items / 4:
            inverse = _inverse(log, _regularisation(served.recipe))
        else:
            rows = [part.matrix()[touched].toarray().astype(np.float64) for part in (served.log, log)]
            inverse = _corrected(served.memory, np.concatenate(rows), len(touched))
        model = build(served.recipe)
        weights = (-inverse / np.diag(inverse)).astype(np.float32)
        np.fill_diagonal(weights, 0.0)
        model.load({"item_weights": torch.from_numpy(weights)}, log.n_users, log.n_items)
        return served.after(request, log, model, inverse)


def _regularisation(recipe: Recipe) -> float:
    return float(build(recipe).config.regularisation)


def _inverse(log: InteractionLog, regularisation: float) -> NDArray[np.float64]:
    matrix = log.matrix().astype(np.float64)
    gram = (matrix.T @ matrix).toarray()
    gram[np.diag_indices_from(gram)] += regularisation
    found: NDArray[np.float64] = linalg.inv(gram, overwrite_a=True, check_finite=False, assume_a="pos")
    return found


def _corrected(inverse: NDArray[np.float64], rows: NDArray[np.float64], old: int) -> NDArray[np.float64]:
    """P' for old rows that go and new rows that come: float64 [I, I]."""
    sign = np.ones(len(rows))
    sign[:old] = -1
    half: Any = rows @ inverse
    found: NDArray[np.float64] = inverse - half.T @ np.linalg.solve(np.diag(1 / sign) + half @ rows.T, half)
    return found
