"""FMLP-Rec: the causal filter from its plain sum, its forward pass written out."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from recaudit.recommenders.fmlp import FMLPRec, filtered
from recaudit.recommenders.network import Dropout

from .sequence_models import chain, small_model

STILL = Dropout(0.0, None)


def fitted(layers: int = 2) -> FMLPRec:
    model = small_model("fmlp-rec", layers=layers)
    model.fit(chain(n_users=30), 3, epochs=2)
    assert isinstance(model, FMLPRec)
    return model


@given(st.integers(1, 9), st.integers(0, 3), st.integers(0, 2**31))
def test_a_filter_is_the_sum_over_earlier_positions(length: int, spare: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(2, length, 3, generator=draw, dtype=torch.float64)
    taps = torch.randn(length + spare, 3, generator=draw, dtype=torch.float64)
    want = torch.zeros_like(x)
    for t in range(length):
        for back in range(t + 1):
            want[:, t] += taps[back] * x[:, t - back]
    assert torch.allclose(filtered(x, taps), want, atol=1e-12)


def test_forward_equals_the_layers_written_out() -> None:
    model = fitted(layers=1)
    state = {name: value.double() for name, value in model.state().items()}

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])

    row = [4, 9, 9, 0]
    x = norm(state["item"][row] + state["position"][: len(row)], "first_norm")
    taps = state["blocks.0.filter"]
    mixed = torch.stack([sum(taps[back] * x[t - back] for back in range(t + 1)) for t in range(len(row))])
    x = norm(x + mixed, "blocks.0.filter_norm")
    wide = functional.gelu(x @ state["blocks.0.forward_in.weight"].T + state["blocks.0.forward_in.bias"])
    out = wide @ state["blocks.0.forward_out.weight"].T + state["blocks.0.forward_out.bias"]
    want = norm(x + out, "blocks.0.forward_norm")
    network = model._fitted()
    got = network.encode(torch.tensor([row]), network.item, STILL)[0]
    assert torch.allclose(got.double(), want, atol=1e-5)
