"""RecBole's filters, made again: by value, by counts, and the numbering of what is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recaudit.datasets.errors import CheckpointError
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.read import LoadedLog, read_log
from recaudit.recommenders.foreign.recbole import RecBole
from recaudit.recommenders.foreign.recbole_data import rebuilt_split

ROWS = [
    ("a", "x", 1, 10), ("b", "y", 4, 20), ("a", "y", 5, 30), ("c", "x", 3, 40), ("b", "x", 2, 50), ("c", "y", 4, 60),
    ("c", "z", 5, 70), ("d", "z", 1, 80),
]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> LoadedLog:
    path = tmp_path_factory.mktemp("data") / "a.inter"
    head = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
    path.write_text("\n".join([head, *("\t".join(map(str, row)) for row in ROWS)]) + "\n")
    return read_log(path)


def left(data: LoadedLog, **settings: Any) -> InteractionLog:
    """All that is left after the filters: everything goes into the training part."""
    own = {"seed": 1, "eval_args": {"split": {"RS": [1, 0, 0]}, "order": "RO"}} | settings
    return rebuilt_split(RecBole(Path("m.pth"), "BPR", own, {}, None, 0, None), data).train


def pairs(log: InteractionLog) -> set[tuple[str, str]]:
    return set(zip(log.user_ids[log.user].tolist(), log.item_ids[log.item].tolist(), strict=True))


@pytest.mark.parametrize(
    ("interval", "keeps"),
    [
        ({"rating": "[4,inf)"}, lambda rating, time: rating >= 4),
        ({"rating": "(4,inf)"}, lambda rating, time: rating > 4),
        ({"rating": "[-inf, 2) ; (3, 4]"}, lambda rating, time: rating < 2 or 3 < rating <= 4),
        ({"rating": "[2,5]", "timestamp": "(20,60]"}, lambda rating, time: 2 <= rating <= 5 and 20 < time <= 60),
        ({}, lambda rating, time: True),
    ],
)
def test_by_value(interval: dict[str, str], keeps: Any, data: LoadedLog) -> None:
    found = left(data, val_interval=interval)
    assert pairs(found) == {(user, item) for user, item, rating, time in ROWS if keeps(rating, time)}


@pytest.mark.parametrize("own", [{"val_interval": {"rating": "[4,inf)"}}, {"user_inter_num_interval": "[2,inf)"}])
def test_what_is_left_is_numbered_by_its_first_event(own: dict[str, Any], data: LoadedLog) -> None:
    found = left(data, **own)
    wanted = [row for row in ROWS if row[2] >= 4] if "val_interval" in own else [row for row in ROWS if row[0] != "d"]
    assert found.user_ids.tolist() == list(dict.fromkeys(row[0] for row in wanted))
    assert found.item_ids.tolist() == list(dict.fromkeys(row[1] for row in wanted))
    assert np.array_equal(np.unique(found.user), np.arange(found.n_users))


@pytest.mark.parametrize(
    "value",
    [{"rating": "4"}, {"rating": "[5,4]"}, {"rating": "[nan,4]"}, {"rating": "[a,b]"}, {"rating": 4}, {"age": "[1,2]"},
     {1: "[1,2]"}, "rating", ["rating"], {"rating": "[1,2];"}, {"rating": "[1,2" + ";" * 9}],
)  # fmt: skip
def test_other_intervals_are_refused(value: Any, data: LoadedLog) -> None:
    with pytest.raises(CheckpointError, match="val_interval"):
        left(data, val_interval=value)
