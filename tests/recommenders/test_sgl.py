"""SGL: its views by hand, their gradient, and what all pairwise models must do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from recaudit.recommenders.lightgcn import LightGCN
from recaudit.recommenders.losses import info_nce
from recaudit.recommenders.pairwise import PairBatch
from recaudit.recommenders.propagation import adjacency, propagate
from recaudit.recommenders.sampling import Positives
from recaudit.recommenders.sgl import SGL, SGLConfig

from .pair_models import EXAMINATION, EXAMINATION_BY_LOSS, SPLIT, content, fitted

PAIRS = Positives.of(SPLIT.train)
NODES = PAIRS.n_users + PAIRS.n_items
BASE = torch.randn(NODES, 8, generator=torch.Generator().manual_seed(1))
BATCH = PairBatch(
    torch.from_numpy(PAIRS.user[:50]),
    torch.from_numpy(PAIRS.item[:50] + PAIRS.n_users),
    torch.arange(PAIRS.n_users, PAIRS.n_users + 10),
    None,
    None,
)


def term(encoder: object, seed: int, base: torch.Tensor = BASE) -> torch.Tensor:
    rest: torch.Tensor = encoder.training(base, BATCH, torch.Generator().manual_seed(seed))[1]  # type: ignore[attr-defined]
    return rest


def made(**config: float) -> object:
    return SGL(SGLConfig(dim=8, **config)).encoder(PAIRS, torch.device("cpu"))


def test_views_are_the_propagations_of_graphs_without_the_dropped_edges() -> None:
    """By hand: the draws, the subgraph with its own degrees, dense layers 0 to 3, both contrasts."""
    encoder = made(keep=0.7, contrast=0.5)
    draw = torch.rand((len(PAIRS), 2), generator=torch.Generator().manual_seed(5)) < 0.7
    places = torch.from_numpy(encoder.places)  # type: ignore[attr-defined]
    views = []
    for column in draw.numpy().T:
        matrix = torch.zeros(NODES, NODES)
        ends = places[PAIRS.user[column]], places[PAIRS.item[column] + PAIRS.n_users]
        matrix[ends] = 1.0
        matrix = matrix + matrix.T
        degree = matrix.sum(1).clamp(min=1)
        matrix = matrix / degree.sqrt()[:, None] / degree.sqrt()
        now, total = BASE, BASE
        for _ in range(3):
            now = matrix @ now
            total = total + now
        views.append(total / 4)
    expected = torch.zeros(())
    for nodes in (BATCH.user, BATCH.positive):
        chosen = torch.unique(nodes)
        expected = expected + 0.5 * info_nce(views[0][chosen], views[1][chosen], 0.2)
    assert torch.allclose(term(encoder, 5), expected, atol=1e-5)
    assert not torch.allclose(views[0], views[1])


def test_gradient_of_the_contrast_is_the_finite_difference() -> None:
    encoder = made(keep=0.6)
    base = BASE.clone().requires_grad_()
    term(encoder, 3, base).backward()
    assert base.grad is not None
    way = torch.randn(BASE.shape, generator=torch.Generator().manual_seed(2))
    step = 1e-2
    slope = (term(encoder, 3, BASE + step * way) - term(encoder, 3, BASE - step * way)) / (2 * step)
    assert float(slope) == pytest.approx(float((base.grad * way).sum()), rel=2e-2)


def test_views_last_an_epoch() -> None:
    """The same generator, however far it has been read, keeps the views; a new one, an epoch's, draws them anew."""
    encoder = made(keep=0.5)
    source = torch.Generator().manual_seed(1)
    first = encoder.training(BASE, BATCH, source)[1]  # type: ignore[attr-defined]
    torch.rand(3, generator=source)
    assert torch.equal(first, encoder.training(BASE, BATCH, source)[1])  # type: ignore[attr-defined]
    assert not torch.equal(first, term(encoder, 2))
    assert torch.equal(first, term(encoder, 1))


def test_with_all_edges_the_views_are_the_propagation() -> None:
    encoder = made(keep=1.0)
    term(encoder, 0)
    clean = propagate(adjacency(PAIRS, "cpu", encoder.places), BASE, 3)  # type: ignore[attr-defined]
    for view in encoder.views:  # type: ignore[attr-defined]
        assert torch.equal(propagate(view, BASE, 3), clean)


def test_a_view_may_lose_all_edges() -> None:
    one = Positives(np.array([0]), np.array([0]), 2, 2)
    encoder = SGL(SGLConfig(dim=8, keep=1e-6)).encoder(one, torch.device("cpu"))
    user, item = (torch.from_numpy(encoder.places[[node]]) for node in (0, 2))
    base = torch.ones(4, 8, requires_grad=True)
    rest = encoder.training(base, PairBatch(user, item, item, None, None), torch.Generator())[1]
    assert rest is not None
    rest.backward()
    assert base.grad is not None
    assert torch.isfinite(base.grad).all()


def test_without_contrast_it_is_lightgcn() -> None:
    plain = content(fitted(LightGCN))
    assert content(fitted(SGL, contrast=0.0)) == plain
    assert content(fitted(SGL, contrast=0.5)) != plain


@pytest.mark.parametrize("examine", EXAMINATION, ids=lambda f: f.__name__)
def test_examination(examine: Callable[[type[SGL]], None]) -> None:
    examine(SGL)


@pytest.mark.parametrize("loss", ["sampled_softmax", "bpr"])
@pytest.mark.parametrize("examine", EXAMINATION_BY_LOSS, ids=lambda f: f.__name__)
def test_examination_by_loss(examine: Callable[[type[SGL], str], None], loss: str) -> None:
    examine(SGL, loss)
