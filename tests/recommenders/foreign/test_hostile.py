"""Pickles from strangers: no name in them leads anywhere, whatever they hold."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recaudit.recommenders.foreign.recbole import RecBole, read_recbole

from .asking import MARKER, answer, check_refusal, quiet, refusal
from .crafting import (
    CONFIG,
    FOUR,
    ORDERED,
    PROTO,
    REBUILD,
    SETTINGS,
    Op,
    built,
    called,
    config,
    made,
    named,
    ordered,
    recbole,
    save_good,
    spell,
    stored,
    tensor,
    whole,
    write,
)  # fmt: skip


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = save_good(tmp_path_factory.mktemp("good") / "good.pth")
    read_recbole(path)  # imports of the first time are over
    return path


def _import(name: str) -> Op:
    return called(named("builtins", "__import__"), name)


def _attribute(value: Op, name: str) -> Op:
    return called(named("builtins", "getattr"), value, name)


CALLS: dict[str, Callable[[str], Op]] = {
    "os.system": lambda to: called(named("os", "system"), f"touch '{to}'"),
    "posix.system": lambda to: called(named("posix", "system"), f"touch '{to}'"),
    "os.popen": lambda to: called(named("os", "popen"), f"touch '{to}'"),
    "eval": lambda to: called(named("builtins", "eval"), f"open({to!r}, 'w').close()"),
    "exec": lambda to: called(named("builtins", "exec"), f"open({to!r}, 'w').close()"),
    "eval-of-python-2": lambda to: called(named("__builtin__", "eval"), f"open({to!r}, 'w').close()"),
    "open": lambda to: called(named("builtins", "open"), to, "w"),
    "Popen": lambda to: called(named("subprocess", "Popen"), ["touch", to]),
    "Popen-by-NEWOBJ": lambda to: made(named("subprocess", "Popen"), ["touch", to]),
    "Popen-by-NEWOBJ_EX": lambda to: Op(
        named("subprocess", "Popen").raw + spell(()) + spell({"args": ["touch", to]}) + b"\x92"
    ),
    "import_module": lambda to: called(named("importlib", "import_module"), "this"),
    "import-by-name-alone": lambda to: named("this", "s"),
    "getattr-of-import": lambda to: called(_attribute(_import("os"), "system"), f"touch '{to}'"),
    "dotted-name": lambda to: called(named("builtins", "open.__self__.eval"), f"open({to!r}, 'w').close()"),
    "path-touch": lambda to: called(named("pathlib", "Path.touch"), called(named("pathlib", "Path"), to)),
    "pickle-in-pickle": lambda to: called(
        named("torch.storage", "_load_from_bytes"), whole(called(named("os", "system"), f"touch '{to}'"))
    ),
    "torch.load": lambda to: called(named("torch", "load"), to),
    "reduce-in-reduce": lambda to: called(
        named("builtins", "list"), called(named("builtins", "map"), named("os", "system"), [f"touch '{to}'"])
    ),
    "partial-then-state": lambda to: built(made(named("functools", "partial"), named("os", "system")), (1, (), {}, {})),
    "our-own-reader": lambda to: called(
        named("recaudit.recommenders.foreign.inert", "_Reader.find_class"), "os", "system"
    ),
}
PLACES: dict[str, Callable[[Op], Any]] = {
    "alone": lambda op: op,
    "dropped-before-a-good-file": lambda op: Op(op.raw + b"0" + recbole().raw),
    "as-argument": lambda op: called(named("builtins", "list"), [op]),
    "as-function": lambda op: called(op, "x"),
    "as-argument-of-OrderedDict": lambda op: called(named("collections", "OrderedDict"), op),
    "as-parameter": lambda op: recbole(
        state_dict=ordered({"a": called(named("torch._utils", "_rebuild_parameter"), op, True, ORDERED)})
    ),
    "as-state_dict": lambda op: recbole(state_dict=op),
    "in-state_dict": lambda op: recbole(state_dict=ordered({"a": tensor(), "b": op})),
    "as-name-in-state_dict": lambda op: recbole(state_dict=ordered({op: tensor()})),
    "as-config": lambda op: recbole(config=op),
    "as-config-class": lambda op: recbole(config=built(made(op), {"final_config_dict": SETTINGS})),
    "as-config-state": lambda op: recbole(config=built(made(CONFIG), op)),
    "as-settings": lambda op: recbole(config=config(op)),
    "in-settings": lambda op: recbole(config=config(SETTINGS | {"x": op, "seed": op})),
    "as-model": lambda op: recbole(config=config(SETTINGS | {"model": op})),
    "as-epoch-and-score": lambda op: recbole(epoch=op, best_valid_score=op),
    "as-other-parameter": lambda op: recbole(other_parameter={"restore_user_e": op, "restore_item_e": op}),
    "as-persistent-id": lambda op: op + b"Q",
    "as-storage-type": lambda op: recbole(state_dict=ordered({"a": tensor(storage=stored(kind=op))})),
    "as-storage-key": lambda op: recbole(state_dict=ordered({"a": tensor(storage=stored(key=op))})),
    "as-storage-size": lambda op: recbole(state_dict=ordered({"a": tensor(storage=stored(count=op))})),
    "as-shape": lambda op: recbole(state_dict=ordered({"a": tensor(shape=op)})),
    "as-key-of-BUILD": lambda op: recbole(config=built(made(CONFIG), {op: op, "final_config_dict": SETTINGS})),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("call", CALLS)
def test_no_call_is_made_from_anywhere(call: str, place: str, good: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "m.pth", whole(PLACES[place](CALLS[call](str(tmp_path / MARKER)))))
    with quiet(tmp_path):
        answer(path)


def _old(text: str) -> Callable[[str], bytes]:
    return lambda to: text.replace("COMMAND", f"touch \\'{to}\\'").encode()


STREAMS: dict[str, Callable[[str], bytes]] = {
    "GLOBAL": _old("cos\nsystem\n(S'COMMAND'\ntR."),
    "INST": _old("(S'COMMAND'\nios\nsystem\n."),
    "OBJ": _old("(cos\nsystem\nS'COMMAND'\no."),
    "PERSID": _old("Pos.system\n."),
    "EXT1": lambda to: PROTO + b"\x82\x01.",
    "EXT2": lambda to: PROTO + b"\x83\x01\x00.",
    "EXT4": lambda to: PROTO + b"\x84\x01\x00\x00\x00.",
    "EXT4-negative": lambda to: PROTO + b"\x84\xff\xff\xff\xff.",
    "NEXT_BUFFER": lambda to: PROTO + b"\x97.",
    "READONLY_BUFFER": lambda to: PROTO + b"N\x98.",
    "nothing": lambda to: b"",
    "only-STOP": lambda to: b".",
    "no-STOP": lambda to: PROTO + spell(recbole()),
    "protocol-9": lambda to: b"\x80\x09N.",
    "unknown-opcode": lambda to: PROTO + b"\xff.",
    "POP-of-nothing": lambda to: PROTO + b"000.",
    "MARK-alone": lambda to: PROTO + b"(.",
    "two-thousand-MARKs": lambda to: PROTO + b"(" * 2000 + b"t.",
    "GET-of-nothing": lambda to: PROTO + b"h\x05.",
    "SETITEMS-on-a-number": lambda to: PROTO + b"K\x01(NNu.",
    "APPENDS-on-a-class": lambda to: whole(CONFIG + b"(NNe"),
    "ADDITEMS-on-a-class": lambda to: whole(CONFIG + b"(NN\x90"),
    "list-as-key": lambda to: whole({Op(spell([])): 1}),
    "STACK_GLOBAL-of-numbers": lambda to: PROTO + b"K\x01K\x02\x93.",
    "STACK_GLOBAL-of-bytes": lambda to: whole(Op(spell(b"os") + spell(b"system") + b"\x93")),
    "REDUCE-with-a-list": lambda to: whole(Op(CONFIG.raw + spell([1]) + b"R")),
    "REDUCE-of-a-text": lambda to: whole(Op(spell("os.system") + spell((1,)) + b"R")),
    "NEWOBJ-of-a-function": lambda to: whole(made(REBUILD, 1)),
    "NEWOBJ_EX-with-numbers-as-names": lambda to: whole(Op(CONFIG.raw + spell(()) + spell({1: 2}) + b"\x92")),
    "invalid-utf-8": lambda to: PROTO + b"X\x02\x00\x00\x00\xff\xfe.",
    "integer-of-letters": lambda to: b"Iabc\n.",
    "float-of-letters": lambda to: b"Fabc\n.",
    "integer-of-5000-digits": lambda to: b"I" + b"9" * 5000 + b"\n.",
    "old-long-of-5000-digits": lambda to: b"L" + b"9" * 5000 + b"L\n.",
    "long-of-100000-bytes": lambda to: PROTO + b"\x8b" + struct.pack("<i", 100_000) + b"\x7f" * 100_000 + b".",
    "long-of-negative-length": lambda to: PROTO + b"\x8b\xff\xff\xff\xff.",
    "negative-PUT": lambda to: b"Np-1\n.",
    "PUT-of-letters": lambda to: b"Npabc\n.",
    "text-after-STOP-only": lambda to: b".cos\nsystem\n",
    "quoted-badly": lambda to: b"S'abc\n.",
}


@pytest.mark.parametrize("name", STREAMS)
def test_streams_no_model_file_has_are_refused(name: str, good: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "m.pth", STREAMS[name](str(tmp_path / MARKER)))
    with quiet(tmp_path):
        refusal(path)


NAMES = {
    "empty": "", "dots": "path.join", "only-dots": "...", "builtins": "__builtins__", "class": "__class__",
    "globals": "system.__globals__.__getitem__", "mro": "__class__.__mro__", "right-to-left": "\u202egnissoporp",
    "zero-width": "sys\u200btem", "surrogate": "\ud800", "nul": "a\0b", "newline": "a\nfound: all is well", "escape":
    "\x1b[31mred\x1b]0;title\x07", "c1": "\x9b31m", "line-separator": "a\u2028b", "10000": "n" * 10_000,
    "combining": "e" + "\u0301" * 5000, "emoji": "\U0001f600", "percent": "%s%n{0}{path}", "slash": "../../etc/passwd",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_are_labels_and_come_out_printable(name: str, good: Path, tmp_path: Path) -> None:
    text = NAMES[name]
    for where, op in {
        "module": recbole(config=built(made(named(text, "Config")), {"final_config_dict": SETTINGS})),
        "class": recbole(config=built(made(named("os", text)), {"final_config_dict": SETTINGS})),
        "function": recbole(epoch=called(named(text, text), 1)),
        "model": recbole(config=config(SETTINGS | {"model": text, "seed": 1})),
    }.items():
        path = write(tmp_path / f"{where}.pth", op)
        with quiet(tmp_path):
            found = answer(path)
        assert isinstance(found, RecBole)
        check_refusal(path, str(found.lacks("seed", "a number", text)))
        check_refusal(path, str(found.lacks(text, "a number", None)))
    for where, op in {
        "storage-type": recbole(state_dict=ordered({"a": tensor(storage=stored(named("torch", text)))})),
        "storage-key": recbole(state_dict=ordered({"a": tensor(storage=stored(key="x" + text))})),
        "tensor": recbole(state_dict=ordered({text: 1})),
        "tensor-outside": recbole(state_dict=ordered({text: tensor((9, 9))})),
        "top": Op(spell({text: 1, "b": 2})),
    }.items():
        path = write(tmp_path / f"{where}.pth", op)
        with quiet(tmp_path):
            refusal(path)


TARGETS = {
    "rebuild-function": REBUILD, "parameter-function": named("torch._utils", "_rebuild_parameter"),
    "OrderedDict-class": named("collections", "OrderedDict"), "class": CONFIG, "object": made(CONFIG),
    "tensor": tensor(), "storage": stored(), "OrderedDict": ORDERED, "list": Op(spell([1])), "dict": Op(spell({1: 2})),
    "text": Op(spell("x")), "None": Op(b"N"), "bytearray": Op(b"\x96" + struct.pack("<Q", 1) + b"x"),
}  # fmt: skip
STATES: dict[str, Any] = {
    "dict": {"x": 1}, "class": {"__class__": CONFIG}, "dunder-dict": {"__dict__": {}}, "number": 5, "pair": ({}, {}),
    "slots-defaults": (None, {"__defaults__": (None, 0, (), ())}), "slots-name": (None, {"__name__": "x"}),
    "slots-doc": (None, {"__doc__": "x"}), "slots-keywords": (None, {"__kwdefaults__": {"a": 1}}),
    "slots-class": (None, {"__class__": CONFIG}), "slots-code": (None, {"__code__": REBUILD}),
    "slots-init": (None, {"__init__": REBUILD, "__setstate__": REBUILD}), "setstate": {"__setstate__": REBUILD},
    "slots-dict": (None, {"__dict__": {"shape": 5}}), "names-of-numbers": {1: 2},
}  # fmt: skip


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("target", TARGETS)
def test_build_leaves_nothing_behind_in_the_reader(target: str, state: str, good: Path, tmp_path: Path) -> None:
    before = read_recbole(good)
    path = write(tmp_path / "m.pth", Op(built(TARGETS[target], STATES[state]).raw + b"0" + recbole().raw))
    with quiet(tmp_path):
        answer(path)
    after = read_recbole(good)
    assert (after.model, after.settings, after.best) == (before.model, before.settings, before.best)
    assert {name: array.tolist() for name, array in after.state.items()} == {
        name: array.tolist() for name, array in before.state.items()
    }


def test_a_file_cannot_teach_the_reader_for_the_next_file(good: Path, tmp_path: Path) -> None:
    defaults = (None, {"__defaults__": (0, (2, 2), (2, 1))})
    teaching = write(tmp_path / "a.pth", Op(built(REBUILD, defaults).raw + b"0" + recbole().raw))
    short = write(tmp_path / "b.pth", recbole(state_dict=ordered({"a": called(REBUILD, stored())})))
    answer(teaching)
    refusal(short)


@pytest.mark.parametrize(
    "state",
    [
        {"shape": ("a",)}, {"shape": 5}, {"shape": (True, True)}, {"shape": (-1, 2)}, {"shape": (1.5, 2)},
        {"shape": (2, 2, 1)}, {"offset": -1}, {"offset": "x"}, {"stride": (1 << 70, 1), "shape": (1, 1)},
        {"storage": 5}, {"storage": CONFIG}, {"array": CONFIG}, {"array": 5}, {"__class__": CONFIG},
        {"shape": tuple([1] * 100), "stride": tuple([1] * 100)},
    ],
    ids=lambda state: f"{'-'.join(state)}-{len(str(state))}",
)  # fmt: skip
def test_a_checked_tensor_cannot_be_changed_afterwards(state: dict[str, Any], good: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "m.pth", recbole(state_dict=ordered({"a": built(tensor(), state)})))
    with quiet(tmp_path):
        answer(path)


@pytest.mark.parametrize(
    "state", [{"count": -1}, {"count": "x"}, {"count": 1.5}, {"key": 5}, {"key": "../data.pkl"}, {"kind": 5}], ids=str
)
def test_a_checked_storage_cannot_be_changed_afterwards(state: dict[str, Any], good: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "m.pth", recbole(state_dict=ordered({"a": tensor(storage=built(stored(), state))})))
    with quiet(tmp_path):
        answer(path)


CONTENTS: dict[str, Any] = {
    "a-number": 5, "a-text": "x", "None": None, "a-list": [recbole()], "an-object": made(CONFIG), "a-tensor": tensor(),
    "a-function": REBUILD, "a-class": CONFIG, "empty": {}, "other-names": {"epoch": 1, "net": 2}, "numbers": {1: 2},
    "objects-as-names": {made(CONFIG): 2, tensor(): 3, stored(): 4},
    "no-config": recbole(config=...), "no-state_dict": recbole(state_dict=...), "config-is-a-dict":
    recbole(config=SETTINGS), "config-is-None": recbole(config=None), "config-is-its-class": recbole(config=CONFIG),
    "config-without-state": recbole(config=made(CONFIG)), "config-called": recbole(config=called(CONFIG, SETTINGS)),
    "config-state-is-a-list": recbole(config=built(made(CONFIG), [1])),
    "config-state-is-empty": recbole(config=built(made(CONFIG), {})),
    "settings-are-a-list": recbole(config=config([1])), "settings-are-an-object": recbole(config=config(made(CONFIG))),
    "model-missing": recbole(config=config({"seed": 1})), "model-is-a-number": recbole(config=config({"model": 5})),
    "model-is-bytes": recbole(config=config({"model": b"LightGCN"})),
    "model-is-an-object": recbole(config=config({"model": made(CONFIG)})),
    "state_dict-is-a-list": recbole(state_dict=[tensor()]), "state_dict-is-empty": recbole(state_dict={}),
    "state_dict-is-an-object": recbole(state_dict=made(CONFIG)), "state_dict-is-None": recbole(state_dict=None),
    "names-are-numbers": recbole(state_dict=ordered({1: tensor()})), "names-are-bytes":
    recbole(state_dict=ordered({b"a": tensor()})),
    "names-are-tensors": recbole(state_dict=ordered({tensor(): tensor()})),
    "values-are-numbers": recbole(state_dict=ordered({"a": 1})), "values-are-lists":
    recbole(state_dict=ordered({"a": [tensor()]})), "values-are-classes": recbole(state_dict=ordered({"a": CONFIG})),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTENTS)
def test_contents_that_are_no_checkpoint_of_recbole_are_refused(name: str, good: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "m.pth", whole(CONTENTS[name]))
    with quiet(tmp_path):
        refusal(path)


@pytest.mark.parametrize("score", [made(named("numpy.core.multiarray", "scalar")), CONFIG, REBUILD, "x", [], ()])
def test_a_score_of_another_kind_is_none(score: Any, good: Path, tmp_path: Path) -> None:
    found = answer(write(tmp_path / "m.pth", recbole(best_valid_score=score, epoch=score)))
    assert isinstance(found, RecBole) and found.best is None and found.epoch == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_score_that_is_no_number_proves_nothing(value: float, good: Path, tmp_path: Path) -> None:
    scalar = called(named("numpy.core.multiarray", "scalar"), CONFIG, struct.pack("<d", value))
    for number, score in enumerate((value, scalar)):  # a comparison with NaN is never "too far"
        found = answer(write(tmp_path / f"{number}.pth", recbole(best_valid_score=score)))
        assert isinstance(found, str) or found.best is None


def test_files_of_the_old_torch_save_are_told_how_to_be_saved_again(good: Path, tmp_path: Path) -> None:
    path = save_good(tmp_path / "old.pth", old=True)
    with quiet(tmp_path):
        said = refusal(path)
    assert "pickle" in said and "torch.save(torch.load" in said


@pytest.mark.parametrize("protocol", range(6))
def test_plain_pickles_are_refused_by_every_protocol(protocol: int, good: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    path.write_bytes(pickle.dumps({"config": 1, "state_dict": {}}, protocol))
    with quiet(tmp_path):
        refusal(path)


def test_good_files_are_read_by_torch_and_by_hand(good: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "m.pth", recbole(), {"0": FOUR})
    with quiet(tmp_path):
        ours, theirs = read_recbole(path), read_recbole(good)
    assert ours.state["user_embedding.weight"].tolist() == [[0.5, -0.5], [0.25, 1.0]]
    assert (theirs.model, theirs.epoch, theirs.best) == ("LightGCN", 2, 0.25)
    assert theirs.settings == SETTINGS and theirs.state["item_embedding.weight"].shape == (6, 2)
