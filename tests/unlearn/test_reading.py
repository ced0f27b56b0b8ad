from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recaudit.datasets.errors import InputError
from recaudit.unlearn.reading import read_requests

from .conformance import small_log

LOG = small_log()
USER, ITEM = str(LOG.user_ids[LOG.user[0]]), str(LOG.item_ids[LOG.item[0]])


def written(folder: Path, text: str, name: str = "gone.csv") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_users_items_and_pairs(tmp_path: Path) -> None:
    (found,) = read_requests(
        written(tmp_path, f"user,item\n{USER},{ITEM}\n{LOG.user_ids[7]},\n,{LOG.item_ids[3]}\n"), LOG
    )
    wanted = ((LOG.user == LOG.user[0]) & (LOG.item == LOG.item[0])) | (LOG.user == 7) | (LOG.item == 3)
    np.testing.assert_array_equal(found.rows, np.flatnonzero(wanted))
    assert found.label == "gone.csv"


def test_json_lines_and_several_requests(tmp_path: Path) -> None:
    text = f'{{"request": "b", "user": "{LOG.user_ids[2]}"}}\n\n{{"request": "a", "item": "{ITEM}"}}\n'
    text += f'{{"request": "b", "user": "{LOG.user_ids[4]}"}}\n'
    first, second = read_requests(written(tmp_path, text, "gone.jsonl"), LOG)
    assert (first.label, second.label) == ("b", "a")
    np.testing.assert_array_equal(first.users, [2, 4])
    assert set(LOG.item[second.rows]) == {LOG.item[0]}


def test_attribute_value(tmp_path: Path) -> None:
    assert LOG.items is not None
    name = next(column for column in LOG.items if "genre" in column.lower())
    value = str(LOG.items[name].iloc[0]).split("|")[0]
    (found,) = read_requests(written(tmp_path, f"attribute,value\n{name},{value}\n"), LOG)
    has = LOG.items[name].astype(str).str.split("|").map(lambda values: value in values).to_numpy()
    np.testing.assert_array_equal(found.rows, np.flatnonzero(has[LOG.item]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user\nnobody\n", "line 2: unknown user 'nobody'"),
        (f"user,item\n{USER},nothing\n", "unknown item"),
        ("user,item\n{user},{other}\n", "was never trained on"),
        ("user\n", "no request in it"),
        ("who\n1\n", "unknown column 'who'"),
        ("attribute\nx\n", "needs both columns"),
        (f"user,attribute,value\n{USER},x,y\n", "in lines of their own"),
        ("attribute,value\nnone,x\n", "no user and no item has"),
        ("user,item\n,\n", "no request|names neither"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    has = set(LOG.item[LOG.user == LOG.user[0]].tolist())
    other = next(item for item in range(LOG.n_items) if item not in has)
    text = text.replace("{user}", USER).replace("{other}", str(LOG.item_ids[other]))
    with pytest.raises(InputError, match=message):
        read_requests(written(tmp_path, text), LOG)


@pytest.mark.parametrize("line", ["[1]", "{", '{"user": {}}', '{"user": 1.5}', '{"who": 1}', "[" * 100_000])
def test_bad_json(tmp_path: Path, line: str) -> None:
    with pytest.raises(InputError, match="line 1"):
        read_requests(written(tmp_path, line + "\n", "gone.jsonl"), LOG)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_requests(tmp_path / "none.csv", LOG)


def test_a_user_without_events_is_refused_by_id(tmp_path: Path) -> None:
    idle = LOG.take(LOG.user != 7)
    with pytest.raises(InputError, match=f"user '{LOG.user_ids[7]}' has no event"):
        read_requests(written(tmp_path, f"user\n{LOG.user_ids[7]}\n"), idle)
