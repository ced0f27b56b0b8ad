"""One signed run folder for all tests here; a test that changes it takes a copy."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from recaudit.audit.evidence import AuditRun
from recaudit.reports import render
from recaudit.reports.integrity.manifest import manifest_of
from recaudit.reports.integrity.signing import keygen, sign

from .folders import small_run, write_run


@dataclass(frozen=True)
class Signed:
    """A signed folder, the signer's keys, and those of somebody else."""

    folder: Path
    private: Path
    public: Path
    other_private: Path
    other_public: Path


ALL = render.renderers


@pytest.fixture(autouse=True)
def cheap_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of the reports stand for all, except where a test puts ALL back: plots and PDF cost seconds."""
    monkeypatch.setattr(render, "renderers", lambda: {name: ALL()[name] for name in ("report.md", "junit.xml")})


@pytest.fixture(scope="session")
def small() -> AuditRun:
    """A record that agrees with itself."""
    return small_run()


@pytest.fixture(scope="session")
def signed(small: AuditRun, tmp_path_factory: pytest.TempPathFactory) -> Signed:
    """Never changed."""
    base = tmp_path_factory.mktemp("integrity")
    folder = base / "run"
    write_run(folder, small)
    private, public = keygen(base / "audit")
    other_private, other_public = keygen(base / "other")
    sign(folder, manifest_of(folder, small), private)
    return Signed(folder, private, public, other_private, other_public)


@pytest.fixture
def copy(signed: Signed, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(signed.folder, tmp_path / "copy"))
