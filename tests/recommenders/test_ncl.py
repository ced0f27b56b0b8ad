"""NCL: both contrasts by hand, its clusters, and what all pairwise models must do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from recaudit.recommenders.lightgcn import LightGCN
from recaudit.recommenders.ncl import NCL, NCLConfig, k_means, prototype_loss
from recaudit.recommenders.sampling import Positives

from .pair_models import EXAMINATION, EXAMINATION_BY_LOSS, SPLIT, content, fitted
from .tiny_graph import BASE, ITEMS, PAIRS, USERS, batch_of, dense


def contrast(first: torch.Tensor, second: torch.Tensor, own: torch.Tensor, temperature: float) -> torch.Tensor:
    """-log exp(cos(n, own_n) / t) / sum_m exp(cos(n, m) / t), mean over n."""
    lengths = first.norm(dim=1)[:, None] * second.norm(dim=1)
    weight = torch.exp(first @ second.T / lengths / temperature)
    return -torch.log(weight[torch.arange(len(first)), own] / weight.sum(1)).mean()


def test_the_loss_is_both_contrasts() -> None:
    """Layer 2 with layer 0 and base vectors with given centres, values and gradients in float64."""
    config = NCLConfig(dim=4, contrast=0.5, contrast_temperature=0.3, items=2.0, prototypes=0.7)
    encoder = NCL(config).encoder(PAIRS, torch.device("cpu"))
    centres = torch.nn.functional.normalize(torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(5)), dim=-1)
    label = torch.arange(11) % 3
    places = torch.from_numpy(encoder.places)
    graph, batch = dense(PAIRS, places), batch_of(places)
    for clustered in (False, True):
        encoder.clusters = [(centres[side], label) for side in range(2)] if clustered else []  # type: ignore[attr-defined]
        ours, plain = BASE.clone().requires_grad_(), BASE.double().requires_grad_()
        mean, rest = encoder.training(ours, batch, torch.Generator())
        assert rest is not None
        one, two = graph @ plain, graph @ (graph @ plain)
        expected = (plain + one + two + graph @ two) / 4
        assert torch.allclose(mean.double(), expected, atol=1e-6)
        value = torch.zeros((), dtype=torch.float64)
        for side, (nodes, share) in enumerate(((places[USERS], 1.0), (places[5:][ITEMS], 2.0))):
            value = value + 0.5 * share * contrast(two[nodes], plain[nodes], torch.arange(len(nodes)), 0.3)
            if clustered:
                near = contrast(plain[nodes], centres[side].double(), label[nodes], 0.3)
                value = value + 0.5 * share * 0.7 * near
        assert float(rest.detach()) == pytest.approx(float(value.detach()), abs=1e-5)
        (rest + mean.square().sum()).backward()
        (value + expected.square().sum()).backward()
        assert ours.grad is not None
        assert plain.grad is not None
        assert torch.allclose(ours.grad.double(), plain.grad, atol=1e-4)


def test_prototype_loss_by_hand() -> None:
    vectors = torch.tensor([[3.0, 0.0], [0.0, 2.0]])
    centres = torch.eye(2)
    first, second = np.exp(1 / 0.5), np.exp(0 / 0.5)
    right = prototype_loss(vectors, centres, torch.tensor([0, 1]), 0.5)
    wrong = prototype_loss(vectors, centres, torch.tensor([1, 0]), 0.5)
    assert float(right) == pytest.approx(-np.log(first / (first + second)), rel=1e-6)
    assert float(wrong) == pytest.approx(-np.log(second / (first + second)), rel=1e-6)


def test_k_means_finds_heaps_and_its_centres_are_their_means() -> None:
    source = np.random.default_rng(3)
    truth = source.integers(0, 3, 900)
    points = torch.from_numpy((10 * np.eye(3)[truth] + source.normal(0, 0.1, (900, 3))).astype(np.float32))
    found = [k_means(points, 3, np.random.default_rng(seed)) for seed in range(5)]
    spread = [float((points - centres[label]).square().sum()) for centres, label in found]
    centres, label = found[int(np.argmin(spread))]  # a bad start may leave two heaps in one
    assert len({(int(one), int(two)) for one, two in zip(truth, label, strict=True)}) == 3
    drawn = torch.from_numpy(np.random.default_rng(int(np.argmin(spread))).permutation(900)[:768])
    for number in range(3):
        assert torch.allclose(centres[number], points[drawn][label[drawn] == number].mean(0), atol=1e-4)


def test_k_means_never_worsens_its_start_and_repeats() -> None:
    points = torch.randn(400, 6, generator=torch.Generator().manual_seed(2))
    centres, label = k_means(points, 20, np.random.default_rng(1))
    again, other = (k_means(points, 20, np.random.default_rng(seed))[0] for seed in (1, 2))
    assert torch.equal(centres, again)
    assert not torch.equal(centres, other)
    start = points[torch.from_numpy(np.random.default_rng(1).permutation(400)[:20])]
    assert torch.equal(label, torch.cdist(points, centres).argmin(1))
    assert torch.cdist(points, centres).amin(1).square().sum() < torch.cdist(points, start).amin(1).square().sum()


def test_k_means_of_equal_points_stays_finite() -> None:
    centres, label = k_means(torch.ones(7, 3), 3, np.random.default_rng(0))
    assert torch.equal(centres, torch.ones(3, 3))
    assert label.max() < 3


def test_clusters_follow_the_planted_groups() -> None:
    """After some epochs, users of a cluster are mostly of one group (four groups, far more clusters)."""
    model = fitted(NCL, epochs=15)
    encoder = model.encoder(Positives.of(SPLIT.train), torch.device("cpu"))
    base = torch.empty(360, 16)
    base[torch.from_numpy(encoder.places)] = torch.cat([model.state()["user_base"], model.state()["item_base"]])
    encoder.cluster(base, np.random.default_rng(0))  # type: ignore[attr-defined]
    label = encoder.clusters[0][1][torch.from_numpy(encoder.places[:200])].numpy()  # type: ignore[attr-defined]
    table = np.zeros((label.max() + 1, 4))
    np.add.at(table, (label, np.arange(200) % 4), 1)
    assert table.max(1).sum() / 200 > 0.8


def test_nodes_without_events_are_in_no_cluster() -> None:
    encoder = NCL(NCLConfig(dim=4)).encoder(PAIRS, torch.device("cpu"))
    known = torch.from_numpy(encoder.places[[0, 1, 2, 4]])
    assert torch.equal(encoder.sides[0], known)  # type: ignore[attr-defined]
    moved = BASE.clone()
    moved[encoder.places[3]] = 100.0  # a user without events
    found = []
    for base in (BASE, moved):
        encoder.cluster(base, np.random.default_rng(1))  # type: ignore[attr-defined]
        found.append(encoder.clusters[0][0])  # type: ignore[attr-defined]
    assert torch.equal(*found)


def test_prototypes_begin_after_the_warm_up_and_are_made_anew() -> None:
    assert content(fitted(NCL, warm_up=4)) == content(fitted(NCL, prototypes=0.0))
    assert content(fitted(NCL, warm_up=3)) != content(fitted(NCL, prototypes=0.0))
    assert content(fitted(NCL, warm_up=0)) != content(fitted(NCL, warm_up=0, refresh_every=4))
    resumed = []
    for share in (0.0, 1.0):
        model = NCL(NCLConfig(dim=16, negatives=64, batch_size=512, prototypes=share))
        model.fit(SPLIT.train, 1, epochs=1, start=fitted(NCL, epochs=2).state())
        resumed.append(content(model))
    assert resumed[0] != resumed[1]


def test_without_contrast_it_is_lightgcn() -> None:
    plain = content(fitted(LightGCN))
    assert content(fitted(NCL, contrast=0.0)) == plain
    assert content(fitted(NCL, contrast=0.5)) != plain


def test_layers_that_are_odd_or_not_there_are_refused() -> None:
    with pytest.raises(ValidationError, match="at most layers, 1"):
        NCLConfig(layers=1)
    with pytest.raises(ValidationError, match="multiple of 2"):
        NCLConfig(contrast_layer=3)
    assert NCLConfig(layers=1, contrast=0.0).layers == 1


def test_with_clusters_the_validated_training_repeats() -> None:
    config = NCLConfig(dim=16, negatives=64, batch_size=512, warm_up=1, refresh_every=2, max_epochs=8, patience=3)
    owner, again = NCL(config), NCL(config)
    owner.fit(SPLIT.train, 5, valid=SPLIT)
    again.fit(SPLIT.train, 5, epochs=owner.epochs)
    assert content(owner) == content(again)


def test_with_clusters_a_user_of_weight_zero_is_gone() -> None:
    weights = np.ones(200, np.float32)
    weights[[3, 40]] = 0
    gone = replace(SPLIT, train=SPLIT.train.without(np.isin(SPLIT.train.user, [3, 40])))
    settings = {"warm_up": 0, "epochs": 2, "contrast": 0.1}
    assert content(fitted(NCL, weights=weights, **settings)) == content(fitted(NCL, split=gone, **settings))
    assert content(fitted(NCL, **settings)) != content(fitted(NCL, split=gone, **settings))


@pytest.mark.parametrize("examine", EXAMINATION, ids=lambda f: f.__name__)
def test_examination(examine: Callable[[type[NCL]], None]) -> None:
    examine(NCL)


@pytest.mark.parametrize("loss", ["sampled_softmax", "bpr"])
@pytest.mark.parametrize("examine", EXAMINATION_BY_LOSS, ids=lambda f: f.__name__)
def test_examination_by_loss(examine: Callable[[type[NCL], str], None], loss: str) -> None:
    examine(NCL, loss)
