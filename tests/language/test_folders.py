"""Folders of sentence-transformers and of encoder-decoders: pooling, the encoder alone, ids, what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recaudit.datasets.errors import InputError
from recaudit.language.encoder import TextEncoder, unit
from recaudit.language.pooling import Form, form_of
from recaudit.language.sentence import SentenceEncoder

from .models import bert, saved, sentence_files, tokenizer

transformers = pytest.importorskip("transformers")

TEXT = "red lipstick electric drill"
CLS = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
MEAN = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}


def opened(folder: Path, **options: Any) -> TextEncoder:
    return SentenceEncoder(folder, **options)


def states(model: Any, tokens: list[int]) -> Any:
    with torch.no_grad():
        return model(torch.tensor([tokens])).last_hidden_state[0].numpy()


@pytest.mark.parametrize("pooling", [CLS, {"pooling_mode": "cls"}, MEAN, {"pooling_mode": "mean"}, {}, None])
def test_vectors_are_pooled_as_the_folder_says(tmp_path: Path, pooling: dict[str, Any] | None) -> None:
    hidden = states(bert(tmp_path), [2, 3, 4, 5, 6])
    if pooling is not None:
        sentence_files(tmp_path, pooling, "Normalize")
    first = pooling in (CLS, {"pooling_mode": "cls"})
    wanted = unit((hidden[0] if first else hidden.mean(0))[None])[0]
    found = opened(tmp_path).encode(["drill", TEXT])
    assert found[1] == pytest.approx(wanted, abs=1e-5)


def test_as_many_tokens_are_read_as_the_folder_says_in_its_case(tmp_path: Path) -> None:
    model = bert(tmp_path)
    sentence_files(tmp_path, MEAN, max_seq_length=3, do_lower_case=True)
    assert form_of(tmp_path) == Form("mean", 3, True)
    found = opened(tmp_path).encode(["Red LIPSTICK electric"])[0]
    assert found == pytest.approx(unit(states(model, [2, 3, 4]).mean(0)[None])[0], abs=1e-5)


@pytest.mark.parametrize(
    ("pooling", "more", "says"),
    [
        ({"pooling_mode_max_tokens": True}, [], r"1_Pooling.config\.json: pooling pooling_mode_max_tokens; only mean"),
        ({**CLS, "pooling_mode_mean_tokens": True}, [], "pooling cls and mean; only"),
        ({"pooling_mode": "lasttoken"}, [], "pooling lasttoken; only"),
        ({"pooling_mode": ["mean", "cls"]}, [], "pooling mean and cls; only"),
        ({"pooling_mode": 3}, [], r"1_Pooling.config\.json: not a file"),
        (MEAN, ["Dense", "Normalize"], r"modules\.json: Transformer Pooling Dense Normalize, the first in this folder"),
    ],
)
def test_other_modules_and_poolings_are_refused_by_file(
    tmp_path: Path, pooling: dict[str, Any], more: list[str], says: str
) -> None:
    sentence_files(tmp_path, pooling, *more)
    with pytest.raises(InputError, match=says):
        form_of(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("modules.json", "[", "not a file of sentence-transformers"),
        ("modules.json", "[]", "nothing; only Transformer Pooling"),
        ("modules.json", '[{"type": "x.Transformer", "path": "0_T"}, {"type": "x.Pooling", "path": "1"}]', "in 0_T"),
        ("sentence_bert_config.json", '{"max_seq_length": "many"}', r"sentence_bert_config\.json: not a file"),
        ("config_sentence_transformers.json", '{"default_prompt_name": "query"}', "a prompt before every text"),
        ("1_Pooling/config.json", "\0", "not a file"),
    ],
)
def test_files_that_cannot_be_followed_are_named(tmp_path: Path, name: str, text: str, says: str) -> None:
    sentence_files(tmp_path, MEAN)
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=says) as caught:
        form_of(tmp_path)
    assert name.rpartition("/")[2] in str(caught.value)


def t5() -> Any:
    return transformers.T5Config(
        vocab_size=10, d_model=8, d_kv=4, d_ff=8, num_layers=2, num_heads=2, decoder_start_token_id=0
    )


def bart() -> Any:
    return transformers.BartConfig(
        vocab_size=10, d_model=8, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=8, decoder_ffn_dim=8, max_position_embeddings=16,
        pad_token_id=1, bos_token_id=0, eos_token_id=2, decoder_start_token_id=0, forced_eos_token_id=2,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["T5EncoderModel", "T5ForConditionalGeneration", "BartModel"])
def test_of_an_encoder_decoder_the_encoder_is_read(tmp_path: Path, kind: str) -> None:
    tokenizer(tmp_path)
    model = saved(tmp_path, getattr(transformers, kind), bart() if "Bart" in kind else t5())
    wanted = unit(states(model.get_encoder(), [3, 4, 5, 6]).mean(0)[None])[0]
    found = opened(tmp_path)
    assert found.width == 8 and found.encode(["drill", TEXT, ""])[1] == pytest.approx(wanted, abs=1e-5)
    assert np.abs(opened(tmp_path, layer=1).encode([TEXT])[0] - wanted).max() > 1e-3


def test_weights_that_are_not_there_are_not_invented(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    bert(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    save_file({name: tensor for name, tensor in tensors.items() if "pooler" not in name}, path, {"format": "pt"})
    assert opened(tmp_path).width == 8  # a pooler is not used
    gone = "encoder.layer.1.output.dense.weight"
    save_file({name: tensor for name, tensor in tensors.items() if name != gone}, path, {"format": "pt"})
    with pytest.raises(InputError, match=rf"{tmp_path}: 1 weights are missing, {gone} first"):
        opened(tmp_path)


def test_ids_name_all_that_changes_vectors(tmp_path: Path) -> None:
    first = tmp_path / "a" / "model"
    first.mkdir(parents=True)
    bert(first)
    ids = {opened(first).id}
    other = tmp_path / "b" / "model"
    shutil.copytree(first, other)
    assert opened(other).id in ids
    raw = json.loads((other / "tokenizer.json").read_text())
    vocab = raw["model"]["vocab"]
    vocab["red"], vocab["drill"] = vocab["drill"], vocab["red"]
    (other / "tokenizer.json").write_text(json.dumps(raw))
    ids.add(opened(other).id)
    for pooling, reading in ((MEAN, {}), (CLS, {}), (CLS, {"max_seq_length": 4})):
        sentence_files(other, pooling, **reading)
        ids.add(opened(other).id)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 0.1}))
    assert len(ids | {opened(other).id}) == 6
    (other / "README.md").write_text("words")
    assert opened(other).id in ids | {opened(other).id} and len(ids) == 5
