"""Real victims of both families: neutral settings change no bit, the same seed gives the same bytes."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from recaudit.defenses.catalogue import build
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit

from .fake import ACTIVE, LOG, RECIPES, ROBUST, content, hardened

NEUTRAL = {
    "t-ce": {"eps_max": 0.0}, "r-ce": {"alpha": 0.0}, "trimmed-users": {"q": 0.0},
    "apr": {"weight": 0.0}, "vat": {"weight": 0.0}, "pama-cf": {"weight": 0.0},
}  # fmt: skip


@cache
def undefended(victim: str) -> bytes:
    """All bytes of the victim without a defence."""
    return content(RECIPES[victim])


@pytest.mark.parametrize("victim", ["mf", "mf-bpr", "lightgcn", "sasrec"])
def test_neutral_settings_change_no_bit(victim: str) -> None:
    for name, settings in NEUTRAL.items():
        assert content(RECIPES[victim], name=name, **settings) == undefended(victim), name


@pytest.mark.parametrize(
    ("name", "victim"),
    [
        *itertools.product(ROBUST, ("mf", "mf-bpr", "lightgcn", "sasrec")),
        ("vat", "simgcl"),
        ("apr", "feature-lightgcn"),
        ("pld", "gru4rec"),
    ],
)
def test_same_seed_same_bytes_and_not_those_of_the_undefended(name: str, victim: str) -> None:
    settings = ACTIVE.get(name, {})
    first = content(RECIPES[victim], name=name, **settings)
    assert first == content(RECIPES[victim], name=name, **settings)
    assert first != undefended(victim)


@pytest.mark.parametrize("victim", ["mf", "sasrec"])
@pytest.mark.parametrize("name", ROBUST)
def test_user_of_weight_zero_changes_nothing(name: str, victim: str) -> None:
    silent = 7
    weights = np.full(LOG.n_users, 0.5, np.float32)
    weights[silent] = 0.0
    item = LOG.item.copy()
    own = np.flatnonzero(LOG.user == silent)
    item[own] = np.random.default_rng(0).permutation(LOG.n_items)[: len(own)]

    def items(log: Any) -> np.ndarray:
        model: Any = fit(
            RECIPES[victim], log, 2, weights=weights,
            harden=lambda training: hardened(name, training, 3, **ACTIVE.get(name, {})),
        )  # fmt: skip
        scores: np.ndarray = model.scores(np.arange(6), LOG)
        return scores

    assert np.array_equal(items(LOG), items(replace(LOG, item=item)))


def test_settings_out_of_range_are_refused_and_a_model_without_rows_is_told_why() -> None:
    for name in ROBUST:
        why = build(name).why_not(Recipe("ease", {}), LOG)
        assert why is not None and "ease" in why
        assert build(name).why_not(Recipe("sasrec", {}), LOG) is None
