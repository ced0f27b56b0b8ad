"""The manifest of a run folder: an in-toto Statement v1 over every file of it, the same bytes for the same folder.

The layout is that of https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md; what the predicate holds
is our own and has a version in its URI. A change of meaning raises that version; `parse` knows version 1 alone.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ... import __version__
from ...audit.evidence import AuditRun
from ...datasets.errors import InputError
from .. import text
from .files import OWN, FileRecord, measured, walk

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://recaudit.dev/audit/v1"
LIMIT = 64 << 20
"""Bytes of a manifest that is read: some 300,000 files."""

RENDERERS = ("jinja2", "matplotlib", "typst", "fonttools")
"""Libraries that the bytes of a report may depend on."""

_Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_Size = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Digest(_Part):
    sha256: _Sha256


class _Subject(_Part):
    name: str
    digest: _Digest


class _Predicate(_Part):
    recaudit: str
    model_fingerprint: str
    data_fingerprint: str
    policy_digest: str
    evidence_digest: str
    seed: int
    environment: dict[str, str]
    started: str
    status: str
    verdict: str
    exit_code: int
    rendered_with: dict[str, str]
    sizes: dict[str, _Size]


class _Statement(_Part):
    type_: str = Field(alias="_type")
    subject: list[_Subject]
    predicateType: str
    predicate: _Predicate


@dataclass(frozen=True)
class Manifest:
    """A manifest that was read: the files it lists, what it says about the run, and what had rendered the reports."""

    files: tuple[FileRecord, ...]
    claims: Mapping[str, Any]
    rendered_with: Mapping[str, str]


def claims(run: AuditRun) -> dict[str, Any]:
    """What a manifest repeats of a run's record, so that it can be read without the record."""
    return {
        "recaudit": run.environment.get("recaudit", ""),
        "model_fingerprint": run.target.model_fingerprint,
        "data_fingerprint": run.target.data_fingerprint,
        "policy_digest": run.policy_digest,
        "evidence_digest": run.evidence_digest,
        "seed": run.seed,
        "environment": dict(run.environment),
        "started": run.started,
        "status": run.status,
        "verdict": run.verdict,
        "exit_code": run.exit_code,
    }


def renderers_here() -> dict[str, str]:
    """Versions of what renders reports: between equal ones, the same record gives the same bytes."""
    return {"recaudit": __version__, **{name: installed(name) for name in RENDERERS}}


def installed(name: str) -> str:
    """The version of a package, or "not installed"."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def statement(run: AuditRun, files: Sequence[FileRecord], rendered_with: Mapping[str, str]) -> bytes:
    """The manifest of a run and its files; neither their order nor the time of signing changes the bytes."""
    ordered = sorted(files, key=lambda file: file.name)
    return _encode(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": file.name, "digest": {"sha256": file.sha256}} for file in ordered],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                **claims(run),
                "rendered_with": dict(rendered_with),
                "sizes": {file.name: file.size for file in ordered},
            },
        }
    )


def manifest_of(folder: Path, run: AuditRun) -> bytes:
    """`statement` of a folder as it is now.

    Raises:
        InputError: it holds a link, a device, an empty folder or a name that is not UTF-8.
    """
    names, faults = walk(folder)
    if faults:
        raise InputError(
            f"{folder}: {text.undirected(text.cut(faults[0]))}; a manifest cannot describe that, remove it"
        )
    return statement(run, measured(folder, names), renderers_here())


def parse(content: bytes) -> Manifest:
    """Read a manifest, strictly: a byte that `statement` would not have written is refused.

    Raises:
        InputError: not a manifest of this version, or one that names files outside its folder. The caller says where.
    """
    if len(content) > LIMIT:
        raise InputError(f"larger than {LIMIT >> 20} MiB, recaudit writes no such manifest")
    try:
        raw = json.loads(content)
    except (ValueError, RecursionError):
        raise InputError("is not JSON; take the manifest as it was written") from None
    kinds = (raw.get("_type"), raw.get("predicateType")) if isinstance(raw, dict) else None
    if kinds != (STATEMENT_TYPE, PREDICATE_TYPE):
        raise InputError(
            f"says to be another kind or version of statement than {PREDICATE_TYPE}; use the recaudit that wrote it"
        )
    try:
        found = _Statement.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])[:200]
        raise InputError(f"{where}: {first['msg']}; take the manifest as it was written") from None
    names = [subject.name for subject in found.subject]
    outside = [name for name in names if not _inside(name)]
    if outside:
        raise InputError(f"names {outside[0][:200]!r}, which is no plain path inside the folder")
    sizes = found.predicate.sizes
    if names != sorted(set(names)) or sizes.keys() != set(names):
        raise InputError("lists a file twice, without its size or out of order; take the manifest as it was written")
    if content != _encode(raw):
        raise InputError("is laid out in another way than recaudit writes it; take the manifest as it was written")
    files = tuple(FileRecord(subject.name, sizes[subject.name], subject.digest.sha256) for subject in found.subject)
    own = ("sizes", "rendered_with")
    repeated = {key: value for key, value in raw["predicate"].items() if key not in own}
    return Manifest(files, repeated, found.predicate.rendered_with)


def _inside(name: str) -> bool:
    """Whether it is a relative path as `walk` gives them; on no system may one lead out of the folder."""
    path = PurePosixPath(name)
    plain = bool(path.parts) and str(path) == name and "\x00" not in name and name not in OWN
    return plain and ".." not in path.parts and not path.is_absolute() and not PureWindowsPath(name).anchor


def _encode(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n").encode()
