"""`recaudit measure`: values of the library, the contract's JSON, errors that name file, column and remedy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import sparse
from typer.testing import CliRunner

from recaudit.cli.program import app
from recaudit.fairness.catalogue import ALL
from recaudit.fairness.recommendations import Recommendations

SLUGS = (
    "jain qf entropy gini gini_w fsat vocd ii_d ai_d iaa ii_f ai_f mme ibo iwo ifd_div ifd_mul hd".split()
)  # the command-line contract


def invoke(*words: object) -> Any:
    return CliRunner().invoke(app, ["measure", *map(str, words)])


def write_lists(path: Path, lists: np.ndarray) -> Path:
    users = [f"{row:03d}" for row in range(len(lists))]
    rows = [
        (u, f"i{item}", r + 1) for u, items in zip(users, lists.tolist(), strict=True) for r, item in enumerate(items)
    ]
    frame = pl.DataFrame(rows, schema=["user", "item", "rank"], orient="row").sample(fraction=1, shuffle=True, seed=0)
    frame.write_parquet(path) if path.suffix == ".parquet" else frame.write_csv(path)
    return path


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    generator = np.random.default_rng(2)
    lists = np.argsort(generator.random((30, 12)) ** np.arange(1, 13), axis=1)[:, :4]
    relevant = generator.random((30, 12)) < 0.2
    (tmp_path / "items.csv").write_text("item,title\n" + "".join(f"i{i},t\n" for i in range(12)))
    user, item = np.nonzero(relevant)
    cells = "".join(f"{u:03d},i{i}\n" for u, i in zip(user, item, strict=True))
    (tmp_path / "relevant.csv").write_text("user,item\n" + cells)
    return {
        "lists": write_lists(tmp_path / "lists.csv", lists),
        "parquet": write_lists(tmp_path / "lists.parquet", lists),
        "catalogue": tmp_path / "items.csv",
        "relevance": tmp_path / "relevant.csv",
        "data": Recommendations.of(lists.astype(np.int32), 12, sparse.csr_matrix(relevant.astype(float))),
    }


def test_json_holds_every_form_by_the_names_of_the_contract(files: dict[str, Any]) -> None:
    words = ("--catalogue", files["catalogue"], "--relevance", files["relevance"], "--json")
    answer = json.loads(invoke("--recommendations", files["lists"], *words).stdout)
    assert (answer["users"], answer["items"], answer["k"]) == (30, 12, 4)
    assert set(SLUGS) <= set(answer["values"])
    for measure in ALL:
        for name, formula in measure.forms.items():
            found = formula(files["data"])
            expected = None if found.value is None else pytest.approx(found.value, abs=1e-12)
            assert answer["values"][name] == expected, name
            assert (name in answer["reasons"]) == (found.value is None), "undefined, and why"
    assert "gini_original" in answer["values"] and "vocd_original" not in answer["values"]
    assert answer == json.loads(invoke("--recommendations", files["parquet"], *words).stdout)


def test_without_relevance_only_lists_are_measured(files: dict[str, Any]) -> None:
    result = invoke("--recommendations", files["lists"], "--catalogue", files["catalogue"], "--json", "--resamples", 0)
    answer = json.loads(result.stdout)
    assert {m.slug for m in ALL if m.needs == "lists"} <= set(answer["values"]) and "ai_f" not in answer["values"]
    assert "standard_errors" not in answer


def test_names_and_cutoffs_choose(files: dict[str, Any]) -> None:
    result = invoke("--recommendations", files["lists"], "--catalogue", files["catalogue"], "--measures", "gini*",
                    "-k", 2, "--json")  # fmt: skip
    answer = json.loads(result.stdout)
    assert set(answer["values"]) == {"gini", "gini_original", "gini_w", "gini_w_original"} and answer["k"] == 2
    low, high = answer["ranges"]["gini_original"]
    assert low <= answer["values"]["gini_original"] <= high


def test_a_baseline_gives_paired_differences(files: dict[str, Any]) -> None:
    words = ("--recommendations", files["lists"], "--catalogue", files["catalogue"], "--measures", "gini", "--json")
    answer = json.loads(invoke(*words, "--baseline", files["parquet"]).stdout)
    assert answer["differences"] == {"gini": 0.0, "gini_original": 0.0}
    assert answer["difference_errors"]["gini"] == 0.0 < answer["standard_errors"]["gini"]


def test_people_get_a_table(files: dict[str, Any]) -> None:
    result = invoke("--recommendations", files["lists"], "--catalogue", files["catalogue"], "--relevance",
                    files["relevance"], "--baseline", files["parquet"])  # fmt: skip
    assert result.exit_code == 0 and "30 users, 12 items" in result.stdout
    assert "lower is fairer; against baseline +0" in result.stdout and "Not evidence of fairness" in result.stdout


BROKEN = [
    ("user,item\n1,1\n", "3", "lacks column 'rank'"),
    ("user,item,rank\n1,7,1\n", "3", "item '7' (and 0 more) is not in the catalogue"),
    ("user,item,rank\n1,1,x\n", "3", "rank 'x' in row 1"),
    ("user,item,rank\n1,1,0\n", "3", "rank '0' in row 1"),
    ("user,item,rank\n1,1,1\n1,2,3\n", "3", "not 1 to 2, each once"),
    ("user,item,rank\n1,1,1\n1,2,1\n", "3", "not 1 to 2, each once"),
    ("user,item,rank\n1,1,1\n1,1,2\n", "3", "hold an item twice"),
    ("user,item,rank\n", "3", "holds no row"),
    ("user,item,rank\n1,,1\n", "3", "column item has 1 empty cells"),
    ("user,item,rank\n1,1,1\n", "nowhere.csv", "nowhere.csv: no such file"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "catalogue", "message"), BROKEN)
def test_bad_files_are_one_line_and_exit_2(tmp_path: Path, text: str, catalogue: str, message: str) -> None:
    path = tmp_path / "lists.csv"
    path.write_text(text)
    result = invoke("--recommendations", path, "--catalogue", catalogue)
    assert result.exit_code == 2 and message in result.stderr and result.stderr.count("\n") == 1, result.stderr


def test_mismatched_files_are_named(files: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "more.csv").write_text("user,item\n999,i1\n")
    (tmp_path / "twice.csv").write_text("item\ni1\ni1\n")
    (tmp_path / "one.csv").write_text("user,item,rank\n000,i1,1\n")
    base = ("--recommendations", files["lists"], "--catalogue", files["catalogue"])
    for words, message in (
        ((*base, "--relevance", tmp_path / "more.csv"), "stands here but has no list"),
        ((*base[:2], "--catalogue", tmp_path / "twice.csv"), "names every item once"),
        ((*base, "--baseline", tmp_path / "one.csv"), "for the same users"),
        ((*base, "--measures", "ginny"), "Did you mean 'gini'"),
    ):
        result = invoke(*words)
        assert result.exit_code == 2 and message in result.stderr, result.stderr


def test_no_torch_is_imported(files: dict[str, Any]) -> None:
    code = (
        "import sys; from recaudit.cli.program import app; "
        f"app(['measure','--recommendations',{str(files['lists'])!r},'--catalogue',{str(files['catalogue'])!r},"
        f"'--relevance',{str(files['relevance'])!r}], standalone_mode=False); "
        "print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip().endswith("False")


def test_explain_teaches_a_measure() -> None:
    result = CliRunner().invoke(app, ["explain", "gini", "--users", "10", "--items", "20", "-k", "2"])
    assert result.exit_code == 0
    for words in (
        "lower is fairer",
        "limits:",
        "range of the original form for 10 users",
        "arXiv 2311.01013",
        "corrected:",
    ):
        assert words in result.stdout, words


def test_the_distance_to_the_frontier_needs_what_was_consumed(files: dict[str, Any], tmp_path: Path) -> None:
    lists, relevant = files["data"].lists, files["data"].relevant.toarray() > 0
    free = ~relevant
    free[np.arange(len(lists))[:, None], lists] = False
    user, item = np.nonzero(free & (np.arange(12) % 3 == 0))
    (tmp_path / "train.csv").write_text(
        "user,item\n" + "".join(f"{u:03d},i{i}\n" for u, i in zip(user, item, strict=True))
    )
    words = ("--recommendations", files["lists"], "--catalogue", files["catalogue"], "--relevance", files["relevance"])
    answer = json.loads(invoke(*words, "--consumed", tmp_path / "train.csv", "--json").stdout)
    assert 0 < answer["values"]["dpfr"] < 2**0.5 and answer["standard_errors"]["dpfr"] > 0
    alone = invoke(*words[:4], "--consumed", tmp_path / "train.csv")
    assert alone.exit_code == 2 and "give --relevance too" in alone.stderr
    result = invoke(*words, "--consumed", files["relevance"])
    assert result.exit_code == 2 and "relevant to a user who consumed them" in result.stderr
