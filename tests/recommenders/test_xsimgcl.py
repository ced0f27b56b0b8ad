"""XSimGCL: its propagation and contrast by hand, and what all pairwise models must do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from pydantic import ValidationError

from recaudit.recommenders.sampling import Positives
from recaudit.recommenders.simgcl import SimGCL
from recaudit.recommenders.xsimgcl import XSimGCL, XSimGCLConfig

from .pair_models import EXAMINATION, EXAMINATION_BY_LOSS, SPLIT, content, fitted
from .tiny_graph import BASE, ITEMS, PAIRS, USERS, batch_of, dense


def by_hand(base: torch.Tensor, graph: torch.Tensor, config: XSimGCLConfig, seed: int) -> list[torch.Tensor]:
    """The layers with their noise, whose signs and draws are constants."""
    source = torch.Generator().manual_seed(seed)
    now, layers = base, []
    for _ in range(config.layers):
        now = graph @ now
        draw = torch.rand(now.shape, generator=source).double()
        now = now + config.noise * torch.sign(now.detach()) * draw / draw.norm(dim=-1, keepdim=True)
        layers.append(now)
    return layers


def contrast(first: torch.Tensor, second: torch.Tensor, temperature: float) -> torch.Tensor:
    """-log exp(cos_nn / t) / sum_m exp(cos_nm / t), mean over n."""
    lengths = first.norm(dim=1)[:, None] * second.norm(dim=1)
    weight = torch.exp(first @ second.T / lengths / temperature)
    return -torch.log(weight.diagonal() / weight.sum(1)).mean()


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_training_is_the_noisy_mean_and_its_contrast_with_a_layer(layer: int) -> None:
    """Values and gradients against the definition in float64."""
    config = XSimGCLConfig(dim=4, noise=0.2, contrast=0.5, contrast_layer=layer, contrast_temperature=0.3)
    encoder = XSimGCL(config).encoder(PAIRS, torch.device("cpu"))
    places = torch.from_numpy(encoder.places)
    graph = dense(PAIRS, places)
    ours, plain = BASE.clone().requires_grad_(), BASE.double().requires_grad_()
    mean, rest = encoder.training(ours, batch_of(places), torch.Generator().manual_seed(3))
    assert rest is not None
    layers = by_hand(plain, graph, config, 3)
    expected = torch.stack(layers).mean(0)
    assert torch.allclose(mean.double(), expected, atol=1e-6)
    value = torch.zeros((), dtype=torch.float64)
    for nodes in (places[USERS], places[5:][ITEMS]):
        value = value + 0.5 * contrast(expected[nodes], layers[layer - 1][nodes], 0.3)
    assert float(rest.detach()) == pytest.approx(float(value.detach()), abs=1e-5)
    (rest + mean.square().sum()).backward()
    (value + expected.square().sum()).backward()
    assert ours.grad is not None
    assert plain.grad is not None
    assert torch.allclose(ours.grad.double(), plain.grad, atol=1e-4)


def test_noise_has_its_length_and_keeps_the_orthant() -> None:
    encoder = XSimGCL(XSimGCLConfig(dim=4, layers=1, noise=0.05)).encoder(PAIRS, torch.device("cpu"))
    clean = encoder.final(BASE)
    batch = batch_of(torch.from_numpy(encoder.places))
    noise = encoder.training(BASE, batch, torch.Generator().manual_seed(1))[0] - clean
    connected = clean.norm(dim=1) > 0
    assert torch.allclose(noise.norm(dim=1)[connected], torch.tensor(0.05), atol=1e-6)
    assert not noise[~connected].any()
    assert ((noise * clean) >= 0).all()


def test_saved_vectors_are_the_mean_of_layers_without_noise() -> None:
    model = fitted(XSimGCL)
    state = model.state()
    graph = dense(Positives.of(SPLIT.train), torch.arange(360))
    base = torch.cat([state["user_base"], state["item_base"]]).double()
    expected = (graph @ base + graph @ (graph @ base) + graph @ (graph @ (graph @ base))) / 3
    assert torch.allclose(torch.cat([state["user"], state["item"]]).double(), expected, atol=1e-5)


def test_without_contrast_and_noise_it_is_simgcl_without_contrast() -> None:
    plain = content(fitted(SimGCL, contrast=0.0))
    assert content(fitted(XSimGCL, contrast=0.0, noise=0.0)) == plain
    assert content(fitted(XSimGCL, contrast=0.0)) != plain
    assert content(fitted(XSimGCL, contrast=0.5)) != content(fitted(XSimGCL, contrast=0.0))
    assert content(fitted(XSimGCL, contrast_layer=2)) != content(fitted(XSimGCL))


def test_a_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValidationError, match="at most layers, 2"):
        XSimGCLConfig(layers=2, contrast_layer=3)


def test_training_resumes_from_a_state() -> None:
    first = fitted(XSimGCL, epochs=3)
    again = XSimGCL(first.config)
    again.fit(SPLIT.train, 9, epochs=0, start=first.state())
    assert content(again) == content(first)


@pytest.mark.parametrize("examine", EXAMINATION, ids=lambda f: f.__name__)
def test_examination(examine: Callable[[type[XSimGCL]], None]) -> None:
    examine(XSimGCL)


@pytest.mark.parametrize("loss", ["sampled_softmax", "bpr"])
@pytest.mark.parametrize("examine", EXAMINATION_BY_LOSS, ids=lambda f: f.__name__)
def test_examination_by_loss(examine: Callable[[type[XSimGCL], str], None], loss: str) -> None:
    examine(XSimGCL, loss)
