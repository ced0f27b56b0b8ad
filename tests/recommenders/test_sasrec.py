"""SASRec: the forward pass from its plain definition, its config."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

from recaudit.recommenders.network import Dropout
from recaudit.recommenders.sasrec import SASRec, SASRecConfig

from .sequence_models import chain, small_model

STILL = Dropout(0.0, None)


def fitted() -> SASRec:
    model = small_model("sasrec")
    model.fit(chain(n_users=30), 3, epochs=2)
    assert isinstance(model, SASRec)
    return model


def test_order_matters() -> None:
    network = fitted()._fitted()
    there, back = network.encode(torch.tensor([[1, 2, 3], [2, 1, 3]]), network.item, STILL)[:, -1]
    assert not torch.allclose(there, back, atol=1e-3)


def test_forward_equals_its_plain_definition() -> None:
    """Blocks, heads and positions one at a time, in float64, from the saved tensors alone."""
    model = fitted()
    state = {name: value.double() for name, value in model.state().items()}
    row = [4, 9, 9, 0]
    dim, heads = model.config.dim, model.config.heads
    width = dim // heads

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        centred = x - x.mean(-1, keepdim=True)
        spread = (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return centred / spread * state[f"{name}.weight"] + state[f"{name}.bias"]

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    x = torch.stack([state["item"][item] * math.sqrt(dim) + state["position"][p] for p, item in enumerate(row)])
    for block in (f"blocks.{n}" for n in range(model.config.layers)):
        query, key, value = linear(norm(x, f"{block}.attention_norm"), f"{block}.query_key_value").split(dim, -1)
        seen = torch.zeros_like(x)
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            for p in range(len(row)):
                chance = functional.softmax(key[: p + 1, part] @ query[p, part] / math.sqrt(width), 0)
                seen[p, part] = chance @ value[: p + 1, part]
        x = x + linear(seen, f"{block}.attention_out")
        wide = linear(norm(x, f"{block}.forward_norm"), f"{block}.forward_in").clamp(min=0)
        x = x + linear(wide, f"{block}.forward_out")
    want = norm(x, "last_norm")[-1] @ state["item"].T

    log = chain(n_users=1)
    log = type(log)(
        np.zeros(4, np.int32), np.array(row, np.int32), log.user_ids, log.item_ids, time=np.arange(4, dtype=np.int64)
    )
    assert np.allclose(model.scores(np.array([0]), log)[0], want.numpy(), atol=1e-4)


def test_heads_must_divide_dim() -> None:
    with pytest.raises(ValidationError, match=r"heads \(3\) must divide dim \(16\)"):
        SASRecConfig(dim=16, heads=3)


def test_normalised_after_is_torchs_encoder() -> None:
    model = small_model("sasrec", norm="after", activation="gelu", epsilon=1e-12, inner=4)
    model.fit(chain(n_users=30), 3, epochs=2)
    config, state = model.config, model.state()
    assert isinstance(config, SASRecConfig)
    layer = torch.nn.TransformerEncoderLayer(
        config.dim, config.heads, 4 * config.dim, 0.0, functional.gelu, 1e-12, batch_first=True
    )
    encoder = torch.nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False).eval()
    names = {
        "self_attn.in_proj_": "query_key_value.", "self_attn.out_proj.": "attention_out.", "norm1.": "attention_norm.",
        "linear1.": "forward_in.", "linear2.": "forward_out.", "norm2.": "forward_norm.",
    }  # fmt: skip
    own = {
        f"layers.{n}.{theirs}{kind}": state[f"blocks.{n}.{ours}{kind}"]
        for n in range(config.layers)
        for theirs, ours in names.items()
        for kind in ("weight", "bias")
    }
    encoder.load_state_dict(own)
    row = [4, 9, 9, 0]
    x = state["item"][row] + state["position"][: len(row)]
    x = functional.layer_norm(x, (config.dim,), state["last_norm.weight"], state["last_norm.bias"], 1e-12)
    with torch.no_grad():
        want = encoder(x[None], torch.nn.Transformer.generate_square_subsequent_mask(len(row)))[0]
        network = model._fitted()
        got = network.encode(torch.tensor([row]), network.table(), STILL)[0]
    assert torch.allclose(got, want, atol=1e-5)
