"""SASRec filled up on the left: torch's own attention over rows that really are filled up, in every version's way."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch.nn import functional

from recaudit.recommenders.evaluate import evaluate
from recaudit.recommenders.network import Dropout
from recaudit.recommenders.sasrec_left import LeftSASRec, LeftSASRecConfig
from recaudit.recommenders.sequences import Windows
from recaudit.recommenders.sequential import SequenceTraining

from .sequence_models import chain, chain_split, log_of, small_model

WAYS = [("after", True), ("before", True), ("query", True), ("query", False)]
LONGEST = 7


def fitted(norm: str = "before", carried: bool = True, **settings: object) -> LeftSASRec:
    chosen = {"max_length": LONGEST, "norm": norm, "carried": carried, "layers": 2, "heads": 2}
    model = small_model("sasrec-left", **chosen | settings)
    model.fit(chain(n_users=30), 3, epochs=2)
    assert isinstance(model, LeftSASRec)
    return model


def plain_last(state: Mapping[str, torch.Tensor], config: LeftSASRecConfig, row: list[int]) -> torch.Tensor:
    """The last state of one row of `max_length` places, the first ones empty; blocks by torch's MultiheadAttention."""
    dim, most = config.dim, config.max_length
    empty = most - len(row)
    x = torch.zeros(1, most, dim, dtype=torch.float64)
    for place, item in enumerate(row, empty):
        x[0, place] = state["item"][item] * math.sqrt(dim) + state["position"][place]
    later = torch.ones(most, most, dtype=torch.bool).triu(1)
    real = (torch.arange(most) >= empty)[None, :, None]

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.layer_norm(x, (dim,), state[f"{name}.weight"], state[f"{name}.bias"], config.epsilon)

    for block in (f"blocks.{n}" for n in range(config.layers)):
        attention = torch.nn.MultiheadAttention(dim, config.heads, batch_first=True, dtype=torch.float64)
        with torch.no_grad():
            attention.in_proj_weight.copy_(state[f"{block}.query_key_value.weight"])
            attention.in_proj_bias.copy_(state[f"{block}.query_key_value.bias"])
            attention.out_proj.weight.copy_(state[f"{block}.attention_out.weight"])
            attention.out_proj.bias.copy_(state[f"{block}.attention_out.bias"])

        def attend(
            asking: torch.Tensor, x: torch.Tensor, layer: torch.nn.MultiheadAttention = attention
        ) -> torch.Tensor:
            found: torch.Tensor = layer(asking, x, x, attn_mask=later)[0]
            return found

        def forward(x: torch.Tensor, name: str = block) -> torch.Tensor:
            inner = functional.linear(x, state[f"{name}.forward_in.weight"], state[f"{name}.forward_in.bias"])
            return functional.linear(
                inner.relu(), state[f"{name}.forward_out.weight"], state[f"{name}.forward_out.bias"]
            )

        if config.norm == "after":
            x = norm(x + attend(x, x), f"{block}.attention_norm")
            x = norm(x + forward(x), f"{block}.forward_norm")
        elif config.norm == "before":
            asking = norm(x, f"{block}.attention_norm")
            x = x + attend(asking, asking)
            x = x + forward(norm(x, f"{block}.forward_norm"))
        else:
            asking = norm(x, f"{block}.attention_norm")
            x = norm(asking + attend(asking, x), f"{block}.forward_norm")
            x = x + forward(x)
        if not config.carried:
            x = x * real
    return norm(x, "last_norm")[0, -1]


@pytest.mark.parametrize(("norm", "carried"), WAYS)
def test_scores_are_those_of_rows_filled_up(norm: str, carried: bool) -> None:
    model = fitted(norm, carried)
    state = {name: value.double() for name, value in model.state().items()}
    rows = [[4], [2, 2, 5], [1, 0, 3, 5, 2, 4], [0, 1, 2, 3, 4, 5, 0], [9, 8, 0, 1, 2, 3, 4, 5, 0]]
    history = log_of(rows, 30)
    found = model.scores(np.arange(len(rows)), history)
    for row, scores in zip(rows, found, strict=True):
        with torch.no_grad():
            want = state["item"] @ plain_last(state, model.config, row[-LONGEST:])
        assert np.allclose(scores, want.numpy(), atol=1e-4)


def test_the_four_ways_differ() -> None:
    history = log_of([[4, 1, 2]], 30)
    state = fitted().state()
    found = []
    for norm, carried in WAYS:
        model = LeftSASRec(fitted().config.model_copy(update={"norm": norm, "carried": carried}))
        model.load(state, 30, 30)
        found.append(model.scores(np.array([0]), history)[0])
    for n, one in enumerate(found):
        for other in found[n + 1 :]:
            assert np.abs(one - other).max() > 1e-3


def test_what_fills_a_row_up_on_the_right_has_no_effect() -> None:
    network = fitted()._fitted()
    with torch.no_grad():
        short = network.encode(torch.tensor([[3, 1]]), network.item, Dropout(0.0, None), torch.tensor([2]))
        wide = network.encode(torch.tensor([[3, 1, 5, 5]]), network.item, Dropout(0.0, None), torch.tensor([2]))
        other = network.encode(torch.tensor([[3, 1, 0, 2]]), network.item, Dropout(0.0, None), torch.tensor([2]))
    assert torch.allclose(short, wide[:, :2], atol=1e-6) and torch.allclose(wide[:, :2], other[:, :2], atol=1e-6)


def test_one_negative_a_position_is_the_papers_loss() -> None:
    model = small_model("sasrec-left", loss="binary", dropout=0.0)
    split = chain_split()
    model.fit(split.train, 3, epochs=0)
    before = evaluate(model, split.test, split.history, (10,))["hr@10"]
    model.fit(split.train, 3, epochs=15)
    assert evaluate(model, split.test, split.history, (10,))["hr@10"] > max(0.6, 1.5 * before)
    training = SequenceTraining(model.config, Windows.of(split.train, 8), model._fitted(), torch.device("cpu"))
    batch = next(training.batches(np.random.default_rng(0)))
    assert batch.drawn is not None and not (batch.drawn == batch.target).any()
    vectors, _ = training.vectors(batch, torch.Generator())
    hidden, positive, negative = (part.detach() for part in vectors)
    want = -(torch.sigmoid((hidden * positive).sum(1)).log() + torch.sigmoid(-(hidden * negative).sum(1)).log())
    assert torch.allclose(training.each(vectors, batch), want, atol=1e-5)
    assert torch.allclose(training.ranking(vectors, batch, None), want.mean(), atol=1e-5)
