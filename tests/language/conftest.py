"""A server on loopback to which everything may be sent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from recaudit.language.endpoint import ALLOW, KEY

from .fake_server import Fake, serving


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    monkeypatch.setenv(ALLOW, "1")
    monkeypatch.delenv(KEY, raising=False)
    with serving() as server:
        yield server
