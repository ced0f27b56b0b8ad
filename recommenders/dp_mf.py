"""DP-MF: a factor model whose item vectors learn by DP-SGD, private for whole users."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from ..datasets.log import InteractionLog
from ..datasets.seeding import rng as seeded
from ..datasets.split import Split
from .base import Report
from .dp import (
    Float64,
    PrivateConfig,
    PrivateFactors,
    first_items,
    influence,
    local_vectors,
    on_sphere,
    sampled_epsilon,
    sampled_noise,
)
from .trainer import one_thread


class DPMFConfig(PrivateConfig):
    """Hyper-parameters of DP-MF; the defaults were chosen on the validation part of MovieLens-100K."""

    epochs: int = Field(20, ge=1, description="each of 1 / sample_rate steps; never stopped early")
    sample_rate: float = Field(0.2, gt=0, le=1, description="chance of each user to be in a step (Poisson sampling)")
    clip: float = Field(1.0, gt=0, description="C, largest norm of one user's gradient on the whole item table")
    learning_rate: float = Field(0.01, gt=0, description="Adam's")


def clipped(
    own: sparse.csr_matrix, users: Float64, items: Float64, unobserved: float, clip: float, weights: Float64
) -> Float64:
    """Sum over users of their gradients on the item table, each clipped as one vector: float64 [I, d].

    Half the gradient of sum_{i in N(u)} (x_u y_i - 1)^2 + alpha_0 sum_i (x_u y_i)^2 with x_u held is a_u x_u' with
    a_ui = alpha_0 x_u y_i + [i in N(u)] (x_u y_i - 1), so that its norm is |a_u| |x_u|, and |a_u| needs the products
    on N(u) and the Gram matrix of the items alone.

    Args:
        own: N, 0/1 CSR [B, I].
        users: x, float64 [B, d]. Users without items must be zero.
        items: y, float64 [I, d].
        unobserved: alpha_0.
        clip: C; no user adds more than this, Frobenius norm over all items.
        weights: float64 [B], in [0, 1]; applied after clipping.
    """
    row = np.repeat(np.arange(own.shape[0]), np.diff(own.indptr))
    score = np.einsum("nd,nd->n", users[row], items[own.indices])
    pull = score - 1.0
    gram = (torch.from_numpy(items).T @ torch.from_numpy(items)).numpy()
    everywhere = np.einsum("bd,de,be->b", users, gram, users, optimize=False)
    square = unobserved**2 * everywhere
    square += np.bincount(row, 2 * unobserved * score * pull + pull**2, minlength=len(users))
    norm = np.sqrt(np.maximum(square, 0.0)) * np.linalg.norm(users, axis=1)
    factor = weights * (clip / np.maximum(norm, clip))
    observed = sparse.csr_matrix((pull * factor[row], own.indices, own.indptr), own.shape)
    inner = (torch.from_numpy(users).T @ torch.from_numpy(users * factor[:, None])).numpy()
    found: Float64 = unobserved * (torch.from_numpy(items) @ torch.from_numpy(inner)).numpy() + observed.T @ users
    return found


class DPMF(PrivateFactors):
    """Item vectors by DP-SGD with whole users as examples; user vectors solved locally from them.

    The loss of a user is that of iALS with the user's own vector solved for,
    L_u(Y) = min_x sum_{i in N(u)} (x y_i - 1)^2 + alpha_0 sum_i (x y_i)^2 + lambda_u |x|^2, its gradient that with x
    held at the solution (`local_vectors`, scaled to length 1). All items are negatives at the weight alpha_0: none
    is drawn, so that no draw depends on what a user has.

    In each step a Poisson sample of the users is taken, their gradients (`clipped`) are summed, N(0, (noise C)^2) is
    added to every number of every row, and the sum, divided by the expected number of users, goes to Adam. One user
    moves a sum by at most C, so a step is a Poisson-sampled Gaussian release, and the accountant composes the steps.
    Noise is on all rows: a row that stays would tell that nobody of the sample touched it.

    Reference: Abadi et al. 2016, Deep Learning with Differential Privacy, CCS, algorithm 1, with users for examples
        (McMahan, Ramage, Talwar and Zhang 2018, ICLR).
    """

    name: ClassVar[str] = "dp-mf"
    title: ClassVar[str] = "DP-MF"
    reference: ClassVar[str] = "Abadi et al. 2016, CCS; McMahan et al. 2018, ICLR"
    config_type: ClassVar[type[DPMFConfig]] = DPMFConfig
    accountant: ClassVar[str] = "Renyi differential privacy of the Poisson-sampled Gaussian (opacus, RDPAccountant)"
    config: DPMFConfig

    @staticmethod
    def account(noise: float, delta: float, rate: float, releases: int) -> float:
        """Epsilon of the steps."""
        return sampled_epsilon(noise, delta, rate, releases)

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
        """Run `epochs` or else the config's epochs, with the noise that so many steps need.

        `valid` is not read: to stop by it would be a release that nothing accounts for. `device` is not used.

        Raises:
            InputError: opacus is not installed, or the budget is too small for the accountant.
            DataError: nothing to fit, or weights that are not in 0..1.
        """
        config = self.config
        weight = influence(log, weights)
        rounds = config.epochs if epochs is None else epochs
        steps = round(rounds / config.sample_rate)
        noise = config.noise_multiplier
        if noise is None:
            noise = sampled_noise(config.epsilon, config.delta, config.sample_rate, steps) if steps else 0.0
        own = log.matrix()
        table = torch.from_numpy(first_items(seed, self.name, log.n_items, config.dim))
        adam = torch.optim.Adam([table], lr=config.learning_rate, betas=(0.9, 0.99), foreach=False)
        with one_thread():
            for step in range(steps):
                draw = seeded(seed, self.name, "step", step)
                table.grad = torch.from_numpy(self.noised_gradient(own, table.numpy(), weight, noise, draw))
                adam.step()
                if report is not None:
                    report(step + 1, steps, self.name)
            items = table.numpy()
            found = local_vectors(own, items, config)
        self.epochs = rounds
        self.keep(found, items, noise, config.sample_rate, steps)

    def noised_gradient(
        self, own: sparse.csr_matrix, items: Float64, weight: Float64, noise: float, rng: np.random.Generator
    ) -> Float64:
        """The noised mean gradient of one Poisson sample of the users, float64 [I, d]."""
        config = self.config
        chosen = np.flatnonzero(rng.random(own.shape[0]) < config.sample_rate)
        total = noise * config.clip * rng.standard_normal(items.shape)
        if len(chosen):
            some = own[chosen]
            users = on_sphere(local_vectors(some, items, config))
            total += clipped(some, users, items, config.unobserved, config.clip, weight[chosen])
        mean: Float64 = total / (config.sample_rate * own.shape[0])
        return mean
