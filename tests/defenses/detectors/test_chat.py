"""The detector that asks a chat model: what is sent, and when; what an answer that cannot be read means."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from recaudit.cli.program import app
from recaudit.datasets.errors import DataError, InputError
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.seeding import rng
from recaudit.defenses.asked import controls
from recaudit.defenses.detectors.chat import LLMPrompt, LLMPromptConfig
from recaudit.defenses.histories import Histories
from recaudit.defenses.texts import prompts, swapped
from recaudit.language.endpoint import ALLOW
from recaudit.recommenders.base import Recipe

from ...language.fake_server import Fake, Reply, serving

LOG = InteractionLog(
    np.array([0, 0, 1, 2, 2], np.int32), np.array([0, 1, 2, 2, 0], np.int32), np.array(["a", "b", "c", "d"]),
    np.array(["x", "y", "z"]), time=np.array([5, 1, 2, 3, 9]),
    items=pd.DataFrame({"title": ["Alpha", "Beta", "Gamma"]}),
)  # fmt: skip


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Fake]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv(ALLOW, "1")
    with serving() as own:
        yield own


def said(share: float | None) -> Reply:
    """Yes with this probability, or nothing that could be read."""
    choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": "yes"}}
    likeliest = {"yes": share, "no": 1 - share} if share is not None else {"perhaps": 1.0}
    top = [{"token": token, "logprob": math.log(max(value, 1e-9))} for token, value in likeliest.items()]
    choice["logprobs"] = {"content": [{"token": "yes", "logprob": 0.0, "top_logprobs": top}]}
    return Reply(body={"choices": [choice]})


def asking(server: Fake) -> LLMPrompt:
    return LLMPrompt(LLMPromptConfig(chat=f"endpoint:tiny@{server.base}"))


def test_accounts_get_what_was_said_of_their_titles_in_order(server: Fake) -> None:
    server.queue += [said(0.25), said(0.75), said(None)]
    found = asking(server).detect(LOG, np.random.default_rng(0))
    assert found == pytest.approx([0.25, 0.75, 0.5, 0.0], abs=1e-6)  # unreadable: the median; no events: nothing
    sent = [content["messages"][0]["content"] for _, content, _ in server.asked]
    assert len(sent) == 3 and sent[0].index("Beta") < sent[0].index("Alpha") and "Gamma" not in sent[0]
    asking(server).detect(LOG, np.random.default_rng(0))
    assert len(server.asked) == 3  # answers are kept


def test_permuted_titles_are_its_control_arm_and_are_paid_for_once(server: Fake) -> None:
    assert controls("llm-prompt", {"chat": f"endpoint:tiny@{server.base}"}) == ("permuted",)
    server.answer = lambda content: said(0.25)
    titles = np.array(["Alpha", "Beta", "Gamma", None], object)
    log = replace(
        LOG, item=np.array([0, 1, 2, 2, 3], np.int32), item_ids=np.array(["x", "y", "z", "w"]),
        items=pd.DataFrame({"title": titles}),
    )  # fmt: skip
    own = LLMPrompt(LLMPromptConfig(chat=f"endpoint:tiny@{server.base}", arm="permuted"))
    for seed in range(3):
        own.suspicion(log, seed)
    sent = sorted(content["messages"][0]["content"] for _, content, _ in server.asked)
    place = swapped(np.array([True, True, True, False]), rng(0, "llm-prompt", "texts"))
    swap = replace(log, items=pd.DataFrame({"title": titles[place]}))
    wanted, real = (sorted(prompts(one, Histories.of_accounts(one, np.arange(3)))) for one in (swap, log))
    assert wanted != real and len(sent) == 3
    assert all(content.startswith(prompt) for content, prompt in zip(sent, wanted, strict=True))


def test_nothing_is_sent_without_permission_or_a_model(server: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ALLOW)
    with pytest.raises(InputError, match="would be sent"):
        asking(server).detect(LOG, np.random.default_rng(0))
    with pytest.raises(InputError, match="chat=endpoint"):
        LLMPrompt().detect(LOG, np.random.default_rng(0))
    assert not server.asked


def test_an_audit_says_why_it_cannot_ask(server: Fake) -> None:
    recipe = Recipe("mf", {})
    assert "no chat model is named" in (LLMPrompt().why_not(recipe, LOG) or "")
    assert "no text" in (asking(server).why_not(recipe, replace(LOG, items=None)) or "")
    assert asking(server).why_not(recipe, LOG) is None


def test_an_audit_pays_once_for_an_account_whatever_the_seed(server: Fake) -> None:
    server.answer = lambda content: said(0.25)
    for seed in range(4):
        asking(server).suspicion(LOG, seed)
    assert len(server.asked) == 3


def test_answers_that_could_not_be_read_are_counted(server: Fake) -> None:
    server.queue += [said(0.25), said(None), said(0.5)]
    defended = asking(server).fit(Recipe("itemknn", {}), LOG, 0)
    assert defended.notes == {"unreadable": 1}


@pytest.mark.parametrize("silent", [2, 3])
def test_a_model_that_mostly_says_nothing_flags_nobody(server: Fake, silent: int) -> None:
    server.queue += [*(3 - silent) * [said(0.5)], *silent * [said(None)]]
    with pytest.raises(DataError, match=rf"endpoint:tiny@.* could be read for {silent} of 3 accounts.*set `chat`"):
        asking(server).detect(LOG, np.random.default_rng(0))


def test_a_title_that_the_server_refuses_ends_nothing(server: Fake) -> None:
    refused = Reply(400, {"error": {"message": "content filter"}})
    server.answer = lambda content: refused if "Gamma" in content["messages"][0]["content"] else said(0.5)
    with pytest.raises(DataError, match="2 of 3"):
        asking(server).detect(LOG, np.random.default_rng(0))
    server.answer = lambda content: refused if "Beta" in content["messages"][0]["content"] else said(0.75)
    detector = LLMPrompt(LLMPromptConfig(chat=f"endpoint:other@{server.base}"))
    assert detector.detect(LOG, np.random.default_rng(0)) == pytest.approx([0.75, 0.75, 0.75, 0])
    assert detector.notes == {"unreadable": 1}


def test_titles_are_sent_and_nothing_else_of_an_item(server: Fake) -> None:
    server.answer = lambda content: said(0.5)
    table = pd.DataFrame({"title": ["Alpha", "Beta", "Gamma"], "brand": 3 * ["HIDDEN"], "description": 3 * ["HIDDEN"]})
    asking(server).detect(replace(LOG, items=table), np.random.default_rng(0))
    assert len(server.asked) == 3 and "HIDDEN" not in repr(server.asked)
    assert "column title" in (
        asking(server).why_not(Recipe("mf", {}), replace(LOG, items=table.drop(columns="title"))) or ""
    )


def test_the_command_says_how_many_could_not_be_read(server: Fake, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    rows = "".join(f"u{n}\ti{n % 3}\t{n}\n" for n in range(6))
    (data / "data.inter").write_text(f"user_id:token\titem_id:token\ttimestamp:float\n{rows}")
    (data / "data.item").write_text("item_id:token\ttitle:token_seq\ni0\tAlpha\ni1\tBeta\ni2\tGamma\n")
    server.answer = lambda content: said(None if "Gamma" in content["messages"][0]["content"] else 0.5)
    chosen = ["detect", "--detector", "llm-prompt", "--set", f"chat=endpoint:tiny@{server.base}", "--data"]
    shown = CliRunner().invoke(app, [*chosen, str(data), "--json"])
    assert shown.exit_code == 0, shown.output
    assert "llm-prompt: unreadable 2\n" in shown.stderr and len(json.loads(shown.stdout)) == 6
