"""ConsRec: who loses what, by hand; nothing else of a log is touched; blocks are bounded and change nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.testing as npt
import pandas as pd
import pytest

from recaudit.datasets.errors import DataError
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.synthetic import generate
from recaudit.defenses.asked import controls
from recaudit.defenses.robust import consistent as module
from recaudit.defenses.robust.consistent import ConsRec, ConsRecConfig, consistent, threshold
from recaudit.language.encoder import unit
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit

from .fake import LOG, RECIPES

ANY = np.random.default_rng(0)
# four directions: items of one agree fully, items of two not at all
TOPICS = np.repeat(np.eye(4, dtype=np.float32), 3, axis=0)


def log_of(*histories: list[int], items: int = 12, **columns: Any) -> InteractionLog:
    user = np.repeat(np.arange(len(histories), dtype=np.int32), [len(each) for each in histories])
    item = np.array([item for each in histories for item in each], np.int32)
    users, names = np.arange(len(histories)).astype(str), np.arange(items).astype(str)
    return InteractionLog(user, item, users, names, **columns)


def left(*histories: list[int], vectors: np.ndarray = TOPICS, tau: float = 0.5) -> list[list[int]]:
    """What stays of each history."""
    log = log_of(*histories, items=len(vectors))
    kept = consistent(log, vectors, tau)
    return [log.item[kept & (log.user == user)].tolist() for user in range(len(histories))]


def by_hand(log: InteractionLog, vectors: np.ndarray, tau: float) -> list[bool]:
    """The rule again, user by user, by spreading marks along edges."""
    kept = np.ones(len(log), bool)
    for user in range(log.n_users):
        own = np.unique(log.item[log.user == user])
        own = own[vectors[own].any(axis=1)]
        mark = {int(item): int(item) for item in own}
        for _ in own:
            for one in mark:
                for other in mark:
                    if float(vectors[one] @ vectors[other]) > tau:
                        mark[one] = min(mark[one], mark[other])
        size = Counter(mark.values())
        lost = {item for item in mark if size[mark[item]] < max(size.values())}
        kept[(log.user == user) & np.isin(log.item, list(lost))] = False
    return kept.tolist()


def test_off_topic_item_goes_and_nothing_else() -> None:
    assert left([2, 0, 7, 1], [3, 4, 5]) == [[2, 0, 1], [3, 4, 5]]


def test_all_events_of_a_repeated_item_go_or_stay_and_items_count_once() -> None:
    assert left([0, 9, 1, 9, 9, 0]) == [[0, 1, 0]]


def test_chain_of_agreeing_pairs_hangs_together() -> None:
    angles = np.deg2rad([0, 40, 80, 120, 220])
    vectors = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    assert left([3, 4, 0, 1, 2], vectors=vectors, tau=0.7) == [[3, 0, 1, 2]]


def test_who_has_two_items_keeps_two() -> None:
    histories: list[list[int]] = [[], [5], [0, 3], [0, 3, 6, 9], [0, 3, 1, 4, 6], [7, 7]]
    # without any edge nobody knows who is wrong; of two largest components both stay
    assert left(*histories) == [[], [5], [0, 3], [0, 3, 6, 9], [0, 3, 1, 4], [7, 7]]


def test_items_without_text_stay_and_join_nobody() -> None:
    vectors = TOPICS.copy()
    vectors[[0, 11]] = 0
    assert left([0, 1, 2, 11, 3], vectors=vectors) == [[0, 1, 2, 11]]
    assert left([0, 1, 11, 3], vectors=vectors) == [[0, 1, 11, 3]]
    assert left([0, 1, 2, 3], vectors=np.zeros_like(TOPICS)) == [[0, 1, 2, 3]]


@pytest.mark.parametrize("block", [1, 300, 1 << 22])
def test_as_by_hand_whatever_the_blocks(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", block)
    log = generate(60, 40, 700, seed=2)
    vectors = unit(np.random.default_rng(1).standard_normal((40, 6)).astype(np.float32))
    vectors[::9] = 0
    tau = threshold(vectors, 0.8, ANY)
    found = consistent(log, vectors, tau)
    assert 0.05 < 1 - found.mean() < 0.9
    assert found.tolist() == by_hand(log, vectors, tau)
    order = np.random.default_rng(3).permutation(len(log))
    npt.assert_array_equal(consistent(log.take(order), vectors, tau), found[order])


def test_longest_histories_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST", 3)
    assert left([0, 1, 2, 3], [0, 1, 3]) == [[0, 1, 2, 3], [0, 1]]


def test_threshold_is_the_quantile_of_all_pairs_or_of_drawn_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = unit(np.random.default_rng(1).standard_normal((60, 5)).astype(np.float32))
    pairs = (vectors @ vectors.T)[np.triu_indices(60, 1)]
    padded = np.concatenate([vectors, np.zeros((30, 5), np.float32)])  # items without text make no pairs
    for quantile in (0.0, 0.6, 1.0):
        assert threshold(padded, quantile, ANY) == pytest.approx(np.quantile(pairs, quantile), abs=1e-6)
    monkeypatch.setattr(module, "_PAIRS", 1000)
    draw = [threshold(vectors, 0.6, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert draw[0] == draw[1] != draw[2]
    assert draw[2] == pytest.approx(np.quantile(pairs, 0.6), abs=0.1)
    assert threshold(vectors[:1], 0.6, ANY) == threshold(padded[60:], 0.6, ANY) == float("inf")


def test_quantile_of_one_cuts_nothing_and_gives_the_undefended_victim() -> None:
    found = ConsRec(ConsRecConfig(quantile=1.0)).fit(RECIPES["sasrec"], LOG, 4)
    plain: Any = fit(RECIPES["sasrec"], LOG, 4)
    assert found.notes == {"removed": 0.0} and found.suspicion is None and found.weights is None
    for name, value in found.model.state().items():  # type: ignore[attr-defined]
        assert value.equal(plain.state()[name])


def test_quantile_of_zero_leaves_all_who_hang_together() -> None:
    # the farthest pair alone has no edge, and it hangs together through any third item
    assert ConsRec(ConsRecConfig(quantile=0.0)).kept(LOG, 0).all()


@pytest.mark.parametrize("victim", ["sasrec", "mf"])
def test_trains_on_what_is_left(victim: str) -> None:
    own = ConsRec(ConsRecConfig(quantile=0.9))
    kept = own.kept(LOG, 4)
    first, second = own.fit(RECIPES[victim], LOG, 4), own.fit(RECIPES[victim], LOG, 4)
    assert 0 < first.notes["removed"] == pytest.approx(1 - kept.mean())
    plain: Any = fit(RECIPES[victim], LOG.take(kept), 4)
    for name, value in plain.state().items():
        assert value.equal(first.model.state()[name]) and value.equal(second.model.state()[name])  # type: ignore[attr-defined]


def test_titles_decide() -> None:
    themes = ["Murder of a detective", "Murder and the police detective", "The detective solves a murder"]
    titles = [*themes, "Cooking Italian pasta", "Italian pasta recipes for cooking", None]
    log = log_of([1, 0, 3, 2], [3, 4], [0, 5, 3], items=6)
    log = replace(log, items=pd.DataFrame({"title": titles}))
    kept = ConsRec(ConsRecConfig(quantile=0.6)).kept(log, 0)
    assert kept.tolist() == [True, True, False, True, *[True] * 5]


def test_permuted_texts_are_its_control_arm() -> None:
    assert controls("cons-rec", {}) == ("permuted",)
    themes = ["murder detective police", "pasta cooking Italian"]
    # accounts of one theme each: nothing is cut by the real texts, and much by those of other items
    log = log_of(*[[item for item in range(12) if item % 2 == user % 2] for user in range(8)])
    titles = [None if item == 11 else f"{themes[item % 2]} {item}" for item in range(12)]
    log = replace(log, items=pd.DataFrame({"title": titles}))
    real, permuted = (ConsRec(ConsRecConfig(quantile=0.5, arm=arm)).kept(log, 0) for arm in ("real", "permuted"))
    assert real.all() and not permuted.all() and permuted[log.item == 11].all()  # who has no text is given none
    again, other = (ConsRec(ConsRecConfig(quantile=0.5, arm="permuted")).kept(log, seed) for seed in (0, 1))
    assert (again == permuted).all() and (other != permuted).any()
    assert "no text" in str(ConsRec(ConsRecConfig(arm="permuted")).why_not(Recipe("mf", {}), replace(log, items=None)))


def test_without_texts_it_says_why() -> None:
    own = ConsRec()
    assert own.why_not(Recipe("ease", {}), LOG) is None
    bare = replace(LOG, items=None)
    assert "no text" in str(own.why_not(Recipe("ease", {}), bare))
    with pytest.raises(DataError, match="no text"):
        own.fit(RECIPES["mf"], bare, 0)
