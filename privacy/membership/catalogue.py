"""The attacks on membership there are: one line each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..signals import Float64
from .lira import lira
from .material import Material
from .plain import plain
from .rmia import rmia

Attack = Callable[[Material, int, NDArray[np.bool_]], Float64]
"""Scores [C] of a victim's candidates, given who was in the data of the references."""

ATTACKS: dict[str, Attack] = {
    "plain": plain,
    "rmia": rmia,
    "lira": lira,
}
