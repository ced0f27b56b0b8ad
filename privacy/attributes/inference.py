"""How well a class of users can be told from features of theirs: labels, features, classifiers, folds, scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.stats import rankdata
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.neural_network import MLPClassifier

from ...datasets.log import Float32, Int32, Int64

Float64 = NDArray[np.float64]
Features = Float64 | sparse.csr_matrix
"""One row a user, of mean squared length 1."""
Classifier = Literal["logistic", "mlp"]

FOLDS = 5
MOST_CLASSES = 30
"""Classes that are told apart, the largest: beyond them the classifiers take too long."""
OVERLAP = 1 + FOLDS * (1 / FOLDS) / (1 - 1 / FOLDS)
"""Factor of the variance for folds that train on each other's users (Nadeau, Bengio 2003): 1 + J n_test / n_train."""

_EPOCHS = 20
_UNKNOWN = frozenset({"", "unknown", "nan", "none given", "n/a"})
_OLDEST = 120


@dataclass(frozen=True, eq=False)
class Labels:
    """Whose class is known to the audit.

    Attributes:
        users: int64 [n], ascending.
        code: int64 [n], the class of each, in 0..C-1.
        classes: [C], C >= 2, the largest first.
        left_out: names of classes of too few users.
    """

    users: Int64
    code: Int64
    classes: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    @property
    def sizes(self) -> list[int]:
        """Users of each class, [C]."""
        found: list[int] = np.bincount(self.code, minlength=len(self.classes)).tolist()
        return found


def class_names(column: pd.Series, ages: Sequence[int] = ()) -> NDArray[np.object_]:
    """The class of each user by name, text [U]; None where it is not known.

    Args:
        column: [U], of the user table.
        ages: lower bounds, ascending; a column of numbers, or of text that is numbers, is cut into "under 18",
            "18-24", ..., "56 and over". None given: every value is a class of its own. Ages outside 0..120 are not
            known.
    """
    numbers = _numbers(column) if len(ages) else None
    if numbers is not None:
        names = [f"under {ages[0]}", *(f"{low}-{high - 1}" for low, high in pairwise(ages))]
        names.append(f"{ages[-1]} and over")
        group = np.searchsorted(np.asarray(ages), numbers, side="right")
        group[~((numbers >= 0) & (numbers <= _OLDEST))] = len(names)
        return np.array([*names, None], object)[group]
    hashable = [tuple(entry) if isinstance(entry, list | np.ndarray) else entry for entry in column]
    places, values = pd.factorize(pd.Series(hashable, dtype=object))
    return np.array([*(_name(value) for value in values), None], object)[places]  # -1, a missing value, is the last


def labels_of(names: NDArray[np.object_], users: Int64, smallest: int) -> Labels | str:
    """Labels of these users, or in words why there are none.

    Args:
        names: text or None [U], from `class_names`.
        users: int64 [n], ascending; those without a class are left out.
        smallest: users that a class needs; smaller ones are left out.
    """
    taken = pd.Series(names[users], dtype=object)
    counts = taken.value_counts()  # leaves None out
    ordered = sorted(((-int(count), str(name)) for name, count in counts.items()))
    classes = tuple(name for count, name in ordered if -count >= smallest)[:MOST_CLASSES]
    if len(classes) < 2:
        found = "one class" if len(classes) else "no class"
        return f"{found} of {smallest} users or more among the {int(counts.sum()):,} whose value is known"
    place = {name: at for at, name in enumerate(classes)}
    code: Int64 = taken.map(place).fillna(-1).to_numpy().astype(np.int64)
    left_out = tuple(sorted(name for _, name in ordered if name not in place))
    known = code >= 0
    return Labels(users[known], code[known], classes, left_out)


def standardised(vectors: Float32 | Float64) -> Float64:
    """Columns of mean 0 and variance 1 over sqrt(d), so that rows are as long as those of `tf_idf` on average.

    Shapes: float [n, d] -> float64 [n, d]; columns without spread become 0.
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    spread = centred.std(axis=0)
    scaled = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)
    return np.asarray(scaled / math.sqrt(max(vectors.shape[1], 1)), np.float64)


def tf_idf(bag: sparse.csr_matrix) -> sparse.csr_matrix:
    """Rows weighted by idf = log((1 + n) / (1 + df)) + 1 and of length 1; columns that nobody has are dropped.

    Shapes: [n, I] -> float64 CSR [n, I'].
    """
    used = np.flatnonzero(bag.getnnz(axis=0))
    weighted: sparse.csr_matrix = TfidfTransformer().fit_transform(bag[:, used].astype(np.float64))
    return weighted.tocsr()


def bag_of_lists(items: Int32, n_items: int) -> sparse.csr_matrix:
    """Which items stand in each list: items int32 [n, K], -1 for none -> float64 CSR [n, I] of ones."""
    rows, places = np.nonzero(items >= 0)
    ones = np.ones(len(rows))
    return sparse.csr_matrix((ones, (rows, items[rows, places])), shape=(len(items), n_items))


def most_frequent(bag: sparse.csr_matrix, count: int) -> sparse.csr_matrix:
    """The columns of the items that most users have, lower index first among equals: CSR [n, min(count, I)]."""
    popular = np.argsort(-bag.getnnz(axis=0), kind="stable")[:count]
    return bag[:, np.sort(popular)]


def folds(code: Int64, draw: np.random.Generator) -> Int64:
    """The fold in which each user is judged, int64 [n] in 0..4; every fold has its share of each class."""
    fold = np.empty(len(code), np.int64)
    splitter = StratifiedKFold(FOLDS, shuffle=True, random_state=int(draw.integers(2**31)))
    for at, (_, test) in enumerate(splitter.split(np.zeros(len(code)), code)):
        fold[test] = at
    return fold


@dataclass(frozen=True, eq=False)
class Told:
    """What a classifier tells of users it was not trained on.

    Attributes:
        auc: macro mean over classes of the AUC of one against the rest; .5 is chance.
        balanced_accuracy: mean recall of the classes; 1/C is chance.
        by_class: float64 [C], the AUC of each class against the rest.
        influence: float64 [n], each user's part in the error of `auc`; sums to about 0.
        step: what one user of the smallest class changes by being told at chance instead of surely.
    """

    auc: float
    balanced_accuracy: float
    by_class: Float64
    influence: Float64
    step: float

    @property
    def standard_error(self) -> float:
        """Of `auc`; at least a step, since users who are all told surely say little of the next one."""
        return max(standard_error(self.influence), self.step)

    def minus(self, other: Told) -> tuple[float, float]:
        """Difference of the AUCs on the same users and folds, and its standard error: users are paired.

        At least a step, as of each alone: where both tell all users surely no user differs.
        """
        error = max(standard_error(self.influence - other.influence), self.step, other.step)
        return self.auc - other.auc, error


def standard_error(influence: Float64) -> float:
    """Standard error of a cross-validated AUC from the users' parts in it, float64 [n].

    The squares of the parts sum to DeLong's variance of each fold's AUC, averaged over folds, as in the influence
    curve of LeDell, Petersen and van der Laan 2015 (Electronic Journal of Statistics 9). That takes the classifiers of
    the folds as given. They are not: each is trained on the users that judge the others. Where there is nothing to
    find that doubles the variance of a classifier that adds up users, since every pair of users counts in two folds.
    Nadeau and Bengio 2003 (Machine Learning 52) give a factor of 2.25 for five folds, which is taken.
    """
    return float(np.sqrt(OVERLAP * np.square(influence).sum()))


def infer(features: Features, code: Int64, fold: Int64, classifier: Classifier, draw: np.random.Generator) -> Told:
    """Train on four folds and judge on the fifth, in turn.

    Args:
        features: [n, d], one row a user.
        code: int64 [n], classes 0..C-1; each has at least two users in every fold.
        fold: int64 [n], from `folds`.
        classifier: logistic regression, classes balanced; or a network with one hidden layer of 32.
        draw: for the network's start and batches.
    """
    chances = np.empty((len(code), int(code.max()) + 1))
    if classifier == "mlp":
        features = features * 4.0  # rows of length 1 would need more epochs
    for at in range(FOLDS):
        train, test = np.flatnonzero(fold != at), np.flatnonzero(fold == at)
        trained = _trained(classifier, features[train], code[train], draw)
        chances[test] = trained.predict_proba(features[test])
    return judged(chances, code, fold)


def judged(chances: Float64, code: Int64, fold: Int64) -> Told:
    """AUC within each fold, averaged, with each user's part in its error; and balanced accuracy.

    A score counts within its fold only, since the folds' classifiers have scales of their own.

    Shapes: chances float64 [n, C], higher is more likely; code, fold int64 [n].
    """
    n_classes = chances.shape[1]
    right = chances.argmax(axis=1) == code
    sizes = np.bincount(code, minlength=n_classes)
    recall = np.bincount(code, weights=right, minlength=n_classes) / sizes
    judged_classes = [1] if n_classes == 2 else list(range(n_classes))  # of two classes, either says it all
    auc, influence = np.zeros(n_classes), np.zeros(len(code))
    for label in judged_classes:
        for at in range(FOLDS):
            inside = np.flatnonzero(fold == at)
            value, parts = _auc(chances[inside, label], code[inside] == label)
            auc[label] += value / FOLDS
            influence[inside] += parts / (FOLDS * len(judged_classes))
    if n_classes == 2:
        auc[0] = auc[1]
    step = 0.5 / (int(sizes.min()) * len(judged_classes))
    return Told(float(auc.mean()), float(recall.mean()), auc, influence, step)


def _auc(scores: Float64, positive: NDArray[np.bool_]) -> tuple[float, Float64]:
    """AUC with ties counted half, and each user's part: the squares sum to DeLong's variance."""
    ranks = rankdata(scores)
    ones, zeros = int(positive.sum()), int((~positive).sum())
    share = np.empty(len(scores))  # of the other side that the user is on the right side of
    share[positive] = (ranks[positive] - rankdata(scores[positive])) / zeros
    share[~positive] = 1 - (ranks[~positive] - rankdata(scores[~positive])) / ones
    auc = float(share[positive].mean())
    size = np.where(positive, ones, zeros)
    return auc, (share - auc) / np.sqrt(size * np.maximum(size - 1, 1))


def _trained(classifier: Classifier, features: Features, code: Int64, draw: np.random.Generator) -> Any:
    if classifier == "logistic":
        # C = 1 for rows of length 1: on MovieLens neither three times as much nor a third finds more
        return LogisticRegression(C=1.0, class_weight="balanced", max_iter=500).fit(features, code)
    labels = np.unique(code)
    members = [np.flatnonzero(code == label) for label in labels]
    per_class = -(-len(code) // len(labels))
    network = MLPClassifier(
        (32,),
        alpha=4.0,
        batch_size=min(256, per_class * len(labels)),
        learning_rate_init=5e-3,
        random_state=int(draw.integers(2**31)),
    )
    for _ in range(_EPOCHS):
        # an epoch sees each class equally often; the network knows no class weights in every version
        rows = np.concatenate([own[draw.integers(len(own), size=per_class)] for own in members])
        network.partial_fit(features[rows], code[rows], classes=labels)
    return network


def _numbers(column: pd.Series) -> Float64 | None:
    """The column as numbers, NaN where it has none; None if a value is no number. Checkpoints keep text."""
    known = column.notna() & ~column.astype(str).str.strip().str.lower().isin(_UNKNOWN)
    numbers = pd.to_numeric(column.where(known), errors="coerce")
    return None if (numbers.isna() & known).any() else numbers.to_numpy(np.float64)


def _name(value: object) -> str | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # whole numbers are floats in a column with gaps
    text = str(value).strip()
    return None if text.lower() in _UNKNOWN else text
