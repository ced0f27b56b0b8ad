"""A small trained checkpoint and a policy small enough for tests, driven as users drive them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Answer = subprocess.CompletedProcess[str]
Recaudit = Callable[..., Answer]

POLICY = """
version: 1
seed: 7
checks:
  quality: {references: [popularity, ease]}
  exposure: {}
  promotion: {attacks: [bandwagon], sizes: ["2%"], per_stratum: 2, control_seeds: 1, seeds_per_target: 1}
rules:
  - {select: "quality.reproduction", bound: 1.0e-6, reason: the file must be what it says}
  - {select: "promotion.*.hr@20", bound: 0.05, reason: one user in twenty}
"""


@pytest.fixture(scope="session")
def recaudit() -> Recaudit:
    """Run the command line in a process of its own."""

    def run(*arguments: object, cwd: Path | None = None) -> Answer:
        command = [sys.executable, "-m", "recaudit", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=300)

    return run


@pytest.fixture(scope="session")
def ratings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated log as a CSV with ids that have leading zeros."""
    from recaudit.datasets.synthetic import generate

    log = generate(users=300, items=120, events=6000, seed=3)
    log = getattr(log, "log", log)
    lines = ["user_id,item_id,timestamp"]
    time = log.time if log.time is not None else range(len(log))
    lines += [f"u{u:05d},{i:05d},{t}" for u, i, t in zip(log.user, log.item, time, strict=True)]
    path = tmp_path_factory.mktemp("data") / "ratings.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def checkpoint(recaudit: Recaudit, ratings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An EASE checkpoint: refits cost milliseconds, everything else is as with any model."""
    path = tmp_path_factory.mktemp("model") / "ckpt"
    answer = recaudit("train", "--model", "ease", "--data", ratings, "--out", path)
    assert answer.returncode == 0, answer.stderr
    return path


@pytest.fixture(scope="session")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy of a few cells."""
    path = tmp_path_factory.mktemp("policy") / "recaudit.yaml"
    path.write_text(POLICY)
    return path
