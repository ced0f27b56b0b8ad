"""Detectors of fake accounts that see a log and no label: PCA-VarSelect and propagation from suspects (FAP).

They are yardsticks of how visible an attack is, not defences: an attacker who knows them can evade both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, svds
from threadpoolctl import threadpool_limits

from ..datasets.errors import InputError
from ..datasets.log import Int64, InteractionLog
from ..datasets.seeding import rng

Float64 = NDArray[np.float64]
Detector = Callable[[InteractionLog], Float64]
"""Suspicion of every user of a log, float64 [U], higher is more suspicious; users without events get the lowest."""

COMPONENTS = 3
"""Principal components of PCA-VarSelect, as the paper uses."""

ROUNDS = 20
"""Rounds of propagation. Only the order counts, and on MovieLens-100K AUC at 20 and at 200 rounds is equal to .001."""

SUSPECTS = 0.01
"""Share of the users that a propagation without labels starts from."""

FEWEST_SUSPECTS = 5


def rows(log: InteractionLog) -> sparse.csr_matrix:
    """What each user holds, float64 CSR [U, I]: the latest rating of a pair, 1 where the log has no ratings.

    0 stands for "nothing", so a scale that reaches 0 or below is moved until its lowest rating is 1.
    """
    pair = log.pair_keys
    order = np.argsort(pair, kind="stable")
    last = np.append(np.diff(pair[order]) > 0, np.ones(min(len(pair), 1), bool))
    if log.time is not None and not last.all():  # stable too: of events of one time the last of the file counts
        order = np.lexsort((log.time, pair))
    at = order[last]
    value = np.ones(len(at)) if log.value is None else log.value[at].astype(np.float64)
    if len(value) and value.min() <= 0:
        value += 1 - value.min()
    begins = np.searchsorted(log.user[at], np.arange(log.n_users + 1))
    return sparse.csr_matrix((value, log.item[at], begins), shape=(log.n_users, log.n_items))


def pca_varselect(log: InteractionLog, components: int = COMPONENTS) -> Float64:
    """Suspicion by PCA-VarSelect: users who say least about what users have in common.

    Users are the variables, items the observations. Each user's row, 0 where nothing is rated, is standardised over
    all I items; a user's suspicion is minus the sum of their squared coefficients in the first eigenvectors of the
    covariance of users. Those are the left singular vectors of the standardised rows, so that neither U x U nor a
    dense U x I is formed. Values lie in -1..0.

    Without ratings the rows are 0/1 and standardised all the same: the covariance is then the phi coefficient of
    who has what, and which items an account holds, and how many, is all that can show.

    Two limits. It takes fakes to be unlike the crowd: accounts that all hold the most popular items come out least
    suspicious of all (AUC far below .5). And it reacts to length: genuine profiles cut to the mean length, without
    a target, already have an AUC near .75 on MovieLens-100K.

    Source: Mehta and Nejdl 2009, "Unsupervised strategies for shilling detection and robust collaborative
    filtering", the algorithm PCA-VarSelect, from its abstract and general knowledge; the paper's text was not at
    hand. Standardising items instead of users, as one public code does, turns the order round on random and average
    attacks (AUC .08 to .13 instead of 1.00).

    Args:
        log: all accounts, fakes among them.
        components: eigenvectors used, at least 1; fewer where the log has no more.

    Raises:
        InputError: components below 1.
    """
    if components < 1:
        raise InputError(f"PCA-VarSelect needs at least 1 component, got {components}")
    held = rows(log)
    n_items = log.n_items
    mean = _sums(held, 1) / max(n_items, 1)
    variance = _sums(held.multiply(held).tocsr(), 1) / max(n_items, 1) - mean**2
    varies = variance > 1e-12 * np.maximum(mean**2, 1e-300)  # else no events, or all items at one value
    scale = np.zeros(log.n_users)
    scale[varies] = 1 / np.sqrt(variance[varies])
    count = min(components, min(held.shape) - 1)
    if count < 1 or np.count_nonzero(varies) < 2:
        return np.zeros(log.n_users)

    operator = standardised(held, mean, scale)
    # a fixed start, since ARPACK's own is drawn; not of ones, which standardised rows send to 0
    start = rng(0, "pca-varselect").standard_normal(min(held.shape))
    with threadpool_limits(1):
        left, size, _ = svds(operator, k=count, v0=start)
    left = left[:, size > 1e-6 * size.max()]
    found: Float64 = -np.round(np.square(left).sum(axis=1), 12)  # equal profiles tie in spite of rounding errors
    found[~varies] = found[varies].min()
    return found


def standardised(held: sparse.csr_matrix, mean: Float64, scale: Float64) -> LinearOperator:
    """Rows less their mean and times their scale, without making them: float64 CSR [n, I], [n], [n] -> [n, I]."""

    def forward(vector: Float64) -> Float64:
        flat = vector.ravel()
        image: Float64 = scale * (held @ flat - mean * flat.sum())
        return image

    def backward(vector: Float64) -> Float64:
        flat = scale * vector.ravel()
        image: Float64 = held.T @ flat - float(mean @ flat)
        return image

    return LinearOperator(held.shape, matvec=forward, rmatvec=backward, dtype=np.float64)


def propagated(log: InteractionLog, suspects: Int64, rounds: int = ROUNDS) -> Float64:
    """Suspicion by fraudulent action propagation from given users, float64 [U] in 0..1.

    An item is as suspicious as its users on average, a user as their items, suspects count as 1 in every round. An
    edge weighs 1 plus the relative distances of its rating from the means of user, item and log. Without ratings
    all edges weigh the same, and what is left is who shares items with the suspects.

    Source: Zhang et al. 2015, "Catch the Black Sheep", IJCAI, read in the version that the SDLib code
    uses. Repairs: users start at 0, not at random numbers; a fixed number of rounds, not "until nobody rises by more
    than .01", because the fixed point is 1 for everybody connected to a suspect and only the order on the way there
    means something. What a suspect gets is what neighbours say in the last round, not 1.

    Args:
        log: all accounts, fakes among them.
        suspects: user indices. If they are known fakes this is the seeded variant of the literature: it is told
            labels, so leave these users out of its evaluation and say so beside the result.
        rounds: at least 1.

    Raises:
        InputError: rounds below 1 or a suspect that does not exist.
    """
    if rounds < 1:
        raise InputError(f"propagation needs at least 1 round, got {rounds}")
    if len(suspects) and (int(np.min(suspects)) < 0 or int(np.max(suspects)) >= log.n_users):
        raise InputError(f"suspect outside 0..{log.n_users - 1}")
    weight = _edges(rows(log))
    by_user, by_item = (np.maximum(_sums(weight, axis), 1e-300) for axis in (1, 0))
    found = np.zeros(log.n_users)
    for _ in range(rounds):
        found[suspects] = 1
        items = (weight.T @ found) / by_item
        found = (weight @ items) / by_user
    return found


def fap(log: InteractionLog) -> Float64:
    """Propagation from the users that PCA-VarSelect finds most suspicious (1 % of them, at least 5): no labels.

    The literature starts it from 5 true fakes; for that see `propagated`.
    """
    active = np.flatnonzero(log.user_counts)
    first = pca_varselect(log)[active]
    n = min(len(active), max(FEWEST_SUSPECTS, int(np.floor(len(active) * SUSPECTS + 0.5))))
    return propagated(log, active[np.argsort(-first, kind="stable")[:n]])


DETECTORS: Mapping[str, Detector] = MappingProxyType({"pca-varselect": pca_varselect, "fap": fap})


def _sums(matrix: sparse.csr_matrix, axis: int) -> Float64:
    return np.asarray(matrix.sum(axis=axis), np.float64).ravel()


def _edges(held: sparse.csr_matrix) -> sparse.csr_matrix:
    """Weights of the graph, float64 CSR [U, I]."""
    user = np.repeat(np.arange(held.shape[0]), np.diff(held.indptr))
    value = held.data
    weight = np.ones(len(value))
    if len(value):
        of_user = _sums(held, 1)[user] / np.bincount(user)[user]
        of_item = _sums(held, 0)[held.indices] / np.bincount(held.indices)[held.indices]
        for mean in (of_user, of_item, value.mean()):
            weight += np.abs(value - mean) / mean
    return sparse.csr_matrix((weight, held.indices, held.indptr), shape=held.shape)
