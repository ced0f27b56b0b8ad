"""Which clauses of laws and standards the evidence bears on: maps kept as data, each with what it does not show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field

from ...audit.evidence import AuditRun, Finding

_FOLDER = Path(__file__).parent / "clauses"
ORDER = ("dsa", "gdpr", "ai_act", "p2b", "nist_ai_rmf", "iso_42001")


class Clause(BaseModel):
    """One clause and how far tests reach."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(description="as policies name it")
    title: str
    checks: tuple[str, ...] = Field(description="whose evidence bears on it")
    supports: str = Field(description="what such evidence can support")
    cannot: str = Field(description="what it does not show")


class Map(BaseModel):
    """A law or standard."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str
    version: int
    checked_on: date = Field(description="when somebody last held it against the source")
    source: str
    note: str
    clauses: tuple[Clause, ...]


@dataclass(frozen=True)
class Borne:
    """A clause with the findings of a run that bear on it."""

    clause: Clause
    findings: tuple[Finding, ...]


@cache
def maps() -> tuple[Map, ...]:
    """All maps, in a fixed order."""
    return tuple(Map.model_validate(yaml.safe_load((_FOLDER / f"{name}.yaml").read_text("utf-8"))) for name in ORDER)


def borne(run: AuditRun, found: Map) -> list[Borne]:
    """The clauses of a map, each with its findings: those of its checks, and those whose rule names it or a part."""
    return [
        Borne(clause, tuple(f for f in run.findings if f.check in clause.checks or _named(clause, f.clauses)))
        for clause in found.clauses
    ]


def unknown(run: AuditRun) -> list[str]:
    """Clauses that the policy names and no map knows, in their first order."""
    known = [clause for found in maps() for clause in found.clauses]
    named = (name for finding in run.findings for name in finding.clauses)
    return [name for name in dict.fromkeys(named) if not any(_named(clause, [name]) for clause in known)]


def _named(clause: Clause, names: Sequence[str]) -> bool:
    """Whether one of these is the clause or a part of it: GDPR 17(1) is a part of GDPR 17."""
    return any(name == clause.id or name.startswith(f"{clause.id}(") for name in names)
