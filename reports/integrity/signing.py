"""Keys, and the signature over a manifest: a DSSE envelope with Ed25519, by `securesystemslib`.

The signature covers the payload's bytes and its type (the pre-authentication encoding of
https://github.com/secure-systems-lab/dsse/blob/master/protocol.md), nothing else of the envelope. So an envelope is
refused that holds anything else, and what is handed on is the verified payload alone.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...audit.files import write_whole
from ...datasets.errors import InputError
from .files import ENVELOPE, MANIFEST, check_outside
from .manifest import LIMIT

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
PASSPHRASE = "RECAUDIT_KEY_PASSPHRASE"
"""Environment variable with the pass phrase of a private key; on a command line everybody could read it."""
ENVELOPE_LIMIT = LIMIT // 3 * 4 + (1 << 16)
_KEY_LIMIT = 1 << 16
_FIELDS, _SIGNATURE_FIELDS = {"payload", "payloadType", "signatures"}, {"keyid", "sig"}


class SignatureError(InputError):
    """An envelope that does not hold under the key it was opened with."""


def keygen(path: Path) -> tuple[Path, Path]:
    """Make a pair of keys: the private one at `path` (PKCS#8 PEM, mode 0600), the public one beside it as `.pub`.

    With RECAUDIT_KEY_PASSPHRASE set the private key is encrypted under it.

    Raises:
        InputError: either file is there (a key is never overwritten), or the library is missing.
        OSError: the folder cannot be written.
    """
    _library()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = path.with_name(f"{path.name}.pub")
    for file in (path, public):
        if os.path.lexists(file):
            raise InputError(f"{file}: is there already, and a key is never overwritten; choose another name")
    phrase = os.environ.get(PASSPHRASE)
    cipher: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if phrase:
        cipher = serialization.BestAvailableEncryption(phrase.encode())
    key = Ed25519PrivateKey.generate()
    pem, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    _create(path, key.private_bytes(pem, serialization.PrivateFormat.PKCS8, cipher), 0o600)
    try:
        _create(public, key.public_key().public_bytes(pem, form), 0o644)
    except BaseException:
        path.unlink()
        raise
    return path, public


def loose(key: Path) -> str | None:
    """A warning if others than its owner may read a private key; None if not, or if it is no file."""
    try:
        mode = key.stat().st_mode
    except OSError:
        return None
    if os.name != "posix" or not stat.S_ISREG(mode) or not mode & 0o077:
        return None
    return f"{key}: others may read this private key (mode {stat.S_IMODE(mode):04o}); chmod 600 it"


def sign(folder: Path, payload: bytes, key: Path) -> str:
    """Write `manifest.json` and its signed envelope `manifest.dsse.json` into a folder; the signer's key id.

    Args:
        folder: of the run.
        payload: its manifest, from `manifest_of`.
        key: private key, PEM. A pass phrase is taken from RECAUDIT_KEY_PASSPHRASE.

    Raises:
        InputError: no private Ed25519 key, one in the folder itself, a wrong or missing pass phrase, or the library
            is missing.
        OSError: the folder cannot be written.
    """
    _library()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import CryptoSigner

    check_outside(folder, key)
    phrase = os.environ.get(PASSPHRASE)
    content = _key_bytes(key)
    try:
        try:
            private = load_pem_private_key(content, phrase.encode() if phrase else None)
        except TypeError:  # encrypted and no pass phrase, or a pass phrase that it does not need
            private = load_pem_private_key(content, None)
    except TypeError:
        raise InputError(f"{key}: is encrypted; set {PASSPHRASE} to its pass phrase") from None
    except ValueError:
        hint = f", or {PASSPHRASE} is wrong" if phrase else ""
        raise InputError(f"{key}: is no private key in PEM{hint}; make one with `recaudit keygen`") from None
    except Exception as error:
        raise _unsupported(key, error) from None
    if not isinstance(private, Ed25519PrivateKey):
        raise InputError(f"{key}: is a private key of another type than Ed25519; make one with `recaudit keygen`")
    signer = CryptoSigner(private)
    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    envelope.sign(signer)
    # the envelope goes last: without it the folder is unsigned, never signed wrongly
    write_whole(folder / MANIFEST, payload)
    write_whole(folder / ENVELOPE, _encode(envelope.to_dict()))
    return str(signer.public_key.keyid)


def open_envelope(content: bytes, key: Path) -> tuple[bytes, str]:
    """The payload of an envelope that the owner of a public key signed, and the key's id. Nothing else is handed on.

    Exactly one signature is accepted, and only bytes that `sign` would have written.

    Raises:
        SignatureError: not an envelope, changed, of another payload type, or signed by another key.
        InputError: `key` is no public Ed25519 key, or the library is missing.
    """
    public = _public(key)
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import Error

    raw = _raw(content)
    if raw["payloadType"] != PAYLOAD_TYPE:
        raise SignatureError(f"the payload says to be of another type than {PAYLOAD_TYPE}")
    if raw["signatures"][0]["keyid"] != public.keyid:
        raise SignatureError("signed by another key than the one given")
    try:
        envelope = Envelope.from_dict(raw)  # changes `raw`
        envelope.verify([public], 1)
        rebuilt = _encode(envelope.to_dict())
    except (Error, ValueError, TypeError, KeyError):
        raise SignatureError("the signature does not hold: the manifest or the signature was changed") from None
    if rebuilt != content:
        raise SignatureError("laid out in another way than recaudit writes it: something unsigned was changed")
    return envelope.payload, str(public.keyid)


def check_key(key: Path) -> None:
    """Refuse early what is no public Ed25519 key: a wrong option is no finding about a folder.

    Raises:
        InputError: it is none, or the library is missing.
    """
    _public(key)


def _raw(content: bytes) -> dict[str, Any]:
    if len(content) > ENVELOPE_LIMIT:
        raise SignatureError(f"larger than {ENVELOPE_LIMIT >> 20} MiB, recaudit writes no such envelope")
    try:
        raw = json.loads(content)
    except (ValueError, RecursionError):
        raise SignatureError("not JSON") from None
    if not isinstance(raw, dict) or raw.keys() != _FIELDS:
        raise SignatureError("not an envelope of payload, payloadType and signatures alone")
    signatures = raw["signatures"]
    if not isinstance(signatures, list) or len(signatures) != 1:
        raise SignatureError("does not hold exactly one signature")
    first = signatures[0]
    texts = [raw["payload"], raw["payloadType"], *(first.values() if isinstance(first, dict) else [None])]
    if not all(isinstance(text, str) for text in texts) or first.keys() != _SIGNATURE_FIELDS:
        raise SignatureError("a field is missing, unknown or no text")
    return raw


def _public(key: Path) -> SSlibKey:
    _library()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.signer import SSlibKey

    content = _key_bytes(key)
    if b"PRIVATE KEY" in content:
        raise InputError(f"{key}: is a private key; give the public one, which `recaudit keygen` wrote as .pub")
    try:
        public = load_pem_public_key(content)
    except ValueError:
        raise InputError(f"{key}: is no public key in PEM; give what `recaudit keygen` wrote as .pub") from None
    except Exception as error:
        raise _unsupported(key, error) from None
    if not isinstance(public, Ed25519PublicKey):
        raise InputError(f"{key}: is a public key of another type than Ed25519; `recaudit keygen` makes the right one")
    return SSlibKey.from_crypto(public)


def _unsupported(key: Path, error: Exception) -> Exception:
    """An InputError for a key type that the library does not know; any other error as it is."""
    from cryptography.exceptions import UnsupportedAlgorithm

    known = isinstance(error, UnsupportedAlgorithm)
    return InputError(f"{key}: is a key of an unknown type; make one with `recaudit keygen`") if known else error


def _key_bytes(key: Path) -> bytes:
    try:
        with key.open("rb") as file:  # a pipe is fine: secrets of CI systems come through one
            content = file.read(_KEY_LIMIT + 1)
    except OSError as error:
        raise InputError(f"{key}: {error.strerror}; make a pair of keys with `recaudit keygen`") from None
    if len(content) > _KEY_LIMIT:
        raise InputError(f"{key}: too large for a key; give a PEM file")
    return content


def _create(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise InputError(f"{path}: is there already, and a key is never overwritten; choose another name") from None
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _encode(envelope: Mapping[str, Any]) -> bytes:
    return (json.dumps(envelope, indent=1, sort_keys=True) + "\n").encode()


def _library() -> None:
    try:
        import cryptography  # noqa: F401
        import securesystemslib.dsse  # noqa: F401
    except ImportError:
        raise InputError("signatures need another package: pip install 'recaudit[sign]'") from None
