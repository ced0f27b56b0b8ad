"""One example run for all report tests, and golden files: UPDATE_GOLDEN=1 writes them anew."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from recaudit.audit.evidence import AuditRun
from recaudit.reports import html

from .example_run import example_run

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def run() -> AuditRun:
    """The example."""
    return example_run()


@pytest.fixture(scope="session")
def page(run: AuditRun) -> str:
    """The example as HTML."""
    return html.page(run).decode()


@pytest.fixture(scope="session")
def golden() -> Callable[[str, bytes], None]:
    """Compare bytes with a golden file."""

    def compare(name: str, content: bytes) -> None:
        path = GOLDEN / name
        if os.environ.get("UPDATE_GOLDEN"):
            path.write_bytes(content)
        assert content.decode() == path.read_bytes().decode(), "if this change is meant: UPDATE_GOLDEN=1 pytest"

    return compare
