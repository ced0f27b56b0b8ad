"""Every layout on small files made to its published format, and on the shared folders."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recaudit.datasets.errors import DataError, InputError
from recaudit.datasets.read import read_log


def write(path: Path, content: str | bytes, packed: bool = False) -> Path:
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data, mtime=0) if packed else data)
    return path


def events(log):
    """The events in the data's own ids, as plain tuples."""
    columns = [log.user_ids[log.user].tolist(), log.item_ids[log.item].tolist()]
    columns += [column.tolist() for column in (log.value, log.time) if column is not None]
    return list(zip(*columns, strict=True))


FOUR = [("007", "a", 4.0, 1000000010), ("7", "b", 3.5, 1000000020), ("007", "b", 1.0, 1000000005)]


@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_tables_with_header_keep_ids_and_order(tmp_path, separator, packed, end):
    rows = [("userId", "item_id", "score", "ts"), *FOUR]
    path = write(tmp_path / "x.csv", end.join(separator.join(map(str, row)) for row in rows) + end, packed)
    log = read_log(path).log
    assert events(log) == FOUR
    assert log.user_ids.tolist() == ["007", "7"] and log.user.tolist() == [0, 1, 0]  # by first appearance


def test_named_columns_win_and_unknown_ones_are_told_near_names(tmp_path):
    path = write(tmp_path / "x.csv", "who,what,user_id,mark\n1,a,9,2\n2,b,9,3\n")
    assert events(read_log(path, user="who", item="what", rating="mark").log) == [("1", "a", 2.0), ("2", "b", 3.0)]
    with pytest.raises(DataError, match="did you mean 'what'"):
        read_log(path, user="who", item="wat")
    with pytest.raises(DataError, match="item=COLUMN"):
        read_log(path)


def test_headerless_tables_say_what_they_took(tmp_path):
    loaded = read_log(write(tmp_path / "x.csv", "1,10,5,978300760\n2,11,3,978302109\n"))
    assert events(loaded.log) == [("1", "10", 5.0, 978300760), ("2", "11", 3.0, 978302109)]
    assert any("no header" in note for note in loaded.notes)


def test_spaces_after_commas_and_quotes_in_tab_separated_titles(tmp_path):
    loaded = read_log(write(tmp_path / "x.csv", "user, item, rating\n01, b, 3\n"))
    assert events(loaded.log) == [("01", "b", 3.0)] and any("spaces" in note for note in loaded.notes)
    assert events(read_log(write(tmp_path / "y.tsv", 'user\titem\ttitle\na\tb\t"x\nc\td\ty"\n')).log) == [
        ("a", "b"), ("c", "d"),
    ]  # fmt: skip
    assert events(read_log(write(tmp_path / "z.tsv", 'user\titem\n"a"\t"b\tc"\n')).log) == [("a", "b\tc")]


@pytest.mark.parametrize("text, user, item", [
    ('"User-ID";"ISBN";"Book-Rating"\n"276725";"034545104X";"0"\n', "276725", "034545104X"),  # Book-Crossing
    ("userID\tartistID\tweight\n2\t51\t13883\n", "2", "51"),  # HetRec Last.fm
    (",user_id,item_id\n0,a,b\n", "a", "b"),  # a pandas index
    ("user_id,parent_asin,rating,timestamp\nAGK,B07G9GWFSM,1.0,1452647382000\n", "AGK", "B07G9GWFSM"),  # Amazon 2023
])  # fmt: skip
def test_headers_met_in_the_wild(tmp_path, text, user, item):
    log = read_log(write(tmp_path / "x.csv", text)).log
    assert log.user_ids.tolist() == [user] and log.item_ids.tolist() == [item]


def test_parquet_types_become_text_ids_and_seconds(tmp_path):
    path = tmp_path / "x.parquet"
    frame = pl.DataFrame({"user": [1.0, 2.0], "item": [7, 8], "when": ["2020-01-01", "2020-01-02"]})
    frame.with_columns(pl.col("when").str.to_datetime("%Y-%m-%d").alias("timestamp")).write_parquet(path)
    assert events(read_log(path).log) == [("1", "7", 1577836800), ("2", "8", 1577923200)]


@pytest.mark.parametrize("factor, unit", [(1, None), (1000, "milli"), (10**6, "micro"), (10**9, "nano")])
def test_time_unit_by_magnitude(tmp_path, factor, unit):
    loaded = read_log(write(tmp_path / "x.csv", f"user,item,timestamp\na,b,{1577836800 * factor}\n"))
    assert loaded.log.time.tolist() == [1577836800]
    assert any(f"{unit}seconds" in note for note in loaded.notes) == (unit is not None)


@pytest.mark.parametrize("text", ["2020-01-01 00:00:00", "2020-01-01T00:00:00Z", "2020-01-01", "01 1, 2020"])
def test_dates_become_seconds(tmp_path, text):
    loaded = read_log(write(tmp_path / "x.csv", f'user,item,date\na,b,"{text}"\nc,d,"{text}"\n'))
    assert loaded.log.time.tolist() == [1577836800] * 2


def test_decimal_times_and_position_column(tmp_path):
    times = read_log(write(tmp_path / "x.csv", "user,item,timestamp\na,b,8.81250949E8\na,c,881250950.0\n")).log.time
    assert times.tolist() == [881250949, 881250950]
    loaded = read_log(write(tmp_path / "y.csv", "user,item,position\na,b,0\na,c,1\n"))
    assert loaded.log.time.tolist() == [0, 1] and not loaded.dated


def test_folder_with_side_tables_and_split_column(tmp_path):
    write(tmp_path / "interactions.csv.gz", "user_id,item_id,split\n1,02,train\n1,3,val\n2,02,test\n", True)
    write(tmp_path / "items.csv", 'item_id,title,year\n3,"Three, or ""more""",1990\n02,Two,\n99,Unseen,1\n')
    write(tmp_path / "users.csv", "user_id,age\n2,40\n")
    loaded = read_log(tmp_path)
    assert {name: len(part) for name, part in loaded.parts.items()} == {"train": 1, "valid": 1, "test": 1}
    assert loaded.log.item_ids.tolist() == ["02", "3"]  # 99 is in the side table only: not added
    assert loaded.log.items["title"].tolist() == ["Two", 'Three, or "more"']
    assert np.isnan(loaded.log.items["year"][0]) and loaded.log.items["year"][1] == 1990
    assert np.isnan(loaded.log.users["age"][0]) and loaded.log.users["age"][1] == 40
    assert any("1 of 2 users have no row" in note for note in loaded.notes)


def test_folder_of_parts(tmp_path):
    for name, row in {"train": "a,x", "valid": "a,y", "test": "b,x"}.items():
        write(tmp_path / f"{name}.csv", f"user,item\n{row}\n")
    loaded = read_log(tmp_path)
    assert {name: events(part) for name, part in loaded.parts.items()} == {
        "train": [("a", "x")], "valid": [("a", "y")], "test": [("b", "x")],
    }  # fmt: skip
    assert len(loaded.log) == 3


def test_unknown_words_in_a_split_column_are_no_split(tmp_path):
    loaded = read_log(write(tmp_path / "x.csv", "user,item,split\na,b,blue\nc,d,red\ne,f,train\n"))
    assert not loaded.parts and any("blue" in note for note in loaded.notes)


INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"


def test_recbole_atomic(tmp_path):
    write(tmp_path / "x.inter", INTER + "01\t5\t3\t881250949\n1\t6\t4\t881250950\n")
    write(tmp_path / "x.item", 'item_id:token\tmovie_title:token_seq\tclass:token_seq\n5\tA "b c\tSci-Fi War\n6\tD\t\n')
    write(tmp_path / "x.user", "user_id:token\tage:token\n1\t30\n01\t31\n")
    for path in (tmp_path, tmp_path / "x.inter"):
        loaded = read_log(path)
        assert events(loaded.log) == [("01", "5", 3.0, 881250949), ("1", "6", 4.0, 881250950)]
        assert loaded.layout.startswith("RecBole")
        assert loaded.log.title(0) == 'A "b c' and loaded.log.items["genres"][0] == "Sci-Fi|War"
        assert loaded.log.users["age"].tolist() == [31, 30]


def test_recbole_parts_and_other_field_names(tmp_path):
    for part, row in {"train": "a,x", "valid": "a,y", "test": "b,x"}.items():
        write(tmp_path / f"d-1.0.{part}.inter", f"reader:token,work:token\n{row}\n")
    loaded = read_log(tmp_path)
    assert {name: events(part)[0] for name, part in loaded.parts.items()} == {
        "train": ("a", "x"), "valid": ("a", "y"), "test": ("b", "x"),
    }  # fmt: skip
    write(tmp_path / "e.inter", INTER)
    with pytest.raises(DataError, match="several data sets"):
        read_log(tmp_path)


def test_movielens_100k(tmp_path):
    write(tmp_path / "u.data", "196\t242\t3\t881250949\n186\t267\t3\t891717742\n196\t267\t1\t881250950\n")
    flags = "|".join("1" if n in (1, 5) else "0" for n in range(19))
    films = f"242|Kolya (1996)|24-Jan-1997||http://x|{flags}\n267|unknown||||{'|'.join(['1'] + ['0'] * 18)}\n"
    write(tmp_path / "u.item", films.replace("Kolya", "Misérables").encode("latin-1"))
    write(tmp_path / "u.user", "186|39|F|executive|00000\n196|49|M|writer|55105\n")
    for path in (tmp_path, tmp_path / "u.data"):
        loaded = read_log(path)
        assert loaded.layout.startswith("MovieLens 100K")
        assert events(loaded.log)[0] == ("196", "242", 3.0, 881250949)
        assert loaded.log.items["title"].tolist() == ["Misérables", "unknown"]
        assert loaded.log.items["genres"].tolist() == ["Action|Comedy", "unknown"]
        assert loaded.log.items["year"][0] == 1996 and np.isnan(loaded.log.items["year"][1])
        assert loaded.log.users["age"].tolist() == [49, 39] and "zip" not in loaded.log.users


def test_movielens_1m_and_10m(tmp_path):
    write(tmp_path / "ratings.dat", "1::122::5::838985046\n1::185::4.5::838983525\n")
    write(tmp_path / "movies.dat", '122::Été: a "tale" (1992)::Comedy|Romance\n185::Net, The (1995)::Action\n')
    write(tmp_path / "users.dat", "1::F::1::10::48067\n")
    loaded = read_log(tmp_path)
    assert loaded.layout.startswith("MovieLens 1M/10M")
    assert events(loaded.log)[1] == ("1", "185", 4.5, 838983525)
    assert loaded.log.title(0) == 'Été: a "tale"' and loaded.log.items["year"].tolist() == [1992, 1995]
    assert loaded.log.users["age_group"].tolist() == [1]
    write(tmp_path / "movies.dat", "122::Été (1992)::Comedy\n185::Net, The (1995)::Action\n".encode("latin-1"))
    assert read_log(tmp_path).log.title(0) == "Été"


def test_movielens_latest(tmp_path):
    write(tmp_path / "ratings.csv", "userId,movieId,rating,timestamp\n1,1,4.0,964982703\n1,3,0.5,964981247\n")
    write(tmp_path / "movies.csv", 'movieId,title,genres\n1,"Net, The (1995)",Action\n3,X,(no genres listed)\n')
    loaded = read_log(tmp_path)
    assert loaded.layout.startswith("MovieLens latest")
    assert events(loaded.log)[1] == ("1", "3", 0.5, 964981247)
    assert loaded.log.items["title"].tolist() == ["Net, The", "X"] and loaded.log.items["genres"].isna().tolist()[1]


REVIEW_2018 = {
    "overall": 5.0, "verified": True, "vote": "1,234", "reviewTime": "08 22, 2013", "reviewerID": "A34A1UP40713F8",
    "asin": "0000000078", "style": {"Format:": " x"}, "reviewerName": "J", "reviewText": "\u2028 \"t\"", "summary": "s",
    "unixReviewTime": 1377129600,
}  # fmt: skip
REVIEW_2023 = {
    "rating": 4.0, "title": "t", "text": "x", "images": [], "asin": "B00YQ6X8EO", "parent_asin": "B00YQ6X8E9",
    "user_id": "AGKHLEW2SOWHNMFQIJGBECAF7INQ", "timestamp": 1588687728923, "helpful_vote": 0, "verified_purchase": True,
}  # fmt: skip


@pytest.mark.parametrize("packed", [False, True])
def test_amazon_json_of_2014_and_2018(tmp_path, packed):
    path = write(tmp_path / ("reviews_Beauty_5.json" + ".gz" * packed), (json.dumps(REVIEW_2018) + "\n") * 2, packed)
    meta = {"asin": "0000000078", "title": "O'B", "brand": "E", "categories": [["Beauty", "Hair"], ["Beauty", "Nails"]]}
    other = {"asin": "0000000079", "title": "other"}
    write(tmp_path / "meta_Beauty.json", f"{meta!r}\n{json.dumps(other)}\n")
    loaded = read_log(path)
    assert loaded.layout.startswith("Amazon reviews 2014/2018")
    assert events(loaded.log) == [("A34A1UP40713F8", "0000000078", 5.0, 1377129600)] * 2
    assert any("repeat an earlier" in note for note in loaded.notes)
    assert loaded.log.title(0) == "O'B" and loaded.log.items["categories"][0] == "Beauty|Hair|Nails"


def test_amazon_metadata_are_never_evaluated(tmp_path):
    write(tmp_path / "Beauty.json", json.dumps(REVIEW_2018) + "\n")
    trap = tmp_path / "trap"
    write(tmp_path / "meta_Beauty.json", f"{{'asin': '0000000078', 'title': open({str(trap)!r}, 'w').name}}\n")
    loaded = read_log(tmp_path / "Beauty.json")
    assert not trap.exists() and any("neither JSON nor a printed dict" in note for note in loaded.notes)


def test_amazon_json_of_2023(tmp_path):
    lone = {**REVIEW_2023, "timestamp": 1588687729000}
    del lone["parent_asin"]
    write(tmp_path / "All_Beauty.jsonl", json.dumps(REVIEW_2023) + "\n" + json.dumps(lone) + "\n")
    write(tmp_path / "meta_All_Beauty.jsonl", json.dumps({"parent_asin": "B00YQ6X8E9", "title": "T", "store": "S"}))
    loaded = read_log(tmp_path)
    assert loaded.log.item_ids.tolist() == ["B00YQ6X8E9", "B00YQ6X8EO"]
    assert loaded.log.time.tolist() == [1588687728, 1588687729]
    assert any("milliseconds" in note for note in loaded.notes) and any("parent_asin" in note for note in loaded.notes)
    assert loaded.log.items["brand"][0] == "S"


@pytest.mark.parametrize("edition, row", [
    ("2014", "A34A1UP40713F8,0000000078,5.0,1377129600"), ("2018", "0000000078,A34A1UP40713F8,5.0,1377129600"),
])  # fmt: skip
def test_amazon_rating_only_tells_the_order_by_the_ids(tmp_path, edition, row):
    loaded = read_log(write(tmp_path / "ratings_Beauty.csv", row + "\n"))
    assert events(loaded.log) == [("A34A1UP40713F8", "0000000078", 5.0, 1377129600)]
    assert edition in loaded.layout


def test_lightgcn_text(tmp_path):
    write(tmp_path / "train.txt", "0 5 3\n1 3\n2\n3 1 2 3 4\n")
    write(tmp_path / "test.txt", "0 4\n1 5 1 \n")
    loaded = read_log(tmp_path)
    assert loaded.layout.startswith("LightGCN") and loaded.log.time is None
    assert events(loaded.parts["train"])[:3] == [("0", "5"), ("0", "3"), ("1", "3")]
    assert events(loaded.parts["test"]) == [("0", "4"), ("1", "5"), ("1", "1")]
    assert any("1 users have no items" in note for note in loaded.notes)


def test_parts_are_read_train_first(tmp_path):
    """So that numbers by first appearance are those of the train part, whatever the files are called."""
    write(tmp_path / "test.csv", "user,item\nz,z\n")
    write(tmp_path / "train.csv", "user,item\na,b\n")
    assert read_log(tmp_path).log.user_ids.tolist() == ["a", "z"]


def test_sasrec_text_takes_the_order_of_lines_as_time(tmp_path):
    loaded = read_log(write(tmp_path / "ml-1m.txt", "1 9\n1 3\n2 9\n1 1\n"))
    assert loaded.layout.startswith("SASRec") and not loaded.dated
    assert events(loaded.log) == [("1", "9", 0), ("1", "3", 1), ("2", "9", 0), ("1", "1", 2)]


def test_encodings_are_noted(tmp_path):
    text = "user,item\n" + "a,b\n" * 400_000 + "é,x\n"  # past what is looked at first
    loaded = read_log(write(tmp_path / "x.csv", text.encode("latin-1")))
    assert loaded.log.user_ids.tolist() == ["a", "é"] and any("latin-1" in note for note in loaded.notes)
    for encoding in ("utf-8-sig", "utf-16"):
        assert events(read_log(write(tmp_path / "y.csv", "user,item\né,x\n".encode(encoding))).log) == [("é", "x")]


def test_few_bad_rows_are_left_out_and_shown(tmp_path):
    lines = [f"u{n % 50},i{n % 70},{n % 5 + 1}" for n in range(4000)]
    lines[10], lines[20] = "u1,,3", "u1,i1,five"
    loaded = read_log(write(tmp_path / "x.csv", "user,item,rating\n" + "\n".join(lines) + "\n"))
    assert len(loaded.log) == 3998
    (note,) = [note for note in loaded.notes if "left out" in note]
    assert "2 of 4,000" in note and "x.csv: line 12" in note and "line 22: column 'rating': 'five'" in note


def test_line_numbers_count_quoted_line_breaks(tmp_path):
    rows = ['a,"x\ny",1'] * 3 + ["b,x,NaN"]
    with pytest.raises(DataError, match=r"line 8: column 'rating'"):
        read_log(write(tmp_path / "x.csv", "user,note,rating,item\n" + "\n".join(row + ",q" for row in rows)))


def test_rows_too_wide_are_no_silent_loss(tmp_path):
    with pytest.raises(DataError, match="line 3: 4 fields instead of 2"):
        read_log(write(tmp_path / "x.csv", "user,item\na,b\nc,d,e,f\n"))


def test_blank_lines_are_no_rows_but_empty_fields_are(tmp_path):
    assert len(read_log(write(tmp_path / "x.csv", "user,item\na,b\n\nc,d\n\n\n")).log) == 2
    with pytest.raises(DataError, match="line 3"):
        read_log(write(tmp_path / "x.csv", "user,item\na,b\n,\n"))


def test_layout_by_name_and_report(tmp_path):
    path = write(tmp_path / "x.csv", "user,item\na,b\n")
    told: list[str] = []
    assert len(read_log(path, layout="table", report=told.append).log) == 1 and told[0].startswith("x.csv")
    with pytest.raises(InputError, match="Did you mean 'table'"):
        read_log(path, layout="tabel")
    with pytest.raises(DataError, match="no RecBole"):
        read_log(path, layout="recbole")
    with pytest.raises(DataError, match="columns of layout 'text' are fixed"):
        read_log(path, layout="text", user="user")


def test_no_reading_needs_pyarrow(tmp_path):
    """It is no dependency, and polars would ask for it on the way to pandas and to numpy text."""
    (tmp_path / "data").mkdir()
    pl.DataFrame({"user": ["a", None], "item": [1, 2]}).head(1).write_parquet(
        tmp_path / "data" / "interactions.parquet"
    )
    write(tmp_path / "data" / "items.csv", "item,title,price,flag\n1,T,2.5,true\n2,,,\n")
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from recaudit.datasets.demo import load_demo; from recaudit.datasets.read import read_log\n"
        f"print(len(load_demo().log), read_log({str(tmp_path / 'data')!r}).log.title(0))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.split() == ["44613", "T"], answer.stderr


TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r\n"), min_size=1, max_size=12)
IDS = TEXT.filter(lambda text: text.lower() != "nan") | st.integers(0, 99).map(lambda n: f"{n:04}")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=st.lists(st.tuples(IDS, IDS, st.integers(0, 2**40)), min_size=1, max_size=20), parquet=st.booleans())
def test_ids_survive_a_round_trip(tmp_path, rows, parquet):
    columns = list(zip(*rows, strict=True))
    frame = pl.DataFrame({"user_id": columns[0], "item_id": columns[1], "order": columns[2]})
    path = tmp_path / "x.file"
    frame.write_parquet(path) if parquet else frame.write_csv(path, quote_style="always")
    assert events(read_log(path, layout="table").log) == rows


SHARED = {
    "amazon-beauty-seq": (22_363, 12_101, 198_502), "amazon-magazine-tiny": (348, 157, 2_302),
    "gowalla": (29_858, 40_981, 1_027_370), "legup-automotive": (2_928, 1_835, 20_473),
    "movielens-100k": (943, 1_682, 100_000), "movielens-1m-implicit": (6_040, 3_706, 1_000_209),
    "movielens-latest-small": (610, 9_724, 100_836), "movietweetings-100k": (16_554, 10_506, 100_000),
}  # fmt: skip
PARTS = {
    "gowalla": {"train": 719_081, "valid": 91_047, "test": 217_242},
    "legup-automotive": {"train": 18_425, "test": 2_048},
}


def test_recbole_files_that_were_trained_on(shared):
    folder = shared / "checkpoints" / "recbole"
    loaded = read_log(folder / "ml100k.inter.gz")
    assert loaded.layout.startswith("RecBole") and (loaded.log.n_users, loaded.log.n_items) == (943, 1_682)
    parts = read_log(folder / "split-ml100k").parts
    assert list(parts) == ["train", "valid", "test"] and sum(map(len, parts.values())) == 100_000
    with pytest.raises(DataError, match="several data sets"):
        read_log(folder)


@pytest.mark.parametrize("name", SHARED)
def test_shared_folders_have_their_published_sizes(shared, name):
    loaded = read_log(shared / "data" / name)
    assert (loaded.log.n_users, loaded.log.n_items, len(loaded.log)) == SHARED[name]
    assert {part: len(log) for part, log in loaded.parts.items()} == PARTS.get(name, {})
    if (shared / "data" / name / "items.csv.gz").exists():
        assert loaded.log.items is not None and len(loaded.log.items) == SHARED[name][1]
