"""The rating scale a log really uses: whole stars, half stars, 0 to 10."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datasets.log import Float32


@dataclass(frozen=True, eq=False)
class RatingScale:
    """The distinct ratings of a log.

    Attributes:
        grid: float32 [G], ascending, read-only, at least one value.
    """

    grid: Float32

    @classmethod
    def of(cls, values: Float32) -> RatingScale:
        """The scale of these ratings, float32 [E], E at least 1."""
        grid = np.unique(values)
        grid.flags.writeable = False
        return cls(grid)

    @property
    def lowest(self) -> float:
        """r_min."""
        return float(self.grid[0])

    @property
    def highest(self) -> float:
        """r_max."""
        return float(self.grid[-1])

    def nearest(self, values: NDArray[Any]) -> Float32:
        """Clip and round to the grid, halfway values upwards.

        Shapes: any -> float32 of the same shape.
        """
        grid = self.grid.astype(np.float64)
        found: Float32 = self.grid[np.searchsorted((grid[1:] + grid[:-1]) / 2, values, side="right")]
        return found
