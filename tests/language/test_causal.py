"""Causal language models from a folder: which layer is read, and that neighbours change nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from recaudit.datasets.errors import InputError
from recaudit.language.cache import CachedEncoder
from recaudit.language.encoder import unit
from recaudit.language.opening import open_encoder

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

TEXTS = ["red lipstick electric drill red", "drill"]


@pytest.fixture(params=["gpt2", "llama"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    words = {"<unk>": 0, "<end>": 1} | {word: n for n, word in enumerate("red lipstick electric drill".split(), 2)}
    raw = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    raw.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    # no padding token, and padding on the left, as causal models come
    transformers.PreTrainedTokenizerFast(tokenizer_object=raw, padding_side="left").save_pretrained(tmp_path)
    with torch.random.fork_rng():
        if request.param == "gpt2":
            config = transformers.GPT2Config(vocab_size=6, n_positions=16, n_embd=8, n_layer=3, n_head=2)
            transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path)
        else:
            config = transformers.LlamaConfig(
                vocab_size=6,
                hidden_size=8,
                intermediate_size=16,
                num_hidden_layers=3,
                num_attention_heads=2,
                max_position_embeddings=16,
            )
            transformers.LlamaForCausalLM(config).save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").is_file()
    return tmp_path


@pytest.mark.parametrize("layer", [0, 1, 2, 3, -1, -2])
def test_the_mean_of_the_named_layer(folder: Path, layer: int) -> None:
    opened = open_encoder(f"{folder}#layer={layer}")
    found = opened.encode(TEXTS)
    assert found.shape == (2, 8) and opened.width == 8
    assert np.abs(found[1] - opened.encode(TEXTS[1:])[0]).max() < 1e-6  # padding changes nothing
    model = transformers.AutoModel.from_pretrained(str(folder)).eval()
    with torch.no_grad():
        states = model(torch.tensor([[2, 3, 4, 5, 2]]), output_hidden_states=True).hidden_states
    assert found[0] == pytest.approx(unit(states[layer][0].mean(0, keepdim=True).numpy())[0], abs=1e-5)


def test_layers_have_ids_of_their_own_and_none_else_are_there(folder: Path, tmp_path: Path) -> None:
    last = open_encoder(str(folder))
    assert last.id == open_encoder(f"{folder}#layer=-1").id == open_encoder(f"{folder}#layer=3").id
    first = open_encoder(f"{folder}#layer=1")
    assert first.id == open_encoder(f"{folder}#layer=-3").id and first.id != last.id
    kept = [CachedEncoder(encoder, tmp_path / "kept").encode(TEXTS) for encoder in (last, first)]
    assert np.abs(kept[0] - kept[1]).max() > 1e-3
    for layer in (4, -5):
        with pytest.raises(InputError, match=f"no layer {layer}; it has 3"):
            open_encoder(f"{folder}#layer={layer}")
