"""LLM4Dec: what it says without texts, what it weighs, and which arms find fakes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.testing as npt
import pandas as pd
import pytest
import torch

from recaudit.attacks.visibility import auc
from recaudit.datasets.errors import DataError
from recaudit.datasets.seeding import torch_rng
from recaudit.defenses.histories import Histories
from recaudit.defenses.supervised import llm4dec
from recaudit.defenses.supervised.llm4dec import Head, LLM4DecConfig, _batches, _learn
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.network import Dropout

from .common import LOG, attacked, caught, made

SILENT = Dropout(0.0, None)
RECIPE = Recipe("mf", {})


def test_without_texts_it_says_why_not_unless_the_arm_reads_none() -> None:
    bare = replace(LOG, items=None)
    for arm in ("real", "permuted"):
        why = made("llm4dec", arm=arm).why_not(RECIPE, bare)
        assert why is not None and "no text" in why
        with pytest.raises(DataError, match="no text"):
            made("llm4dec", arm=arm).suspicion(bare, 0)
    assert made("llm4dec", arm="random-items").why_not(RECIPE, bare) is None
    assert made("llm4dec", arm="random-items").suspicion(bare, 0).max() > 0
    assert made("llm4dec").why_not(RECIPE, LOG) is None


def test_weight_is_0_from_one_half_on_or_as_the_share_says() -> None:
    suspicion = np.array([0.0, 0.49, 0.5, 0.9])
    published = made("llm4dec").weights(suspicion, np.random.default_rng(0))
    assert published.tolist() == [1, 1, 0, 0] and published.dtype == np.float32
    share = made("llm4dec", weighing="action", share=0.25).weights(suspicion, np.random.default_rng(0))
    assert share.tolist() == [1, 1, 1, 0]


def test_fakes_of_items_with_texts_of_their_own_are_found_and_permuted_texts_find_none() -> None:
    # items that few hold speak another language: what an account's mean text says is then its popularity
    known = np.argsort(np.argsort(-LOG.item_counts)) < 60
    titles = np.where(known, "comedy romance love story", "war horror battle monster")
    log = replace(LOG, items=pd.DataFrame({"title": titles}))
    attack, fake = attacked("obscure", log)
    for arm, low, high in (("real", 0.85, 1.0), ("permuted", 0.3, 0.7)):
        found = made("llm4dec", arm=arm, attacks=("random",)).suspicion(attack, 0)
        value = auc(found, fake)
        assert value is not None and low <= value <= high, (arm, value)


def test_an_item_that_an_account_repeats_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[np.ndarray] = []

    def listen(head: Head, vectors: torch.Tensor, *_: object) -> None:
        heard.append(vectors.numpy())

    monkeypatch.setattr(llm4dec, "_learn", listen)
    items = LOG.matrix().tocoo()
    once = replace(LOG, user=items.row.astype(np.int32), item=items.col.astype(np.int32), time=None)
    rows = np.repeat(np.arange(len(once)), np.where(once.item == once.item[0], 9, 1))
    accounts = [Histories.of_accounts(log, np.arange(600)) for log in (once, once.take(rows))]
    fake = np.arange(600) >= 500
    for own in accounts:
        made("llm4dec").learner(once, own, fake, np.random.default_rng(0))(fake, np.random.default_rng(0))
    npt.assert_allclose(*heard, atol=1e-5)


def test_random_vectors_find_random_fakes_too() -> None:
    assert caught("llm4dec", "random", arm="random-items") > 0.65


def test_an_encoder_is_asked_for_by_name_alone() -> None:
    assert LLM4DecConfig().encoder == "static"


def test_batches_hold_all_that_may_be_learnt_from_once_a_pass_in_both_classes() -> None:
    fake = np.arange(330) >= 300
    train = np.arange(330) % 10 > 0
    rows = list(_batches(fake, train, LLM4DecConfig(passes=1, batch=64), np.random.default_rng(0)))
    assert len(rows) == 270 // 64
    assert sorted(torch.cat(rows).tolist()) == np.flatnonzero(train).tolist()
    assert all(5 <= fake[part].sum() <= 9 for part in rows)


def test_norms_have_the_statistics_of_what_was_learnt_from() -> None:
    vectors = torch.randn(200, 8, generator=torch_rng(0))
    fraud = (torch.arange(200) >= 180).float()
    train = np.arange(200) % 3 > 0
    head = Head(8, 16, torch_rng(1))
    _learn(head, vectors, fraud, train, LLM4DecConfig(passes=3), torch_rng(2), np.random.default_rng(0))
    with torch.no_grad():
        judged = head.eval().logits(vectors[torch.from_numpy(train)], SILENT)
    assert judged.mean().item() == pytest.approx(head.one_norm.bias.item(), abs=1e-3)
    npt.assert_allclose(judged.std().item(), abs(head.one_norm.weight.item()), rtol=0.02)


def test_head_learns_a_direction() -> None:
    vectors = torch.randn(400, 8, generator=torch_rng(0))
    fake = vectors[:, 0] > 1
    head = Head(8, 16, torch_rng(1))
    train = np.arange(400) < 200
    _learn(head, vectors, fake.float(), train, LLM4DecConfig(passes=100), torch_rng(2), np.random.default_rng(0))
    with torch.no_grad():
        chance = torch.sigmoid(head.eval().logits(vectors[200:], SILENT))
    assert ((chance > 0.5) == fake[200:]).float().mean() > 0.9
