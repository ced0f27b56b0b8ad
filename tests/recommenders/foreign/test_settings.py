"""A configuration from a stranger, as far as a target: every setting may be anything, and the refusal names the file.

Data errors of the data's own (a filter that leaves nothing) are not refusals of the file.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recaudit.datasets.errors import CheckpointError
from recaudit.datasets.read import LoadedLog, read_log
from recaudit.recommenders.foreign.opening import open_foreign
from recaudit.recommenders.target import Target

from .asking import check_refusal
from .crafting import (
    CONFIG,
    ITEMS,
    SETTINGS,
    USERS,
    Op,
    called,
    config,
    made,
    named,
    ordered,
    recbole,
    stored,
    tensor,
    write,
)

_ROOM = 4096
_NAN = float("nan")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> LoadedLog:
    rows = [f"u{user}\ti{item}\t{user * ITEMS + item}" for user in range(USERS) for item in range(ITEMS)]
    path = tmp_path_factory.mktemp("data") / "a.inter"
    path.write_text("\n".join(["user_id:token\titem_id:token\ttimestamp:float", *rows]) + "\n")
    return read_log(path)


def _checkpoint(path: Path, settings: dict[str, Any], **parts: Any) -> Path:
    users, items = (np.arange(2 * (n + 1), dtype=np.float32) / 10 for n in (USERS, ITEMS))
    state = {
        f"{side}_embedding.weight": tensor((len(numbers) // 2, 2), storage=stored(key=side, count=len(numbers)))
        for side, numbers in (("user", users), ("item", items))
    }
    content = {"config": config(SETTINGS | settings), "state_dict": ordered(state), "best_valid_score": None}
    storages = {"user": users.tobytes(), "item": items.tobytes(), "zeros": bytes(4 * _ROOM)}
    return write(path, recbole(**(content | parts)), storages)


def _ask(path: Path, data: LoadedLog) -> Target | None:
    try:
        return open_foreign(path, data)
    except CheckpointError as error:
        check_refusal(path, str(error))
        return None


def test_the_file_in_question_is_a_target(data: LoadedLog, tmp_path: Path) -> None:
    target = _ask(_checkpoint(tmp_path / "m.pth", {}), data)
    assert target is not None and target.origin is not None and not target.origin.verified


def _split(**changed: Any) -> dict[str, Any]:
    return {"eval_args": {"split": {"RS": [0.8, 0.1, 0.1]}, "order": "RO", "group_by": "user"} | changed}


SEQUENCES = {
    "hidden_size": 2, "inner_size": 4, "hidden_act": "gelu", "n_heads": 1, "hidden_dropout_prob": 0.1,
    "layer_norm_eps": 1e-12, "MAX_ITEM_LIST_LENGTH": 5, "num_layers": 1, "dropout_prob": 0.1, "mask_ratio": 0.2,
    "ft_ratio": 0.5, "loss_type": "CE", "hidden_size_list": [2], "message_dropout": 0.1,
}  # fmt: skip
READS = {
    "SASRec": (
        "hidden_size", "inner_size", "hidden_act", "n_heads", "hidden_dropout_prob", "layer_norm_eps",
        "MAX_ITEM_LIST_LENGTH", "loss_type",
    ),
    "GRU4Rec": ("hidden_size", "num_layers", "dropout_prob"),
    "NGCF": ("hidden_size_list", "message_dropout"),
    "BERT4Rec": ("mask_ratio", "ft_ratio"),
}  # fmt: skip
ODD: dict[str, Any] = {
    "negative": -1, "zero": 0, "2-to-63": (1 << 63) - 1, "true": True, "NaN": _NAN, "ansi": "\x1b[2J\n", "list": [1],
    "object": made(CONFIG), "tensor": tensor(),
}  # fmt: skip
NAMES = (
    "model", "seed", "epochs", "embedding_size", "n_layers", "reg_weight", "require_pow", "learning_rate",
    "train_batch_size", "valid_metric", "metric_decimal_place", "eval_args", "rm_dup_inter", "val_interval",
    "user_inter_num_interval", "benchmark_filename", "normalize_all", "MODEL_TYPE", "type",
)  # fmt: skip


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("name", NAMES)
def test_any_setting_may_be_anything(name: str, value: str, data: LoadedLog, tmp_path: Path) -> None:
    _ask(_checkpoint(tmp_path / "m.pth", {name: ODD[value]}, best_valid_score=0.9), data)


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("name", ["split", "order", "group_by"])
def test_any_part_of_the_split_may_be_anything(name: str, value: str, data: LoadedLog, tmp_path: Path) -> None:
    _ask(_checkpoint(tmp_path / "m.pth", _split(**{name: ODD[value]})), data)


@pytest.mark.parametrize(
    "shares", [[_NAN] * 3, [math.inf, 1, 1], [1e308] * 3, [0, 0, 0], [-1, 1, 1], [True] * 3, [5e-324] * 3, ["1"] * 3]
)
def test_any_shares_may_be_asked_for(shares: list[Any], data: LoadedLog, tmp_path: Path) -> None:
    _ask(_checkpoint(tmp_path / "m.pth", _split(split={"RS": shares})), data)


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize(("model", "name"), [(model, name) for model, names in READS.items() for name in names])
def test_any_setting_of_a_model_of_sequences_may_be_anything(
    model: str, name: str, value: str, data: LoadedLog, tmp_path: Path
) -> None:
    settings = {"model": model, **SEQUENCES, name: ODD[value]}
    assert _ask(_checkpoint(tmp_path / "m.pth", settings), data) is None  # its tensors are LightGCN's


@pytest.mark.parametrize(
    "metric",
    [
        "NDCG", "NDCG@", "@10", "NDCG@-1", "NDCG@0", "NDCG@²", "NDCG@٣", "NDCG@1e3", "NDCG@99999999999",
        "NDCG@" + "9" * 30, "NDCG@" + "9" * 5000, "\x1b[31m@3", "GAUC@3", "NDCG@3@3", "",
    ],
    ids=range(15),
)  # fmt: skip
def test_any_validation_metric_may_be_named(metric: str, data: LoadedLog, tmp_path: Path) -> None:
    target = _ask(_checkpoint(tmp_path / "m.pth", {"valid_metric": metric}, best_valid_score=0.5), data)
    assert target is None or (target.origin is not None and str(target.origin.proof).isprintable())


@pytest.mark.parametrize("score", [_NAN, math.inf, -math.inf, 1e308, -1.0, 2**63])
@pytest.mark.parametrize("pickled", ["plain", "numpy"])
def test_a_score_that_cannot_be_compared_proves_nothing(
    score: float, pickled: str, data: LoadedLog, tmp_path: Path
) -> None:
    kept = called(named("numpy.core.multiarray", "scalar"), CONFIG, struct.pack("<d", score))
    target = _ask(_checkpoint(tmp_path / "m.pth", {}, best_valid_score=score if pickled == "plain" else kept), data)
    assert target is None or (target.origin is not None and not target.origin.verified)


def _zeros(shape: tuple[int, ...]) -> Op:
    stride = tuple(math.prod(shape[place + 1 :]) for place in range(len(shape)))
    return tensor(shape, stride, storage=stored(key="zeros", count=_ROOM))


@pytest.mark.parametrize(
    ("users", "items"),
    [
        ((), ()), ((5,), (6,)), ((1, 2), (1, 2)), ((2, 2), (2, 2)), ((2, 1), (2, 1)), ((5, 3), (6, 3)),
        ((0, 2), (0, 2)), ((6, 4, 2), (7, 5, 2)), ((101, 1, 1, 1), (2, 2)), ((5, 2, 0), (6, 2)), ((5, 2), (6, 2)),
    ],
)  # fmt: skip
def test_restored_vectors_of_other_shapes_are_refused(
    users: tuple[int, ...], items: tuple[int, ...], data: LoadedLog, tmp_path: Path
) -> None:
    other = {"restore_user_e": _zeros(users), "restore_item_e": _zeros(items)}
    assert _ask(_checkpoint(tmp_path / "m.pth", {}, other_parameter=other), data) is None
