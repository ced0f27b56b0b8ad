"""The measures there are: one file and one line each."""

from __future__ import annotations

from . import (
    ai_f,
    coverage,
    dpfr,
    entropy,
    expected_exposure,
    fsat,
    gini,
    gini_w,
    hd,
    iaa,
    ibo,
    ifd_div,
    ifd_mul,
    ii_f,
    inequity,
    jain,
    mme,
    vocd,
)
from .measure import Measure

EXPOSURE: tuple[Measure, ...] = (
    coverage.MEASURE,
    gini.MEASURE,
    jain.MEASURE,
    entropy.MEASURE,
    gini_w.MEASURE,
    fsat.MEASURE,
    vocd.MEASURE,
    inequity.AI_D,
    inequity.II_D,
    expected_exposure.EE_D,
)
"""Of lists alone."""

JOINT: tuple[Measure, ...] = (
    ai_f.MEASURE,
    ibo.IBO,
    ibo.IWO,
    mme.MEASURE,
    expected_exposure.EE_L,
    expected_exposure.EE_R,
    iaa.MEASURE,
    ii_f.MEASURE,
    ifd_div.MEASURE,
    ifd_mul.MEASURE,
    hd.MEASURE,
    dpfr.MEASURE,
)
"""Of lists and relevance."""

ALL: tuple[Measure, ...] = EXPOSURE + JOINT

BY_SLUG: dict[str, Measure] = {measure.slug: measure for measure in ALL}
"""By the name in files, policies and on the command line."""
