"""A system behind an address: what is sent, order, faults, going on after a break, nothing kept at the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recaudit.datasets.errors import DataError, InputError, RecauditError
from recaudit.datasets.read import LoadedLog
from recaudit.language.endpoint import ALLOW
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.blackbox.opening import open_system
from recaudit.recommenders.catalogue import build, why_no_refit

from ...language.fake_server import Fake, Reply, serving
from ...unlearn.conformance import small_log

LOG = small_log(users=25, items=12, events=150)


def lists(content: dict[str, Any]) -> Reply:
    """Each user's list begins with the item of the user's own number."""
    places = [LOG.user_ids.tolist().index(user) for user in content["users"]]
    own = [[str(LOG.item_ids[(place + n) % 12]) for n in range(3)] for place in places]
    return Reply(body={"lists": own})


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Fake]:
    monkeypatch.setenv(ALLOW, "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with serving() as server:
        server.answer = lists
        yield server


def settings(fake: Fake, **more: Any) -> dict[str, Any]:
    return {"url": f"{fake.base}/lists", "batch": 10, "per_second": 1000, "timeout": 5} | more


def test_lists_come_to_their_users(fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = open_system("endpoint", settings(fake), LoadedLog(LOG), "ratio:0.7,0.1,0.2")
    scores = target.model.scores([0, 7, 13], LOG)  # type: ignore[arg-type]
    assert scores.argmax(1).tolist() == [0, 7, 1]
    assert [len(content["users"]) for _, content, _ in fake.asked] == [10, 10, 5]
    assert {content["k"] for _, content, _ in fake.asked} == {100}
    assert "for the lists of 25 users; their ids are sent" in capsys.readouterr().err
    assert not list((tmp_path / "recaudit" / "lists").iterdir())
    assert why_no_refit(target.recipe) is not None


def test_a_broken_run_goes_on(fake: Fake) -> None:
    model = build(Recipe("endpoint", settings(fake)))
    model.load({}, 25, 12)
    fake.queue = [lists({"users": LOG.user_ids[:10].tolist()}), Reply(status=403, body={"error": "no"})]
    with pytest.raises(RecauditError, match="403"):
        model.scores([0], LOG)  # type: ignore[arg-type]
    asked = len(fake.asked)
    model.scores([0], LOG)  # type: ignore[arg-type]
    assert [content["users"][0] for _, content, _ in fake.asked[asked:]] == [str(LOG.user_ids[n]) for n in (10, 20)]


def test_nothing_is_sent_unasked(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ALLOW)
    with pytest.raises(InputError, match="--allow-sending"):
        open_system("endpoint", settings(fake), LoadedLog(LOG), "ratio:0.7,0.1,0.2")
    assert not fake.asked


def sized(body: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    """As many lists as users were asked for, if there are any."""
    return {"lists": body["lists"][: len(content["users"])]}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"lists": []}, "a list for each of 10 users"),
        ([1], "a list for each"),
        ({"lists": [["nothing"]] * 10}, "are not in the data"),
    ],
)
def test_answers_that_are_no_lists(fake: Fake, body: object, words: str) -> None:
    fake.answer = lambda content: Reply(body=body if not isinstance(body, dict) else sized(body, content))
    model = build(Recipe("endpoint", settings(fake, batch=10)))
    model.load({}, 25, 12)
    with pytest.raises(DataError, match=words):
        model.scores([0], LOG)  # type: ignore[arg-type]
