"""Hostile and damaged files through the command line: exit 2, one line, no code run, nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from recaudit.cli.program import app

from ..recommenders.hostile import hostile_checkpoints, payload_ran

DATA = {
    "empty.csv": b"",
    "image.png": b"\x89PNG\r\n\x1a\n" + bytes(200),
    "page.html": b"<!doctype html><html><body>404</body></html>",
    "prose.txt": b"Dear all,\nplease find attached the ratings.\n",
    "header.csv": b"user_id,item_id,rating\n",
    "nan.csv": b"user_id,item_id,rating\n" + b"".join(b"u%d,i%d,nan\n" % (n, n) for n in range(50)),
    "cut.csv.gz": bytes.fromhex("1f8b0800000000000003") + b"\x4b\x2c\x4e",
    "pickle.pkl": b"cos\nsystem\n(S'touch ran'\ntR.",
    "half.parquet": b"PAR1" + bytes(64),
}


def refused(*arguments: str) -> str:
    """The one line of a refusal."""
    answer = CliRunner().invoke(app, [*arguments])
    assert answer.exit_code == 2, (arguments, answer.exit_code, answer.output)
    assert answer.stderr.count("\n") == 1 and "Traceback" not in answer.output, answer.output
    return answer.stderr


def test_every_hostile_checkpoint_is_one_line(checkpoint: Path, tmp_path: Path) -> None:
    count = 0
    for _, path in hostile_checkpoints(tmp_path, checkpoint):
        refused("evaluate", "--model", str(path))
        count += 1
    assert count >= 250 and not payload_ran(tmp_path)


@pytest.mark.parametrize("name", DATA)
def test_files_that_are_no_log_are_one_line(name: str, tmp_path: Path) -> None:
    path, out = tmp_path / name, tmp_path / "ckpt"
    path.write_bytes(DATA[name])
    assert name in refused("train", "--model", "popularity", "--data", str(path), "--out", str(out))
    assert not out.exists() and not (tmp_path / "ran").exists()
