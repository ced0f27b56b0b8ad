"""`recaudit sign`, `verify` and `keygen`: is a run folder as its signer left it? No torch unless a model is given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import __version__
from . import options as opt

if TYPE_CHECKING:
    from ..reports.integrity.verify import Verification

_Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `recaudit run` wrote.")]
_MARKS = {"ok": "ok", "failed": "FAILED", "not checked": "not checked"}
_SAID = {
    "intact": "intact, and signed by the key given",
    "changed": "CHANGED: do not rely on this folder",
    "unsigned": "NOT SHOWN TO BE INTACT: no change found, but no signature was checked; anyone could have made this",
}


def keygen(
    path: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where the private key goes; FILE.pub is the public one.")
    ],
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Make a pair of Ed25519 keys for `sign` and `verify`. Never overwrites one.

    The private key stays with the signer (a secret of the CI system), the public key goes to whoever verifies, by
    another way than the run folder. RECAUDIT_KEY_PASSPHRASE, if set, encrypts the private key.

    Examples:
    `recaudit keygen ~/keys/audit`

    `RECAUDIT_KEY_PASSPHRASE=$(cat phrase) recaudit keygen ~/keys/audit`
    """
    from ..reports.integrity.signing import PASSPHRASE
    from ..reports.integrity.signing import keygen as make

    private, public = make(path)
    if not quiet:
        import os

        protection = "" if os.environ.get(PASSPHRASE) else f", without a pass phrase ({PASSPHRASE} is not set)"
        typer.echo(f"{private}: private key{protection}; whoever has it can sign in your name", err=True)
        typer.echo(f"{public}: public key; give it to whoever verifies, not together with the run folder", err=True)
    typer.echo(str(public))


def sign(
    folder: _Folder,
    key: Annotated[Path, typer.Option("--key", help="Private key, as `recaudit keygen` writes it.")],
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Sign a finished run: `manifest.json` lists every file of DIR, `manifest.dsse.json` holds it with the signature.

    Sign last: whatever changes DIR afterwards, `recaudit report` too, breaks the signature. A folder whose record
    contradicts itself is not signed.

    Examples:
    `recaudit sign recaudit-out --key ~/keys/audit`

    `recaudit sign recaudit-out --key <(printf '%s' "$RECAUDIT_SIGNING_KEY")`
    """
    from ..datasets.errors import InputError
    from ..reports import text
    from ..reports.integrity.consistency import consistency, read_record
    from ..reports.integrity.files import ENVELOPE, walk
    from ..reports.integrity.manifest import manifest_of, renderers_here
    from ..reports.integrity.signing import loose
    from ..reports.integrity.signing import sign as signed

    run, raw = read_record(folder)
    writer = run.environment.get("recaudit")
    if writer != __version__:  # its verdict and reports could not be held against what they were made from
        raise InputError(
            f"{folder}: not signed: written by recaudit {writer}, this is {__version__}; sign with the version that "
            "wrote it, or run the audit again"
        )
    names, _ = walk(folder)
    for check in consistency(folder, run, raw, frozenset(names), renderers_here()):
        if check.outcome == "failed":
            remedy = "run the audit again, or `recaudit report` where only a report is stale"
            detail = text.undirected(text.cut(check.detail))
            raise InputError(f"{folder}: not signed: {check.name}: {detail}; {remedy}")
    keyid = signed(folder, manifest_of(folder, run), key)
    warning = loose(key)
    if warning:
        typer.echo(f"recaudit: {warning}", err=True)
    if not quiet:
        typer.echo(f"signed {len(names)} files by key {keyid[:16]}…; the audit's verdict: {run.verdict}", err=True)
    typer.echo(str(folder / ENVELOPE))


def verify(
    folder: _Folder,
    key: Annotated[
        Path | None, typer.Option("--key", help="The signer's public key, from elsewhere than the folder.")
    ] = None,
    model: opt.AnyModel = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="With --model: its data, where the checkpoint holds none.")
    ] = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Find any change in a run folder since it was signed. This is not the audit's verdict: see `recaudit gate`.

    Exit codes: 0 intact and signed by the key given; 1 something is changed; 2 wrong use; 4 no change found, but
    unsigned or no key given.

    Examples:
    `recaudit verify recaudit-out --key audit.pub`

    `recaudit verify recaudit-out --key audit.pub --model ckpt && recaudit gate recaudit-out`
    """
    import json

    from ..datasets.errors import InputError
    from ..reports.integrity.verify import verify as check

    if data is not None and model is None:
        raise InputError("--data goes with --model: the split that was audited stands in the checkpoint")
    fingerprints = (None, None) if model is None else _fingerprints(model, data)
    found = check(folder, key, *fingerprints)
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=1))
    else:
        _show(found, folder, quiet)
    raise typer.Exit(found.exit_code)


def _show(found: Verification, folder: Path, quiet: bool) -> None:
    for check in found.checks:
        if not quiet or check.outcome == "failed":
            typer.echo(f"{_MARKS[check.outcome]:>11}  {check.name:<10}  {check.detail}")
    confirmed = any(check.name == "verdict" and check.outcome == "ok" for check in found.checks)
    said = "" if found.audit is None else f"; the audit's own verdict: {found.audit}"
    said += "" if confirmed or not said else ", NOT confirmed here"
    typer.echo(f"{folder}: {_SAID[found.outcome]} (exit code {found.exit_code}){said}")


def _fingerprints(model: Path, data: Path | None) -> tuple[str, str]:
    """Of model and data at hand, as `audit.run` puts them into the record."""
    target = opt.open_target(model, data)
    return target.fingerprint, target.split.fingerprint
