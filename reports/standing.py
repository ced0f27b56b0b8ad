"""Where a model stands among reference victims that were audited on the same data under the same settings.

The table is shipped (`data/standing.json`, written by `benchmarks/standing_table.py` from run records, never by hand).
A number is comparable only if data, split, seed, list lengths and the settings of its check are the same; bounds and
waivers judge numbers and do not change them, so they may differ.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..audit.evidence import AuditRun, Evidence, Worse
from ..datasets.errors import InputError
from .text import Data, Sentence, count, cut, decimals, number, plural

SHIPPED = Path(__file__).parent / "data" / "standing.json"
LIMIT = 1 << 26


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Reference(_Part):
    """One audited reference victim."""

    label: str = Field(description="the recipe's model, for people")
    data: str = Field(description="name of the data, for people")
    data_fingerprint: str = Field(description="of the three parts of the split, as in run.json")
    preset: str
    model_fingerprint: str
    policy_digest: str
    evidence_digest: str
    recaudit: str = Field(description="version that made the run")
    settings: dict[str, str] = Field(description="by check: digest of all that its numbers depend on in the policy")
    values: dict[str, float] = Field(description="estimates by evidence id")


class Table(_Part):
    """Reference victims; version 1 of the format."""

    version: Literal[1] = 1
    made_by: str = Field(description="the command that wrote it")
    references: tuple[Reference, ...] = ()


@dataclass(frozen=True)
class Place:
    """One number of a run among those of the references.

    Attributes:
        id: of the evidence.
        title: for people.
        measure: the evidence's.
        worse: which side is worse.
        value: of the run.
        rank: 1 is best; equal numbers share the better rank.
        references: how many references it was compared with; ranks go to one more.
        best: best number among the references.
        worst: worst number among the references.
        best_label: whose the best is.
    """

    id: str
    title: str
    measure: str
    worse: Worse
    value: float
    rank: int
    references: int
    best: float
    worst: float
    best_label: str


@dataclass(frozen=True)
class Standing:
    """Where a run stands.

    Attributes:
        places: in the order of the run's evidence; empty if nothing is comparable.
        labels: of the references that any place was compared with.
        reason: why nothing is comparable; empty otherwise.
    """

    places: tuple[Place, ...]
    labels: tuple[str, ...]
    reason: str


def settings_digest(policy: Mapping[str, Any], check: str) -> str:
    """Digest of what a check's numbers depend on in a policy: seed, list lengths, the check's own settings."""
    checks = policy.get("checks")
    own = checks.get(check) if isinstance(checks, Mapping) else None
    content = json.dumps([policy.get("seed"), policy.get("cutoffs"), own], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def reference(run: AuditRun, data: str) -> Reference:
    """A finished run as an entry of the table.

    Args:
        run: the record.
        data: name of the data, for people.

    Raises:
        InputError: the run did not finish.
    """
    if run.status != "complete":
        raise InputError(f"the run of {run.target.name} did not finish; it cannot be a reference")
    # whether the file reproduces its own metrics is a matter of that file; no model is better at it
    measured = [found for found in run.evidence if found.estimate is not None and found.measure != "reproduction"]
    return Reference(
        label=str(run.target.recipe.get("model", run.target.name)),
        data=data,
        data_fingerprint=run.target.data_fingerprint,
        preset=str(run.policy.get("preset", "")),
        model_fingerprint=run.target.model_fingerprint,
        policy_digest=run.policy_digest,
        evidence_digest=run.evidence_digest,
        recaudit=run.environment.get("recaudit", ""),
        settings={check: settings_digest(run.policy, check) for check in sorted({found.check for found in measured})},
        values={found.id: found.estimate for found in measured if found.estimate is not None},
    )


def load(path: Path = SHIPPED) -> Table:
    """A table of references.

    Args:
        path: the shipped one if not given.

    Raises:
        InputError: it cannot be read or is no such table; the message names file and field.
    """
    try:
        if path.stat().st_size > LIMIT:
            raise InputError(f"{path}: larger than {LIMIT >> 20} MiB, that is no table of references")
        return Table.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; write it with benchmarks/standing_table.py") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise InputError(f"{path}: {where}: {first['msg']}; write it with benchmarks/standing_table.py") from None


def place(run: AuditRun, table: Table | None = None) -> Standing:
    """The run's numbers among the references that can be compared with it.

    A reference with the run's own model is left out: nobody stands beside himself.

    Args:
        run: the record.
        table: the shipped one if not given.

    Raises:
        InputError: the shipped table cannot be read.
    """
    table = load() if table is None else table
    others = [entry for entry in table.references if entry.model_fingerprint != run.target.model_fingerprint]
    near = [entry for entry in others if entry.data_fingerprint == run.target.data_fingerprint]
    digests = {check: settings_digest(run.policy, check) for check in {found.check for found in run.evidence}}
    places, used = [], []
    for found in run.evidence:
        wanted = digests[found.check]
        same = [entry for entry in near if entry.settings.get(found.check) == wanted and found.id in entry.values]
        if found.estimate is not None and same:
            places.append(_place(found, found.estimate, same))
            used += [entry.label for entry in same]
    return Standing(tuple(places), tuple(dict.fromkeys(used)), "" if places else _reason(others, near))


def sentences(standing: Standing, limit: int = 12) -> list[Sentence]:
    """The standing in words, a sentence a number; or why there is none."""
    if not standing.places:
        return [[f"Not placed among reference models: {standing.reason}."]]
    told: list[Sentence] = []
    for own in standing.places[:limit]:
        places = decimals(own.value, own.best, own.worst)
        span = f"{number(own.best, places)} ({own.best_label}) to {number(own.worst, places)}"
        if own.references == 1:
            span = f"{number(own.best, places)} ({own.best_label})"
        rank = f": {number(own.value, places)}, place {count(own.rank)} of {count(own.references + 1)}; "
        told.append([Data(cut(own.title, 160).rstrip(".")), rank, "references: ", Data(cut(span, 120)), "."])
    left = len(standing.places) - limit
    if left > 0:
        told.append([f"{plural(left, 'number')} more could be placed."])
    return told


def _place(found: Evidence, value: float, same: Sequence[Reference]) -> Place:
    sign = 1 if found.worse == "higher" else -1
    ranked = sorted(same, key=lambda entry: sign * entry.values[found.id])
    values = [entry.values[found.id] for entry in ranked]
    return Place(
        id=found.id,
        title=found.title,
        measure=found.measure,
        worse=found.worse,
        value=value,
        rank=1 + sum(sign * other < sign * value for other in values),
        references=len(values),
        best=values[0],
        worst=values[-1],
        best_label=ranked[0].label,
    )


def _reason(others: list[Reference], near: list[Reference]) -> str:
    if not others:
        return "the table of references is empty"
    if not near:
        known = ", ".join(sorted({entry.data for entry in others}))
        return f"no reference was audited on these data and this split; the table knows {cut(known, 200)}"
    known = ", ".join(sorted({entry.preset for entry in near}))
    return f"the references on these data were audited with other settings or another seed (presets: {cut(known, 80)})"
