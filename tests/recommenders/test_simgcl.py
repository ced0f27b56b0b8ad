"""SimGCL: the noisy views and their gradient, and what all pairwise models must do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from recaudit.recommenders.propagation import adjacency, perturbed, propagate
from recaudit.recommenders.sampling import Positives
from recaudit.recommenders.simgcl import SimGCL

from .pair_models import EXAMINATION, EXAMINATION_BY_LOSS, SPLIT, content, fitted

GRAPH = adjacency(Positives.of(SPLIT.train))
BASE = torch.randn(360, 8, generator=torch.Generator().manual_seed(1))


def views(strength: float, layers: int, base: torch.Tensor = BASE) -> tuple[torch.Tensor, ...]:
    return perturbed(GRAPH, base, layers, strength, torch.Generator().manual_seed(7))


def test_without_noise_all_views_are_the_propagation() -> None:
    clean, first, second = views(0.0, 3)
    expected = propagate(GRAPH, BASE, 3, first=False)
    for view in (clean, first, second):
        assert torch.allclose(view, expected, atol=1e-6)


def test_noise_has_its_length_and_keeps_the_orthant() -> None:
    clean, first, second = views(0.05, 1)
    for view in (first, second):
        noise = view - clean
        assert torch.allclose(noise.norm(dim=-1), torch.full((360,), 0.05), atol=1e-5)
        assert ((noise * clean) >= 0).all()
    assert not torch.equal(first, second)


def test_gradient_of_all_views_is_that_of_autograd() -> None:
    """Differentiate the noisy propagation plainly, the noise held constant as its sign and draw are."""
    pulls = torch.randn(3, 360, 8, generator=torch.Generator().manual_seed(3))
    ours = BASE.clone().requires_grad_()
    sum((view * pull).sum() for view, pull in zip(views(0.1, 3, ours), pulls, strict=True)).backward()
    plain = BASE.clone().requires_grad_()
    source = torch.Generator().manual_seed(7)
    dense, total = GRAPH.to_dense(), torch.zeros(())
    for number, pull in enumerate(pulls):
        now, every = plain, []
        for _ in range(3):
            now = dense @ now
            if number:
                noise = torch.rand(now.shape, generator=source)
                now = now + 0.1 * torch.sign(now.detach()) * torch.nn.functional.normalize(noise, dim=-1)
            every.append(now)
        total = total + (torch.stack(every).mean(0) * pull).sum()
    total.backward()
    assert ours.grad is not None
    assert plain.grad is not None
    assert torch.allclose(ours.grad, plain.grad, atol=1e-5)


def test_contrast_changes_the_training_and_noise_needs_it() -> None:
    assert content(fitted(SimGCL)) != content(fitted(SimGCL, contrast=0.0))
    assert content(fitted(SimGCL, contrast=0.0)) == content(fitted(SimGCL, contrast=0.0, noise=0.3))


@pytest.mark.parametrize("examine", EXAMINATION, ids=lambda f: f.__name__)
def test_examination(examine: Callable[[type[SimGCL]], None]) -> None:
    examine(SimGCL)


@pytest.mark.parametrize("loss", ["sampled_softmax", "bpr"])
@pytest.mark.parametrize("examine", EXAMINATION_BY_LOSS, ids=lambda f: f.__name__)
def test_examination_by_loss(examine: Callable[[type[SimGCL], str], None], loss: str) -> None:
    examine(SimGCL, loss)
