"""The detector that asks a chat model: what is sent, and when; what an answer that cannot be read means."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recaudit.datasets.errors import InputError
from recaudit.datasets.log import InteractionLog
from recaudit.defenses.detectors.chat import LLMPrompt, LLMPromptConfig
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
