"""The example of CONTRIBUTING is an attack like any other."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from recaudit.attacks.base import Goal
from recaudit.attacks.goal import Direction, Kind

from .conformance import TARGET, examine, examine_declaration, log_for, run
from .thirty_lines import Obscure


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("direction", get_args(Direction))
def test_it_passes_the_examination(kind: Kind, direction: Direction) -> None:
    examine(Obscure, kind, direction)


def test_it_says_what_it_is_in_thirty_lines() -> None:
    examine_declaration(Obscure)
    assert len(Path(__file__).with_name("thirty_lines.py").read_text("utf-8").splitlines()) <= 30


def test_contributing_shows_this_very_file() -> None:
    guide = (Path(__file__).resolve().parents[2] / "CONTRIBUTING.md").read_text("utf-8")
    assert Path(__file__).with_name("thirty_lines.py").read_text("utf-8").rstrip() in guide


def test_it_prefers_little_known_items() -> None:
    log = log_for("implicit")
    profiles = run(Obscure(), log, Goal((TARGET,), 200, 6))
    fillers = profiles.item[profiles.item != TARGET]
    times_drawn = np.bincount(fillers, minlength=log.n_items)
    assert np.corrcoef(times_drawn, log.item_counts)[0, 1] < -0.5
