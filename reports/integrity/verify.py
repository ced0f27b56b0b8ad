"""Is a run folder as its signer left it? Every check of the answer says what it looked at, or why it did not.

Where a key is given, what the folder is held against is the payload that the key verified, and nothing else of the
envelope. Without a key or a signature the checks can find accidents and careless edits; that is no success.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...datasets.errors import InputError
from .. import text
from .consistency import RECORD, Check, consistency, read_record
from .files import ENVELOPE, MANIFEST, check_outside, measured, read_bounded, walk
from .manifest import LIMIT, Manifest, claims, parse
from .signing import ENVELOPE_LIMIT, SignatureError, check_key, open_envelope

INTACT, CHANGED, UNSIGNED = 0, 1, 4
_NAMED = 5


@dataclass(frozen=True)
class Verification:
    """What was checked, in its order.

    Attributes:
        checks: each with its outcome.
        signed_by: id of the given key if the manifest's signature holds under it.
        audit: verdict that the record states, None if it cannot be read.
    """

    checks: tuple[Check, ...]
    signed_by: str | None
    audit: str | None

    @property
    def exit_code(self) -> int:
        """0 intact and signed by the given key; 1 something is changed; 4 nothing found, but not shown by a key."""
        if any(check.outcome == "failed" for check in self.checks):
            return CHANGED
        return UNSIGNED if self.signed_by is None else INTACT

    @property
    def outcome(self) -> str:
        """The exit code in a word: intact, changed or unsigned."""
        return {INTACT: "intact", CHANGED: "changed", UNSIGNED: "unsigned"}[self.exit_code]

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "outcome": self.outcome,
            "exit_code": self.exit_code,
            "signed_by": self.signed_by,
            "audit_verdict": self.audit,
            "checks": [asdict(check) for check in self.checks],
        }


def verify(folder: Path, key: Path | None = None, model: str | None = None, data: str | None = None) -> Verification:
    """Check a run folder; nothing in it is run or followed, and nothing is written.

    Args:
        folder: of the run.
        key: the signer's public key, from outside the folder.
        model: fingerprint of the model at hand, to compare with the audited one.
        data: fingerprint of the data at hand.

    Raises:
        InputError: no run folder at all, or `key` is no public Ed25519 key or lies in the folder.
    """
    names, faults = walk(folder)
    there = {path.name for path in folder.iterdir() if path.name in (MANIFEST, ENVELOPE)}
    if RECORD not in names and not there:
        raise InputError(f"{folder}: holds no {RECORD}; give the folder that `recaudit run --out` wrote")
    checks: list[Check] = []
    content, signed_by = _signature(folder, key, there, checks)
    manifest = None
    if content is not None:
        try:
            manifest = parse(content)
        except InputError as error:
            checks.append(Check("manifest", "failed", f"{MANIFEST}: {error}"))
    checks.append(_files(folder, manifest, names, faults))
    whole = all(check.outcome != "failed" for check in checks)
    try:
        run, raw = read_record(folder)
    except InputError as error:
        checks.append(Check("record", "failed", str(error)))
        return Verification(_shown(checks), signed_by, None)
    if manifest is not None and manifest.claims != claims(run):
        checks.append(Check("manifest", "failed", f"it says otherwise than {RECORD} about the run"))
    if whole:
        checks += consistency(folder, run, raw, frozenset(names), None if manifest is None else manifest.rendered_with)
    else:
        checks.append(Check("record", "not checked", "the folder is not as it was listed; see above"))
    checks.append(_identity("model", model, run.target.model_fingerprint))
    checks.append(_identity("data", data, run.target.data_fingerprint))
    checks.append(Check("time", "not checked", f"{run.started} is what the record claims; no time stamp proves it"))
    return Verification(_shown(checks), signed_by, run.verdict)


def _shown(checks: Sequence[Check]) -> tuple[Check, ...]:
    """The checks with details that are safe on a terminal: they repeat names and texts of the folder."""
    return tuple(Check(check.name, check.outcome, text.undirected(text.cut(check.detail, 600))) for check in checks)


def _signature(folder: Path, key: Path | None, there: set[str], checks: list[Check]) -> tuple[bytes | None, str | None]:
    """What to hold the folder against, and who signed it: the verified payload, else an unsigned manifest, else None.

    Where a signature does not hold, there is nothing to hold the folder against.
    """
    plain = _read(folder / MANIFEST, LIMIT, checks) if MANIFEST in there else None
    if key is not None:
        check_outside(folder, key)
        check_key(key)
    if ENVELOPE not in there:
        checks.append(Check("signature", "not checked", f"UNSIGNED: there is no {ENVELOPE}"))
        return plain, None
    if key is None:
        detail = "NO KEY GIVEN: anyone could have made this signature; give the signer's public key by --key"
        checks.append(Check("signature", "not checked", detail))
        return plain, None
    envelope = _read(folder / ENVELOPE, ENVELOPE_LIMIT, checks)
    if envelope is None:
        return None, None
    try:
        payload, keyid = open_envelope(envelope, key)
    except SignatureError as error:
        checks.append(Check("signature", "failed", f"{ENVELOPE}: {error}"))
        return None, None
    checks.append(Check("signature", "ok", f"the manifest is signed by the key given (id {keyid[:16]}…)"))
    if MANIFEST not in there:
        checks.append(Check("manifest", "failed", f"{MANIFEST} is missing"))
    elif plain is not None and plain != payload:
        checks.append(Check("manifest", "failed", f"{MANIFEST} is not what was signed"))
    return payload, keyid


def _read(path: Path, limit: int, checks: list[Check]) -> bytes | None:
    try:
        return read_bounded(path, limit)
    except InputError as error:
        checks.append(Check("manifest", "failed", str(error)))
        return None


def _files(folder: Path, manifest: Manifest | None, names: Sequence[str], faults: Sequence[str]) -> Check:
    """Hold the files found against those listed; a listed path is only ever compared, never opened."""
    wrong = list(faults)
    if manifest is None:
        if wrong:
            return Check("files", "failed", _some(wrong))
        return Check("files", "not checked", f"{len(names)} files, which no manifest lists")
    listed = {file.name: file for file in manifest.files}
    for file in measured(folder, [name for name in names if name in listed]):
        if file.size != listed[file.name].size:
            wrong.append(f"{file.name} has {file.size} bytes, {listed[file.name].size} were listed")
        elif file != listed[file.name]:
            wrong.append(f"{file.name} is changed")
    wrong += [f"{name} is missing" for name in sorted(listed.keys() - set(names))]
    wrong += [f"{name} is not listed" for name in names if name not in listed]
    if wrong:
        return Check("files", "failed", _some(wrong))
    return Check("files", "ok", f"{len(names)} files have the size and SHA-256 listed, and no other file is there")


def _some(wrong: Sequence[str]) -> str:
    """The first few, each cut: names of files may be long and hostile."""
    more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
    return "; ".join(text.cut(one, 100) for one in wrong[:_NAMED]) + more


def _identity(name: str, given: str | None, audited: str) -> Check:
    if given is None:
        return Check(name, "not checked", f"not given; the record names {audited[:12]}…")
    if given != audited:
        return Check(
            name, "failed", f"the {name} given is another one than was audited ({given[:12]}…, {audited[:12]}…)"
        )
    return Check(name, "ok", f"the {name} given is the one that was audited ({audited[:12]}…)")
