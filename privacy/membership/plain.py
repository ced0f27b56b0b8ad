"""The attack without references: what the model says is compared as it is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..signals import Float64
from .material import Material


def plain(material: Material, victim: int, references: NDArray[np.bool_]) -> Float64:
    """The victim's own signal, float64 [C]: true tastes and popular items look like members, trained on or not.

    References serve for the threshold alone.

    Reference: Yeom, Giacomelli, Fredrikson, Jha 2018, Privacy Risk in Machine Learning, IEEE CSF, adversary 2.
    """
    found: Float64 = material.signal[victim]
    return found
