"""The exposure measures as side measures: the engine takes them of every model it fits."""

from __future__ import annotations

from ..recommenders.ranking import Slate
from .catalogue import EXPOSURE
from .recommendations import Recommendations


class ExposureMeasures:
    """Measures of top-k lists alone, corrected where there is a correction, named "exposure/SLUG"."""

    name = "exposure/2"  # the number changes with any formula: it is part of every cell's key

    def values(self, slate: Slate, n_items: int) -> dict[str, float | None]:
        """All measures of these lists; None where undefined."""
        lists = Recommendations.of(slate.items, n_items)
        return {f"exposure/{measure.slug}": measure.reported(lists).value for measure in EXPOSURE}
