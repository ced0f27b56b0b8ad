"""Amazon-M2's sessions and products, as pandas wrote them."""

from __future__ import annotations

import gzip

import pytest

from recaudit.datasets import amazon_m2, rows
from recaudit.datasets.errors import DataError
from recaudit.datasets.read import read_log
from recaudit.datasets.source import Place

SESSIONS = (
    "prev_items,next_item,locale\n"
    "\"['B09W9FND7K' 'B09JSPLN1M']\",B09M7GY217,DE\n"
    "\"['B076THCGSG' 'B007MO8IME'\n 'B08MF65MLV'\n 'B001B4TKA0']\",B001B4THSA,UK\n"
    "['B09W9FND7K'],B076THCGSG,UK\n"
)
PRODUCTS = (
    "id,locale,title,price,brand,color,size,model,material,author,desc\n"
    'B09W9FND7K,DE,"Ein, zwei ""drei""",3.5,X,,,,,,"viel\nText"\n'
    "B09W9FND7K,UK,One,4.0,,,,,,,\nB076THCGSG,UK,Two,2.0,Y,,,,,,\nB000000000,JP,Unseen,1.0,,,,,,,\n"
)


def events(log):
    return list(zip(log.user_ids[log.user].tolist(), log.item_ids[log.item].tolist(), log.time.tolist(), strict=True))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("folder", [False, True])
def test_sessions_with_products(tmp_path, packed, folder):
    for name, content in (("sessions_train.csv", SESSIONS), ("products_train.csv", PRODUCTS)):
        data = content.encode()
        (tmp_path / (name + ".gz" * packed)).write_bytes(gzip.compress(data) if packed else data)
    (tmp_path / "sessions_test_task1_phase1.csv").write_text("prev_items,locale\n['B1'],DE\n")
    loaded = read_log(tmp_path if folder else tmp_path / ("sessions_train.csv" + ".gz" * packed))
    assert events(loaded.log) == [
        ("0", "DE:B09W9FND7K", 0), ("0", "DE:B09JSPLN1M", 1), ("0", "DE:B09M7GY217", 2),
        ("1", "UK:B076THCGSG", 0), ("1", "UK:B007MO8IME", 1), ("1", "UK:B08MF65MLV", 2), ("1", "UK:B001B4TKA0", 3),
        ("1", "UK:B001B4THSA", 4), ("2", "UK:B09W9FND7K", 0), ("2", "UK:B076THCGSG", 1),
    ]  # fmt: skip
    assert not loaded.dated and loaded.layout.startswith("Amazon-M2 (sessions_train.csv")
    assert loaded.log.users["locale"].tolist() == ["DE", "UK", "UK"]
    items = loaded.log.items.set_index(loaded.log.item_ids)
    assert items["title"]["DE:B09W9FND7K"] == 'Ein, zwei "drei"' and items["title"]["UK:B09W9FND7K"] == "One"
    assert items["price"]["UK:B076THCGSG"] == 2.0 and items["brand"]["UK:B076THCGSG"] == "Y"
    assert "desc" not in items and "JP:B000000000" not in items.index
    assert any("each row, a session" in note for note in loaded.notes)


def test_sessions_alone_and_without_next_items(tmp_path):
    path = tmp_path / "sessions_test_task1_phase1.csv"
    path.write_text("prev_items,locale\n\"['B1' 'B2']\",DE\n[],DE\n\"['B1']\",JP\n")
    loaded = read_log(path)
    assert events(loaded.log) == [("0", "DE:B1", 0), ("0", "DE:B2", 1), ("2", "JP:B1", 0)]
    assert any("no column next_item" in note for note in loaded.notes)
    assert any("1 sessions have no items" in note for note in loaded.notes) and loaded.log.items is None


def test_lists_printed_with_commas_and_double_quotes(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('prev_items,next_item,locale\n"[\'B1\', ""B\'2""]",B3,IT\n')
    assert events(read_log(path).log) == [("0", "IT:B1", 0), ("0", "IT:B'2", 1), ("0", "IT:B3", 2)]


@pytest.mark.parametrize("row, reason", [
    ("\"['B1' 'B2\",B3,DE", "prev_items is no printed array"), ("B1,B3,DE", "prev_items is no printed array"),
    ("\"['B1' ... 'B2']\",B3,DE", "prev_items is cut"), (",B3,DE", "no prev_items"), ("['B1'],,DE", "no next_item"),
    ("['B1'],B2,", "no locale"), ("['B1'],B2", "no locale"), ("['B1'],B2,DE,x", "4 fields instead of 3"),
    ("['B1' ''],B2,DE", "prev_items is no printed array"),
])  # fmt: skip
def test_bad_rows_are_shown_with_their_line(tmp_path, monkeypatch, row, reason):
    path = tmp_path / "x.csv"
    path.write_text(SESSIONS + row + "\n")
    with pytest.raises(DataError, match=f"line 7: {reason}"):
        read_log(path)
    monkeypatch.setattr(rows, "TOLERATED", 0.2)
    path.write_text(SESSIONS + row + "\n['B5'],B6,DE\n")
    loaded = read_log(path)
    assert events(loaded.log)[-2:] == [("4", "DE:B5", 0), ("4", "DE:B6", 1)]  # the bad row keeps its number
    assert any("1 of 13 rows left out" in note and reason in note for note in loaded.notes)


def test_damage(tmp_path):
    path = tmp_path / "sessions_train.csv"
    path.write_text(SESSIONS.split("\n")[0] + "\n")
    with pytest.raises(DataError, match="holds no events"):
        read_log(path)
    path.write_text(SESSIONS + "\"['B1'\n" * 3)
    with pytest.raises(DataError, match="line 7"):
        read_log(path)
    path.write_bytes(gzip.compress(SESSIONS.encode() * 200)[:-9])
    with pytest.raises(DataError, match="damaged gzip"):
        read_log(path)
    path.write_text("a,b\n1,2\n")
    assert amazon_m2.recognise(Place.at(path)) is None
    with pytest.raises(DataError, match="no Amazon-M2 sessions"):
        read_log(path, layout="amazon-m2")


def test_products_in_other_ways(tmp_path):
    (tmp_path / "sessions_train.csv").write_text(SESSIONS)
    products = tmp_path / "products_train.csv"
    products.write_bytes(PRODUCTS.replace("drei", "M\xfcll").encode("latin-1"))
    assert read_log(tmp_path).log.title(0) == 'Ein, zwei "Müll"'
    products.write_bytes((PRODUCTS + "B1,DE,x,1.0,,,,,,,\n" * 60_000 + "B1,DE,\xfc,1.0,,,,,,,\n").encode("latin-1"))
    assert any("read as latin-1" in note for note in read_log(tmp_path).notes)
    products.write_text("id,name\nB1,x\n")
    loaded = read_log(tmp_path)
    assert loaded.log.items is None and any("no columns id, locale and title" in note for note in loaded.notes)
