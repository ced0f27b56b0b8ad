"""A system behind a Python object: what it gives, what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from recaudit.datasets.errors import DataError, InputError
from recaudit.datasets.read import LoadedLog
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.blackbox.opening import open_system
from recaudit.recommenders.catalogue import build, fit, why_no_refit

from ...unlearn.conformance import small_log

LOG = small_log(users=40, items=25, events=600)

MODULE = """
import numpy as np

class System:
    def __init__(self, counts): self.counts = counts
    def scores(self, users): return np.tile(self.counts, (len(users), 1))
    def refit(self, log, weights, seed):
        return System(np.bincount(log.item, None if weights is None else weights[log.user], minlength=log.n_items))

class Fixed:
    scores = staticmethod(lambda users: np.ones((len(users), 25)))

class Odd:
    scores = staticmethod(lambda users: np.ones((len(users), 3)))
    refit = staticmethod(lambda log, weights, seed: 5)

class Wild:
    scores = staticmethod(lambda users: 1 / 0)

good, fixed, odd, wild, number = System(np.arange(25.0)), Fixed(), Odd(), Wild(), 5
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "owners_system.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "owners_system", raising=False)


def test_scores_and_a_retraining() -> None:
    target = open_system("python", {"target": "owners_system:good"}, LoadedLog(LOG), "ratio:0.7,0.1,0.2")
    assert target.model.scores(np.array([3, 4]), LOG).argmax(1).tolist() == [24, 24]
    assert why_no_refit(target.recipe) is None
    weights = np.zeros(40, np.float32)
    weights[7] = 1
    again = fit(target.recipe, LOG, 0, weights=weights)
    np.testing.assert_array_equal(
        again.scores(np.array([0]), LOG)[0], np.bincount(LOG.item[LOG.user == 7], minlength=25)
    )


def test_without_refit() -> None:
    why = why_no_refit(Recipe("python", {"target": "owners_system:fixed"}))
    assert why is not None and "no refit" in why


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("owners_system:missing", "cannot be imported: AttributeError"),
        ("no_such_module:x", "cannot be imported: ModuleNotFoundError"),
        ("owners_system:number", "has no scores"),
        ("owners_system:odd", r"gave shape \(1, 3\), expected \(1, 25\)"),
        ("owners_system:wild", "failed: ZeroDivisionError"),
        ("just a name", "field 'target'"),
    ],
)
def test_what_does_not_fit_is_named(target: str, words: str) -> None:
    with pytest.raises((InputError, DataError), match=words):
        model = build(Recipe("python", {"target": target}))
        model.load({}, 40, 25)
        model.scores(np.array([0]), LOG)


def test_a_retraining_that_gives_nothing() -> None:
    with pytest.raises(InputError, match="gave a int without scores"):
        fit(Recipe("python", {"target": "owners_system:odd"}), LOG, 0)
