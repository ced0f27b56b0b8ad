"""Scores of watched items beside all other items of the same user, from which prediction shifts are taken."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..datasets.log import InteractionLog
from ..datasets.seeding import rng
from ..recommenders.base import Recommender
from ..recommenders.consumed import consumed

SAMPLE = 1000
"""Users whose scores are read; the same ones in every cell of a log."""
_ROWS = 256


def standing(model: Recommender, history: InteractionLog, watch: Sequence[int]) -> dict[str, float | None]:
    """Mean score of each watched item over a sample of users who lack it.

    Args:
        model: a fitted model; injected users behind those of the history are not read.
        history: what users have consumed and sequence models read.
        watch: item indices.

    Returns:
        `target/ITEM/score`, in the model's own unit, and `target/ITEM/standard_score`, in standard deviations of the
        user's scores above their mean, None where they are all equal; nothing for items that nobody lacks. The
        difference of two models is the prediction shift: of `score` for models of ratings, of `standard_score` where
        scores share no scale.
    """
    if not watch:
        return {}
    active = np.flatnonzero(history.user_counts)
    users = np.sort(rng(0, "standing").permutation(active)[:SAMPLE])
    items = np.array(watch)
    raw, standard = np.empty((len(users), len(items))), np.empty((len(users), len(items)))
    for start in range(0, len(users), _ROWS):
        part = slice(start, start + _ROWS)
        scores = model.scores(users[part].astype(np.int64), history)
        mean, deviation = scores.mean(1, dtype=np.float64), scores.std(1, dtype=np.float64)
        raw[part] = scores[:, items]
        with np.errstate(divide="ignore", invalid="ignore"):
            standard[part] = (raw[part] - mean[:, None]) / deviation[:, None]
    lacks = consumed(history)[users][:, items].toarray() == 0
    found: dict[str, float | None] = {}
    for column, item in enumerate(watch):
        own = lacks[:, column]
        if not own.any():
            continue
        name = f"target/{history.item_ids[item]}"
        found[f"{name}/score"] = float(raw[own, column].mean())
        value = float(standard[own, column].mean())
        found[f"{name}/standard_score"] = value if np.isfinite(value) else None
    return found
