"""Training again without the forget set: what every other method is held against."""

from __future__ import annotations

from typing import ClassVar

from ...recommenders.catalogue import fit
from ..base import Served, Unlearner
from ..request import Request


class Retrain(Unlearner):
    """The same recipe from scratch on the retain set.

    The forgotten pairs may be drawn as negatives, as any other pair that was never seen; to forbid it would carry them
    on into the new model.

    Reference: Bourtoule et al. 2021, Machine Unlearning, IEEE S&P, section III (the definition).
    """

    name: ClassVar[str] = "retrain"
    title: ClassVar[str] = "train again without what is to be forgotten"
    reference: ClassVar[str] = "Bourtoule et al. 2021, Machine Unlearning, IEEE S&P, section III"
    exact: ClassVar[bool] = True

    def forget(self, served: Served, request: Request, seed: int) -> Served:
        """See Unlearner."""
        log = request.retained(served.log)
        return served.after(request, log, fit(served.recipe, log, seed))
