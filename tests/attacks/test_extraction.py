"""Extraction by queries, and the attack that rests on it."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from recaudit.attacks.base import Goal
from recaudit.attacks.extraction import ExtractedSequences, ExtractedSequencesConfig
from recaudit.attacks.injection import crafted
from recaudit.attacks.knowledge import Knowledge, KnowledgeError
from recaudit.attacks.random_fillers import RandomFillers
from recaudit.attacks.surrogate.extracted import (
    Extraction,
    ExtractionConfig,
    ModelQuery,
    agreement,
    extract,
    negatives,
    rank_loss,
    student,
    top,
)
from recaudit.datasets.demo import load_demo
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.seeding import rng
from recaudit.recommenders.base import Model
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.ranking import rank

from .conformance import Circle, columns, log_for
from .sequence_tools import VICTIM, clean_rank, cold_item, medium_log
from .sequence_tools import rank_of as mean_rank


@cache
def victim() -> tuple[InteractionLog, Model]:
    """A SASRec fitted to the embedded data."""
    log = load_demo().log
    return log, fit(VICTIM, log, 0)


def test_a_student_agrees_with_a_real_victim_far_above_chance() -> None:
    log, model = victim()
    query = ModelQuery(model)
    config = ExtractionConfig()
    found = extract(query, log.n_items, config.sequences, config.length, rng(0, "query"))
    assert found.queries == query.calls == config.sequences * config.length == 4000
    own = student(found, config, rng(0, "student"))
    offsets, items = log.sequences()
    ends = offsets[1:][np.diff(offsets) >= 10][:300]
    sequences = np.stack([items[end - 10 : end] for end in ends]).astype(np.int64)
    untrained = student(found, ExtractionConfig(max_epochs=1, rate=1e-9), rng(0, "student"))
    assert agreement(untrained, query, sequences) < 0.05  # chance is 10 / 1,099
    # the most popular items that a user lacks agree to .26
    assert agreement(own, query, sequences) > 0.6


def test_a_query_gives_the_lists_of_the_model_itself() -> None:
    log, model = victim()
    offsets, items = log.sequences()
    users = np.flatnonzero(np.diff(offsets) == 12)[:6]
    own = np.stack([items[offsets[user] : offsets[user + 1]] for user in users]).astype(np.int64)
    query = ModelQuery(model, k=20)
    assert query(own).tolist() == rank(model, users, log, 20).slate.items.tolist()
    assert query.calls == len(users)
    assert query(np.empty((0, 3), np.int64)).shape == (0, 20)


def test_lists_hold_nothing_consumed_and_end_with_none() -> None:
    scores = torch.tensor([[3.0, 2.0, 1.0, 0.0]] * 2)
    assert top(scores, np.array([[0, 0], [3, 1]]), 3).tolist() == [[1, 2, 3], [0, 2, -1]]


def test_sequences_grow_by_what_is_listed() -> None:
    query = Circle(50, k=5)
    found = extract(query, 50, 200, 6, rng(0))
    assert query.calls == 1200 and found.lists.shape == (200, 6, 5)
    steps = (np.diff(found.sequences, axis=1) - 1) % 50
    assert set(steps.ravel().tolist()) == {0, 1, 2, 3, 4}
    assert len(set(found.sequences[:, 0].tolist())) > 40 and found.known.all()


def test_an_empty_list_is_no_end() -> None:
    class Nothing(Circle):
        def __call__(self, sequences: np.ndarray) -> np.ndarray:
            return np.full((len(sequences), 3), -1)

    found = extract(Nothing(4), 4, 30, 5, rng(0))
    assert set(found.sequences.ravel().tolist()) == {0, 1, 2, 3}
    assert torch.isfinite(student(found, ExtractionConfig(max_epochs=1), rng(0)).table).all()


def test_the_loss_by_hand() -> None:
    scores = torch.tensor([[[2.0, 1.8, 0.0, 1.0, 5.0]]])
    listed, drawn = torch.tensor([[[0, 1, -1]]]), torch.tensor([[[3, 4, 4]]])
    # 0 leads 1 by .2; 0 leads 3 by 1; 1 trails 4 by 3.2; the third place is empty
    counts = torch.tensor([[[True, True, True]]])
    assert float(rank_loss(scores, listed, drawn, counts, 0.5)) == pytest.approx(0.3 + (0 + 3.7) / 2)
    counts = torch.tensor([[[True, False, True]]])
    assert float(rank_loss(scores, listed, drawn, counts, 0.5)) == pytest.approx(0.3)


def test_the_gradient_of_the_loss_against_finite_differences() -> None:
    draw = rng(0)
    scores = torch.from_numpy(draw.normal(size=(2, 3, 7))).requires_grad_(True)
    listed = torch.from_numpy(np.argsort(draw.random((2, 3, 7)), axis=2)[:, :, :3])
    drawn = torch.from_numpy(draw.integers(7, size=(2, 3, 3)))
    counts = torch.ones(2, 3, 3, dtype=torch.bool)
    assert torch.autograd.gradcheck(lambda s: rank_loss(s, listed, drawn, counts, 0.5), (scores,))


def test_negatives_are_neither_listed_nor_consumed_so_far() -> None:
    items = torch.tensor([[0, 1], [5, 4]])
    listed = torch.tensor([[[2], [3]], [[-1], [0]]]).expand(2, 2, 1).repeat(1, 1, 400)
    drawn, counts = negatives(items, listed, 6, torch.Generator().manual_seed(0))
    valid = [[set(drawn[row, place][counts[row, place]].tolist()) for place in (0, 1)] for row in (0, 1)]
    assert valid == [[{1, 3, 4, 5}, {2, 4, 5}], [{0, 1, 2, 3, 4}, {1, 2, 3}]]


def test_the_student_repeats_itself_and_the_seed_matters() -> None:
    found = extract(Circle(50), 50, 20, 6, rng(0))
    config = ExtractionConfig(max_epochs=2)
    first, again, other = (student(found, config, rng(seed)) for seed in (0, 0, 1))
    assert torch.equal(first.table, again.table) and not torch.equal(first.table, other.table)


def test_without_a_victim_it_says_so_and_targets_alone_need_none() -> None:
    log = log_for("sequence")
    with pytest.raises(KnowledgeError, match="no victim to query"):
        crafted(ExtractedSequences(), log, Goal((11,), 2, 6, "sequence"), 0)
    assert crafted(ExtractedSequences(), log, Goal((11,), 2, 1, "sequence"), 0).item.tolist() == [11, 11]


def test_the_budget_is_that_of_the_settings_and_the_log_is_not_needed() -> None:
    log = log_for("sequence")
    attack = ExtractedSequences(ExtractedSequencesConfig(sequences=7, length=90, max_length=5, max_epochs=1))
    found = []
    for seen in (log, log.take(log.user < 9)):
        query = Circle(50)
        goal = Goal((11, 30), 3, 8, "sequence")
        knowledge = Knowledge.of(seen, attack.needs(goal), query=query)
        assert knowledge.grants == {"catalogue", "query"}
        found.append(attack.craft(knowledge, goal, rng(0)).items.tolist())
        assert query.calls == 7 * 5
    assert found[0] == found[1]


def test_fillers_are_items_the_attacker_has_seen() -> None:
    known = Extraction(np.array([[0, 2]]), np.array([[[4, -1], [0, 4]]], np.int32), 6).known
    assert known.tolist() == [True, False, True, False, True, False]


def test_same_answers_same_bytes() -> None:
    log, goal = log_for("sequence"), Goal((11,), 3, 8, "sequence")
    attack = ExtractedSequences(ExtractedSequencesConfig(max_epochs=1))
    first, again = (crafted(attack, log, goal, 0, query=Circle(50)) for _ in range(2))
    other = crafted(attack, log, goal, 0, query=Circle(50, 10))
    assert columns(first) == columns(again) != columns(other)


@pytest.mark.slow
def test_at_equal_budget_it_moves_a_victim_up() -> None:
    shifts = []
    for attack in (ExtractedSequences(), RandomFillers()):
        moved = []
        for seed in range(3):
            log = medium_log(seed)
            target = cold_item(log, seed)
            goal = Goal((target,), log.n_users // 20, 20, "sequence")
            profiles = crafted(attack, log, goal, seed, query=ModelQuery(fit(VICTIM, log, seed)))
            moved.append(clean_rank(seed, target) - mean_rank(log.with_accounts(profiles), seed, target, log))
        shifts.append(moved)
    assert np.mean(shifts[0]) > 0.25
