"""Lists from files: order, ids, what is refused; scores that rank as the lists stand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recaudit.datasets.errors import DataError, InputError
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.read import LoadedLog
from recaudit.recommenders.blackbox.asked import Lists, read_lists
from recaudit.recommenders.blackbox.opening import open_lists
from recaudit.recommenders.catalogue import names, why_no_refit
from recaudit.recommenders.ranking import rank


def log() -> InteractionLog:
    user = np.repeat(np.arange(3), 3).astype(np.int32)
    item = np.array([0, 1, 2, 1, 2, 3, 2, 3, 4], np.int32)
    ids = np.array(["01", "1", "u"]), np.array(["a", "b", "c", "d", "e", "f"])
    return InteractionLog(user, item, *ids, time=np.tile(np.arange(3), 3).astype(np.int64))


def written(folder: Path, text: str) -> Path:
    path = folder / "lists.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "user,item\n01,f\n01,d\nu,a\n",
        "item,rank,user\nd,2,01\na,1,u\nf,1,01\n",
        "user,item,score\n01,d,-3\n01,f,0.5\nu,a,7\n",
    ],
)
def test_lists_come_in_their_order(text: str, tmp_path: Path) -> None:
    found = read_lists(written(tmp_path, text), log())
    assert found.tolist() == [[5, 3], [-1, -1], [0, -1]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("user,thing\n01,f\n", "no column 'item'"),
        ("user,item\n2,f\n", "1 users are not in the data \\('2'\\)"),
        ("user,item\n01,f\n01,f\n", "stands twice"),
        ("user,item,rank\n01,f,first\n", "column rank holds"),
        ("user,item,score\n01,f,nan\n", "column score holds"),
        ("", "cannot be read as lists"),
    ],
)
def test_what_are_no_lists_is_said(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read_lists(written(tmp_path, text), log())
    assert "\n" not in str(caught.value)


def test_ranking_gives_the_lists_back(tmp_path: Path) -> None:
    items = read_lists(written(tmp_path, "user,item\n01,f\n01,e\n01,d\n1,a\n1,f\nu,b\n"), log())
    model = Lists(items=items)
    model.n_users, model.n_items = 3, 6
    slate = rank(model, None, log(), 2).slate
    assert slate.items[0].tolist() == [5, 4] and slate.items[1].tolist() == [0, 5] and slate.items[2, 0] == 1


def test_a_target_of_lists_cannot_be_trained_again(tmp_path: Path) -> None:
    path = written(tmp_path, "user,item\n01,f\n1,a\n")
    target = open_lists(path, LoadedLog(log()))
    assert target.model.family == "black box"
    why = why_no_refit(target.recipe)
    assert why is not None and "--refit-cmd" in why
    with pytest.raises(InputError, match="cannot be trained again"):
        Lists().fit(log(), 0)
    other = open_lists(written(tmp_path, "user,item\n01,e\n1,a\n"), LoadedLog(log()))
    assert other.fingerprint != target.fingerprint
    assert not {"lists", "commands", "python"} & set(names())
