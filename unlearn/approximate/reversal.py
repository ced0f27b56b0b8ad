"""The reversed ranking loss of what is to be forgotten, for pairs and for positions of sequences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ...datasets.log import Int64
from ...recommenders.losses import bpr_each
from ...recommenders.network import Dropout
from ...recommenders.pairwise import PairTraining
from ...recommenders.sampling import Positives
from ...recommenders.sequences import Windows, padded
from ...recommenders.sequential import SequenceTraining
from ...recommenders.trainer import RankingTraining
from ..base import Served
from ..request import Request

_CHUNK = 256  # windows, or rows, at a time


class Reversal:
    """The reversed ranking loss of the forgotten pairs: the sum of -log sigmoid(s_uj - s_ui), j not seen by u.

    A random j would take the user's whole taste back, and pairs that were never trained on would fall with the
    forgotten ones. So j is the best-scored one of several random items, as many as it takes for its mean percentile to
    be that of held-out pairs: the forgotten pair is compared with what it should look like.

    Scores are those that the victim's loss compares: dot products, or cosines over the temperature. Sequence models
    score a forgotten event from what came before it in the old sequence; the first event of a user is never a target
    and has no loss.

    Of a user who is forgotten whole the row is thrown away afterwards, and what it has taught is in the items. So it
    does not move: the items turn away from the vector that the user was served by.

    Reference: You et al. 2024, RRL: Recommendation Reverse Learning, AAAI.
    """

    def __init__(
        self, training: RankingTraining[Any], before: Served, request: Request, negatives: int, rivals: int
    ) -> None:
        """Take the forgotten pairs or positions of a log; each gets `negatives` times the best of `rivals` items.

        Args:
            training: on the retain set.
            before: what was served.
            request: rows of its log.
            negatives: items that a forgotten pair is compared with in a step.
            rivals: of how many random ones each is the best.
        """
        old = before.log
        self.training = training
        self.negatives = negatives
        self.rivals = rivals
        self.seen = Positives.of(old)
        forgotten = request.forgotten(old)
        self.key = np.unique(forgotten.pair_keys)
        self.n_items = old.n_items
        self.windows: Windows | None = None
        if isinstance(training, PairTraining):
            self.whole = torch.from_numpy(np.isin(np.arange(old.n_users), request.whole_users(old)))
            self.served = torch.from_numpy(before.model.embeddings()[0])  # type: ignore[attr-defined]
        if isinstance(training, SequenceTraining):
            windows = Windows.of(old, training.config.max_length)
            rows = np.flatnonzero(np.isin(windows.user, forgotten.user))
            self.windows = replace(
                windows, start=windows.start[rows], length=windows.length[rows], user=windows.user[rows]
            )

    def losses(self, rng: np.random.Generator) -> Iterator[torch.Tensor]:
        """Parts of the summed loss of all rows, each differentiable; nothing if there is no row."""
        if isinstance(self.training, PairTraining):
            yield self._pairs(self.training, rng)
        elif isinstance(self.training, SequenceTraining) and self.windows is not None:
            for first in range(0, len(self.windows.start), _CHUNK):
                part = self._positions(self.training, self.windows, slice(first, first + _CHUNK), rng)
                if part is not None:
                    yield part

    def _unseen(self, users: Int64, rng: np.random.Generator) -> Int64:
        """Unseen items for each row, int64 [B, negatives, rivals]."""
        count = self.negatives * self.rivals
        return self.seen.unseen(rng, np.repeat(users, count)).reshape(len(users), self.negatives, self.rivals)

    def _pairs(self, training: PairTraining, rng: np.random.Generator) -> torch.Tensor:
        final, served = training.encoder.final(training.first()), self.served
        if training.config.loss == "sampled_softmax":
            root = training.config.temperature**0.5
            final, served = (functional.normalize(vectors, dim=-1) / root for vectors in (final, served))
        user, item = self.key // self.n_items, self.key % self.n_items
        drawn = self._unseen(user, rng)
        at_user, at_item = training.places[: self.seen.n_users], training.places[self.seen.n_users :]
        asking = torch.where(self.whole[user, None], served[user], final[torch.from_numpy(at_user[user])])
        return _reversed(asking, final, at_item[drawn], at_item[item])

    def _positions(
        self, training: SequenceTraining, windows: Windows, rows: slice, rng: np.random.Generator
    ) -> torch.Tensor | None:
        start, length = windows.start[rows], windows.length[rows]
        items, valid = padded(windows.items, start, length)
        target = padded(windows.items, start + 1, length)[0][valid]
        user = np.repeat(windows.user[rows], length)
        chosen = np.isin(user * self.n_items + target, self.key)
        if not chosen.any():
            return None
        table = training.network.table()
        network, given = training.network, torch.from_numpy(length)
        hidden = network.encode(torch.from_numpy(items), table, Dropout(0.0, None), given).flatten(0, 1)
        states = hidden[torch.from_numpy(np.flatnonzero(valid)[chosen])]
        return _reversed(states, table, self._unseen(user[chosen], rng), target[chosen])


def _reversed(asking: torch.Tensor, table: torch.Tensor, drawn: Int64, item: Int64) -> torch.Tensor:
    """Sum over rows of the mean of -log sigmoid(s_j - s_i), j the best of each group.

    Shapes: asking float [B, d]; table float [n, d]; drawn int64 [B, groups, rivals]; item int64 [B] -> scalar.
    """
    with torch.no_grad():
        parts = zip(torch.split(asking, _CHUNK), torch.split(torch.from_numpy(drawn), _CHUNK), strict=True)
        best = torch.cat([(table[rows] @ here[:, None, :, None])[..., 0].argmax(-1) for here, rows in parts])
    rival = torch.from_numpy(drawn).gather(-1, best[..., None])[..., 0]
    each = bpr_each(asking[:, None], table[rival], table[torch.from_numpy(item)][:, None])
    return each.mean(1).sum()
