"""Fixtures that several folders' tests share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data, checkpoints and reference numbers beside the checkout."""
    for base in Path(__file__).resolve().parents:
        if (base / "shared" / "design").is_dir():
            return base / "shared"
    pytest.skip("the shared folder of data and oracles is not beside the checkout")
