"""Matrix factorisation by Adam as a surrogate, its last passes unrolled: what the published Leg-UP attacks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from scipy import sparse

from ...datasets.log import Int64
from .adam import adam_step
from .base import Accounts, Factors

_RATE, _DECAY = 1e-2, 1e-5
_BATCH = 64
_SPREAD = 0.1


class AdamWMF:
    """Vectors of users and items without offsets, squared error on rated pairs, batches of whole rows.

    The rows of a batch are dense (64 users x items). Every call trains from fresh vectors. Passes before the last
    `unroll` are not differentiated; `seed` None draws new vectors and orders in each call, a number repeats the same.

    Reference: Lin et al. 2022, Leg-UP, arXiv 2206.11433, and the settings of its public code (surrogate "WMF").
    """

    def __init__(
        self,
        ratings: sparse.csr_matrix,
        rng: np.random.Generator,
        *,
        seed: int | None = None,
        dim: int = 64,
        passes: int = 50,
        unroll: int = 1,
        start: Callable[[int, int], tuple[torch.Tensor, torch.Tensor]] | None = None,
        orders: Callable[[int], Callable[[], Int64]] | None = None,
    ) -> None:
        """Take the genuine ratings.

        Args:
            ratings: float32 CSR [U, I].
            rng: of first vectors and orders.
            seed: of a stream that starts anew in each call.
            dim: length of the vectors.
            passes: over all rows.
            unroll: of these, the last ones that are differentiated.
            start: gives items [I, d] and users [U + A, d] for given U + A and I, instead of a draw.
            orders: gives, for U + A, what yields the rows' order of each pass.
        """
        self.ratings, self.rng, self.seed = ratings, rng, seed
        self.dim, self.passes, self.unroll = dim, passes, unroll
        self.start, self.orders = start, orders

    def fit(self, accounts: Accounts) -> Factors:
        """See Surrogate."""
        return self._trained(accounts, 0)

    def unrolled(self, accounts: Accounts) -> Factors:
        """See Surrogate."""
        return self._trained(accounts, self.unroll)

    def _trained(self, accounts: Accounts, unroll: int) -> Factors:
        n_users, n_items = self.ratings.shape
        rows = n_users + len(accounts.present)
        rng = self.rng if self.seed is None else np.random.default_rng(self.seed)
        if self.start is None:
            item, user = (
                torch.from_numpy((rng.standard_normal((n, self.dim)) * _SPREAD).astype(np.float32))
                for n in (n_items, rows)
            )
        else:
            item, user = self.start(rows, n_items)
        order = partial(rng.permutation, rows) if self.orders is None else self.orders(rows)
        vectors = torch.cat([item, user])
        state = (vectors, torch.zeros_like(vectors), torch.zeros_like(vectors))
        steps = 0
        for number in range(self.passes):
            live = number >= self.passes - unroll
            own = accounts if live else Accounts(accounts.present.detach(), accounts.rating.detach())
            with torch.set_grad_enabled(live and torch.is_grad_enabled()):
                turn = order()
                for begin in range(0, rows, _BATCH):
                    steps += 1
                    batch = turn[begin : begin + _BATCH]
                    gradient = self._gradient(state[0], batch, own)
                    state = adam_step(state, steps, gradient, rate=_RATE, decay=_DECAY)
        vectors = state[0]
        return Factors(vectors[n_items : n_items + n_users], vectors[:n_items])

    def _gradient(self, vectors: torch.Tensor, batch: Int64, accounts: Accounts) -> torch.Tensor:
        """Gradient of the batch's squared error, in closed form: float [I + U + A, d]."""
        n_users, n_items = self.ratings.shape
        genuine, fake = batch[batch < n_users], torch.from_numpy(batch[batch >= n_users] - n_users)
        rating = torch.from_numpy(self.ratings[genuine].toarray())
        present = (rating > 0).to(rating.dtype)
        if len(fake):
            rating = torch.cat([rating, accounts.rating[fake]])
            present = torch.cat([present, accounts.present[fake]])
        rows = torch.cat([torch.from_numpy(genuine), fake + n_users]) + n_items
        item, user = vectors[:n_items], vectors[rows]
        error = 2 * (user @ item.T * present - rating)
        to_user = torch.zeros(len(vectors) - n_items, vectors.shape[1]).index_copy(0, rows - n_items, error @ item)
        return torch.cat([error.T @ user, to_user])
