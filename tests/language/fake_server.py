"""A server on loopback that answers as told, fault by fault, and remembers what it was asked."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np


def vector(text: str, width: int = 4) -> list[float]:
    """What the server takes for the meaning of a text."""
    return [float(len(text)), *(float(ord(text[place % len(text)])) for place in range(width - 1))]


def embeddings(content: dict[str, Any], width: int = 4) -> list[dict[str, Any]]:
    return [{"index": place, "embedding": vector(text, width)} for place, text in enumerate(content.get("input", []))]


def packed(entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "embedding": base64.b64encode(np.array(entry["embedding"], "<f4").tobytes()).decode()}


@dataclass
class Reply:
    """One answer: `body` None gives embeddings, `cut` halves it.

    Seconds: `delay` before it, `drip` between bytes of the body, `drip_head` between those of a header.
    """

    status: int = 200
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    delay: float = 0.0
    drip: float = 0.0
    drip_head: float = 0.0


@dataclass
class Fake:
    """What was asked and what is still to be answered: a list, used up from its front, or a function."""

    base: str
    queue: list[Reply] = field(default_factory=list)
    answer: Callable[[dict[str, Any]], Reply] = lambda content: Reply()
    asked: list[tuple[str, dict[str, Any], dict[str, str]]] = field(default_factory=list)

    @property
    def texts(self) -> list[str]:
        return [text for _, content, _ in self.asked for text in content.get("input", [])]


@contextmanager
def serving() -> Iterator[Fake]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            fake.asked.append((self.path, content, dict(self.headers)))
            reply = fake.queue.pop(0) if fake.queue else fake.answer(content)
            time.sleep(reply.delay)
            body = {"data": embeddings(content)} if reply.body is None else reply.body
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(raw)), **reply.headers}.items():
                self.send_header(name, value)
            if reply.drip_head:
                self.flush_headers()
                for sign in b"X-Slow: " + 60 * b"a":
                    time.sleep(reply.drip_head)
                    self.wfile.write(bytes([sign]))
                self.wfile.write(b"\r\n")
            self.end_headers()
            raw = raw[: len(raw) // 2] if reply.cut else raw
            for part in [raw[n : n + 1] for n in range(len(raw))] if reply.drip else [raw]:
                time.sleep(reply.drip)
                self.wfile.write(part)

        do_GET = do_POST

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:  # clients that went away are meant to
            pass

    server = Server(("127.0.0.1", 0), Handler)
    fake = Fake(f"http://127.0.0.1:{server.server_address[1]}/v1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
