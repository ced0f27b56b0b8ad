"""A causal model in a folder as a chat: the probabilities are its own, by its own template."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from recaudit.datasets.errors import InputError
from recaudit.language.answers import verdicts
from recaudit.language.chat import YES_NO
from recaudit.language.instruct import FolderChat
from recaudit.language.opening import open_chat

from .models import WORDS, saved, tokenizer

transformers = pytest.importorskip("transformers")

TEMPLATE = (
    "{% for m in messages %}<cls> {{ m['content'] }} <end>{% endfor %}{% if add_generation_prompt %} red{% endif %}"
)


def llama(folder: Path, words: list[str] | None = None, longest: int = 256, **options: Any) -> Any:
    tokenizer(folder, words, first=True, **options)
    config = transformers.LlamaConfig(
        vocab_size=len(words or WORDS), hidden_size=8, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=longest,
    )  # fmt: skip
    return saved(folder, transformers.LlamaForCausalLM, config)


@pytest.mark.parametrize("template", [None, TEMPLATE])
def test_the_share_of_yes_in_the_next_token(tmp_path: Path, template: str | None) -> None:
    model = llama(tmp_path, **({"chat_template": template} if template else {}))
    made = transformers.AutoTokenizer.from_pretrained(str(tmp_path))
    words = f"electric drill\n{YES_NO}"
    text, begin = (f"<cls> {words} <end> red", []) if template else (words, [WORDS.index("<cls>")])
    with torch.no_grad():
        tokens = begin + made(text, add_special_tokens=False)["input_ids"]
        logits = model(torch.tensor([tokens])).logits[0, -1].double()
    share = logits.softmax(-1)
    yes, no = share[WORDS.index("yes")] + share[WORDS.index("▁yes")], share[WORDS.index("No")]
    found = open_chat(str(tmp_path)).probability("electric drill")
    assert found == pytest.approx(float(yes / (yes + no)), abs=1e-6)


def test_answers_are_kept_and_the_model_is_opened_once_it_is_asked(tmp_path: Path) -> None:
    folder, kept = tmp_path / "model", tmp_path / "kept"
    folder.mkdir()
    llama(folder)
    first = verdicts(FolderChat(folder), ["red drill", "red lipstick"], kept)
    assert first.unreadable == 0 and len(set(first.probability)) == 2
    later = FolderChat(folder)
    assert (verdicts(later, ["red lipstick", "red drill"], kept).probability == first.probability[::-1]).all()
    assert "_opened" not in vars(later)
    (folder / "tokenizer_config.json").write_text("{}")
    assert FolderChat(folder).id != later.id


def test_a_prompt_longer_than_the_model_reads_is_missing(tmp_path: Path) -> None:
    llama(tmp_path, longest=40)
    opened = FolderChat(tmp_path)
    assert math.isnan(opened.probability(40 * "red ")) and not math.isnan(opened.probability("red"))


def test_what_is_no_chat_says_why(tmp_path: Path) -> None:
    for name in ("", "no-such-chat"):
        with pytest.raises(InputError, match="neither a folder with a causal model nor endpoint:MODEL@"):
            open_chat(name)
    with pytest.raises(InputError, match=r"no \*\.safetensors"):
        FolderChat(tmp_path)
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    with pytest.raises(InputError, match="no model that transformers can open"):
        FolderChat(tmp_path).probability("red")
    (tmp_path / "b.gguf").write_bytes(b"GGUF")
    with pytest.raises(InputError, match=r"2 files \*\.gguf"):
        FolderChat(tmp_path)
    silent = tmp_path / "silent"
    silent.mkdir()
    llama(silent, [word for word in WORDS if word != "No"])
    with pytest.raises(InputError, match="no token of this model says yes or none says no"):
        FolderChat(silent).probability("red")
