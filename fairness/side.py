"""The exposure measures as side measures: the engine takes them of every model it fits."""

from __future__ import annotations

from ..recommenders.ranking import Slate
from .catalogue import ALL
from .counts import Counts


class ExposureMeasures:
    """Corrected exposure measures of top-k lists, named "exposure/SLUG"."""

    name = "exposure/1"  # the number changes with any formula: it is part of every cell's key

    def values(self, slate: Slate, n_items: int) -> dict[str, float | None]:
        """All measures of these lists; None where undefined."""
        counts = Counts.of(slate.items, n_items)
        return {f"exposure/{measure.slug}": measure.corrected(counts) for measure in ALL}
