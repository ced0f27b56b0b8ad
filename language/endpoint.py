"""A server that speaks the form of OpenAI, and the one way on which anything is sent.

Standard library only. Redirects are not followed, proxies and password files of the environment are not read.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import ipaddress
import json
import os
import re
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from ..datasets.errors import DataError, InputError, UnfinishedError
from ..datasets.seeding import rng
from .deadline import connection
from .encoder import ENDPOINT

FORM = f"{ENDPOINT}MODEL@https://HOST/v1"
"""How an endpoint is named; http:// is taken too, see `Endpoint`."""

KEY = "RECAUDIT_API_KEY"
"""Environment variable with the key; it is read when a request is made, and kept nowhere."""

ALLOW = "RECAUDIT_ALLOW_SENDING"
"""Environment variable that allows sending: 1 for every host, or the hosts allowed, HOST[:PORT], with commas."""

TRIES = 5
LONGEST_WAIT = 60.0  # seconds between two tries, whatever the server asks for
_LARGEST = 1 << 26  # bytes of an answer
_SHOWN = 200  # characters of a server's message
_PIECE = 6  # characters of the key that no message may hold in a row


class EndpointRefusal(InputError):
    """A server said no: asking again would not help. `status` is the HTTP status."""

    status: int = 0


@dataclass(frozen=True)
class _Answer:
    """What one try brought; status 0 where there was no whole answer, `fatal` where another try is of no use."""

    status: int = 0
    body: bytes = b""
    retry_after: str | None = None
    location: str | None = None
    problem: str = ""
    fatal: bool = False


class Endpoint:
    """One model on one server, asked by POST.

    A key travels over https, or to this machine; over plain http to another host it is refused, while texts may go
    there, since the user wrote http:// and was told.

    Attributes:
        model: as the server calls it.
        base: address up to and with the version, https://HOST/v1.
        host: HOST[:PORT].
    """

    def __init__(
        self,
        model: str,
        base: str,
        *,
        timeout: float = 60.0,
        sleep: Callable[[float], object] = time.sleep,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Nothing is sent yet.

        Args:
            model: as the server calls it.
            base: address up to and with the version.
            timeout: seconds until a try is given up, whether nothing comes or too slowly.
            sleep: waits so many seconds.
            now: seconds since 1970.

        Raises:
            InputError: the address is malformed, or holds a name, password, query or fragment.
        """
        # what is malformed is not repeated: it may hold a password
        wrong = InputError(f"an endpoint is named {FORM}, without name, password, ? or # in the address")
        if not model.strip() or not model.isprintable() or not re.fullmatch(r"https?://((?![@?#\\])[!-~])+", base):
            raise wrong
        try:
            parts = urlsplit(base)
            port = parts.port
        except ValueError:
            raise wrong from None
        if not parts.hostname:
            raise wrong
        self.model, self.host = model.strip(), parts.netloc.lower()
        self._path = parts.path.rstrip("/")
        self.base = f"{parts.scheme}://{self.host}{self._path}"
        self._where, self._port = parts.hostname, port
        self._secure = parts.scheme == "https"
        self._timeout, self._sleep, self._now = timeout, sleep, now
        self._stated = self._total = self._announced = 0

    @classmethod
    def named(cls, name: str) -> Endpoint:
        """The endpoint of a name "endpoint:MODEL@https://HOST/v1".

        Raises:
            InputError: the name is malformed.
        """
        found = re.fullmatch(rf"{ENDPOINT}(.+)@(https?://.+)", name)
        return cls(found[1], found[2]) if found else cls("", "")

    def announce(self, texts: Sequence[str]) -> None:
        """Say on stderr what is about to be sent: the first time, and whenever that doubles all that was stated.

        Raises:
            InputError: sending to this host was not allowed.
        """
        self._announced = 0
        if not texts:
            return
        count, signs = len(texts), sum(map(len, texts))
        many = f"{count:,} text{'s' * (count != 1)} ({signs:,} characters)"
        if not self._allowed():
            raise InputError(
                f"{self.model} at {self.base}: {many} would be sent to {self.host}, and nothing was; "
                f"set {ALLOW}=1 (or {ALLOW}={self.host}) to allow it, or give --allow-sending"
            )
        self._announced = count
        self._total += count
        if self._total >= 2 * self._stated:
            plain = "" if self._secure else ", not encrypted"
            so_far = f"; {self._total:,} in all" if self._stated else ""
            sys.stderr.write(f"sending {many} to {self.host}{plain}, model {self.model}{so_far}\n")
            sys.stderr.flush()
            self._stated = self._total

    def ensure(self, texts: Sequence[str]) -> None:
        """Announce these texts unless they are among those announced last.

        Raises:
            InputError: sending to this host was not allowed.
        """
        if len(texts) > self._announced:
            self.announce(texts)
        self._announced -= len(texts)

    def post(self, path: str, content: dict[str, Any]) -> Any:
        """The JSON that the server answers.

        429, 408, 5xx, timeouts, lost connections and truncated answers are tried again, `TRIES` in all, after what
        Retry-After says, else after a time that doubles; never longer than `LONGEST_WAIT`.

        Args:
            path: below the base, "/embeddings".
            content: of the request; the model is added.

        Raises:
            EndpointRefusal: any other status, redirects among them.
            InputError: sending is not allowed, the key cannot be used, or the certificate is not valid.
            DataError: the answer is no JSON.
            UnfinishedError: no try succeeded.
        """
        if not self._allowed():
            raise InputError(f"{self.model} at {self.base}: sending was not allowed; set {ALLOW}=1")
        key = self._key()
        body = json.dumps({"model": self.model, **content}).encode()
        jitter = rng(0, "endpoint", hashlib.sha256(body).hexdigest())
        url = f"{self.base}{path}"
        for attempt in range(1, TRIES + 1):
            answer = self._try(self._path + path, body, key)
            if answer.status == 200:
                break
            why = f"{url}: {_safe(_reason(answer), key)}"
            if answer.fatal or (answer.status and answer.status not in (408, 429) and answer.status < 500):
                refusal = EndpointRefusal(why)
                refusal.status = answer.status
                raise refusal
            if attempt == TRIES:
                raise UnfinishedError(f"{why}; given up after {TRIES} tries, finished requests are kept")
            asked = _retry_after(answer.retry_after, self._now())
            wait = 2.0 ** (attempt - 1) * (0.5 + 0.5 * jitter.random()) if asked is None else asked
            self._sleep(min(wait, LONGEST_WAIT))
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(answer.body)
        raise DataError(f"{url}: the answer is no JSON; is the address the one before {path}?")

    def _try(self, path: str, body: bytes, key: str) -> _Answer:
        """One request on a connection of its own."""
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Connection": "close"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        opened = None
        try:
            opened = connection(self._where, self._port, self._secure, time.monotonic() + self._timeout)
            opened.request("POST", path, body, headers)
            response = opened.getresponse()
            whole = _read(response)
            if isinstance(whole, str):
                return _Answer(problem=whole, fatal=whole.startswith("more"))
            return _Answer(response.status, whole, response.getheader("Retry-After"), response.getheader("Location"))
        except ssl.SSLCertVerificationError as error:
            return _Answer(problem=f"the certificate is not valid: {error.verify_message}", fatal=True)
        except TimeoutError:
            return _Answer(problem=f"no answer within {self._timeout:g} s")
        except (OSError, http.client.HTTPException) as error:
            return _Answer(problem=f"{type(error).__name__} {error}")
        finally:
            if opened is not None:
                opened.close()

    def _allowed(self) -> bool:
        return bool({"1", self.host} & {part.strip().lower() for part in os.environ.get(ALLOW, "").split(",")})

    def _key(self) -> str:
        key = os.environ.get(KEY, "").strip()
        if not re.fullmatch(r"[!-~]*", key):  # http.client would show it in its own error
            raise InputError(f"{KEY} holds spaces, line ends or letters outside of ASCII, which no header can carry")
        if key and key in f"{self.model} {self.base}":
            raise InputError(f"the key stands in the name of the endpoint, which is written into evidence; use {KEY}")
        if key and not self._secure and not _loopback(self._where):
            raise InputError(f"{KEY} is not sent to {self.host} over plain http; use https, or unset it")
        return key


def _read(response: http.client.HTTPResponse) -> bytes | str:
    """The whole body, or what is wrong with it."""
    length = response.getheader("Content-Length", "")
    wanted = int(length) if re.fullmatch(r"\d{1,15}", length) and not response.chunked else None
    parts, size = [], 0
    while wanted is None or size < wanted:
        if size > _LARGEST:
            return f"more than {_LARGEST:,} bytes"
        part = response.read1(1 << 16)
        if not part:
            break
        parts.append(part)
        size += len(part)
    return "the answer was cut off" if wanted is not None and size < wanted else b"".join(parts)


def _reason(answer: _Answer) -> str:
    """What went wrong, in the server's words if it has some."""
    if not answer.status:
        return answer.problem
    if 300 <= answer.status < 400:
        return f"HTTP {answer.status}, a redirect to {answer.location}, which is not followed; name that address itself"
    try:
        said = json.loads(answer.body)
        for name in ("error", "message", "detail"):
            said = said.get(name, said) if isinstance(said, dict) else said
        text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    except (ValueError, RecursionError):
        text = answer.body[:10_000].decode("utf-8", "replace")
    return f"HTTP {answer.status} {text}"


def _safe(text: str, key: str) -> str:
    """One printable line, cut; without what follows the status if that holds a part of the key."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    if key:
        bare, secret = (re.sub(r"[^!-~]", "", part).casefold() for part in (line, key))
        size = min(_PIECE, len(secret))
        if any(secret[first : first + size] in bare for first in range(len(secret) - size + 1)):
            status = re.match(r"HTTP \d+", line)
            return f"{status[0] if status else 'failed'} (the message is left out, since it holds a part of the key)"
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"


def _retry_after(value: str | None, now: float) -> float | None:
    """Seconds to wait by a header Retry-After, of seconds or a date; None if it says nothing usable."""
    if value is None:
        return None
    if re.fullmatch(r"\s*\d{1,9}(\.\d{1,9})?\s*", value):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError, TypeError):
        return None


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
