"""Detector by what an account's items are called: accounts whose items have little to do with each other."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field
from scipy.stats import rankdata

from ...datasets.log import Float32, InteractionLog
from ...language.encoder import CHOICES
from ...language.texts import why_no_texts
from ...recommenders.base import Recipe
from ..base import Detector, DetectorConfig, Float64
from ..texts import item_vectors, said, swapped

DIGITS = 6  # of float32 vectors; what differs by rounding alone must tie
_BLOCK = 1 << 22  # numbers in memory at a time


class IncoherenceConfig(DetectorConfig):
    """Settings of the detector by coherence."""

    arm: Literal["real", "permuted"] = Field(
        "real",
        description="real: texts as they are; permuted: over items. Only what real does better is the text's merit",
    )
    encoder: str = Field("static", description=CHOICES)


class Incoherence(Detector):
    """How little an account's items hang together by their texts, which are vectors of length 1.

    Minus the length of the mean vector of the account's different items; where the log has times, the mean of the rank
    of that and the rank of `strides`. Items without text are passed over; who holds fewer than two others gets the
    median.

    Blind to fakes of items as alike as genuine users' are, such as clones, and to what texts do not say. The mean of
    more vectors is shorter, so heavy users and those of broad taste look incoherent.
    """

    name: ClassVar[str] = "incoherence"
    title: ClassVar[str] = "Items that have little to do with each other by their texts"
    reference: ClassVar[str] = "recaudit"
    config_type: ClassVar[type[DetectorConfig]] = IncoherenceConfig

    def why_not(self, recipe: Recipe, log: InteractionLog) -> str | None:
        """See Defense."""
        return why_no_texts(log)

    def detect(self, log: InteractionLog, rng: np.random.Generator) -> Float64:
        """See Detector.

        Raises:
            DataError: the items have no text.
            InputError: there is no such encoder.
        """
        vectors = item_vectors(log, "real", self.config.encoder, rng)
        assert vectors is not None, "the arm has vectors"
        if self.config.arm == "permuted":
            vectors = vectors[swapped(said(vectors), rng)]
        active = log.user_counts > 0
        signs = [-cohesion(log, vectors)] + ([] if log.time is None else [strides(log, vectors)])
        found = np.zeros(log.n_users)
        found[active] = np.mean([_rank(sign[active]) for sign in signs], axis=0)
        return found


def cohesion(log: InteractionLog, vectors: Float32) -> Float64:
    """Length of the mean vector of the different items that each account holds, float64 [U] in 0..1.

    NaN for fewer than two items. Shapes: vectors float32 [I, D], of length 1 or 0; those of length 0 are left out.
    """
    held = log.matrix()
    count = held @ said(vectors).astype(np.float32)
    length = np.empty(log.n_users)
    step = max(1, _BLOCK // vectors.shape[1])
    for first in range(0, log.n_users, step):
        part = slice(first, first + step)
        length[part] = np.linalg.norm(held[part] @ vectors, axis=1)
    found: Float64 = length / np.maximum(count, 1)
    found[count < 2] = np.nan
    return np.round(found, DIGITS)


def strides(log: InteractionLog, vectors: Float32) -> Float64:
    """Mean of 1 - cosine of each account's successive events, float64 [U] in 0..2; NaN without two events.

    Shapes: vectors float32 [I, D], of length 1 or 0; events of items of length 0 are left out.
    """
    order = log.chronological()
    order = order[said(vectors)[log.item[order]]]
    user, item = log.user[order], log.item[order]
    same = user[1:] == user[:-1]
    who, start, end = user[1:][same], item[:-1][same], item[1:][same]
    away = np.empty(len(who))
    step = max(1, _BLOCK // vectors.shape[1])
    for first in range(0, len(who), step):
        part = slice(first, first + step)
        away[part] = 1 - np.einsum("nd,nd->n", vectors[start[part]], vectors[end[part]])
    count = np.bincount(who, minlength=log.n_users)
    found: Float64 = np.bincount(who, away, log.n_users) / np.maximum(count, 1)
    found[count == 0] = np.nan
    return np.round(found, DIGITS)


def _rank(values: Float64) -> Float64:
    """Share of the values below each, equals counting half; what is not known has the median."""
    known = values[~np.isnan(values)]
    filled = np.where(np.isnan(values), np.median(known) if len(known) else 0.0, values)
    ranks: Float64 = (rankdata(filled) - 0.5) / max(len(filled), 1)
    return ranks
