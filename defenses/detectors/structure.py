"""Detectors by what accounts have in common with all others: PCA-VarSelect and propagation."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ...attacks.detectors import fap, pca_varselect
from ...datasets.log import InteractionLog
from ..base import Detector, Float64


class PCAVarSelect(Detector):
    """Accounts that say least about what accounts have in common; see `attacks.detectors.pca_varselect`."""

    name: ClassVar[str] = "pca-varselect"
    title: ClassVar[str] = "Accounts outside the first principal components"
    reference: ClassVar[str] = "Mehta, Nejdl 2009, Unsupervised Strategies for Shilling Detection, UMUAI 19"

    def detect(self, log: InteractionLog, rng: np.random.Generator) -> Float64:
        """See Detector."""
        return pca_varselect(log)


class FAP(Detector):
    """Propagation of suspicion from the accounts that PCA-VarSelect finds most suspicious; no labels."""

    name: ClassVar[str] = "fap"
    title: ClassVar[str] = "Fraudulent action propagation"
    reference: ClassVar[str] = "Zhang et al. 2015, Catch the Black Sheep, IJCAI"

    def detect(self, log: InteractionLog, rng: np.random.Generator) -> Float64:
        """See Detector."""
        return fap(log)
