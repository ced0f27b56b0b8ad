"""What all supervised detectors stand: any log, any order of accounts; nobody is judged by who has learnt from him."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from recaudit.attacks.visibility import auc
from recaudit.datasets.log import InteractionLog
from recaudit.defenses.base import Float64
from recaudit.defenses.histories import Histories
from recaudit.defenses.supervised.base import Bool, Judge, Supervised, cross_fitted

from ..detectors.fakes import RATED, log_of
from .common import KINDS, LOG, attacked, made, scores, turned

PAIRS = [(user, item) for user in range(6) for item in range(3)]
ODD = {
    "no event": log_of([], 3, 4),
    "one account": log_of([(0, 0), (0, 1)], 1, 9),
    "one item": log_of([(user, 0) for user in range(8)], 8, 1),
    "too few": log_of([(0, 0), (1, 1), (2, 1)], 9, 9),
    "fewest": log_of([(0, 0), (1, 1), (2, 1), (3, 0)], 5, 4),
    "repeats": log_of([(user, user % 4) for user in range(5)] * 3, 6, 4, time=list(range(15))),
    "alike": log_of(PAIRS, 7, 9, [4.0] * 18, list(range(18))),
    "singles": log_of([(user, user % 4) for user in range(40)], 41, 5, time=list(range(40))),
    "everything held": log_of([(user, item) for user in range(5) for item in range(4)], 5, 4),
}


def settings_of(name: str) -> dict[str, Any]:
    """Settings that need no texts and few steps."""
    few: dict[str, dict[str, Any]] = {
        "llm4dec": {"arm": "random-items", "passes": 3},
        "graph-rfi": {"min_steps": 0, "epochs": 3},
    }
    return few.get(name, {})


@pytest.mark.parametrize("case", ODD)
@pytest.mark.parametrize("name", KINDS)
def test_any_log(name: str, case: str) -> None:
    log = ODD[case]
    found = scores(name, log, **settings_of(name))
    assert found.shape == (log.n_users,) and found.dtype == np.float64
    assert ((found >= 0) & (found <= 1)).all()
    for folds in (0, 30):
        again = made(name, cross_fit=folds, **settings_of(name))
        assert np.isfinite(again.suspicion(log, 1)).all()


@pytest.mark.parametrize("name", KINDS)
def test_too_small_a_log_suspects_nobody(name: str) -> None:
    assert (scores(name, ODD["too few"], **settings_of(name)) == 0).all()


@pytest.mark.parametrize("name", KINDS)
def test_alike_twice_otherwise_with_another_seed_and_global_generators_stay(name: str) -> None:
    before = torch.get_rng_state()
    first = scores(name, LOG, **settings_of(name))
    assert first.tobytes() == scores(name, LOG, **settings_of(name)).tobytes()
    assert first.tobytes() != scores(name, LOG, seed=1, **settings_of(name)).tobytes()
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", KINDS)
def test_ratings_are_not_read(name: str) -> None:
    plain = replace(RATED, value=None)
    assert scores(name, RATED, **settings_of(name)).tobytes() == scores(name, plain, **settings_of(name)).tobytes()


@pytest.mark.parametrize("name", KINDS)
def test_fakes_in_front_are_found_like_those_behind(name: str) -> None:
    log, fake = attacked("random")
    back, there = turned(log, fake)
    quick, seeds = ({"min_steps": 150}, (0,)) if name == "graph-rfi" else ({}, (0, 1))
    found = [
        float(np.mean([auc(scores(name, own, seed, **quick), labels) for seed in seeds]))
        for own, labels in ((log, fake), (back, there))
    ]
    assert min(found) > 0.65, found


@pytest.mark.parametrize("name", ["degree-sad", "co-detector"])
def test_scores_follow_accounts_when_these_change_places(name: str) -> None:
    log, accounts, fake = drawn()
    order = np.random.default_rng(3).permutation(len(accounts))
    moved = Histories(accounts.items, accounts.start[order], accounts.length[order])
    train = np.random.default_rng(4).random(len(fake)) < 0.7
    judged = []
    for own, labels, known in ((accounts, fake, train), (moved, fake[order], train[order])):
        judge = made(name).learner(log, own, labels, np.random.default_rng(0))
        judged.append(judge(known, np.random.default_rng(1)))
    # rounding may move an account over a split of the tree
    assert np.isclose(judged[0][order], judged[1], atol=1e-6).mean() > 0.98


def drawn() -> tuple[InteractionLog, Histories, Bool]:
    """Accounts, a tenth of which are called fakes: those with the least popular items."""
    accounts = Histories.of_accounts(LOG, np.flatnonzero(LOG.user_counts))
    matrix = accounts.matrix(LOG.n_items)
    mean = (matrix @ LOG.item_counts) / accounts.length
    return LOG, accounts, mean <= np.quantile(mean, 0.1)


class Memory(Supervised):
    """Calls everybody it has learnt from genuine unless told otherwise; keeps what it learnt from."""

    name = "memory"
    title = "For tests"
    reference = "none"

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Bool] = []
        self.fake: Bool = np.zeros(0, bool)

    def learner(self, log: InteractionLog, accounts: Histories, fake: Bool, rng: np.random.Generator) -> Judge:
        self.fake = fake

        def judge(train: Bool, rng: np.random.Generator) -> Float64:
            self.seen.append(train)
            return np.where(train, fake, 0.5)

        return judge


def test_nobody_is_judged_by_who_has_learnt_from_him_and_no_label_is_given() -> None:
    log, injected = attacked("random")
    memory = Memory()
    found = memory.detect(log, np.random.default_rng(0))
    assert (found == 0.5).all()
    own = ~memory.fake
    assert own.sum() == log.n_users == len(injected) and memory.fake.sum() == round(0.05 * log.n_users)
    assert not memory.fake[: log.n_users].any(), "accounts of the log stand for genuine ones, fakes included"
    first, second = memory.seen
    assert (first ^ second)[own].all() and (first & second)[~own].all()


class Shifted(Supervised):
    """Every fold's model has a scale of its own, and says of the account's place what it is."""

    name, title, reference = "shifted", "For tests", "none"

    def learner(self, log: InteractionLog, accounts: Histories, fake: Bool, rng: np.random.Generator) -> Judge:
        level = np.arange(len(fake)) / len(fake) / 10
        return lambda train, rng: level + 0.8 * rng.random()


def test_the_scale_of_a_folds_model_does_not_decide_who_is_flagged() -> None:
    chosen = []
    for seed in range(5):
        found = Shifted().detect(LOG, np.random.default_rng(seed))
        assert 0 < found.min() and found.max() < 1
        chosen.append(np.mean(np.argsort(found)[-60:] >= 530))  # the tenth that is most suspicious to both models
    assert min(chosen) > 0.9, chosen


def test_answers_are_ranked_within_the_fold_and_equals_share_a_rank() -> None:
    fake = np.arange(9) >= 6
    masks: list[Bool] = []

    def judge(train: Bool, rng: np.random.Generator) -> Float64:
        masks.append(~train)
        return np.array([0.9, 0.9, 0.9, 0.2, 0.2, 0.1, 1, 1, 1]) / len(masks)

    found = cross_fitted(judge, fake, 2, np.random.default_rng(0), ranked=True)
    for mask in masks:
        own = np.array([0.9, 0.9, 0.9, 0.2, 0.2, 0.1, 1, 1, 1])[mask]
        wanted = [((own < one).sum() + (own == one).sum() / 2) / len(own) for one in own]
        assert found[mask].tolist() == pytest.approx(wanted)
    assert (found[fake] == 0).all()


@pytest.mark.parametrize("name", ["graph-rfi", "llm4dec"])
def test_published_weights_read_chances_and_shares_read_ranks(name: str) -> None:
    settings = settings_of(name)
    chance, rank = (scores(name, LOG, weighing=own, **settings) for own in ("published", "action"))
    assert rank.mean() == pytest.approx(0.5, abs=1e-9) and abs(chance.mean() - 0.5) > 1e-3


def test_without_folds_one_model_learns_from_all() -> None:
    fake = np.array([False, True, False])
    seen = []
    found = cross_fitted(lambda train, rng: seen.append(train) or np.arange(3.0), fake, 0, np.random.default_rng(0))  # type: ignore[func-returns-value]
    assert found.tolist() == [0, 0, 2] and len(seen) == 1 and seen[0].all()


def test_one_fold_and_unknown_attacks_are_refused() -> None:
    for wrong in ({"cross_fit": 1}, {"attacks": ("pga",)}, {"attacks": ()}, {"fraudsters": 0}):
        with pytest.raises(ValidationError):
            made("degree-sad", **wrong)


def test_an_account_without_events_is_least_suspicious() -> None:
    log = replace(LOG, user_ids=np.arange(LOG.n_users + 2).astype(str), users=None)
    found = made("degree-sad").suspicion(log, 0)
    assert (found[-2:] == found.min()).all() and found.max() > found.min()
