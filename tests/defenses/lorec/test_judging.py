"""Judging: what a calibrator learns carries over, and nothing depends on the place of an account."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from recaudit.attacks.visibility import auc
from recaudit.datasets.synthetic import generate
from recaudit.defenses.histories import Histories, simulated
from recaudit.defenses.lorec.config import LoRecConfig
from recaudit.defenses.lorec.judging import Judge
from recaudit.defenses.lorec.states import SequenceStates
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.sasrec import SASRec

LOG = generate(users=300, items=80, events=6000, ratings=False, follows=0.4)
USERS = np.arange(300)
ACCOUNTS = Histories.of_accounts(LOG, USERS)
FAKES = simulated(LOG, USERS, 60, ("random", "bandwagon"), 4)


@cache
def victim() -> SASRec:
    found = fit(Recipe("sasrec", {"dim": 16, "max_length": 30, "dropout": 0.2}, 10), LOG, 0)
    assert isinstance(found, SASRec)
    return found


def judge(accounts: Histories, cross_fit: int = 0, batch: int = 32) -> Judge:
    config = LoRecConfig(arm="none", batch=batch, cross_fit=cross_fit)
    training: Any = SimpleNamespace(
        network=victim()._fitted(), config=SimpleNamespace(max_length=30), windows=SimpleNamespace(user=USERS)
    )
    return Judge(SequenceStates(training, 300), accounts, FAKES, None, config, 0)


def test_it_suspects_the_fraudsters_it_learnt_from_and_others_of_their_kind() -> None:
    own = judge(ACCOUNTS)
    for epoch in range(4):
        own.learn(epoch, 2)
    unseen = simulated(LOG, USERS, 60, ("random", "bandwagon"), 5)
    other = judge(ACCOUNTS.plus(unseen).plus(FAKES))
    other.calibrators = own.calibrators
    suspicion = other.suspicion()
    fake = np.arange(360) >= 300
    new, known = auc(suspicion[:360], fake), auc(np.concatenate([suspicion[:300], suspicion[360:]]), fake)
    assert new is not None and known is not None
    assert known > 0.8 and new > 0.6


@pytest.mark.parametrize(("cross_fit", "batch", "steps"), [(0, 32, 36), (0, 200, 4), (2, 100, 4), (0, 100, 12)])
def test_an_epoch_has_as_many_steps_in_rounds_as_at_once(cross_fit: int, batch: int, steps: int) -> None:
    """17 rounds to an epoch of 2 passes, for two epochs: 9, 1, 1 and 3 steps to a pass."""
    own = judge(ACCOUNTS, cross_fit, batch)
    made = [0 for _ in own.optimisers]

    def count(number: int) -> None:
        made[number] += 1

    for number, optimiser in enumerate(own.optimisers):
        optimiser.register_step_pre_hook(lambda *_, number=number: count(number))
    first: list[int] = []
    for turn in range(1, 35):
        own.learn(turn, 2 / 17)
        first = first or list(made)
    assert first == [1 for _ in made]  # nobody is judged by a calibrator that never learnt
    assert all(abs(each - steps) <= 2 for each in made), made


def test_the_place_of_an_account_does_not_matter() -> None:
    own = judge(ACCOUNTS)
    own.learn(1, 2)
    order = np.random.default_rng(0).permutation(300)
    other = judge(Histories(ACCOUNTS.items, ACCOUNTS.start[order], ACCOUNTS.length[order]))
    other.calibrators = own.calibrators
    assert np.allclose(other.suspicion(), own.suspicion()[order], atol=1e-6)


def test_folds_have_calibrators_of_their_own() -> None:
    own = judge(ACCOUNTS, cross_fit=3)
    assert sorted(np.bincount(own.fold).tolist()) == [100, 100, 100]
    slices = [np.concatenate(list(own._batches(USERS[own.fold != 1], np.random.default_rng(0), 2)))]
    learnt = slices[0][slices[0] < 300]
    assert (own.fold[learnt] != 1).all() and len(learnt) == 400  # two passes
    part = np.concatenate(list(own._batches(USERS, np.random.default_rng(0), 0.4)))
    part = part[part < 300]
    assert 0.3 < len(part) / 300 < 0.5 and len(np.unique(part)) == len(part)
    own.learn(1, 2)
    suspicion = own.suspicion()
    level = own.level(suspicion)
    assert level is not None
    assert np.allclose(level[own.fold == 2], suspicion[own.fold == 2].mean())
    assert judge(ACCOUNTS).level(suspicion) is None
