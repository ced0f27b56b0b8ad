"""A pickle as dead matter: names become labels, calls become records, and nothing is imported or run.

The operations are carried out here, on plain values alone, and not by Python's unpickler: that one calls, sets
attributes and hashes whatever a file tells it to.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...datasets.errors import CheckpointError
from ..checkpoint_files import printable, refuse
from .archive import PICKLE_LIMIT, Archive
from .tensors import Stored, rebuilt

OPERATIONS = 1_000_000
"""Real model files have a few thousand."""

_LONGEST_INTEGER = 64
_HOSTILE = "no model file needs that; do not use this file"
_MARK = object()
_PLAIN = (str, int, float, bytes, type(None))  # bool is an int

_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_GIVEN = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES "
    "SHORT_BINBYTES BINBYTES8".split()
)
"""Operations that push what they carry."""


class Label:
    """A name in a module, which leads nowhere."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        """Keep the texts."""
        self.module, self.name = module, name


class Inert:
    """Stands for an object: the name it was made by, what from, and its state; never what it does."""

    __slots__ = ("args", "of", "state")

    def __init__(self, of: Label, args: tuple[Any, ...]) -> None:
        """Keep them."""
        self.of, self.args = of, args
        self.state: Any = None

    @property
    def name(self) -> str:
        """Of what made it."""
        return self.of.name


class _Fault(Exception):
    """What a pickle of plain values and tensors does not do."""


class _Machine:
    """A stack and a memo of plain values."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise _Fault("values that are not there")
        return self.stack.pop()

    def marked(self) -> list[Any]:
        """What was pushed since the last mark."""
        for place in range(len(self.stack) - 1, -1, -1):
            if self.stack[place] is _MARK:
                found = self.stack[place + 1 :]
                del self.stack[place:]
                return found
        raise _Fault("values back to a mark that is not there")

    def top(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise _Fault("values that are not there")
        return self.stack[-1]

    def remember(self, number: int) -> None:
        if number > 2 * len(self.memo) + 1024:
            raise _Fault(f"memo entry {number}")
        self.memo[number] = self.top()

    def recall(self, number: int) -> None:
        if number not in self.memo:
            raise _Fault(f"memo entry {number}, which was never made")
        self.stack.append(self.memo[number])

    def label(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise _Fault("a name that is no text")
        self.stack.append(Label(module, name))

    def call(self) -> None:
        """A call or a new object, as a record; of ordered dictionaries, tensors and parameters the thing itself."""
        args, of = self.pop(), self.pop()
        if type(of) is not Label or type(args) is not tuple:
            raise _Fault("a call of something that is no name")
        made = _MADE.get((of.module, of.name))
        self.stack.append(Inert(of, args) if made is None else made(*args))

    def build(self) -> None:
        """A state is kept with an object, dropped of a dictionary, and nothing else has one."""
        state, owner = self.pop(), self.top()
        if type(owner) is Inert:
            owner.state = state
        elif type(owner) is not dict:
            raise _Fault(f"a state for a {type(owner).__name__}")

    def items(self, values: list[Any]) -> None:
        owner = self.top()
        if len(values) % 2:
            raise _Fault("a key without a value")
        if type(owner) is Inert:
            return
        if type(owner) is not dict:
            raise _Fault(f"entries of a {type(owner).__name__}")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, (*_PLAIN, Inert)):
                raise _Fault(f"a {type(key).__name__} as a key")
            owner[key] = value

    def append(self, values: list[Any]) -> None:
        owner = self.top()
        if type(owner) is list:
            owner.extend(values)
        elif type(owner) is not Inert:
            raise _Fault(f"more for a {type(owner).__name__}")

    def stored(self) -> None:
        """The place of a tensor's numbers."""
        pid = self.pop()
        if type(pid) is not tuple or len(pid) != 5 or pid[0] != "storage":
            raise _Fault("a reference to something that is no storage")
        kind, key, count = pid[1], pid[2], pid[4]
        if type(kind) is not Label or type(key) is not str or type(count) is not int or count < 0:
            raise _Fault("a storage without type, place or size")
        self.stack.append(Stored(kind.name, key, count))

    def do(self, name: str, given: Any) -> None:
        """One operation."""
        push = self.stack.append
        if name in _CONSTANTS:
            push(_CONSTANTS[name])
        elif name in _GIVEN:
            if type(given) is int and given.bit_length() > _LONGEST_INTEGER:
                raise _Fault(f"an integer of more than {_LONGEST_INTEGER} bits")
            push(given)
        elif name in _STEPS:
            _STEPS[name](self, given)
        else:
            raise _Fault(f"{name}")


def _swapped(machine: _Machine, _: Any) -> None:
    name, module = machine.pop(), machine.pop()
    machine.label(module, name)


def _extended(machine: _Machine, _: Any) -> None:
    named = machine.pop()
    if named != {}:
        raise _Fault("a new object with named arguments")
    machine.call()


def _pair(machine: _Machine, _: Any) -> None:
    value, key = machine.pop(), machine.pop()
    machine.items([key, value])


def _pushed(make: Callable[[], Any]) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.stack.append(make())


def _tuple(count: int) -> Callable[[_Machine, Any], None]:
    def step(machine: _Machine, _: Any) -> None:
        values = [machine.pop() for _ in range(count)]
        machine.stack.append(tuple(reversed(values)))

    return step


def _dict(machine: _Machine, _: Any) -> None:
    values = machine.marked()
    machine.stack.append({})
    machine.items(values)


def _discard(machine: _Machine, _: Any) -> None:
    if not machine.stack:
        raise _Fault("values that are not there")
    machine.stack.pop()


_STEPS: dict[str, Callable[[_Machine, Any], Any]] = {
    "PROTO": lambda machine, given: None,
    "FRAME": lambda machine, given: None,
    "MARK": lambda machine, given: machine.stack.append(_MARK),
    "POP": _discard,
    "POP_MARK": lambda machine, given: machine.marked(),
    "DUP": lambda machine, given: machine.stack.append(machine.top()),
    "EMPTY_LIST": _pushed(list),
    "EMPTY_DICT": _pushed(dict),
    "LIST": lambda machine, given: machine.stack.append(machine.marked()),
    "DICT": _dict,
    "TUPLE": lambda machine, given: machine.stack.append(tuple(machine.marked())),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "APPEND": lambda machine, given: machine.append([machine.pop()]),
    "APPENDS": lambda machine, given: machine.append(machine.marked()),
    "SETITEM": _pair,
    "SETITEMS": lambda machine, given: machine.items(machine.marked()),
    "GLOBAL": lambda machine, given: machine.label(*given.split(" ", 1)),
    "STACK_GLOBAL": _swapped,
    "REDUCE": lambda machine, given: machine.call(),
    "NEWOBJ": lambda machine, given: machine.call(),
    "NEWOBJ_EX": _extended,
    "BUILD": lambda machine, given: machine.build(),
    "BINPERSID": lambda machine, given: machine.stored(),
    "MEMOIZE": lambda machine, given: machine.remember(len(machine.memo)),
    "PUT": lambda machine, given: machine.remember(int(given)),
    "BINPUT": lambda machine, given: machine.remember(given),
    "LONG_BINPUT": lambda machine, given: machine.remember(given),
    "GET": lambda machine, given: machine.recall(int(given)),
    "BINGET": lambda machine, given: machine.recall(given),
    "LONG_BINGET": lambda machine, given: machine.recall(given),
}


def _ordered(*args: Any) -> dict[Any, Any]:
    if args:
        raise _Fault("an ordered dictionary made from something")
    return {}


def _tensor(*args: Any) -> Any:
    try:
        return rebuilt(*args)
    except (TypeError, ValueError) as error:
        raise _Fault(str(error)) from None


def _parameter(*args: Any) -> Any:
    if not args:
        raise _Fault("a parameter without a tensor")
    return args[0]


_MADE: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): _ordered,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
}


def read_pickle(path: Path, raw: bytes) -> Any:
    """What a pickle holds: numbers, texts, lists, tuples, dictionaries, `Tensor`, and `Label` or `Inert` for all else.

    Memory: a few hundred bytes for each operation, of which there are at most `OPERATIONS`.

    Args:
        path: for error messages.
        raw: at most `PICKLE_LIMIT` bytes.

    Raises:
        CheckpointError: too large, malformed, or with operations that no model file needs.
    """
    if len(raw) > PICKLE_LIMIT:
        raise refuse(path, f"a pickle of at most {PICKLE_LIMIT:,} bytes", f"{len(raw):,} bytes", _HOSTILE)
    machine = _Machine()
    try:
        for count, (operation, given, _) in enumerate(pickletools.genops(raw), start=1):
            if count > OPERATIONS:
                raise refuse(path, f"at most {OPERATIONS:,} operations", "more", _HOSTILE)
            if operation.name == "STOP":
                return machine.pop()
            machine.do(operation.name, given)
    except _Fault as fault:
        raise _refused(path, str(fault)) from None
    except (ValueError, OverflowError, UnicodeError) as error:  # of the walk: a stream that breaks off, or bad text
        raise refuse(path, "a whole pickle", printable(error) or type(error).__name__) from None
    raise refuse(path, "a whole pickle", "one without an end")


def _refused(path: Path, found: str) -> CheckpointError:
    return refuse(path, "a pickle of plain values and tensors", found, _HOSTILE)


def read_torch(archive: Archive) -> Any:
    """What the file holds (`read_pickle`); tensors are read when they are asked for.

    Raises:
        CheckpointError: see `read_pickle`; or numbers in another byte order.
    """
    if archive.size("byteorder") is not None and archive.read("byteorder", 16) != b"little":
        raise refuse(archive.path, "numbers in little-endian order", "another order", "save it on an ordinary machine")
    return read_pickle(archive.path, archive.read("data.pkl", PICKLE_LIMIT))
