"""The exposure measures there are: one file and one line each."""

from __future__ import annotations

from . import coverage, entropy, gini, jain
from .measure import Measure

ALL: tuple[Measure, ...] = (
    coverage.MEASURE,
    gini.MEASURE,
    jain.MEASURE,
    entropy.MEASURE,
)
