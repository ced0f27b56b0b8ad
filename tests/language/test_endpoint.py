"""Endpoints: what is sent and what is not, order, faults, waits, resuming; and that the key goes nowhere else."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recaudit.datasets.errors import DataError, InputError, RecauditError, UnfinishedError
from recaudit.language.cache import CachedEncoder, open_cached
from recaudit.language.embeddings import EndpointEncoder
from recaudit.language.endpoint import ALLOW, KEY, TRIES, Endpoint, EndpointRefusal
from recaudit.language.opening import open_encoder

from .fake_server import Fake, Reply, embeddings, packed, vector

SECRET = "sk-Qz81kPlm-secret-7731"
TEXTS = ["red lipstick", "drill", "a", "müde 漢字"]


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def opened(fake: Fake, waits: list[float]) -> EndpointEncoder:
    return EndpointEncoder(Endpoint("tiny", fake.base, timeout=5, sleep=waits.append, now=lambda: 1_000_000_000.0))


def expected(texts: list[str]) -> np.ndarray[Any, Any]:
    raw = np.array([vector(text) for text in texts])
    return np.asarray(raw / np.linalg.norm(raw, axis=1, keepdims=True), np.float32)


def test_vectors_go_to_their_texts_whatever_the_order_and_format(fake: Fake, opened: EndpointEncoder) -> None:
    plain = embeddings({"input": TEXTS})
    for data in (plain, plain[::-1], [packed(entry) for entry in plain[::-1]]):
        fake.queue.append(Reply(body={"data": data}))
        found = opened.encode([*TEXTS, "", "drill"])  # an empty and an equal text are not sent
        assert found.dtype == np.float32
        assert found == pytest.approx(
            np.concatenate([expected(TEXTS), np.zeros((1, 4)), expected(["drill"])]), abs=1e-6
        )
    assert {path for path, _, _ in fake.asked} == {"/v1/embeddings"}
    assert fake.texts == 3 * TEXTS
    assert all(content["model"] == "tiny" and "Authorization" not in heads for _, content, heads in fake.asked)


def test_64_texts_a_request_and_the_width_is_learnt_once(fake: Fake, opened: EndpointEncoder) -> None:
    assert opened.width == 4 and fake.texts == ["width"]
    opened.encode([f"text {number}" for number in range(130)])
    assert [len(content["input"]) for _, content, _ in fake.asked] == [1, 64, 64, 2]
    assert opened.encode([]).shape == (0, 4) and not opened.encode(["", " "]).any() and len(fake.asked) == 4


def changed(**change: object) -> list[dict[str, Any]]:
    first, *rest = embeddings({"input": TEXTS})
    return [{name: value for name, value in {**first, **change}.items() if value != "gone"}, *rest]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"data": embeddings({"input": TEXTS}, 5)}, "vectors of 5 numbers, 4 were expected"),
        ({"data": changed(embedding=[1.0])}, "vectors of 1 and 4 numbers, 4 were expected"),
        ({"data": changed(index="gone")}, "`index` is not 0 to 3, each once"),
        ({"data": changed(index=1)}, "each once"),
        ({"data": changed(index=False)}, "each once"),
        ({"data": embeddings({"input": TEXTS[:3]})}, "3 embeddings whose"),
        ({"data": changed(embedding=[1, 2, float("nan"), 4])}, "NaN or an infinite"),
        ({"data": changed(embedding=[1, 2, 1e39, 4])}, "NaN or an infinite"),
        ({"data": changed(embedding=[1, 2, "3", 4])}, "neither a list of numbers nor base64"),
        ({"data": changed(embedding="AAA=")}, "neither a list of numbers nor base64"),
        ({"data": changed(embedding=[])}, "neither a list of numbers nor base64"),
        ({"data": ["x"]}, "no list `data`"),
        ([], "no list `data`"),
        (b"<html>", "no JSON"),
        (b"[" * 100_000, "no JSON"),
    ],
)
def test_what_is_no_vector_for_each_text_is_refused_at_once(
    fake: Fake, opened: EndpointEncoder, waits: list[float], body: object, says: str
) -> None:
    opened.encode(["first"])
    fake.queue.append(Reply(body=body))
    with pytest.raises(DataError, match=says) as caught:
        opened.encode(TEXTS)
    assert fake.base + "/embeddings" in str(caught.value) and waits == [] and len(fake.asked) == 2


def test_faults_that_pass_are_waited_out(fake: Fake, opened: EndpointEncoder, waits: list[float]) -> None:
    fake.queue += [Reply(500), Reply(503), Reply(cut=True)]
    assert opened.encode(TEXTS) == pytest.approx(expected(TEXTS), abs=1e-6)
    assert len(waits) == 3 and all(half / 2 <= wait <= half for wait, half in zip(waits, (1, 2, 4), strict=True))
    before = waits.copy()
    fake.queue += [Reply(500), Reply(503), Reply(cut=True)]
    opened.encode(TEXTS)
    assert waits[3:] == before  # the jitter is seeded


def test_retry_after_is_kept_to_and_capped(fake: Fake, opened: EndpointEncoder, waits: list[float]) -> None:
    dates = [formatdate(1_000_000_000 + later, usegmt=True) for later in (7, -7)]
    for value in ("3", *dates, "86400"):
        fake.queue.append(Reply(429, headers={"Retry-After": value}))
    opened.encode(["a"])
    assert waits == [3, 7, 0, 60]
    fake.queue.append(Reply(429, headers={"Retry-After": "soon"}))
    opened.encode(["a"])
    assert 0.5 <= waits[4] <= 1


def test_after_five_tries_it_ends(fake: Fake, opened: EndpointEncoder, waits: list[float]) -> None:
    fake.answer = lambda content: Reply(500, {"error": {"message": "out of\nmemory " + 999 * "x"}})
    with pytest.raises(UnfinishedError, match=r"HTTP 500 out of memory x+….*5 tries") as caught:
        opened.encode(["a"])
    assert len(fake.asked) == TRIES and len(waits) == TRIES - 1 and len(str(caught.value)) < 400


def test_silence_ends(fake: Fake, waits: list[float]) -> None:
    fake.queue += [Reply(delay=0.5), Reply(drip=0.02)]  # the second never pauses for long
    impatient = EndpointEncoder(Endpoint("tiny", fake.base, timeout=0.2, sleep=waits.append))
    assert impatient.encode(["a"]).shape == (1, 4) and len(waits) == 2
    for _ in range(TRIES):
        fake.queue.append(Reply(drip=0.02))
    with pytest.raises(UnfinishedError, match=r"no answer within 0\.2 s"):
        impatient.encode(["a"])
    fake.queue += TRIES * [Reply(drip_head=0.05)]  # the head of an answer counts too
    started = time.monotonic()
    with pytest.raises(UnfinishedError, match=r"no answer within 0\.2 s"):
        impatient.encode(["b"])
    assert time.monotonic() - started < 0.5 * TRIES
    nobody = EndpointEncoder(Endpoint("tiny", "http://127.0.0.1:9/v1", sleep=waits.append))
    with pytest.raises(UnfinishedError, match="ConnectionRefusedError"):
        nobody.encode(["a"])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 301, 307, 308])
def test_a_no_is_a_no(fake: Fake, opened: EndpointEncoder, waits: list[float], status: int) -> None:
    target = fake.base.replace("/v1", "/elsewhere")
    fake.queue.append(Reply(status, {"error": {"message": "no such model"}}, {"Location": target}))
    with pytest.raises(EndpointRefusal, match=f"redirect to {target}" if status < 400 else "no such model") as caught:
        opened.encode(["a"])
    assert caught.value.status == status and len(fake.asked) == 1 and waits == []


@pytest.mark.parametrize(
    "echo",
    [SECRET, SECRET.upper(), "sk-Qz8****7731", " ".join(SECRET), SECRET[3:12], "\n".join(SECRET), f"%20{SECRET}"],
)
@pytest.mark.parametrize("status", [401, 500, 302])
def test_the_key_is_sent_and_shown_nowhere(
    fake: Fake,
    opened: EndpointEncoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    status: int,
    echo: str,
) -> None:
    monkeypatch.setenv(KEY, SECRET)
    fake.queue += [
        Reply(),
        *TRIES
        * [Reply(status, {"error": {"message": f"bad key {echo}"}}, {"Location": "/" + echo.replace("\n", " ")})],
    ]
    cached = CachedEncoder(opened, tmp_path)
    cached.encode(["kept"])
    with pytest.raises(RecauditError) as caught:
        cached.encode(["lost"])
    assert all(heads["Authorization"] == f"Bearer {SECRET}" for _, _, heads in fake.asked)
    assert not caught.value.__context__ and not caught.value.__cause__
    told = repr(caught.value) + repr(vars(opened)) + repr(vars(opened._endpoint)) + opened.id + cached.id
    told += "".join(capfd.readouterr()) + "".join(file.name + repr(file.read_bytes()) for file in tmp_path.iterdir())
    assert "a part of the key" in told and len(list(tmp_path.iterdir())) == 1
    bare = "".join(told.split()).casefold()
    assert not any(SECRET.casefold()[first : first + 6] in bare for first in range(len(SECRET) - 5))


@pytest.mark.parametrize("key", ["two words", "line\nend", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_not_shown(
    fake: Fake, opened: EndpointEncoder, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv(KEY, key)
    with pytest.raises(InputError, match="no header can carry") as caught:
        opened.encode(["a"])
    assert key not in str(caught.value) and not fake.asked


def test_the_key_leaves_over_https_only_and_stands_in_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, SECRET)
    monkeypatch.setenv(ALLOW, "1")
    for base, says in (
        ("http://192.0.2.1/v1", "over plain http"),
        (f"https://192.0.2.1/{SECRET}", "stands in the name"),
    ):
        with pytest.raises(InputError, match=says) as caught:
            EndpointEncoder(Endpoint("tiny", base)).encode(["a"])
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize("allowed", ["", "0", "yes", "127.0.0.1", "api.example.com"])
def test_nothing_is_sent_without_permission(
    fake: Fake, opened: EndpointEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: str
) -> None:
    monkeypatch.setenv(ALLOW, allowed)
    for encoder in (opened, CachedEncoder(opened, tmp_path)):
        with pytest.raises(InputError, match=r"2 texts \(7 characters\) would be sent to 127\.0\.0\.1:\d+, .*=1"):
            encoder.encode(["four", "six", ""])
        with pytest.raises(InputError, match="1 text "):
            _ = encoder.width
    with pytest.raises(InputError, match="not allowed"):
        opened._endpoint.post("/embeddings", {"input": ["a"]})
    assert not fake.asked


def test_permission_for_one_host_is_for_that_host(
    fake: Fake, opened: EndpointEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ALLOW, "api.example.com, " + fake.base.removeprefix("http://").removesuffix("/v1"))
    assert opened.encode(["a"]).shape == (1, 4)


def test_what_leaves_is_stated_before_it_does(
    fake: Fake, opened: EndpointEncoder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stated: list[str] = []

    def answer(content: dict[str, Any]) -> Reply:
        stated.append(capsys.readouterr().err)
        return Reply()

    fake.answer = answer
    cached = CachedEncoder(opened, tmp_path)
    cached.encode([f"{number:04}" for number in range(100)])
    assert "sending 100 texts (400 characters) to 127.0.0.1:" in stated[0] and "not encrypted, model tiny" in stated[0]
    for number in range(100):
        cached.encode([f"again {number}"])
    assert [bool(line) for line in stated].count(True) == 2 and "; 200 in all" in stated[-1]


def test_a_killed_run_sends_only_what_is_missing(fake: Fake, opened: EndpointEncoder, tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(64 * 4 + 5)]
    fake.queue += [Reply(), Reply(), Reply(404)]
    with pytest.raises(EndpointRefusal):
        CachedEncoder(opened, tmp_path).encode(texts)
    assert len(list(tmp_path.iterdir())) == 2
    fake.asked.clear()
    later = CachedEncoder(EndpointEncoder(Endpoint("tiny", fake.base)), tmp_path)
    whole = later.encode(texts)
    assert fake.texts == texts[128:] and whole == pytest.approx(expected(texts), abs=1e-6)


def test_kept_vectors_need_neither_permission_nor_server(
    fake: Fake, opened: EndpointEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = CachedEncoder(opened, tmp_path)
    whole = first.encode(TEXTS)
    monkeypatch.delenv(ALLOW)
    later = CachedEncoder(EndpointEncoder(Endpoint("tiny", fake.base + "/")), tmp_path)
    assert (later.encode(TEXTS) == whole).all() and later.width == 4 and len(fake.asked) == 1
    with pytest.raises(InputError):
        CachedEncoder(EndpointEncoder(Endpoint("other", fake.base)), tmp_path).encode(TEXTS)


def test_a_server_whose_vectors_changed_their_length_is_found_out(fake: Fake, tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(65)]
    CachedEncoder(EndpointEncoder(Endpoint("tiny", fake.base)), tmp_path).encode(texts[:64])
    fake.answer = lambda content: Reply(body={"data": embeddings(content, 6)})
    with pytest.raises(DataError, match="6 numbers, 4 were expected"):
        CachedEncoder(EndpointEncoder(Endpoint("tiny", fake.base)), tmp_path).encode(texts)


def test_an_endpoint_opens_by_name(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    open_encoder.cache_clear()
    found = open_cached(f"endpoint:@cf/some/model@2@{fake.base}/")
    assert found.id == f"endpoint @cf/some/model@2@{fake.base}"
    assert found.encode(TEXTS).shape == (4, 4) and fake.asked[0][1]["model"] == "@cf/some/model@2"
    assert json.loads(json.dumps(fake.asked[0][1]["input"])) == TEXTS


@pytest.mark.parametrize(
    "name",
    [
        "endpoint:",
        "endpoint:m",
        "endpoint:m@host/v1",
        "endpoint:m@ftp://host/v1",
        "endpoint:@https://host/v1",
        "endpoint:m@https://",
        "endpoint:m@https:///v1",
        "endpoint:m@https://user:hunter2@host/v1",
        "endpoint:m@https://host/v1?key=hunter2",
        "endpoint:m@https://host/v1#hunter2",
        "endpoint:m@https://host:99999/v1",
        "endpoint:m@https://[::1/v1",
        "endpoint:m@https://host/v1\r\nX: hunter2",
        "endpoint:m\x1b[2J@https://host/v1",
    ],
)
def test_malformed_names_are_refused_and_not_repeated(name: str) -> None:
    with pytest.raises(InputError, match="endpoint:MODEL@https://HOST/v1") as caught:
        open_encoder(name)
    assert "hunter2" not in str(caught.value)
