"""BERT4Rec: its forward pass against torch's own encoder, what it is taught, what it learns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

from recaudit.datasets.split import leave_last_out
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.bert4rec import BERT4Rec, BERT4RecConfig, _Cloze
from recaudit.recommenders.catalogue import build
from recaudit.recommenders.evaluate import evaluate
from recaudit.recommenders.popularity import Popularity
from recaudit.recommenders.sequences import Windows

from .sequence_models import chain, log_of


def small(**fields: Any) -> BERT4Rec:
    own: dict[str, Any] = {"dim": 16, "heads": 2, "max_length": 8, "batch_tokens": 64, "learning_rate": 1e-2}
    model = build(Recipe("bert4rec", own | fields))
    assert isinstance(model, BERT4Rec)
    return model


def fitted(**fields: Any) -> BERT4Rec:
    model = small(**fields)
    model.fit(chain(n_users=30), 3, epochs=2)
    return model


def torchs(model: BERT4Rec) -> torch.nn.TransformerEncoder:
    """torch's post-norm encoder with the same weights."""
    config, state = model.config, model.state()
    layer = torch.nn.TransformerEncoderLayer(
        config.dim, config.heads, config.inner * config.dim, 0.0, functional.gelu, config.epsilon, batch_first=True
    )
    encoder = torch.nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False).eval()
    names = {
        "self_attn.in_proj_": "query_key_value.", "self_attn.out_proj.": "attention_out.", "norm1.": "attention_norm.",
        "linear1.": "forward_in.", "linear2.": "forward_out.", "norm2.": "forward_norm.",
    }  # fmt: skip
    taken = {}
    for n in range(config.layers):
        for theirs, ours in names.items():
            for kind in ("weight", "bias"):
                taken[f"layers.{n}.{theirs}{kind}"] = state[f"blocks.{n}.{ours}{kind}"]
    encoder.load_state_dict(taken)
    return encoder


def test_scores_are_those_of_torchs_encoder() -> None:
    model = fitted()
    state, dim = model.state(), (model.config.dim,)
    log = log_of([[4, 9, 9, 0], [1, 2], [5] * 12], 30)
    got = model.scores(np.arange(3), log)
    encoder = torchs(model)
    for user, read in enumerate(([4, 9, 9, 0], [1, 2], [5] * 7)):
        x = torch.cat([state["item"][read], state["mask"]]) + state["position"][: len(read) + 1]
        x = functional.layer_norm(x, dim, state["first_norm.weight"], state["first_norm.bias"], 1e-12)
        with torch.no_grad():
            last = encoder(x[None])[0, -1]
        hidden = functional.gelu(last @ state["head.weight"].T + state["head.bias"])
        hidden = functional.layer_norm(hidden, dim, state["head_norm.weight"], state["head_norm.bias"], 1e-12)
        np.testing.assert_allclose(got[user], (state["item"] @ hidden + state["bias"]).numpy(), atol=1e-4)


def test_other_users_of_a_block_and_padding_have_no_effect() -> None:
    model = fitted()
    log = log_of([[4, 9, 9, 0], [1, 2], [], [3]], 30)
    whole = model.scores(np.arange(4), log)
    for user in range(4):
        np.testing.assert_allclose(model.scores(np.array([user]), log)[0], whole[user], atol=1e-5)


def test_the_first_item_can_be_left_out() -> None:
    plain, skipping = fitted(), small(skip_first=True)
    skipping.load(plain.state(), 30, 30)
    whole, part = log_of([[4, 9, 0]], 30), log_of([[9, 0]], 30)
    np.testing.assert_allclose(skipping.scores(np.array([0]), whole), plain.scores(np.array([0]), part), atol=1e-6)


def test_what_is_left_out_is_what_is_guessed() -> None:
    log = chain(n_users=40)
    model = small(masked=0.3, last=0.5)
    model.n_items = log.n_items
    windows = Windows.of(log, 8)
    training = _Cloze(model.config, windows, model._started(0), torch.device("cpu"))
    whole = {tuple(row.tolist()) for row in np.split(log.item[log.chronological()], np.cumsum(log.user_counts)[:-1])}
    shares, alone, lengths = [], [], []
    for batch in training.batches(np.random.default_rng(0)):
        filled = batch.items.flatten().clone()
        assert (filled[batch.places] == log.n_items).all()
        filled[batch.places] = batch.target
        for row, gone, seen in zip(filled.view(batch.items.shape), batch.items == log.n_items, batch.seen, strict=True):
            run = tuple(row[seen].tolist())
            assert any(run == own[n : n + len(run)] for own in whole for n in range(len(own)))
            assert gone.any() and not (gone & ~seen).any()
            shares.append(float(gone.sum() / seen.sum()))
            alone.append(bool(gone[int(seen.sum()) - 1]) and int(gone.sum()) == 1)
            lengths.append(len(run))
    assert 0.4 < np.mean(alone) < 0.8
    assert 0.15 < np.mean(shares) < 0.6
    assert set(range(1, 9)) <= set(lengths)


def test_it_learns_the_chain() -> None:
    split = leave_last_out(chain(n_users=400))
    model = small(dropout=0.1, learning_rate=5e-3, batch_tokens=256)
    model.fit(split.train, 0, epochs=40)
    popular = build(Recipe("popularity", {}))
    popular.fit(split.train, 0)
    assert isinstance(popular, Popularity)
    found, trivial = (evaluate(own, split.test, split.history, (5,))["hr@5"] for own in (model, popular))
    assert found > 0.6 > 2 * trivial


def test_same_seed_same_bytes_and_weights_count() -> None:
    log = chain(n_users=30)
    first, second = fitted().state(), fitted().state()
    assert all(torch.equal(first[name], second[name]) for name in first)
    weights = np.ones(30, np.float32)
    weights[:5] = 0
    without, weighed = small(), small()
    without.fit(log.take(log.user >= 5), 3, epochs=2)
    weighed.fit(log, 3, epochs=2, weights=weights)
    users = np.arange(5, 30)
    np.testing.assert_allclose(without.scores(users, log), weighed.scores(users, log), atol=1e-4)


@pytest.mark.parametrize("fields", [{"heads": 3}, {"loss": "sampled"}, {"item_vectors": "text"}, {"max_length": 1}])
def test_settings_that_it_has_not_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        BERT4RecConfig(**({"dim": 16} | fields))
