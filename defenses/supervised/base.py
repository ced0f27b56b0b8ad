"""What supervised detectors share: fakes simulated from the log, folds, and published weights."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse
from scipy.stats import rankdata
from sklearn.tree import DecisionTreeClassifier

from ...datasets.log import Float32, InteractionLog
from ..base import Detector, DetectorConfig, Float64, Folds
from ..histories import Histories, simulated

Bool = NDArray[np.bool_]

Judge = Callable[[Bool, np.random.Generator], Float64]
"""Learns from the accounts in the mask, bool [N], and judges all: float64 [N], higher is more suspicious."""

FEWEST = 4
"""Accounts with events, and items, below which no fakes are simulated and nobody is suspected."""


class SupervisedConfig(DetectorConfig):
    """Settings of detectors that learn from simulated fakes."""

    fraudsters: float = Field(0.05, gt=0, le=1, description="simulated fakes, as a share of the accounts with events")
    attacks: tuple[Literal["random", "bandwagon", "popular"], ...] = Field(
        ("random", "bandwagon"), min_length=1, description="how they are simulated, in equal parts"
    )
    cross_fit: Folds = Field(
        2,
        description="folds of the accounts, each judged by a model that has not learnt from it, and ranked within its "
        "fold; 0: all by one",
    )


class Supervised(Detector):
    """Learns to tell fakes that are simulated from the log from the accounts of the log; no label is read.

    Every account of the log, fakes among them, stands for a genuine one while it is learnt from. A model that has
    learnt "genuine" from a fake has been told the wrong answer about the very account it is then asked about, so with
    folds each account is judged by a model that has not learnt from it. Fakes among the others still mislead a
    little.

    Each model has a scale of its own. So that the fold does not decide who is flagged, suspicion is the rank within
    the fold.

    What accounts hold is read as 0 or 1: ratings and the order of events are not.
    """

    config_type: ClassVar[type[SupervisedConfig]] = SupervisedConfig
    version: ClassVar[int] = 3

    @property
    def ranked(self) -> bool:
        """Whether the answers of the folds' models are ranked before they are put together."""
        return True

    @abstractmethod
    def learner(self, log: InteractionLog, accounts: Histories, fake: Bool, rng: np.random.Generator) -> Judge:
        """What needs no label is done here, once; what needs them in the function that is returned, for each fold.

        Args:
            log: for the number of items and their texts.
            accounts: N histories: accounts of the log with events, then simulated fakes. The place must not be learnt
                from.
            fake: bool [N], which are simulated.
            rng: the only source of randomness of what is done here.
        """

    def detect(self, log: InteractionLog, rng: np.random.Generator) -> Float64:
        """See Detector. All are alike where fewer than four accounts have events or fewer than four items exist."""
        found = np.zeros(log.n_users)
        active = np.flatnonzero(log.user_counts)
        if min(len(active), log.n_items) < FEWEST:
            return found
        config: SupervisedConfig = self.config
        count = max(len(config.attacks), round(config.fraudsters * len(active)))
        fakes = simulated(log, active, count, config.attacks, int(rng.integers(1 << 62)))
        fake = np.repeat([False, True], [len(active), len(fakes)])
        judge = self.learner(log, Histories.of_accounts(log, active).plus(fakes), fake, rng)
        found[active] = cross_fitted(judge, fake, config.cross_fit, rng, ranked=self.ranked)[: len(active)]
        return found


def cross_fitted(judge: Judge, fake: Bool, folds: int, rng: np.random.Generator, *, ranked: bool = False) -> Float64:
    """Suspicion of every account by a model that has learnt from all simulated fakes and the other folds' accounts.

    Args:
        judge: learns and judges.
        fake: bool [N], simulated accounts; they are always learnt from and get no answer (0).
        folds: 0 for one model that learns from all.
        rng: of the folds, then of each model.
        ranked: give the share of the fold that is less suspicious, equals counting half, instead of the answer;
            without folds the answer is given.

    Returns:
        float64 [N].
    """
    found = np.zeros(len(fake))
    own = np.flatnonzero(~fake)
    fold = np.full(len(fake), -1)
    fold[own] = rng.permutation(len(own)) % max(1, folds)
    for number, stream in enumerate(rng.spawn(max(1, folds))):
        asked = fold == number
        if asked.any():
            train = ~asked if folds else np.ones(len(fake), bool)
            answer = judge(train, stream)[asked]
            found[asked] = (rankdata(answer) - 0.5) / len(answer) if ranked and folds else answer
    return found


def held(accounts: Histories, n_items: int) -> sparse.csr_matrix:
    """Which account holds which item, float32 CSR [N, I] of ones, columns sorted."""
    matrix = accounts.matrix(n_items)
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


class TreeConfig(SupervisedConfig):
    """Settings of detectors that judge by a decision tree."""

    depth: int = Field(4, ge=1, description="of the tree, at most")
    leaf: int = Field(5, ge=1, description="accounts in a leaf, at least")


def tree_judge(features: Float64, fake: Bool, config: TreeConfig) -> Judge:
    """A decision tree on fixed features, float64 [N, k]: the share of fakes in the account's leaf.

    Classes weigh alike. A shallow tree with leaves of some accounts gives graded answers; one that is grown to the end
    says 0 or 1 alone.
    """

    def judge(train: Bool, rng: np.random.Generator) -> Float64:
        if fake[train].all() or not fake[train].any():
            return np.zeros(len(fake))
        tree = DecisionTreeClassifier(
            criterion="entropy",
            max_depth=config.depth,
            min_samples_leaf=config.leaf,
            class_weight="balanced",
            random_state=int(rng.integers(1 << 31)),
        )
        tree.fit(features[train], fake[train])
        found: Float64 = tree.predict_proba(features)[:, 1]
        return found

    return judge


class WeighingConfig(SupervisedConfig):
    """Settings of detectors whose paper says what accounts weigh."""

    weighing: Literal["published", "action"] = Field(
        "published", description="published: weights as in the paper; action: as `share` and `action` say"
    )


class Weighing(Supervised):
    """A detector that gives chances in 0..1, and whose paper says what an account of such a chance weighs.

    The published weights read the chance itself, so that there the folds' chances are not ranked.
    """

    config_type: ClassVar[type[WeighingConfig]] = WeighingConfig

    @property
    def ranked(self) -> bool:
        """See Supervised."""
        config: WeighingConfig = self.config
        return config.weighing == "action"

    @abstractmethod
    def published(self, suspicion: Float64) -> Float32:
        """Weights of accounts by their chance of being fake: float64 [U] -> float32 [U] in 0..1."""

    def weights(self, suspicion: Float64, rng: np.random.Generator) -> Float32:
        """See Detector."""
        config: Any = self.config
        return self.published(suspicion) if config.weighing == "published" else super().weights(suspicion, rng)
