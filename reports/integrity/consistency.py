"""Does a run's record agree with itself and with the files beside it? Needs neither manifest nor key.

It finds a verdict that its evidence does not give, a report of another record, evidence that was edited in one place.
It cannot find a record that was forged with care: only a signature does.
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from ... import __version__
from ...audit.digests import evidence_digest, policy_digest
from ...audit.evidence import AuditRun, CellResult, Finding
from ...datasets.errors import InputError
from .files import read_bounded
from .manifest import installed, renderers_here

Outcome = Literal["ok", "failed", "not checked"]
RECORD = "run.json"
LIMIT = 1 << 30
"""Bytes of a record, a report or a PDF that is read into memory."""
_WORDS = ("reason", "remedy", "bound_reason", "title")
_NUMBERS = ("interval", "mde", "confidence")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    outcome: Outcome
    detail: str


def read_record(folder: Path) -> tuple[AuditRun, dict[str, Any]]:
    """The record of a folder, and its JSON as it was written.

    Raises:
        InputError: missing, damaged, or of another version.
    """
    path = folder / RECORD
    content = read_bounded(path, LIMIT)
    try:
        run = AuditRun.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])[:200] or "file"
        raise InputError(f"{path}: {where}: {first['msg']}; it is damaged or of another version") from None
    try:
        return run, json.loads(content)
    except (ValueError, RecursionError):
        raise InputError(f"{path}: holds numbers or nesting that no record has; it is damaged") from None


def consistency(
    folder: Path, run: AuditRun, raw: Mapping[str, Any], names: Collection[str], rendered_with: Mapping[str, str] | None
) -> Iterator[Check]:
    """Every check of a record against itself and the files beside it; imports no torch.

    Args:
        folder: of the run.
        run: its record.
        raw: the record's JSON.
        names: of the files that the folder holds.
        rendered_with: versions that rendered the reports, as the manifest says; None if there is none.
    """
    yield _finished(run)
    yield _policy(run, raw)
    yield _evidence(run, raw)
    yield _verdict(run)
    yield _copies(folder, run, names)
    yield _reports(folder, run, names, rendered_with)
    yield _attachment(folder, run, names)


def _finished(run: AuditRun) -> Check:
    if not run.evidence_digest:
        return Check("record", "failed", "the audit has not finished; give its `recaudit run` command again")
    if (run.status == "incomplete") != bool(run.failures):
        return Check("record", "failed", f"says {run.status!r} but lists {len(run.failures)} cells that failed")
    return Check("record", "ok", f"{RECORD} is a record of version {run.schema_version}, {run.status}")


def _policy(run: AuditRun, raw: Mapping[str, Any]) -> Check:
    if policy_digest(raw["policy"]) != run.policy_digest:
        return Check("policy", "failed", "the policy is not the one whose digest was taken before the first cell")
    if run.policy.get("seed") != run.seed:
        return Check("policy", "failed", "the record's seed is not the policy's")
    return Check("policy", "ok", f"digest {run.policy_digest[:12]}… is the policy's")


def _evidence(run: AuditRun, raw: Mapping[str, Any]) -> Check:
    if evidence_digest(raw["cells"], raw["evidence"]) != run.evidence_digest:
        return Check("evidence", "failed", "cells or evidence are not those whose digest the record states")
    return Check("evidence", "ok", f"digest {run.evidence_digest[:12]}… is that of cells and evidence")


def _verdict(run: AuditRun) -> Check:
    """Judge the evidence again. Waivers are looked at on the day the run started, else on the day it ended."""
    from ...audit.policy import Policy
    from ...audit.verdict import conclude, judge

    try:
        policy = Policy.model_validate(run.policy)
        days = _days(run)
        differences = []
        for day in days:
            findings = judge(run.evidence, run.skipped, run.failures, policy, day)
            concluded = conclude(findings, policy, not run.failures, run.target.verified is False)
            differences.append(_difference(run, findings, concluded))
    except (ValueError, ArithmeticError, LookupError, TypeError) as error:
        differences = [f"the evidence cannot be judged under the policy ({type(error).__name__})"]
    if "" in differences:
        day = days[differences.index("")]
        return Check("verdict", "ok", f"{run.verdict}, judged again from evidence and policy, waivers as of {day}")
    return _unlike("verdict", differences[0], run)


def _days(run: AuditRun) -> list[date]:
    started = datetime.fromisoformat(run.started)
    started = started.replace(tzinfo=started.tzinfo or UTC).astimezone(UTC)
    ended = started + timedelta(seconds=max(0.0, run.seconds) + 1)
    return sorted({started.date(), ended.date()})


def _difference(run: AuditRun, findings: Sequence[Finding], concluded: tuple[str, int]) -> str:
    """What the record states otherwise than it comes out now; empty if nothing."""
    if (run.verdict, run.exit_code) != concluded:
        verdict, code = concluded
        return f"states {run.verdict} (exit code {run.exit_code}), the evidence gives {verdict} (exit code {code})"
    if len(run.findings) != len(findings):
        return f"states {len(run.findings)} findings, the evidence gives {len(findings)}"
    words = _same_numerics(run)
    for stated, now in zip(run.findings, findings, strict=True):
        field = next((field for field in Finding.model_fields if not _agree(stated, now, field, words)), None)
        if field is not None:
            return f"{stated.id}: its {field} is not what the evidence gives"
    return ""


def _agree(stated: Finding, now: Finding, field: str, words: bool) -> bool:
    one, other = getattr(stated, field), getattr(now, field)
    if field in _WORDS and not words:  # numbers in words are rounded, the last digit may fall otherwise elsewhere
        return True
    if field not in _NUMBERS or one is None or other is None:
        return bool(one == other)
    pairs = zip(one, other, strict=True) if isinstance(one, tuple) else [(one, other)]
    return all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9) for a, b in pairs)


def _same_numerics(run: AuditRun) -> bool:
    here = {"recaudit": __version__, "machine": platform.machine()}
    here.update({name: installed(name) for name in ("numpy", "scipy")})
    return all(run.environment.get(name) == version for name, version in here.items())


def _unlike(name: str, detail: str, run: AuditRun) -> Check:
    """Failed; but of another version's record a difference may be the version's, and is only told."""
    writer = run.environment.get("recaudit", "unknown")
    if writer == __version__:
        return Check(name, "failed", detail)
    version = f"written by another version of recaudit ({writer}, this is {__version__})"
    return Check(name, "not checked", f"{version}: {detail}")


def _copies(folder: Path, run: AuditRun, names: Collection[str]) -> Check:
    """The files beside the record that repeat it: evidence.jsonl, cells/KEY.json, evidence.parquet."""
    name, seen = "copies", 0
    lines = "".join(found.model_dump_json() + "\n" for found in run.evidence).encode()
    if "evidence.jsonl" in names:
        if read_bounded(folder / "evidence.jsonl", LIMIT) != lines:
            return _unlike(name, "evidence.jsonl is not the record's evidence", run)
        seen += 1
    for cell in run.cells:
        path = f"cells/{cell.key}.json"
        if path not in names:
            continue
        try:
            same = CellResult.model_validate_json(read_bounded(folder / path, LIMIT)) == cell
        except ValidationError:
            same = False
        if not same:
            return Check(name, "failed", f"{path} is not the record's cell")
        seen += 1
    if "evidence.parquet" in names and run.environment.get("polars") == installed("polars"):
        from ...audit.tables import parquet

        try:
            table = parquet(run.evidence)
        except Exception as error:  # numbers that fit no column; polars has a dozen errors for them
            return Check(name, "failed", f"the record's evidence makes no table ({type(error).__name__})")
        if read_bounded(folder / "evidence.parquet", LIMIT) != table:
            return _unlike(name, "evidence.parquet is not the record's evidence", run)
        seen += 1
    if not seen:
        return Check(name, "not checked", "no file beside the record repeats it")
    return Check(name, "ok", f"{seen} files beside the record repeat it; arrays of cells (.npz) are not among them")


def _reports(folder: Path, run: AuditRun, names: Collection[str], rendered_with: Mapping[str, str] | None) -> Check:
    """Render again what can be rendered: the same run gives the same bytes."""
    try:
        from ..render import renderers

        there = {name: render for name, render in renderers().items() if name in names}
        other = [name for name, render in there.items() if read_bounded(folder / name, LIMIT) != render(run)]
    except (InputError, ImportError) as error:
        return Check("reports", "not checked", f"cannot be rendered again here: {error}")
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        return _unlike("reports", f"the record cannot be rendered ({type(error).__name__})", run)
    if other:
        verb = "is" if len(other) == 1 else "are"
        return _other_rendering(f"{', '.join(other)} {verb} not what the record renders to", run, rendered_with)
    if not there:
        return Check("reports", "not checked", "the folder holds none; `recaudit report` writes them")
    return Check("reports", "ok", f"{', '.join(there)}: rendered again, the same bytes")


def _other_rendering(detail: str, run: AuditRun, rendered_with: Mapping[str, str] | None) -> Check:
    """Failed, if what rendered the reports is what renders them here."""
    if rendered_with is None:
        return _unlike("reports", detail, run)
    here = renderers_here()
    other = [
        f"{name} {then}, here {here.get(name, 'unknown')}"
        for name, then in rendered_with.items()
        if here.get(name) != then
    ]
    if not other:
        return Check("reports", "failed", detail)
    return Check("reports", "not checked", f"rendered by another version ({'; '.join(other)}): {detail}")


def _attachment(folder: Path, run: AuditRun, names: Collection[str]) -> Check:
    if "report.pdf" not in names:
        return Check("attachment", "not checked", "there is no report.pdf")
    try:
        import pikepdf
    except ImportError:
        return Check("attachment", "not checked", "reading report.pdf needs another package: pip install pikepdf")
    import io

    content = read_bounded(folder / "report.pdf", LIMIT)
    try:
        with pikepdf.open(io.BytesIO(content)) as pdf:
            found = [bytes(pdf.attachments[name].get_file().read_bytes()) for name in pdf.attachments if name == RECORD]
    except Exception as error:  # damage of a PDF raises a dozen unrelated types
        return Check("attachment", "failed", f"report.pdf cannot be read ({type(error).__name__})")
    if not found:
        return Check("attachment", "not checked", f"report.pdf carries no {RECORD}")
    try:  # compared as records: one that an earlier version wrote is laid out anew when its PDF is rendered again
        same = [AuditRun.model_validate_json(record) for record in found] == [run]
    except ValidationError:
        same = False
    if not same:
        return Check("attachment", "failed", f"report.pdf carries another record than {RECORD}")
    return Check("attachment", "ok", f"report.pdf carries the record of {RECORD}")
