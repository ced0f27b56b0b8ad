"""DP-ALS: alternating least squares whose item side is solved from noised sums, private for whole users."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from ..datasets.errors import InputError
from ..datasets.log import InteractionLog
from ..datasets.seeding import rng as seeded
from ..datasets.split import Split
from .base import Report
from .dp import (
    Float64,
    PrivateConfig,
    PrivateFactors,
    first_items,
    gaussian_epsilon,
    gaussian_noise,
    influence,
    local_vectors,
    on_sphere,
)
from .trainer import one_thread


class DPALSConfig(PrivateConfig):
    """Hyper-parameters of DP-ALS; the defaults were chosen on the validation part of MovieLens-100K."""

    sweeps: int = Field(2, ge=1, description="updates of all items, each one release that costs budget")
    items_per_user: int = Field(25, ge=1, description="k, how many items' worth a user may add to the sums")
    contribution: Literal["scale", "sample"] = Field(
        "scale",
        description="scale: users with more than k items add all of them with weight sqrt(k / number); "
        "sample: k of them, drawn uniformly once",
    )
    item_regularisation: float = Field(0.1, gt=0, description="times unobserved x all users")
    gram_share: float = Field(0.05, gt=0, lt=1, description="share of the budget for the global Gram matrix")
    local_share: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the budget for a Gram matrix an item, as in the paper; 0 does without",
    )


@dataclass(frozen=True, eq=False)
class Sums:
    """The sufficient statistics of the item side.

    Attributes:
        linear: b_i = sum_u w_ui x_u, float64 [I, d].
        gram: G = sum_u w_u x_u x_u', float64 [d, d].
        local: A_i = sum_u w_ui x_u x_u', float64 [I, d, d], or None.
    """

    linear: Float64
    gram: Float64
    local: Float64 | None


def contributions(
    matrix: sparse.csr_matrix, weights: Float64, limit: int, way: str, rng: np.random.Generator
) -> sparse.csr_matrix:
    """The weights w_ui with which users enter the sums, float64 CSR [U, I]: sum_i w_ui^2 <= k for each user.

    Args:
        matrix: 0/1 [U, I].
        weights: w_u, float64 [U], in [0, 1].
        limit: k.
        way: "scale" or "sample", see DPALSConfig.
        rng: draws for "sample", one number a pair.
    """
    counts = np.diff(matrix.indptr)
    found = matrix.astype(np.float64)
    if way == "sample":
        row = np.repeat(np.arange(len(counts)), counts)
        order = np.lexsort((rng.random(matrix.nnz), row))
        place = np.empty(matrix.nnz, np.int64)
        place[order] = np.arange(matrix.nnz) - matrix.indptr[row[order]]
        found.data = (place < limit).astype(np.float64)
    else:
        found.data = np.repeat(np.sqrt(np.minimum(1.0, limit / np.maximum(counts, 1))), counts)
    found.data *= np.repeat(weights, counts)
    return found


def sums(shares: sparse.csr_matrix, users: Float64, weights: Float64, local: bool) -> Sums:
    """The statistics without noise.

    Args:
        shares: w_ui, float64 CSR [U, I].
        users: x_u, float64 [U, d], none longer than 1.
        weights: w_u, float64 [U], in [0, 1].
        local: whether the Gram matrices of items are wanted.
    """
    of_items = shares.T.tocsr()
    dim = users.shape[1]
    own = None
    if local:
        own = np.stack([of_items @ (users * users[:, [column]]) for column in range(dim)], axis=1)
    table = torch.from_numpy(users)
    gram: Float64 = (table.T @ (torch.from_numpy(weights)[:, None] * table)).numpy()
    return Sums(of_items @ users, gram, own)


def deviations(config: DPALSConfig, noise: float) -> tuple[float, float, float]:
    """Standard deviations of the noise on b, G and A (0 for A where it is not released).

    One user moves b by at most sqrt(k), G by 1 and A by sqrt(k) (Frobenius). Divided by their deviations, all three
    together move by at most 1 / noise, since the shares of the budget add up to 1.
    """
    limit, linear = config.items_per_user, 1.0 - config.gram_share - config.local_share
    on_local = noise * math.sqrt(limit / config.local_share) if config.local_share else 0.0
    return noise * math.sqrt(limit / linear), noise / math.sqrt(config.gram_share), on_local


def release(exact: Sums, config: DPALSConfig, noise: float, rng: np.random.Generator) -> Sums:
    """The statistics with Gaussian noise on every number, whether any user has the item or not.

    Matrices are made symmetric and positive semi-definite afterwards, which costs nothing.
    """
    on_linear, on_gram, on_local = deviations(config, noise)
    linear = exact.linear + on_linear * rng.standard_normal(exact.linear.shape)
    gram = _semidefinite(exact.gram + on_gram * rng.standard_normal(exact.gram.shape))
    local = None
    if exact.local is not None:
        local = _semidefinite(exact.local + on_local * rng.standard_normal(exact.local.shape))
    return Sums(linear, gram, local)


def solve_items(released: Sums, config: DPALSConfig, n_users: int) -> Float64:
    """Item vectors from released statistics: y_i = (A_i + alpha_0 G + lambda alpha_0 U)^-1 b_i, float64 [I, d].

    Args:
        released: with noise.
        config: alpha_0 and lambda.
        n_users: U.
    """
    linear = torch.from_numpy(released.linear)
    ridge = config.item_regularisation * config.unobserved * n_users * np.eye(linear.shape[1])
    common = torch.from_numpy(config.unobserved * released.gram + ridge)
    if released.local is None:
        found: Float64 = torch.linalg.solve(common, linear.T).T.contiguous().numpy()
        return found
    systems = torch.from_numpy(released.local) + common
    solved: Float64 = torch.linalg.solve(systems, linear[..., None])[..., 0].numpy()
    return solved


class DPALS(PrivateFactors):
    """Least squares between users who solve for themselves and items solved from noised sums.

    In each sweep every user solves an own vector x_u from the item vectors (`local_vectors`), scaled to length 1;
    then b_i = sum_u w_ui x_u and G = sum_u x_u x_u' (and, if `local_share` is set, A_i = sum_u w_ui x_u x_u') are
    released with noise, and y_i = (A_i + alpha_0 G + lambda alpha_0 U)^-1 b_i.

    Sensitivity: x_u depends on the item vectors, which are released already, and on u's own events. One user adds
    w_ui x_u to each b_i, x_u x_u' to G and w_ui x_u x_u' to each A_i, with |x_u| <= 1 and sum_i w_ui^2 <= k:
    squared (Frobenius) norms of at most k, 1 and k. Noise is scaled so that a whole sweep is one Gaussian release
    with the noise multiplier; sweeps compose. Noise is on every item, so that its presence tells nothing. The numbers
    of users and items count as known. The item side of the paper's objective has A_i; without it (the default) the
    item side weighs all pairs the same, and the noise of d^2 numbers an item is saved.

    Reference: Chien, Jain, Krichene, Rendle, Song, Thakurta and Zhang 2021, Private Alternating Least Squares:
        Practical Private Matrix Completion with Tighter Rates, ICML (arXiv 2107.09802).
    """

    name: ClassVar[str] = "dp-als"
    title: ClassVar[str] = "DP-ALS"
    reference: ClassVar[str] = "Chien et al. 2021, Private Alternating Least Squares, ICML"
    config_type: ClassVar[type[DPALSConfig]] = DPALSConfig
    accountant: ClassVar[str] = "composed Gaussian mechanism, exact (opacus, analysis.gdp)"
    config: DPALSConfig

    @staticmethod
    def account(noise: float, delta: float, rate: float, releases: int) -> float:
        """Epsilon; everybody is in every release."""
        return gaussian_epsilon(noise, delta, releases)

    def fit(
        self,
        log: InteractionLog,
        seed: int,
        *,
        valid: Split | None = None,
        weights: NDArray[np.float32] | None = None,
        epochs: int | None = None,
        report: Report | None = None,
        device: str = "cpu",
    ) -> None:
        """Sweep `epochs` or else `sweeps` times, with the noise that so many releases need.

        `valid` is not read: to stop by it would be a release that nothing accounts for. `device` is not used.

        Raises:
            InputError: opacus is not installed; or the shares of the budget leave nothing.
            DataError: nothing to fit, or weights that are not in 0..1.
        """
        config = self.config
        check_shares(config)
        weight = influence(log, weights)
        sweeps = config.sweeps if epochs is None else epochs
        noise = config.noise_multiplier
        if noise is None:
            noise = gaussian_noise(config.epsilon, config.delta, sweeps) if sweeps else 0.0
        own = log.matrix()
        shares = contributions(
            own, weight, config.items_per_user, config.contribution, seeded(seed, self.name, "sample")
        )
        items = first_items(seed, self.name, log.n_items, config.dim)
        with one_thread():
            for sweep in range(sweeps):
                users = on_sphere(local_vectors(own, items, config))
                exact = sums(shares, users, weight, bool(config.local_share))
                noisy = release(exact, config, noise, seeded(seed, self.name, "noise", sweep))
                items = solve_items(noisy, config, log.n_users)
                if report is not None:
                    report(sweep + 1, sweeps, self.name)
            found = local_vectors(own, items, config)
        self.epochs = sweeps
        self.keep(found, items, noise, 1.0, sweeps)


def check_shares(config: DPALSConfig) -> None:
    """InputError if nothing of the budget is left for the linear term."""
    if config.gram_share + config.local_share >= 1:
        raise InputError(
            f"gram_share {config.gram_share:g} and local_share {config.local_share:g} leave nothing of the budget for "
            "the items' sums; together they must stay below 1"
        )


def _semidefinite(matrix: Float64) -> Float64:
    """The nearest symmetric positive semi-definite matrix (Frobenius), of each of float64 [..., d, d]."""
    values, vectors = torch.linalg.eigh(torch.from_numpy((matrix + np.swapaxes(matrix, -1, -2)) / 2))
    found: Float64 = ((vectors * values.clamp(min=0)[..., None, :]) @ vectors.mT).numpy()
    return found
