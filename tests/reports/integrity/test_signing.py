from __future__ import annotations

import base64
import builtins
import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519

from recaudit.datasets.errors import InputError
from recaudit.reports.integrity import signing
from recaudit.reports.integrity.signing import SignatureError, keygen, loose, open_envelope, sign
from recaudit.reports.integrity.verify import verify

from .conftest import Signed


@pytest.fixture
def envelope(signed: Signed) -> bytes:
    return (signed.folder / "manifest.dsse.json").read_bytes()


def test_the_payload_comes_back_and_is_the_manifest(signed: Signed, envelope: bytes) -> None:
    payload, keyid = open_envelope(envelope, signed.public)
    assert payload == (signed.folder / "manifest.json").read_bytes() and len(keyid) == 64


def test_any_byte_of_the_envelope_changed_is_refused(signed: Signed, envelope: bytes) -> None:
    payload = envelope.index(b'"payload": "') + len(b'"payload": "')
    end = envelope.index(b'"', payload)
    # every byte outside the payload; of the payload some, since any changes the signed bytes
    places = [*range(payload), *range(payload, end, 97), *range(end - 4, len(envelope))]
    for place in places:
        for bit in (0x01, 0x20, 0x80):
            changed = bytearray(envelope)
            changed[place] ^= bit
            with pytest.raises(SignatureError):
                open_envelope(bytes(changed), signed.public)
    for changed_length in (envelope[:-1], envelope + b"\n", envelope[1:], b"", envelope[: len(envelope) // 2]):
        with pytest.raises(SignatureError):
            open_envelope(changed_length, signed.public)


def _both(raw: dict[str, Any]) -> None:
    raw["signatures"].append(dict(raw["signatures"][0], keyid="0" * 64))


def _set(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda raw: raw.update(fields)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set(payloadType="application/json"), "another type"),
        (_set(payload="e30="), "does not hold"),
        (_set(payload="!!!"), "does not hold"),
        (_set(payload="\u2028"), "does not hold"),
        (_set(payload=None), "no text"),
        (_set(unsigned={"verdict": "pass"}), "alone"),
        (_set(signatures=[]), "exactly one"),
        (_set(signatures={}), "exactly one"),
        (_set(signatures=["x"]), "no text"),
        (_set(signatures=[{"keyid": "x"}]), "unknown"),
        (_both, "exactly one"),
        (lambda raw: raw["signatures"][0].update(sig="!!"), "does not hold"),
        (lambda raw: raw["signatures"][0].update(sig=""), "does not hold"),
        (lambda raw: raw["signatures"][0].update(extra="x"), "unknown"),
        (lambda raw: raw["signatures"][0].update(keyid="x"), "another key"),
        (lambda raw: raw["signatures"][0].update(sig=base64.b64encode(bytes(64)).decode()), "does not hold"),
    ],
)
def test_forged_envelopes_are_refused(
    change: Callable[[dict[str, Any]], None], message: str, signed: Signed, envelope: bytes
) -> None:
    raw = json.loads(envelope)
    change(raw)
    with pytest.raises(SignatureError, match=message):
        open_envelope(signing._encode(raw), signed.public)


def test_another_layout_of_a_valid_signature_is_refused(signed: Signed, envelope: bytes) -> None:
    with pytest.raises(SignatureError, match="laid out"):
        open_envelope(json.dumps(json.loads(envelope)).encode(), signed.public)
    padded = json.loads(envelope)
    standard = padded["payload"]
    padded["payload"] = standard.replace("+", "-").replace("/", "_")
    if padded["payload"] != standard:
        with pytest.raises(SignatureError):
            open_envelope(signing._encode(padded), signed.public)
    for junk in (b"[]", b"null", b"[" * 100_000, b"\xff\xfe", b"{}"):
        with pytest.raises(SignatureError):
            open_envelope(junk, signed.public)
    with pytest.raises(SignatureError, match="larger"):
        open_envelope(b" " * (signing.ENVELOPE_LIMIT + 1), signed.public)


def test_a_signature_under_another_key_is_refused(signed: Signed, envelope: bytes, tmp_path: Path) -> None:
    with pytest.raises(SignatureError, match="another key"):
        open_envelope(envelope, signed.other_public)
    sign(tmp_path, (signed.folder / "manifest.json").read_bytes(), signed.other_private)
    swapped, own = json.loads((tmp_path / "manifest.dsse.json").read_bytes()), json.loads(envelope)
    swapped["signatures"][0]["keyid"] = own["signatures"][0]["keyid"]  # the key's name is not the key
    with pytest.raises(SignatureError, match="does not hold"):
        open_envelope(signing._encode(swapped), signed.public)


def test_keys_are_for_their_owner_and_never_overwritten(tmp_path: Path) -> None:
    private, public = keygen(tmp_path / "new" / "key")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600 and public.name == "key.pub"
    assert b"BEGIN PRIVATE KEY" in private.read_bytes() and b"BEGIN PUBLIC KEY" in public.read_bytes()
    before = private.read_bytes()
    with pytest.raises(InputError, match="never overwritten"):
        keygen(private)
    private.unlink()
    with pytest.raises(InputError, match="never overwritten"):
        keygen(private)
    assert not private.exists()
    public.unlink()
    public.symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="never overwritten"):
        keygen(private)
    public.unlink()
    assert keygen(private)[0].read_bytes() != before


def test_a_pass_phrase_protects_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(signing.PASSPHRASE, "correct horse")
    private, public = keygen(tmp_path / "key")
    assert b"ENCRYPTED" in private.read_bytes()
    sign(tmp_path / "run", b"payload", private)
    assert open_envelope((tmp_path / "run" / "manifest.dsse.json").read_bytes(), public)[0] == b"payload"
    monkeypatch.setenv(signing.PASSPHRASE, "wrong")
    with pytest.raises(InputError, match="is wrong"):
        sign(tmp_path / "run", b"payload", private)
    monkeypatch.delenv(signing.PASSPHRASE)
    with pytest.raises(InputError, match="set RECAUDIT_KEY_PASSPHRASE"):
        sign(tmp_path / "run", b"payload", private)
    plain, _ = keygen(tmp_path / "plain")
    monkeypatch.setenv(signing.PASSPHRASE, "not needed")
    assert len(sign(tmp_path / "run", b"payload", plain)) == 64


def test_keys_of_other_kinds_are_refused(signed: Signed, envelope: bytes, tmp_path: Path) -> None:
    pem, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    keys: list[Any] = [
        ec.generate_private_key(ec.SECP256R1()),
        rsa.generate_private_key(65537, 2048),
        x25519.X25519PrivateKey.generate(),
    ]
    for n, key in enumerate(keys):
        private, public = tmp_path / f"{n}", tmp_path / f"{n}.pub"
        private.write_bytes(key.private_bytes(pem, kind, serialization.NoEncryption()))
        public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
        with pytest.raises(InputError, match="another type"):
            sign(tmp_path / "run", b"", private)
        with pytest.raises(InputError, match="another type") as refused:
            open_envelope(envelope, public)
        assert not isinstance(refused.value, SignatureError)
    with pytest.raises(InputError, match="is a private key; give the public"):
        open_envelope(envelope, signed.private)
    with pytest.raises(InputError, match="no private key"):
        sign(tmp_path / "run", b"", signed.public)
    (tmp_path / "junk").write_bytes(os.urandom(100))
    (tmp_path / "large").write_bytes(b"x" * 100_000)
    for name, message in (("junk", "no public key"), ("large", "too large"), ("missing", "No such file")):
        with pytest.raises(InputError, match=message):
            open_envelope(envelope, tmp_path / name)
    assert not (tmp_path / "run" / "manifest.dsse.json").exists()


def test_a_private_key_that_others_may_read_is_told(signed: Signed, tmp_path: Path) -> None:
    assert loose(signed.private) is None and loose(tmp_path / "missing") is None
    open_key = tmp_path / "key"
    open_key.write_bytes(signed.private.read_bytes())
    open_key.chmod(0o644)
    assert "mode 0644" in (loose(open_key) or "")


def test_without_the_library_one_line_says_what_to_install(
    signed: Signed, envelope: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name.startswith("securesystemslib"):
            raise ImportError(name)
        return real(name, *rest)

    for name in [name for name in sys.modules if name.startswith("securesystemslib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(InputError, match=r"pip install 'recaudit\[sign\]'"):
        open_envelope(envelope, signed.public)
    assert verify(signed.folder).exit_code == 4, "without a key the library is not needed"
