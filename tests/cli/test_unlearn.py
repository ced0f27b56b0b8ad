"""`recaudit unlearn` as a user gives it: forget, verify, exit codes, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from recaudit import __version__
from recaudit.cli.program import app
from recaudit.recommenders.checkpoint import open_checkpoint, save_checkpoint
from recaudit.unlearn.drawing import draw
from recaudit.unlearn.reading import read_requests

from .conftest import Recaudit

REFERENCES = ("--retrains", 2, "--refits", 2, "--jobs", 1)


def refused(*arguments: object, words: tuple[str, ...]) -> None:
    """Exit 2 with one line that holds the words, in this process: starting another for each takes seconds."""
    answer = CliRunner().invoke(app, [str(own) for own in arguments])
    assert answer.exit_code == 2, answer.output
    assert answer.stderr.count("\n") == 1, answer.stderr
    for word in words:
        assert word in answer.stderr, answer.stderr


@pytest.fixture(scope="module")
def gone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two requests that forget thirty users."""
    path = tmp_path_factory.mktemp("request") / "gone.csv"
    lines = [f"{'first' if n < 20 else 'second'},u{n:05d}" for n in range(30)]
    path.write_text("\n".join(["request,user", *lines]) + "\n")
    return path


@pytest.fixture(scope="module")
def after(recaudit: Recaudit, checkpoint: Path, gone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("after") / "ckpt"
    answer = recaudit("unlearn", "run", "--model", checkpoint, "--method", "downdate", "--request", gone, "--out", path)
    assert answer.returncode == 0, answer.stderr
    assert "first:" in answer.stderr
    assert "second:" in answer.stderr
    return path


def test_an_exact_forgetting_is_honoured(
    recaudit: Recaudit, checkpoint: Path, after: Path, gone: Path, tmp_path: Path
) -> None:
    answer = recaudit(
        "unlearn", "verify", "--before", checkpoint, "--after", after, "--request", gone, "--out", tmp_path / "o",
        *REFERENCES, "--json",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert found["verdict"] == "honoured"
    assert abs(found["statistics"][0]["rho"]) < 1e-3
    assert json.loads((tmp_path / "o" / "verification.json").read_text()) == found
    before, own = open_checkpoint(checkpoint), open_checkpoint(after)
    assert found["fingerprints"]["before"] == before.fingerprint
    assert found["fingerprints"]["after"] == own.fingerprint
    assert found["fingerprints"]["data"] == before.split.fingerprint
    assert len(found["fingerprints"]["request"]) == 64
    assert (found["seed"], found["confidence"], found["recaudit"]) == (0, 0.95, __version__)
    assert found["references"] == {"own": 2, "given": 0, "with the forget set": 2}
    assert found["sample"] is None  # all of it was looked at
    assert found["worst"] is None  # two retrains are too few to look at single requests
    assert recaudit("evaluate", "--model", after, "--json").returncode == 0


def test_the_same_checkpoint_is_not(recaudit: Recaudit, checkpoint: Path, gone: Path, tmp_path: Path) -> None:
    answer = recaudit(
        "unlearn", "verify", "--before", checkpoint, "--after", checkpoint, "--request", gone, "--out", tmp_path,
        *REFERENCES,
    )  # fmt: skip
    assert answer.returncode == 1, answer.stderr
    for text in ("NOT HONOURED", "no tensor changed", "still carries", "What this cannot show"):
        assert text in answer.stdout


def test_a_checkpoint_that_carries_the_events_is_not_honoured(
    recaudit: Recaudit, checkpoint: Path, after: Path, gone: Path, tmp_path: Path
) -> None:
    """Weights of an exact retrain, data of the checkpoint before; and the answer of an earlier run does not stay."""
    before, retrained = open_checkpoint(checkpoint), open_checkpoint(after)
    carrying, out = tmp_path / "ckpt", tmp_path / "o"
    save_checkpoint(
        carrying, retrained.model, before.recipe, before.split, 0, {"ndcg@20": 0.1}, include_data=True, overwrite=False
    )
    verify = ("unlearn", "verify", "--before", checkpoint, "--request", gone, "--out", out)
    answer = recaudit(*verify, "--after", carrying, *REFERENCES, "--json")
    assert answer.returncode == 1, answer.stderr
    found = json.loads(answer.stdout)
    assert found["verdict"] == "not honoured"
    assert "still carries" in found["reason"]
    assert (out / "verification.json").is_file()
    refused(*verify, "--after", tmp_path / "none", words=("none",))
    assert not (out / "verification.json").exists()


def test_the_new_checkpoint_holds_nothing_of_the_request(checkpoint: Path, after: Path, gone: Path) -> None:
    before, split = open_checkpoint(checkpoint).split, open_checkpoint(after).split
    asked = [line.split(",")[1] for line in gone.read_text().split()[1:]]
    rows = np.flatnonzero(np.isin(before.train.user_ids, asked))
    assert len(rows) == 30
    for part in (split.train, split.valid, split.test):
        assert not np.isin(part.user, rows).any()
        assert part.user_ids[rows].tolist() == [f"forgotten:{row}" for row in rows]
    for path in after.iterdir():
        assert not any(name.encode() in path.read_bytes() for name in asked), path


def test_pairs_that_the_split_held_out_are_forgotten_too(recaudit: Recaudit, checkpoint: Path, tmp_path: Path) -> None:
    split = open_checkpoint(checkpoint).split
    part = split.test.take(np.arange(3))
    pairs = zip(part.user_ids[part.user].tolist(), part.item_ids[part.item].tolist(), strict=True)
    gone, after = tmp_path / "gone.csv", tmp_path / "after"
    gone.write_text("\n".join(["user,item", *(",".join(pair) for pair in pairs)]) + "\n")
    head = ("--method", "downdate", "--request", gone)
    answer = recaudit("unlearn", "run", "--model", checkpoint, "--out", after, *head)
    assert answer.returncode == 0, answer.stderr
    assert "0 events forgotten by downdate, 3 held-out ones removed" in answer.stderr
    assert not np.isin(open_checkpoint(after).split.test.pair_keys, part.pair_keys).any()
    told = ("unlearn", "verify", "--before", checkpoint, "--after", after, "--request", gone, "--out", tmp_path / "o")
    refused(*told, words=("trained on nothing of it",))
    refused("unlearn", "attack", "--model", checkpoint, *head, "--out", tmp_path, words=("trained on nothing of it",))


def test_a_request_that_leaves_nothing_to_measure_is_served(
    checkpoint: Path, recaudit: Recaudit, tmp_path: Path
) -> None:
    test = open_checkpoint(checkpoint).split.test
    pairs = zip(test.user_ids[test.user].tolist(), test.item_ids[test.item].tolist(), strict=True)
    gone, after = tmp_path / "gone.csv", tmp_path / "after"
    gone.write_text("\n".join(["user,item", *(",".join(pair) for pair in pairs)]) + "\n")
    head = ("unlearn", "run", "--method", "downdate")
    answer = recaudit(*head, "--model", checkpoint, "--request", gone, "--out", after)
    assert answer.returncode == 0, answer.stderr
    assert "nothing is left to measure" in answer.stdout
    found = open_checkpoint(after)
    assert len(found.split.test) == 0 and found.stored_metrics == {}
    gone.write_text("user\nu00001\n")
    answer = recaudit(*head, "--model", after, "--request", gone, "--out", tmp_path / "second")
    assert answer.returncode == 0, answer.stderr
    assert "before not measured" in answer.stdout


def test_a_checkpoint_without_data_is_no_dead_end(recaudit: Recaudit, ratings: Path, tmp_path: Path) -> None:
    """What is left of the data is in no file: the new checkpoint holds it, and can be asked and made to forget."""
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    gone, more = tmp_path / "gone.csv", tmp_path / "more.csv"
    gone.write_text("user\n" + "".join(f"u{n:05d}\n" for n in range(30)))
    more.write_text("user\nu00200\n")

    def run(*arguments: object, code: int = 0) -> str:
        answer = recaudit(*arguments)
        assert answer.returncode == code, answer.stderr
        return answer.stdout + answer.stderr

    run("train", "--model", "ease", "--data", ratings, "--without-data", "--out", first)
    method = ("--method", "downdate", "--request")
    told = run("unlearn", "run", "--model", first, "--data", ratings, *method, gone, "--out", second)
    assert "what is left of the data is stored in it" in told
    run("evaluate", "--model", second)
    run(
        "unlearn", "verify", "--before", first, "--data", ratings, "--after", second, "--request", gone,
        "--out", tmp_path / "o", *REFERENCES,
    )  # fmt: skip
    told = run("unlearn", "run", "--model", second, *method, more, "--out", third)
    assert "is stored in it" not in told
    split = open_checkpoint(third).split
    rows = np.flatnonzero(np.char.startswith(split.train.user_ids, "forgotten:"))
    assert len(rows) == 31 and len(split.history) > 1000
    assert not np.isin(split.history.plus(split.test).user, rows).any()


def test_of_a_large_request_a_sample_is_judged_that_the_model_itself_fixes(
    checkpoint: Path, after: Path, gone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recaudit.unlearn.verify.question.PAIRS", 100)

    def sample(model: Path, *more: object) -> int:
        given = ("--before", checkpoint, "--after", model, "--request", gone, "--out", tmp_path, *REFERENCES, *more)
        answer = CliRunner().invoke(app, [str(own) for own in ("unlearn", "verify", *given, "--json", "--quiet")])
        assert answer.exit_code == (1 if model == checkpoint else 0), answer.output
        found: int = json.loads(answer.stdout)["sample"]
        return found

    def kept() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()}

    first = sample(after)
    cells = kept()
    assert sample(after) == first and kept() == cells, "the same command goes on where it stopped"
    assert len({first, sample(checkpoint), sample(after, "--seed", 1), 0}) == 4


def test_retrains_that_prove_nothing_are_refused(checkpoint: Path, after: Path, gone: Path, tmp_path: Path) -> None:
    head = ("unlearn", "verify", "--before", checkpoint, "--after", after, "--request", gone, "--out", tmp_path)
    refused(*head, "--retrained", after, "--retrained", after, words=("same weights as the checkpoint after",))
    refused(*head, "--retrained", checkpoint, "--retrained", after, words=("same weights as the checkpoint before",))


def test_a_request_of_one_user_is_inconclusive(
    recaudit: Recaudit, checkpoint: Path, after: Path, tmp_path: Path
) -> None:
    small = tmp_path / "small.jsonl"
    small.write_text('{"user": "u00003"}\n')
    answer = recaudit(
        "unlearn", "verify", "--before", checkpoint, "--after", after, "--request", small, "--out", tmp_path / "o",
        *REFERENCES,
    )  # fmt: skip
    assert answer.returncode == 4, answer.stderr
    assert "INCONCLUSIVE" in answer.stdout
    assert "pool requests" in answer.stdout


EVERYBODY = "user\n" + "".join(f"u{n:05d}\n" for n in range(300))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("user\nnobody\n", ("line 2", "nobody")), ("user\n", ("no request",)),
        ("name\nx\n", ("unknown column", "name")), (EVERYBODY, ("every event",)),
    ],
)  # fmt: skip
def test_bad_requests_change_nothing(checkpoint: Path, tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    path, out = tmp_path / "gone.csv", tmp_path / "after"
    path.write_text(text)
    head = ("unlearn", "run", "--model", checkpoint, "--method", "downdate")
    refused(*head, "--request", path, "--out", out, words=words)
    assert not out.exists()


@pytest.mark.parametrize("kind", ["core-users", "items", "pairs", "part-of-users"])
def test_a_drawn_request_asks_for_what_was_drawn(kind: str, checkpoint: Path, tmp_path: Path) -> None:
    log = open_checkpoint(checkpoint).split.train
    out = tmp_path / "drawn.csv"
    ask = ["unlearn", "draw", "--model", str(checkpoint), "--kind", kind, "--pairs", "60", "--out", str(out)]
    first = CliRunner().invoke(app, ask)
    assert first.exit_code == 0, first.output
    wanted, (found,) = draw(log, kind, 60, 0), read_requests(out, log)  # type: ignore[arg-type]
    assert (found.rows == wanted.rows).all() and (found.users == wanted.users).all()
    assert f"{len(wanted):,} events" in first.output
    refused(*ask, words=("drawn.csv", "--overwrite"))
    refused(*ask[:-4], "--pairs", 10**9, "--out", tmp_path / "other.csv", words=("cannot be drawn",))


def test_methods_that_do_not_fit(checkpoint: Path, gone: Path, tmp_path: Path) -> None:
    head = ("unlearn", "run", "--model", checkpoint, "--request", gone, "--out", tmp_path / "x", "--method")
    refused(*head, "ascent-repair", words=("ascent-repair", "row by row"))
    refused(*head, "ascend-repair", words=("Did you mean 'ascent-repair'",))
    refused(*head, "sisa", words=("several parts",))
    assert not (tmp_path / "x").exists()


def test_help_of_both_teaches_by_example() -> None:
    for command in ("run", "verify", "plant", "canaries"):
        answer = CliRunner().invoke(app, ["unlearn", command, "--help"])
        assert answer.exit_code == 0
        assert "Example" in answer.stdout


def test_canaries_from_planting_to_the_answer(ratings: Path, tmp_path: Path) -> None:
    runner, secret, planted = CliRunner(), tmp_path / "secret.json", tmp_path / "train.csv"

    def run(*arguments: object, code: int = 0) -> str:
        answer = runner.invoke(app, [str(own) for own in arguments])
        assert answer.exit_code == code, answer.output
        return answer.output

    head = ("unlearn", "plant", "--data", ratings, "--out", planted, "--secret", secret)
    assert "of 200 canaries" in run(*head, "--seed", 5)
    kept = json.loads(secret.read_text())["canaries"]
    before, after, gone = tmp_path / "before", tmp_path / "after", tmp_path / "gone.csv"
    run("train", "--model", "ease", "--set", "regularisation=20", "--data", planted, "--out", before, "-q")
    log = open_checkpoint(before).split.train
    trained = set(zip(log.user_ids[log.user].tolist(), log.item_ids[log.item].tolist(), strict=True))
    pairs = [(own["user"], own["items"][0]) for own in kept if own["included"]]
    lines = [",".join(pair) for pair in pairs if pair in trained]
    assert 0.5 * len(pairs) < len(lines) < len(pairs)  # the split has held some out
    gone.write_text("\n".join(["user,item", *lines]) + "\n")
    asked = ("unlearn", "canaries", "--before", before, "--secret", secret, "--after")
    assert "a trace is left" in run(*asked, before, code=1)
    run("unlearn", "run", "--model", before, "--method", "downdate", "--request", gone, "--out", after)
    assert "no trace found" in run(*asked, after)


def test_an_attacker_who_knows_the_method(checkpoint: Path, gone: Path, tmp_path: Path) -> None:
    found = {}
    for method in ("do-nothing", "downdate"):
        given = ("--model", checkpoint, "--method", method, "--request", gone, "--out", tmp_path, "--shadows", 3)
        answer = CliRunner().invoke(app, [str(own) for own in ("unlearn", "attack", *given, "--jobs", 1, "--quiet")])
        assert answer.exit_code == 0, answer.output
        found[method] = json.loads((tmp_path / "attack.json").read_text())["pairs"]["forgotten"]["auc"]
        assert ("can be told" in answer.stdout) == (found[method] > 0.5)
    assert found["do-nothing"] > 0.6 > found["downdate"]
    refused(
        "unlearn", "attack", "--model", checkpoint, "--method", "influence", "--request", gone, "--out", tmp_path,
        words=("influence cannot be used",),
    )  # fmt: skip
