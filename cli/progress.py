"""Progress on stderr: a bar with the time left on a terminal, a plain line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Step = Callable[[int, int, str], None]
EVERY = 10.0
"""Seconds between plain lines."""


def clock(seconds: float) -> str:
    """Seconds as m:ss."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


@contextmanager
def progress(what: str, quiet: bool = False) -> Iterator[Step]:
    """Give a function to call with (done, total, text); it costs nothing when quiet."""
    if quiet:
        yield lambda done, total, text: None
    elif sys.stderr.isatty():
        yield from _bar(what)
    else:
        yield from _lines(what)


def _bar(what: str) -> Iterator[Step]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[now]}", markup=False),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None, now="")
        yield lambda done, total, text: bar.update(task, completed=done, total=total, now=text[:60])


def _lines(what: str) -> Iterator[Step]:
    start = time.monotonic()
    first: int | None = None
    last = start

    def step(done: int, total: int, text: str) -> None:
        nonlocal first, last
        now = time.monotonic()
        first = done if first is None else first  # cells of an earlier run say nothing about the pace
        if now - last < EVERY and done < total:
            return
        last = now
        gone = now - start
        left = f", about {clock(gone / (done - first) * (total - done))} left" if first < done < total else ""
        sys.stderr.write(f"{what}: {done} of {total}, {clock(gone)} gone{left}\n")
        sys.stderr.flush()

    yield step
