"""NGCF: its layers by hand, dropout, resuming, and what all pairwise models must do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from recaudit.datasets.errors import InputError
from recaudit.recommenders.ngcf import NGCF, NGCFConfig
from recaudit.recommenders.pairwise import PairBatch
from recaudit.recommenders.sampling import Positives

from .pair_models import EVERYONE, EXAMINATION, EXAMINATION_BY_LOSS, SPLIT, content, fitted
from .planted import make_log

LOG = make_log([0, 0, 1, 2, 2, 2, 4, 4], [0, 1, 1, 0, 2, 4, 4, 4], 5, 6)


def plain_layers(log_pairs: Positives, state: dict[str, torch.Tensor]) -> torch.Tensor:
    """The definition node by node, in float64: messages m_u<-i = (W1 e_i + W2 (e_i * e_u)) / sqrt(|N_u| |N_i|)."""
    nodes = log_pairs.n_users + log_pairs.n_items
    whole = torch.zeros(nodes, nodes, dtype=torch.float64)
    whole[log_pairs.user, log_pairs.item + log_pairs.n_users] = 1.0
    whole = whole + whole.T
    degree = whole.sum(1)
    now = torch.cat([state["user_base"], state["item_base"]]).double()
    every = [now]
    for one, two in state["transforms"].double():
        after = []
        for node in range(nodes):
            total = now[node] @ one
            for other in torch.nonzero(whole[node])[:, 0]:
                message = now[other] @ one + (now[other] * now[node]) @ two
                total = total + message / torch.sqrt(degree[node] * degree[other])
            after.append(torch.where(total > 0, total, 0.2 * total))
        now = torch.stack(after)
        every.append(now / now.norm(dim=1, keepdim=True))
    return torch.cat(every, 1)


@pytest.mark.parametrize("layers", [1, 3])
def test_saved_vectors_are_the_definition(layers: int) -> None:
    model = NGCF(NGCFConfig(dim=4, layers=layers, negatives=4, learning_rate=0.05))
    model.fit(LOG, 2, epochs=3)
    state = model.state()
    expected = plain_layers(Positives.of(LOG), state)
    assert torch.allclose(torch.cat([state["user"], state["item"]]).double(), expected, atol=1e-5)
    assert state["user"].shape == (5, (layers + 1) * 4)
    scores = model.scores(np.arange(5), LOG)
    unit = torch.nn.functional.normalize(expected, dim=1)
    assert np.allclose(scores, (unit[:5] @ unit[5:].T).numpy(), atol=1e-5)


def test_gradients_are_the_definitions() -> None:
    model = NGCF(NGCFConfig(dim=3, layers=2, dropout=0.0))
    model.fit(LOG, 2, epochs=0)
    state = model.state()
    pull = torch.randn(11, 9, generator=torch.Generator().manual_seed(4))
    encoder = model.encoder(Positives.of(LOG), torch.device("cpu"))
    places = torch.from_numpy(encoder.places)
    base = torch.cat([state["user_base"], state["item_base"]])
    ours, weight = base[places.argsort()].requires_grad_(), state["transforms"].clone().requires_grad_()
    encoder.learned = {"transforms": weight}  # type: ignore[attr-defined]
    batch = PairBatch(torch.tensor([0]), torch.tensor([5]), torch.tensor([6]), None, None)
    value, rest = encoder.training(ours, batch, torch.Generator())
    assert rest is None
    (value[places] * pull).sum().backward()
    plain = {name: state[name].double().requires_grad_() for name in ("user_base", "item_base", "transforms")}
    (plain_layers(Positives.of(LOG), plain) * pull).sum().backward()
    assert ours.grad is not None and weight.grad is not None
    expected = torch.cat([plain["user_base"].grad, plain["item_base"].grad])  # type: ignore[list-item]
    assert torch.allclose(ours.grad[places].double(), expected, atol=1e-4)
    assert torch.allclose(weight.grad.double(), plain["transforms"].grad, atol=1e-4)  # type: ignore[arg-type]


def test_messages_are_dropped_in_training_alone() -> None:
    model = fitted(NGCF, dropout=0.5, epochs=0, layers=1)
    encoder = model.encoder(Positives.of(SPLIT.train), torch.device("cpu"))
    base = torch.randn(360, 16, generator=torch.Generator().manual_seed(1))
    batch = PairBatch(torch.tensor([0]), torch.tensor([300]), torch.tensor([301]), None, None)
    first, second = (encoder.training(base, batch, torch.Generator().manual_seed(seed))[0] for seed in (1, 2))
    assert torch.equal(first[:, :16], base)
    share = float((first[:, 16:] == 0).float().mean())
    assert 0.45 < share < 0.55
    assert not torch.equal(first, second)
    assert not (encoder.final(base)[:, 16:] == 0).any()
    assert content(fitted(NGCF, dropout=0.0)) != content(fitted(NGCF, dropout=0.5))


def test_transforms_learn_and_training_resumes_from_a_state() -> None:
    first, model = fitted(NGCF, epochs=0), fitted(NGCF, epochs=3)
    assert not torch.equal(first.state()["transforms"], model.state()["transforms"])
    again = NGCF(model.config)
    again.fit(SPLIT.train, 9, epochs=0, start=model.state())
    assert content(again) == content(model)


def test_base_tables_are_encoded_with_the_fitted_transforms() -> None:
    model = fitted(NGCF)
    state = model.state()
    other = NGCF(model.config)
    other.load(state, model.n_users, model.n_items)
    other.adopt(SPLIT.train, state["user_base"], state["item_base"])
    assert torch.allclose(other.state()["user"], state["user"], atol=1e-6)
    assert torch.equal(other.state()["transforms"], state["transforms"])
    with pytest.raises(InputError, match="fit it, or load"):
        NGCF(model.config).encoder(Positives.of(SPLIT.train), torch.device("cpu"))


def test_refitting_forgets_the_transforms() -> None:
    model, fresh = fitted(NGCF, epochs=2), fitted(NGCF, epochs=1)
    model.fit(SPLIT.train, 1, epochs=1)
    assert content(model) == content(fresh)


def test_weights_act_in_the_loss() -> None:
    weights = np.ones(len(EVERYONE), np.float32)
    weights[:50] = 3.0
    assert content(fitted(NGCF, weights=weights)) != content(fitted(NGCF))


@pytest.mark.parametrize("examine", EXAMINATION, ids=lambda f: f.__name__)
def test_examination(examine: Callable[[type[NGCF]], None]) -> None:
    examine(NGCF)


@pytest.mark.parametrize("loss", ["sampled_softmax", "bpr"])
@pytest.mark.parametrize("examine", EXAMINATION_BY_LOSS, ids=lambda f: f.__name__)
def test_examination_by_loss(examine: Callable[[type[NGCF], str], None], loss: str) -> None:
    examine(NGCF, loss)
