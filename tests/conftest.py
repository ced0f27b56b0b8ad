"""Fixtures that several folders' tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# how busy a machine is says nothing of the code: a first call of 690 ms on a loaded one failed where .6 ms followed
settings.register_profile("recaudit", settings.default, deadline=None)
settings.load_profile("recaudit")

if "PYTEST_XDIST_WORKER" in os.environ:  # workers share the cores: threads of each would wait for the others'
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data, checkpoints and reference numbers beside the checkout."""
    for base in Path(__file__).resolve().parents:
        if (base / "shared" / "design").is_dir():
            return base / "shared"
    pytest.skip("the shared folder of data and oracles is not beside the checkout")
