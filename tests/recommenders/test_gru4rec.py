"""GRU4Rec: the recurrence from its plain definition."""

from __future__ import annotations

import torch

from recaudit.recommenders.gru4rec import GRU4Rec
from recaudit.recommenders.network import Dropout

from .sequence_models import chain, small_model

STILL = Dropout(0.0, None)


def fitted(layers: int = 1) -> GRU4Rec:
    model = small_model("gru4rec", layers=layers)
    model.fit(chain(n_users=30), 3, epochs=2)
    assert isinstance(model, GRU4Rec)
    return model


def test_forward_equals_the_gates_written_out() -> None:
    model = fitted()
    state = {name: value.double() for name, value in model.state().items()}
    row = [4, 9, 9, 0]
    memory = torch.zeros(model.config.hidden, dtype=torch.float64)
    for item in row:
        given = state["gru.weight_ih_l0"] @ state["item"][item] + state["gru.bias_ih_l0"]
        own = state["gru.weight_hh_l0"] @ memory + state["gru.bias_hh_l0"]
        (reset_in, update_in, new_in), (reset_own, update_own, new_own) = given.chunk(3), own.chunk(3)
        update = torch.sigmoid(update_in + update_own)
        new = torch.tanh(new_in + torch.sigmoid(reset_in + reset_own) * new_own)
        memory = (1 - update) * new + update * memory
    want = state["dense.weight"] @ memory + state["dense.bias"]
    network = model._fitted()
    got = network.encode(torch.tensor([row]), network.item, STILL)[0, -1]
    assert torch.allclose(got.double(), want, atol=1e-5)
