"""What attacks of membership inference work on: signals of many models whose members are known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...datasets.errors import DataError
from ..signals import Float64


@dataclass(frozen=True, eq=False)
class Material:
    """Signals of M models about C candidates and a population of Z others.

    Attributes:
        signal: float64 [M, C], on a log scale, larger means more like a member.
        included: bool [M, C], in whose training data a candidate was.
        population: float64 [M, Z], of others that no model was trained on.
        cell: int64 [C], candidates and others of one cell are alike (popularity of the item, activity of the user).
        population_cell: int64 [Z].
    """

    signal: Float64
    included: NDArray[np.bool_]
    population: Float64
    cell: NDArray[np.int64]
    population_cell: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Refuse what no attack can read."""
        for name in ("signal", "population"):
            if not np.isfinite(getattr(self, name)).all():
                raise DataError(f"{name} of a model is not finite; membership cannot be inferred from it")
        if self.signal.shape != self.included.shape or len(self.signal) != len(self.population):
            raise DataError(
                f"signals {self.signal.shape}, members {self.included.shape} and population {self.population.shape} "
                "must be of the same models and candidates"
            )

    def with_model(self, place: int, other: Material) -> Material:
        """The same with one model of another material, about the same candidates, in the place of its own."""
        parts = {name: getattr(self, name).copy() for name in ("signal", "included", "population")}
        for name, own in parts.items():
            own[place] = getattr(other, name)[place]
        return replace(self, **parts)

    def means(self, references: NDArray[np.bool_]) -> tuple[Float64, Float64]:
        """Mean signal of each candidate over references with and without it, float64 [C] each.

        Where a side is empty it is the other side's, moved by the mean difference over all candidates.
        """
        return sided(self.signal[references], self.included[references])


def sided(values: Float64, inside: NDArray[np.bool_]) -> tuple[Float64, Float64]:
    """Means over the rows inside, and outside: float64 [R, C], bool [R, C] -> float64 [C] twice.

    A side that is empty is made up of the other one and the mean difference over the candidates that have both (none:
    the sides are the same).
    """
    count = inside.sum(axis=0)
    within = np.where(inside, values, 0.0).sum(axis=0) / count.clip(1)
    without = np.where(inside, 0.0, values).sum(axis=0) / (len(values) - count).clip(1)
    both = (count > 0) & (count < len(values))
    apart = float((within - without)[both].mean()) if both.any() else 0.0
    return np.where(count > 0, within, without + apart), np.where(count < len(values), without, within - apart)
