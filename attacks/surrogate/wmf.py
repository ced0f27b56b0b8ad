"""Weighted matrix factorisation as a surrogate, trained by alternating exact least squares."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from scipy import sparse

from ...datasets.log import InteractionLog
from ..base import AttackConfig
from ..goal import Kind
from .base import Accounts, Factors
from .ridge import Rows, ridge


class WMFConfig(AttackConfig):
    """Settings of the factorisation that an attacker trains."""

    dim: int = Field(default=16, ge=1, le=256, description="length of the surrogate's vectors")
    sweeps: int = Field(default=8, ge=1, description="updates of all users and items in a fit from fresh vectors")
    unroll: int = Field(default=3, ge=1, description="updates that the gradient goes through, where `warm`")
    warm: bool = Field(
        default=True, description="go on from the last vectors; else every call trains anew, all of it unrolled"
    )
    offsets: bool = Field(default=True, description="with ratings: an offset for every user and item, values centred")
    ridge: float = Field(default=5.0, gt=0, description="with ratings: constant regularisation")


_ZEROS = 0.2  # weight of a pair without interaction, where there are no ratings
_FREQUENCY = 0.01  # regularisation there, times frequency
_SPREAD = 0.1


class WMF:
    """Vectors of users and items whose product is the rating, or 1 on interactions and 0 elsewhere.

    With ratings: squared error on rated pairs and a constant ridge, with an offset for every user and item and values
    centred unless `offsets` is off. Without: every pair counts, those without interaction by a small weight, and
    regularisation grows with frequency (iALS). Given side features of the users, every item also has a loading on
    each of them, which accounts with those features move for all users that share them. Half a sweep is an exact
    solution, so a few sweeps follow a full training closely, which a few steps of gradient descent do not.

    Reference: Hu, Koren and Volinsky 2008, Collaborative Filtering for Implicit Feedback Datasets, ICDM; WMF by ALS as
        a surrogate: Tang, Wen and Wang 2020, Revisiting Adversarially Learned Injection Attacks, RecSys, section 3.
    """

    def __init__(
        self,
        log: InteractionLog,
        kind: Kind,
        config: WMFConfig,
        rng: np.random.Generator,
        dtype: torch.dtype = torch.float32,
        features: torch.Tensor | None = None,
    ) -> None:
        """Take the visible log.

        Args:
            log: what the attacker sees.
            kind: "rating" for a model of ratings; else one of who has what.
            config: size and sweeps.
            rng: first vectors.
            dtype: of all vectors; float64 where gradients are checked.
            features: of the users, float [U, n], small numbers; accounts must then have theirs.
        """
        self.config, self.dtype = config, dtype
        self.rating = kind == "rating" and log.value is not None
        self.offsets = self.rating and config.offsets
        matrix = mean_ratings(log) if self.rating else log.matrix()
        self.centre = float(matrix.data.mean()) if self.offsets else 0.0
        matrix.data -= np.float32(self.centre)
        self.users, self.items = Rows(matrix), Rows(sparse.csr_matrix(matrix.T))
        self.rng = rng
        # what items have a loading on: 1 (the item's offset) where offsets are wanted, and the users' features
        self.known = self._known(log.n_users, features)
        self.table = torch.empty(0)

    def fit(self, accounts: Accounts) -> Factors:
        """See Surrogate."""
        self._draw()
        with torch.no_grad():
            return self._trained(accounts, self.config.sweeps)

    def unrolled(self, accounts: Accounts) -> Factors:
        """See Surrogate; `table`, float [I, d + n], holds the items' vectors and loadings before and after."""
        if self.config.warm:
            return self._trained(accounts, self.config.unroll)
        self._draw()
        return self._trained(accounts, self.config.sweeps)

    def _draw(self) -> None:
        n_items, dim = self.items.shape[0], self.config.dim
        draw = self.rng.standard_normal((n_items, dim)) * (_SPREAD / dim**0.5)
        loadings = np.zeros((n_items, self.known.shape[1]))
        self.table = torch.from_numpy(np.concatenate([draw, loadings], axis=1)).to(self.dtype)

    def _trained(self, accounts: Accounts, sweeps: int) -> Factors:
        table, known = self.table, self._known(len(accounts.present), accounts.features)
        for _ in range(sweeps):
            user, account = self._user_side(table), self._account_side(table, accounts, known)
            table = self._item_side(user, account, accounts, known)
        user = self._user_side(table)
        self.table = table.detach()
        return Factors(torch.cat([user[:, : self.config.dim], self.known], 1), table)

    def _user_side(self, table: torch.Tensor) -> torch.Tensor:
        """Users that fit these items best: vectors, and offsets where there are any."""
        base, loadings = self._base(table)
        system = self._own_terms(base, self.users.counts.to(self.dtype), self.items.shape[0])
        right = None if self.rating else -_ZEROS * self.known @ (loadings.T @ base)
        return ridge(self.users, base, base.new_zeros(len(base)), system, right, (self.known, loadings))

    def _account_side(self, table: torch.Tensor, accounts: Accounts, known: torch.Tensor) -> torch.Tensor:
        """The same of the accounts."""
        base, loadings = self._base(table)
        present = accounts.present
        system = self._own_terms(base, present.sum(1), self.items.shape[0]) + _weighted_outer(present, base)
        residual = accounts.rating - present * (self.centre + known @ loadings.T)
        right = residual @ base
        if not self.rating:
            right = right - _ZEROS * known @ (loadings.T @ base)
        found: torch.Tensor = torch.linalg.solve(system, right)
        return found

    def _item_side(
        self, user: torch.Tensor, account: torch.Tensor, accounts: Accounts, known: torch.Tensor
    ) -> torch.Tensor:
        """Items that fit these users and accounts best: vectors and loadings."""
        present, dim = accounts.present, self.config.dim
        base = torch.cat([user[:, :dim], self.known], 1)
        extra = torch.cat([account[:, :dim], known], 1)
        # the other side's offset, where there are any
        shift, own = (user[:, dim], account[:, dim:]) if self.offsets else (user.new_zeros(len(user)), 0.0)
        frequency = self.items.counts.to(self.dtype) + present.sum(0)
        count = self.users.shape[0] + len(present)
        system = self._own_terms(torch.cat([base, extra]), frequency, count) + _weighted_outer(present.T, extra)
        right = (accounts.rating - present * (self.centre + own)).T @ extra
        return ridge(self.items, base, shift, system, right)

    def _base(self, table: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Items as users see them: vectors with a constant 1 for the user's offset, and loadings."""
        vectors, loadings = table[:, : self.config.dim], table[:, self.config.dim :]
        if self.offsets:
            vectors = torch.cat([vectors, vectors.new_ones(len(vectors), 1)], 1)
        return vectors, loadings

    def _known(self, rows: int, features: torch.Tensor | None) -> torch.Tensor:
        own = torch.empty(rows, 0) if features is None else features
        ones = torch.ones(rows, int(self.offsets), dtype=self.dtype)
        return torch.cat([ones, own.to(self.dtype)], 1)

    def _own_terms(self, others: torch.Tensor, frequency: torch.Tensor, count: int) -> torch.Tensor:
        """What a system holds beside its observed cells: float [n, e, e]."""
        eye = torch.eye(others.shape[1], dtype=self.dtype)
        if self.rating:
            return self.config.ridge * eye.expand(len(frequency), -1, -1)
        scale = _FREQUENCY * (frequency + _ZEROS * count)
        return _ZEROS * (others.T @ others) + scale[:, None, None] * eye


def _weighted_outer(weights: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """sum_c w_rc y_c y_c': float [R, C], float [C, e] -> float [R, e, e]."""
    size = vectors.shape[1]
    outer = (vectors[:, :, None] * vectors[:, None, :]).flatten(1)
    return (weights @ outer).view(-1, size, size)


def mean_ratings(log: InteractionLog) -> sparse.csr_matrix:
    """Ratings of a log that has some, float32 CSR [U, I]; a pair rated twice has the mean."""
    assert log.value is not None
    cells = (log.user, log.item)
    total = sparse.csr_matrix((log.value.astype(np.float64), cells), shape=(log.n_users, log.n_items))
    times = sparse.csr_matrix((np.ones(len(log)), cells), shape=total.shape)
    total.sum_duplicates()
    times.sum_duplicates()
    total.data = (total.data / times.data).astype(np.float32)
    return total.astype(np.float32)
