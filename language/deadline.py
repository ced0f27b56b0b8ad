"""A connection and its answer under one deadline, however slowly the bytes drip."""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from typing import Any


def connection(host: str, port: int | None, secure: bool, end: float) -> http.client.HTTPConnection:
    """Connected, and every reading of the answer, head and body, ends at `end` of `time.monotonic`.

    Raises:
        TimeoutError: when connecting, or later in `request`, `getresponse` or reading.
        OSError: no connection; ssl.SSLCertVerificationError among them.
    """
    made: http.client.HTTPConnection
    if secure:
        context = ssl.create_default_context()
        made = http.client.HTTPSConnection(host, port, timeout=_left(end), context=context)
    else:
        made = http.client.HTTPConnection(host, port, timeout=_left(end))
    made.connect()
    made.sock.settimeout(_left(end))
    made.response_class = _response(end)
    return made


def _response(end: float) -> Any:
    def make(sock: socket.socket, *args: Any, **options: Any) -> http.client.HTTPResponse:
        response = http.client.HTTPResponse(sock, *args, **options)
        response.fp.close()
        response.fp = io.BufferedReader(_Timed(sock, end))
        return response

    return make


class _Timed(io.RawIOBase):
    """Bytes of a socket, whose timeout before each reading is what is left; its own would begin anew at each byte."""

    def __init__(self, sock: socket.socket, end: float) -> None:
        self._sock, self._end = sock, end
        self._file = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_left(self._end))
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
