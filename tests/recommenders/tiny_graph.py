"""Five users and six items, some without events: what graph models compute of them can be written out."""

from __future__ import annotations

import torch

from recaudit.recommenders.pairwise import PairBatch
from recaudit.recommenders.sampling import Positives

from .planted import make_log

LOG = make_log([0, 0, 1, 2, 2, 2, 4, 4], [0, 1, 1, 0, 2, 4, 4, 4], 5, 6)
PAIRS = Positives.of(LOG)
BASE = torch.randn(11, 4, generator=torch.Generator().manual_seed(1))
USERS, ITEMS = [0, 1, 2, 4], [0, 1, 4]


def batch_of(places: torch.Tensor) -> PairBatch:
    """Some pairs, repeats among them, of nodes with events."""
    user, item, other = places[[0, 1, 2, 2, 4]], places[[5, 6, 5, 9, 9]], places[[7, 8]]
    return PairBatch(user, item, other, None, None)


def dense(pairs: Positives, places: torch.Tensor) -> torch.Tensor:
    """D^-1/2 A D^-1/2 with 0 for nodes without edges, in float64, rows where `places` puts the nodes."""
    nodes = pairs.n_users + pairs.n_items
    whole = torch.zeros(nodes, nodes, dtype=torch.float64)
    whole[places[pairs.user], places[pairs.item + pairs.n_users]] = 1.0
    whole = whole + whole.T
    root = whole.sum(1).rsqrt().nan_to_num(posinf=0.0)
    return root[:, None] * whole * root
