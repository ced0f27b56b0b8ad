"""What the reader answers to a file, and whether anything else happened meanwhile."""

from __future__ import annotations

import codecs
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from recaudit.datasets.errors import CheckpointError
from recaudit.recommenders.foreign import archive, inert, recbole, tensors
from recaudit.recommenders.foreign.recbole import RecBole, read_recbole

MARKER = "payload-ran"

_ACTS = {
    "import", "exec", "compile", "os.system", "subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn",
    "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.chmod", "os.symlink", "os.link", "os.truncate", "os.putenv",
    "pickle.find_class", "code.__new__", "function.__new__", "ctypes.dlopen", "socket.connect", "socket.bind",
    "shutil.rmtree", "shutil.copyfile", "tempfile.mkstemp", "urllib.Request", "pty.spawn", "webbrowser.open",
}  # fmt: skip
_watching: list[str] | None = None


def _hear(event: str, args: tuple[Any, ...]) -> None:
    if _watching is None:
        return
    writes = event == "open" and isinstance(args[2], int) and args[2] & 0o3
    if event in _ACTS or writes:
        _watching.append(f"{event} {args!r}"[:300])


for _encoding in ("utf-8", "ascii", "latin-1", "cp437", "unicode_escape", "raw_unicode_escape"):
    codecs.lookup(_encoding)  # modules that zipfile, pickle and messages import when they first need them
sys.addaudithook(_hear)  # cannot be taken away again: it hears nothing outside `quiet`


def _belongings() -> dict[str, Any]:
    """What a file could change in the reader's own modules."""
    found: dict[str, Any] = {}
    for module in (archive, inert, recbole, tensors):
        for name, value in _own(module).items():
            where = f"{module.__name__}.{name}"
            found[where] = dict(value) if isinstance(value, dict) else value
            if isinstance(value, FunctionType):
                found[f"{where}()"] = [
                    dict(vars(value)), value.__defaults__, value.__kwdefaults__, value.__code__, value.__name__,
                    value.__qualname__, value.__doc__, value.__module__,
                ]  # fmt: skip
            elif isinstance(value, type):
                found[f"{where}."] = dict(vars(value))
    return found


def _own(module: ModuleType) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if not name.startswith("__")}


@contextmanager
def quiet(folder: Path) -> Iterator[None]:
    """Fail if anything ran, was imported, written, or left behind in the reader meanwhile."""
    global _watching
    before = set(sys.modules), sorted(folder.rglob("*")), _belongings()
    heard: list[str] = []
    _watching = heard
    try:
        yield
    finally:
        _watching = None
    assert not heard, heard
    assert not (folder / MARKER).exists(), "a payload ran"
    imported = set(sys.modules) - before[0]
    assert not imported, imported
    assert sorted(folder.rglob("*")) == before[1], "files were made"
    after = _belongings()
    changed = [name for name in before[2].keys() | after if before[2].get(name) != after.get(name)]
    assert not changed, changed


def answer(path: Path) -> RecBole | str:
    """The checkpoint, or the refusal, which is checked to be of the one form; any other exception passes."""
    try:
        return read_recbole(path)
    except CheckpointError as error:
        check_refusal(path, str(error))
        return str(error)


def check_refusal(path: Path, said: str) -> None:
    """File, expected, found and remedy, on one line of bounded length."""
    assert said.isprintable(), said
    assert said.startswith(f"{path}: expected "), said
    found, _, remedy = said.partition(", found ")[2].rpartition("; ")
    assert found and remedy, said
    assert len(said) < len(str(path)) + 1500, said
    assert "MemoryError" not in said, said


def refusal(path: Path) -> str:
    found = answer(path)
    assert isinstance(found, str), "read as if it were whole"
    return found


_CHILD = """
import json, resource, signal, sys
from pathlib import Path
from recaudit.datasets.errors import CheckpointError
from recaudit.recommenders.foreign.recbole import read_recbole

read_recbole(Path(sys.argv[3]))  # all that is imported late has been
pages = int(Path("/proc/self/statm").read_text().split()[0])
room = pages * resource.getpagesize() + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (room, room))
for name, path in json.loads(sys.argv[2]).items():
    signal.setitimer(signal.ITIMER_PROF, 12)
    try:
        file = read_recbole(Path(path))
        file.whole("embedding_size"), file.number("learning_rate"), file.text("valid_metric")
        said = "read"
        del file
    except CheckpointError as error:
        said = str(error)
    except BaseException as error:
        said = f"!{type(error).__name__}: {str(error)[:300]}"
    print(json.dumps([name, said]), flush=True)
"""


def outcomes(paths: Mapping[str, Path], good: Path, headroom: int) -> dict[str, str]:
    """What a process of its own says to each file: "read", a refusal, or how it came to its end after "!".

    Args:
        paths: of the files, by name.
        good: a file that is read before the limit is set.
        headroom: bytes of address space above what the process has before the first file.
    """
    found: dict[str, str] = {}
    while left := {name: str(path) for name, path in paths.items() if name not in found}:
        command = [sys.executable, "-c", _CHILD, str(headroom), json.dumps(left), str(good)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        found |= dict(json.loads(line) for line in done.stdout.splitlines())
        if done.returncode:
            guilty = next(name for name in left if name not in found)
            ended = signal.Signals(-done.returncode).name if done.returncode < 0 else done.stderr[-500:]
            found[guilty] = f"!the process ended by {'12 s of work' if ended == 'SIGPROF' else ended}"
    return found
