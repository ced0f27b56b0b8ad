"""RecBole's own checkpoints give RecBole's own figures, on the split it made and on the one made again."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pytest

from recaudit.datasets.errors import CheckpointError
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.read import LoadedLog, read_log
from recaudit.recommenders.checkpoint import open_checkpoint, save_checkpoint
from recaudit.recommenders.evaluate import evaluate
from recaudit.recommenders.foreign.opening import consumed_before, open_foreign
from recaudit.recommenders.foreign.recbole import read_recbole
from recaudit.recommenders.foreign.recbole_data import rebuilt_split

FILES = ("lightgcn-ml100k", "bpr-ml100k", "sgl-ml100k", "sasrec-magazine", "gru4rec-magazine", "bert4rec-magazine")
METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20", "hr@10", "hr@20")


@pytest.fixture(scope="module")
def files(shared: Path) -> Path:
    return shared / "checkpoints" / "recbole"


@pytest.fixture(scope="module")
def data(files: Path) -> dict[str, LoadedLog]:
    return {"ml100k": read_log(files / "ml100k.inter.gz"), "magazine": read_log(files / "magazine.inter")}


def published(files: Path, name: str) -> list[float]:
    """The figures of the README's table, which RecBole printed."""
    (line,) = [row for row in (files / "README.md").read_text().splitlines() if row.startswith(f"| {name}.pth ")]
    return [float(cell) for cell in re.findall(r"\| (\.\d{4})(?= \|)", line)]


@pytest.mark.parametrize("name", FILES)
def test_recboles_figures_come_out(name: str, files: Path, data: dict[str, LoadedLog]) -> None:
    target = open_foreign(files / f"{name}.pth", data[name.split("-")[1]])
    split = target.split
    found = evaluate(
        target.model, split.test, split.history, (10, 20), mask=consumed_before(target.recipe, split.history)
    )
    np.testing.assert_allclose([found[metric] for metric in METRICS], published(files, name), atol=1e-4)
    assert target.origin is not None and target.origin.verified


def pairs(log: InteractionLog) -> list[tuple[str, str]]:
    return sorted(zip(log.user_ids[log.user].tolist(), log.item_ids[log.item].tolist(), strict=True))


def test_the_split_made_again_is_recboles(files: Path, data: dict[str, LoadedLog]) -> None:
    split = rebuilt_split(read_recbole(files / "lightgcn-ml100k.pth"), data["ml100k"])
    for part in ("train", "valid", "test"):
        lines = gzip.open(files / "split-ml100k" / f"ml100k.{part}.inter.gz", "rt").read().splitlines()[1:]
        assert pairs(getattr(split, part)) == sorted(tuple(line.split("\t")[:2]) for line in lines)


def test_it_is_saved_and_opened_as_one_of_ours(files: Path, data: dict[str, LoadedLog], tmp_path: Path) -> None:
    target = open_foreign(files / "bert4rec-magazine.pth", data["magazine"])
    save_checkpoint(tmp_path / "ckpt", target.model, target.recipe, target.split, target.seed, {}, origin=target.origin)
    again = open_checkpoint(tmp_path / "ckpt")
    users = np.arange(50)
    np.testing.assert_array_equal(
        again.model.scores(users, again.split.history), target.model.scores(users, target.split.history)
    )
    assert again.origin == target.origin


def without(log: InteractionLog, rows: slice) -> LoadedLog:
    kept = np.ones(len(log), bool)
    kept[rows] = False
    return LoadedLog(log.take(kept))


@pytest.mark.parametrize("name", ["lightgcn-ml100k", "bpr-ml100k"])
def test_a_few_events_less_are_found_out(name: str, files: Path, data: dict[str, LoadedLog]) -> None:
    with pytest.raises(CheckpointError, match="as stored in it"):
        open_foreign(files / f"{name}.pth", without(data["ml100k"].log, slice(90_000, 90_003)))


def test_other_data_and_no_data_are_refused(files: Path, data: dict[str, LoadedLog]) -> None:
    with pytest.raises(CheckpointError, match=r"item of shape \(1682, 64\)"):
        open_foreign(files / "sasrec-magazine.pth", data["ml100k"])
    with pytest.raises(CheckpointError, match="give them by --data"):
        open_foreign(files / "sasrec-magazine.pth", None)
