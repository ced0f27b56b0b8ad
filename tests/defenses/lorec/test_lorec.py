"""LoRec as a defence: it changes nothing until weights count, sees no labels, and says when texts are missing."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from recaudit.audit.cell import Defended
from recaudit.datasets.errors import DataError, InputError
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.synthetic import generate
from recaudit.defenses import texts
from recaudit.defenses.catalogue import build
from recaudit.defenses.histories import Histories, simulated
from recaudit.defenses.lorec.defense import LoRec
from recaudit.defenses.lorec.weights import Compensation
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit

LOG = generate(users=150, items=80, events=3000, ratings=False, follows=0.4)
RECIPE = Recipe("sasrec", {"dim": 8, "max_length": 20, "layers": 1}, 2)
USERS = np.arange(150)


def defended(log: InteractionLog = LOG, seed: int = 0, recipe: Recipe = RECIPE, **settings: Any) -> Defended:
    return build("lorec", {"batch": 64, **settings}).fit(recipe, log, seed)


@cache
def undefended() -> bytes:
    return scores(fit(RECIPE, LOG, 0))


def scores(model: Any) -> bytes:
    found: bytes = model.scores(USERS, LOG).tobytes()
    return found


def test_before_weights_count_it_is_the_undefended_training_to_the_bit() -> None:
    found = defended(arm="none", start=2.0)
    assert scores(found.model) == undefended()
    assert found.weights is not None and (found.weights == 1).all()


def test_weights_of_one_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Compensation, "weights", lambda own: np.ones(len(own.counters), np.float32))
    assert scores(defended(arm="none", start=0.1).model) == undefended()


def test_weights_change_what_is_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    lower = np.where(USERS < 75, 0.1, 1).astype(np.float32)
    monkeypatch.setattr(Compensation, "weights", lambda own: lower)
    found = defended(arm="none", start=0.001)
    assert scores(found.model) == scores(fit(RECIPE, LOG, 0, weights=lower))
    assert found.weights is not None and (found.weights == lower).all()


@pytest.mark.parametrize("settings", [{"arm": "none"}, {"alignment": 0.0}], ids=["no texts", "no alignment"])
def test_without_alignment_no_encoder_is_opened(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def never(name: str) -> Any:
        raise AssertionError("opened")

    monkeypatch.setattr(texts, "open_cached", never)
    found = defended(replace(LOG, items=None), recipe=replace(RECIPE, epochs=1), **settings)
    assert found.suspicion is not None and found.suspicion.max() > found.suspicion.min()


@pytest.mark.parametrize("arm", ["real", "permuted", "random-items"])
def test_every_arm_runs_alike_twice_and_leaves_the_global_generator_alone(arm: str) -> None:
    before = torch.get_rng_state()
    first, second = defended(arm=arm), defended(arm=arm)
    assert torch.equal(before, torch.get_rng_state())
    assert first.suspicion is not None and second.suspicion is not None
    assert first.suspicion.tobytes() == second.suspicion.tobytes() and first.suspicion.shape == (150,)
    assert 0 <= first.suspicion.min() < first.suspicion.max() <= 1
    assert scores(first.model) == scores(second.model)


def test_arms_differ_in_their_texts_alone() -> None:
    accounts = Histories.of_accounts(LOG, USERS)
    draw = np.random.default_rng
    real = texts.item_vectors(LOG, "real", "static", draw(0))
    noise = texts.item_vectors(LOG, "random-items", "static", draw(0))
    assert real is not None and noise is not None and real.shape == noise.shape
    assert np.allclose(np.linalg.norm(noise, axis=1), 1, atol=1e-5)
    plain = texts.account_vectors(accounts, real, "real", draw(0))
    mixed = texts.account_vectors(accounts, real, "permuted", draw(0))
    assert not (plain == mixed).all() and (np.sort(plain, axis=0) == np.sort(mixed, axis=0)).all()
    mean = real[LOG.item[LOG.user == 5]].mean(0)
    assert np.allclose(plain[5], mean / np.linalg.norm(mean) * np.sqrt(real.shape[1]), atol=1e-4)


def test_repeated_items_count_as_often_unless_each_is_to_be_read_once() -> None:
    histories = Histories(np.array([9, 4, 7, 4, 4, 2, 2, 5]), np.array([1, 5]), np.array([4, 3]))
    once = texts.distinct(histories)
    assert [once.items[a : a + n].tolist() for a, n in zip(once.start, once.length, strict=True)] == [[4, 7], [2, 5]]
    real = texts.item_vectors(LOG, "real", "static", np.random.default_rng(0))
    assert real is not None
    for repeats, items in ((True, [4, 7, 4, 4]), (False, [4, 7])):
        found = texts.readings(
            LOG, histories, "real", "static", "mean", np.random.default_rng(0), repeats=repeats
        )  # fmt: skip
        mean = real[items].mean(0)
        assert found is not None
        assert np.allclose(found[0], mean / np.linalg.norm(mean) * np.sqrt(real.shape[1]), atol=1e-4)


def test_prompts_without_times_do_not_say_how_the_file_was_ordered() -> None:
    one, two = (Histories(np.array(items), np.array([0]), np.array([3])) for items in ([3, 9, 5], [9, 5, 3]))
    assert texts.prompts(LOG, one) != texts.prompts(LOG, two)
    bare = replace(LOG, time=None)
    assert texts.prompts(bare, one) == texts.prompts(bare, two)


def test_accounts_are_read_by_a_prompt_if_asked() -> None:
    accounts = Histories.of_accounts(LOG, USERS)
    asked = texts.prompts(LOG, accounts)
    first = LOG.item[LOG.chronological()][LOG.user[LOG.chronological()] == 5]
    assert all(LOG.title(int(item))[:40] in asked[5] for item in first[-3:]) and "fraudster" in asked[5]
    plain, mixed, mean = (
        texts.readings(LOG, accounts, arm, "static", reading, np.random.default_rng(0))
        for arm, reading in (("real", "prompt"), ("permuted", "prompt"), ("real", "mean"))
    )  # fmt: skip
    assert plain is not None and mixed is not None and mean is not None
    assert plain.shape == mean.shape and not np.allclose(plain, mean)
    assert (np.sort(plain, axis=0) == np.sort(mixed, axis=0)).all() and not (plain == mixed).all()
    assert np.allclose(np.linalg.norm(plain, axis=1), np.sqrt(plain.shape[1]), rtol=1e-4)
    for name in ("lorec", "llm4dec"):
        found = build(name, {"account": "prompt"}).fit(RECIPE, LOG, 0)
        assert found.suspicion is not None and found.suspicion.max() > found.suspicion.min()


def test_items_without_texts_are_said_to_lack_them() -> None:
    with pytest.raises(DataError, match="no text"):
        defended(replace(LOG, items=None))
    defended(replace(LOG, items=None), arm="random-items", recipe=replace(RECIPE, epochs=1))


def test_an_audit_without_texts_runs_the_arms_that_need_none() -> None:
    bare = replace(LOG, items=None)
    assert "no text" in (build("lorec").why_not(RECIPE, bare) or "")
    assert build("lorec", {"arm": "none"}).why_not(RECIPE, bare) is None
    assert build("lorec", {"arm": "random-items"}).why_not(RECIPE, bare) is None


def test_it_acts_in_a_training_of_two_epochs_and_says_when_a_schedule_cannot() -> None:
    found = defended(arm="none")
    assert found.notes["updates"] + found.notes["refused"] == len(found.history) > 25
    assert found.weights is not None and (found.weights < 0.5).any()
    assert scores(found.model) != undefended()
    assert "from epoch 30" in (build("lorec", {"schedule": "published"}).why_not(RECIPE, LOG) or "")
    assert build("lorec", {"schedule": "published"}).why_not(replace(RECIPE, epochs=300), LOG) is None


def test_models_not_trained_row_by_row_are_refused() -> None:
    assert all(LoRec().why_not(recipe, LOG) is None for recipe in (RECIPE, Recipe("fmlp-rec", {}), Recipe("mf", {})))
    assert "row by row" in (LoRec().why_not(Recipe("ease", {}), LOG) or "")


def test_one_fold_is_refused() -> None:
    with pytest.raises(InputError, match="fold"):
        build("lorec", {"cross_fit": 1})


def test_a_user_of_weight_zero_stays_out() -> None:
    weights = np.ones(150, np.float32)
    weights[3] = 0
    other = replace(LOG, item=np.where(LOG.user == 3, (LOG.item + 7) % 80, LOG.item).astype(np.int32))
    own = build("lorec", {"arm": "none", "start": 0.1, "batch": 64})
    assert isinstance(own, LoRec)
    found = [
        fit(RECIPE, log, 0, weights=weights, harden=lambda training, log=log: own.harden(training, log, 1, None))
        for log in (LOG, other)
    ]
    assert scores(found[0]) == scores(found[1])


def test_the_log_and_the_answer_hold_no_simulated_fraudster() -> None:
    before = LOG.fingerprint
    found = defended(arm="none", cross_fit=2, recipe=replace(RECIPE, epochs=1))
    assert LOG.fingerprint == before
    assert found.suspicion is not None and found.weights is not None
    assert len(found.suspicion) == len(found.weights) == LOG.n_users


def test_simulated_fraudsters_differ_in_target_and_length() -> None:
    fakes = simulated(LOG, USERS, 30, ("random", "bandwagon"), 4)
    again = simulated(LOG, USERS, 30, ("random", "bandwagon"), 4)
    assert len(fakes) == 30 and (fakes.items == again.items).all()
    assert len(set(fakes.length.tolist())) > 5 and fakes.length.min() >= 2
    assert fakes.items.min() >= 0 and fakes.items.max() < 80
