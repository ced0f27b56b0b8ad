"""What the report shows beside the measures: items by name, and exposure against popularity."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from ..datasets.log import Int64, InteractionLog


def named_items(shown: Int64, log: InteractionLog, many: int) -> dict[str, list[dict[str, Any]]]:
    """The most and the least shown items: id, title, times shown, training events.

    Args:
        shown: int64 [I], times each item stands in a list.
        log: the training log.
        many: how many at each end. Of the many items that are never shown those with most training events are named.
    """

    def rows(items: Int64) -> list[dict[str, Any]]:
        return [
            {"id": str(log.item_ids[item]), "title": log.title(item), "count": int(shown[item]),
             "train_events": int(log.item_counts[item])}
            for item in items[:many]
        ]  # fmt: skip

    return {
        "most_exposed": rows(np.lexsort((np.arange(len(shown)), -shown))),
        "least_exposed": rows(np.lexsort((np.arange(len(shown)), -log.item_counts, shown))),
    }


def against_popularity(shown: Int64, popularity: Int64, buckets: int = 20) -> list[dict[str, float]]:
    """Exposure against popularity in buckets of equally many items, least popular first.

    Args:
        shown: int64 [I], times each item stands in a list.
        popularity: int64 [I], training events of each item.
        buckets: how many; fewer if there are fewer items.

    Returns:
        Per bucket the share of items, of training events, of exposure, and of items never shown; each 0..1.
    """
    order = np.lexsort((np.arange(len(shown)), popularity))
    edges = np.linspace(0, len(shown), min(buckets, len(shown)) + 1).astype(np.int64)
    rows = []
    for begin, end in pairwise(edges):
        items = order[begin:end]
        rows.append(
            {
                "items": len(items) / len(shown),
                "events": float(popularity[items].sum() / max(popularity.sum(), 1)),
                "exposure": float(shown[items].sum() / max(shown.sum(), 1)),
                "never_shown": float((shown[items] == 0).mean()),
            }
        )
    return rows
