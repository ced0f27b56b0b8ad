"""What differentially private factor models share: the budget, the accounting, local user vectors, the claim."""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse
from scipy.optimize import brentq

from ..datasets.errors import DataError, InputError
from ..datasets.log import Float32, InteractionLog
from ..datasets.seeding import rng as seeded
from .base import ModelConfig
from .ials import solve
from .sampling import Positives

Float64 = NDArray[np.float64]

_ORDERS = [1.25, 1.5, 1.75, *range(2, 65), 80, 96, 128, 192, 256, 512]
_LARGEST = 500.0  # where opacus stops looking for an epsilon
_FLOOR = 1e-5  # of the trace; keeps systems well conditioned when the item vectors are mostly noise

COVERS = (
    "the item vectors, and with them the vectors, scores and lists of all users but the one in question "
    "(joint differential privacy): they are functions of the item vectors and of those users' own events",
)
DOES_NOT_COVER = (
    "what a user's own vector, scores and lists tell of that user to who is shown them",
    "who knows the seed: it draws the noise again and takes it off; a checkpoint names its seed, and holds users' "
    "vectors and (unless saved without data) their events, so it must not be published, only its item vectors",
    "choices made by looking at the data: hyper-parameters, the number of epochs, filters, the split, user weights",
    "ids and side features, and which users and items there are: a catalogue read from the events tells that somebody "
    "had each item",
    "several models of the same users together: their budgets add up",
    "attacks on floating-point noise; noise and sampling come from a seeded generator, not a cryptographic one",
)


class PrivateConfig(ModelConfig):
    """Hyper-parameters of both private models."""

    dim: int = Field(16, ge=1, le=512, description="length of the vectors")
    epsilon: float = Field(5.0, gt=0, le=100, description="privacy budget; not read if noise_multiplier is given")
    delta: float = Field(
        1e-5, gt=0, lt=0.1, description="chance that the budget may fail; fixed, and best below 1 / number of users"
    )
    noise_multiplier: float | None = Field(
        None,
        ge=0,
        description="standard deviation of the noise over one user's largest influence on a release; none: what "
        "epsilon and delta need; 0: no noise and no privacy",
    )
    unobserved: float = Field(0.3, gt=0, description="weight of a pair without interaction (alpha_0)")
    user_regularisation: float = Field(
        0.003, gt=0, description="of users' own vectors, times their number of items + unobserved x all items"
    )


def gaussian_noise(epsilon: float, delta: float, releases: int) -> float:
    """Noise multiplier of so many Gaussian releases of everybody's data; exact, see `gaussian_epsilon`.

    Raises:
        InputError: opacus is not installed.
    """
    gdp = _opacus("analysis.gdp")
    mean = brentq(lambda mu: gdp.delta_eps_mu(eps=epsilon, mu=mu) - delta, 1e-9, 1e3)
    return math.sqrt(releases) / float(mean) * (1 + 1e-9)  # never a hair above epsilon for rounding


def gaussian_epsilon(noise: float, delta: float, releases: int) -> float:
    """Epsilon of so many Gaussian releases of sensitivity 1 and this noise; infinite above 500.

    They compose to one Gaussian release of noise / sqrt(releases), whose epsilon is exact.

    Reference: Dong, Roth and Su 2022, Gaussian Differential Privacy, JRSS B.

    Raises:
        InputError: opacus is not installed.
    """
    if noise == 0:
        return math.inf
    gdp = _opacus("analysis.gdp")
    mean = math.sqrt(releases) / noise
    if gdp.delta_eps_mu(eps=0.0, mu=mean) <= delta:
        return 0.0
    if gdp.delta_eps_mu(eps=_LARGEST, mu=mean) >= delta:
        return math.inf
    return float(gdp.eps_from_mu(mu=mean, delta=delta))


def sampled_noise(epsilon: float, delta: float, rate: float, steps: int) -> float:
    """Noise multiplier of so many Gaussian releases, each of a Poisson sample of the users; see `sampled_epsilon`.

    Raises:
        InputError: opacus is not installed, or cannot account for so small an epsilon.
    """
    find = _opacus("utils").get_noise_multiplier
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the smallest or largest order is a valid bound too
            found = find(
                target_epsilon=epsilon, target_delta=delta, sample_rate=rate, steps=steps,
                accountant="rdp", epsilon_tolerance=min(0.01, epsilon / 100), alphas=_ORDERS,
            )  # fmt: skip
    except ValueError:
        raise InputError(
            f"epsilon {epsilon:g} at delta {delta:g} is below what the Renyi accountant can show; raise epsilon"
        ) from None
    return float(found)


def sampled_epsilon(noise: float, delta: float, rate: float, steps: int) -> float:
    """Epsilon of so many Poisson-sampled Gaussian releases, by Renyi differential privacy: an upper bound.

    Raises:
        InputError: opacus is not installed.
    """
    if noise == 0:
        return math.inf
    accountant = _opacus("rdp").RDPAccountant()
    accountant.history = [(noise, rate, steps)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return float(accountant.get_epsilon(delta=delta, alphas=_ORDERS))


def _opacus(part: str) -> Any:
    # here and not above: it takes two seconds to import, and is an extra
    try:
        return importlib.import_module(f"opacus.accountants.{part}")
    except ImportError:
        raise InputError("private models need an accountant: pip install 'recaudit[dp]'") from None


def influence(log: InteractionLog, weights: NDArray[np.float32] | None) -> Float64:
    """The users' weights, float64 [U], each at most 1; ones if None.

    Raises:
        DataError: nothing to fit, weights that are no weights, or one above 1: it would break the bound on what a
            single user can move.
    """
    Positives.of(log, weights)
    if weights is None:
        return np.ones(log.n_users)
    checked = np.asarray(weights, np.float64)
    if checked.max(initial=0.0) > 1:
        raise DataError(
            f"user weights reach {checked.max():g}, above 1 one user would move a private model more than its "
            "guarantee allows; divide them all by a constant fixed beforehand"
        )
    return checked


def first_items(seed: int, name: str, n_items: int, dim: int) -> Float64:
    """Item vectors to start from, float64 [I, d]: one common direction and a little noise; no data are read.

    The common direction makes all users alike at first, so that the first release already holds popularity.
    """
    start = seeded(seed, name, "init").standard_normal((n_items, dim)) * (0.1 / math.sqrt(dim))
    start[:, 0] += 1.0
    return start


def local_vectors(own: sparse.csr_matrix, items: Float64, config: PrivateConfig) -> Float64:
    """Users' vectors, each from the item vectors and the user's own items alone: float64 [B, d].

    x_u = argmin sum_{i in N(u)} (x y_i - 1)^2 + alpha_0 sum_i (x y_i)^2 + lambda_u |x|^2,
    lambda_u = lambda (|N(u)| + alpha_0 I). No noise is needed: nobody else's data enter but through y. In float64,
    because users are solved in groups: who else is in a group changes the last digits of a sum, and in float32 a user
    then moved the others by 1e-7 of the clip, which no accountant knows of.

    Args:
        own: 0/1 float32 [B, I].
        items: y, float64 [I, d].
        config: alpha_0 and lambda.
    """
    table = torch.from_numpy(items)
    gram = config.unobserved * (table.T @ table)
    size = np.diff(own.indptr) + config.unobserved * own.shape[1]
    ridge = config.user_regularisation * size + _FLOOR * float(gram.trace())
    found: Float64 = solve(own, table, gram, ridge).numpy()
    return found


def on_sphere(vectors: Float64) -> Float64:
    """The same directions with length 1, float64 [B, d]; zero rows (users without items) stay zero."""
    found: Float64 = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return found


class PrivateFactors:
    """Base of the private models: item vectors that were released with noise, user vectors solved from them.

    `state` also holds `release`, float64 [3]: the noise multiplier, the chance of a user to be sampled, and the
    number of releases, from which `guarantee` computes epsilon.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    family: ClassVar[str] = "factor"
    reference: ClassVar[str]
    config_type: ClassVar[type[ModelConfig]]
    accountant: ClassVar[str]

    def __init__(self, config: Any) -> None:
        """Store the config; compute nothing."""
        self.config = config
        self.n_users = self.n_items = 0
        self.epochs: int | None = None
        self.user_vectors = self.item_vectors = torch.empty(0, config.dim)
        self.release = torch.zeros(3, dtype=torch.float64)

    @staticmethod
    def account(noise: float, delta: float, rate: float, releases: int) -> float:
        """Epsilon of so many releases with this noise multiplier and sampling rate; infinite for no guarantee."""
        raise NotImplementedError

    def keep(self, users: Float64, items: Float64, noise: float, rate: float, releases: int) -> None:
        """Make these vectors, and what they cost, the fitted state."""
        self.n_users, self.n_items = len(users), len(items)
        self.user_vectors = torch.from_numpy(users.astype(np.float32))
        self.item_vectors = torch.from_numpy(items.astype(np.float32))
        self.release = torch.tensor([noise, rate, releases], dtype=torch.float64)

    def guarantee(self) -> dict[str, Any]:
        """What is promised, of whom, and what is not.

        `epsilon` is None where there is no guarantee. Two logs are neighbours if one is the other without all
        events of one user, whose row stays; for a user's history replaced by another, two such steps are needed.

        Raises:
            InputError: opacus is not installed; or the model is not fitted.
        """
        noise, rate, releases = self.release.tolist()
        if not releases:
            raise InputError(f"{self.name} is not fitted, there is no guarantee to name")
        epsilon = self.account(noise, self.config.delta, rate, int(releases))
        return {
            "kind": "joint differential privacy",
            "unit": "user",
            "neighbours": "all events of one user, or none of them",
            "epsilon": epsilon if math.isfinite(epsilon) else None,
            "delta": self.config.delta,
            "noise_multiplier": noise,
            "sample_rate": rate,
            "steps": int(releases),
            "accountant": self.accountant,
            "covers": list(COVERS),
            "does_not_cover": list(DOES_NOT_COVER),
        }

    def embeddings(self) -> tuple[Float32, Float32]:
        """User float32 [U, d] and item float32 [I, d] vectors."""
        return self.user_vectors.numpy(), self.item_vectors.numpy()

    def scores(self, users: NDArray[np.int64], history: InteractionLog) -> Float32:
        """Products of user and item vectors.

        Shapes: users int64 [B] -> float32 [B, I].
        """
        found: Float32 = (self.user_vectors[torch.from_numpy(users)] @ self.item_vectors.T).numpy()
        return found

    def state(self) -> dict[str, torch.Tensor]:
        """User and item vectors, and `release`."""
        return {"user_vectors": self.user_vectors, "item_vectors": self.item_vectors, "release": self.release}

    def load(self, state: Mapping[str, torch.Tensor], n_users: int, n_items: int) -> None:
        """Take the fitted tensors."""
        self.n_users, self.n_items = n_users, n_items
        self.user_vectors, self.item_vectors = state["user_vectors"], state["item_vectors"]
        self.release = state["release"]

    def shapes(self, n_users: int, n_items: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """A vector for each user and item, and three numbers."""
        dim = self.config.dim
        return {
            "user_vectors": ((n_users, dim), torch.float32),
            "item_vectors": ((n_items, dim), torch.float32),
            "release": ((3,), torch.float64),
        }
