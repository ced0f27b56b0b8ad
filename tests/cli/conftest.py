"""A small trained checkpoint and a policy small enough for tests, driven as users drive them."""

from __future__ import annotations

import os
import subprocess
import traceback
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from types import NoneType

import pytest
from typer.testing import CliRunner

from recaudit.cli.program import app

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
    """Run the command line in this process: one of its own takes seconds to import what a command uses.

    What a process alone can show (signals, pipes, a fresh import) is tested by processes.
    """

    def run(*arguments: object, cwd: Path | None = None) -> Answer:
        given, environment = [str(argument) for argument in arguments], dict(os.environ)
        try:
            with chdir(cwd or Path.cwd()):
                found = CliRunner().invoke(app, given, prog_name="recaudit")
        finally:
            os.environ.clear()
            os.environ.update(environment)
        crash = ""
        if found.exc_info is not None and not isinstance(found.exception, SystemExit | NoneType):
            crash = "".join(traceback.format_exception(*found.exc_info))
        return Answer(given, found.exit_code, found.stdout, found.stderr + crash)

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
