from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
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
        ("user,item\n{user},{other}\n", "in any part of the data"),
        ("user\n", "no request in it"),
        ("who\n1\n", "unknown column 'who'"),
        ("attribute\nx\n", "needs both columns"),
        (f"user,attribute,value\n{USER},x,y\n", "in lines of their own"),
        ("attribute,value\nnone,x\n", "no user and no item has"),
        ("user,item\n,\n", "no request|names neither"),
        (f"user\n{USER}\nnobody\n", "line 3: unknown user"),
        (f'user,request\n{USER},"a\nb"\nnobody,c\n', "line 4: unknown user"),
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


def test_what_a_split_has_held_out_is_no_reason_to_refuse(tmp_path: Path) -> None:
    """Who asks cannot know where a split has put an event; what is in no part at all is refused."""
    order = np.random.default_rng(0).permutation(len(LOG))
    train, held = LOG.take(np.sort(order[:600])), LOG.take(np.sort(order[600:]))
    held = held.take(~np.isin(held.pair_keys, train.pair_keys))
    pair = f"{LOG.user_ids[held.user[0]]},{LOG.item_ids[held.item[0]]}"
    path = written(tmp_path, f"user,item\n{LOG.user_ids[train.user[0]]},{LOG.item_ids[train.item[0]]}\n{pair}\n")
    (found,) = read_requests(path, train, held)
    np.testing.assert_array_equal(found.held, held.pair_keys[:1])
    np.testing.assert_array_equal(np.unique(train.pair_keys[found.rows]), train.pair_keys[:1])
    with pytest.raises(InputError, match=r"line 3: user .* in any part"):
        read_requests(path, train)
    idle = train.take(train.user != 7)
    (whole,) = read_requests(written(tmp_path, f"user\n{LOG.user_ids[7]}\n"), idle, held)
    assert (len(whole), whole.users.tolist()) == (0, [7])
    np.testing.assert_array_equal(whole.held, np.unique(held.pair_keys[held.user == 7]))


def test_a_key_that_comes_twice_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, '{"user": "1"}\n{"user": "17", "user": "18"}\n', "gone.jsonl")
    with pytest.raises(InputError, match="line 2: 'user' comes twice"):
        read_requests(path, LOG)


def test_many_lines_are_read_in_no_time(tmp_path: Path) -> None:
    """16,000 lines took 20 s when the line of each was looked up."""
    lines = [f"{LOG.user_ids[u]},{LOG.item_ids[i]}" for u, i in zip(LOG.user, LOG.item, strict=True)][:800]
    path, start = written(tmp_path, "user,item\n" + "\n".join(lines * 20) + "\n"), time.process_time()
    (found,) = read_requests(path, LOG)
    assert time.process_time() - start < 2
    assert set(range(800)) <= set(found.rows.tolist())


@pytest.mark.parametrize("kind", ["Int64", "float64", "int64"])
def test_numbers_are_found_as_numbers(tmp_path: Path, kind: str) -> None:
    ages = pd.Series(np.arange(LOG.n_users) // 10, dtype=kind)
    log = replace(LOG, users=pd.DataFrame({"age": ages}))
    (found,) = read_requests(written(tmp_path, "attribute,value\nage,3\n"), log)
    np.testing.assert_array_equal(found.users, np.arange(30, 40))
    with pytest.raises(InputError, match="no user and no item has age='three'"):
        read_requests(written(tmp_path, "attribute,value\nage,three\n"), log)


def test_an_attribute_of_an_idle_user_is_blamed_itself(tmp_path: Path) -> None:
    idle = LOG.take(LOG.user != 7)
    log = replace(idle, users=pd.DataFrame({"age": np.where(np.arange(LOG.n_users) == 7, 53, 20)}))
    with pytest.raises(InputError, match="line 2: nobody and nothing with age='53' has an event"):
        read_requests(written(tmp_path, "attribute,value\nage,53\n"), log)
