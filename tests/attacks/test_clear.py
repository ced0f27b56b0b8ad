"""CLeaR, and the twin that it shares with DLAttack."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
import torch

from recaudit.attacks.base import Goal
from recaudit.attacks.clear import CLeaR, CLeaRConfig, bend, leading_part
from recaudit.attacks.injection import crafted
from recaudit.attacks.random_fillers import RandomFillers
from recaudit.attacks.surrogate.audience import Audience
from recaudit.attacks.surrogate.fillers import seen_items, take_turns
from recaudit.attacks.surrogate.losses import margin_loss
from recaudit.attacks.surrogate.twin import Family, Twin, standing, with_accounts, with_targets
from recaudit.datasets.seeding import rng
from recaudit.recommenders.sampling import Positives

from .conformance import examine_edges, examine_profiles, log_for, run
from .twin_tools import cold, learnt, medium, overlap, own_standing

FAMILIES = get_args(Family)


def test_leading_part_by_hand() -> None:
    vectors = torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    start = torch.tensor([1.0, 1.0])
    # E^T E r0 = (9, 1); E r = (27, 1); E r r^T / 82 has entries (243, 27, 9, 1) / 82, two rows
    assert float(leading_part(vectors, start)) == pytest.approx(280 / 82 / 2)
    direction = vectors.T @ vectors @ start
    flattened = vectors - torch.outer(vectors @ direction, direction) / direction.square().sum()
    assert float((vectors - flattened).abs().sum()) / 2 == pytest.approx(280 / 82 / 2)
    assert float(leading_part(torch.zeros(3, 2), start)) == 0


def test_leading_part_gradient_agrees_with_finite_differences() -> None:
    draw = rng(3)
    vectors = torch.from_numpy(draw.standard_normal((6, 4))).requires_grad_()
    start = torch.from_numpy(draw.standard_normal(4))
    assert torch.autograd.gradcheck(lambda x: leading_part(x, start), vectors)


def test_to_minimise_the_leading_part_flattens_the_spectrum() -> None:
    draw = rng(5)
    vectors = torch.from_numpy(draw.standard_normal((40, 6)) + np.array([3.0, 0, 0, 0, 0, 0])).requires_grad_()

    def share() -> float:
        values = torch.linalg.svdvals(torch.nn.functional.normalize(vectors.detach(), dim=-1))
        return float(values[0] ** 2 / values.square().sum())

    before = share()
    for _ in range(100):
        start = torch.from_numpy(draw.standard_normal(6))
        loss = leading_part(torch.nn.functional.normalize(vectors, dim=-1), start)
        (gradient,) = torch.autograd.grad(loss, vectors)
        vectors = (vectors.detach() - 0.05 * gradient.sign()).requires_grad_()
    assert share() < before - 0.2


@pytest.mark.parametrize("family", FAMILIES)
def test_bending_raises_the_target_and_reaches_targets_and_rivals(family: Family) -> None:
    log, goal = medium(), Goal((cold(medium()),), 6, 20)
    audience = Audience.of(log, goal)
    accounts = with_targets(rng(1).permuted(np.tile(seen_items(log, goal.targets), (6, 1)), axis=1)[:, :19], goal)
    twin = learnt(family).refitted(accounts.astype(np.int32), 2, rng(2))
    users, consumed = audience.sample(rng(0))
    user, item = twin.vectors()
    item.retain_grad()
    scores = twin.logits(user[users], item)
    before = margin_loss(scores, audience.targets, consumed, 20, 1.0)
    before.backward()  # type: ignore[no-untyped-call]
    assert item.grad is not None and float(item.grad[goal.targets[0]].norm()) > 0
    assert int((item.grad.norm(dim=1) > 0).sum()) > 1  # rivals move as well
    rank_before = twin.standing((users, consumed), audience.targets, 20)
    bend(twin, audience, CLeaRConfig(spectral=0.0), rng(0), rng(1))
    with torch.no_grad():
        user, item = twin.vectors()
        after = margin_loss(twin.logits(user[users], item), audience.targets, consumed, 20, 1.0)
    assert float(after) < float(before.detach()) - 0.5
    assert twin.standing((users, consumed), audience.targets, 20) > rank_before


@pytest.mark.parametrize("family", FAMILIES)
def test_a_twin_goes_on_from_its_tables_whatever_rows_they_are_in(family: Family) -> None:
    log, twin = medium(), learnt(family)
    before = [table.detach() for table in twin.vectors()]
    n_users, places = log.n_users, twin.training.places
    accounts = np.array([[1, 2, -1], [5, -1, -1]], np.int32)
    other = twin.refitted(accounts, 0, rng(4))
    table = other.training.base.detach()[torch.from_numpy(other.training.places)]
    old = twin.training.base.detach()[torch.from_numpy(places)]
    assert torch.equal(table[:n_users], old[:n_users]) and torch.equal(table[n_users + 2 :], old[n_users:])
    assert torch.equal(other.refitted(accounts[:0], 0, rng(0)).vectors()[0].detach(), before[0])
    again = [twin.refitted(accounts, 2, rng(4)).tastes() for _ in range(2)]
    assert torch.equal(*again) and again[0].shape == (2, log.n_items)
    assert all(torch.equal(a, b.detach()) for a, b in zip(before, twin.vectors(), strict=True))


def test_accounts_are_pairs_behind_the_genuine_ones() -> None:
    genuine = Positives.of(log_for("implicit"))
    found = with_accounts(genuine, np.array([[7, 3, -1], [-1, 0, -1]], np.int32))
    new = slice(len(genuine), None)
    assert found.user[new].tolist() == [60, 60, 61] and found.item[new].tolist() == [3, 7, 0]
    assert found.n_users == 62 and genuine.n_users == 60
    assert np.array_equal(found.offsets[-3:], len(genuine) + np.array([0, 2, 3]))


def test_standing_by_hand() -> None:
    scores = torch.tensor([[5.0, 4.0, 3.0, 2.0], [1.0, 1.0, 0.0, 9.0], [0.0, 9.0, 9.0, 9.0]])
    consumed = torch.zeros(3, 4, dtype=torch.bool)
    consumed[0, 0] = consumed[2, 1] = True
    # user 0: item 1 leads once item 0 is consumed; user 1: one above and one tie, 2.5; user 2 holds the target
    hit, mean = standing(scores, torch.tensor([1]), consumed, 1)
    assert hit == 0.5 and mean == pytest.approx(-np.log2(2.5) / 2)
    assert standing(scores, torch.tensor([1]), torch.ones(3, 4, dtype=torch.bool), 1) == (0.0, -2.0)


def test_accounts_take_turns() -> None:
    chances = torch.tensor([[0.5, 0.9, 0.3, 0.85, 0.1]]).log().repeat(3, 1)
    allowed = np.array([1, 2, 3, 4])
    weights = np.ones(4)
    found = take_turns(chances, weights, allowed, 1, 0.9)
    # .9 first; .81 < .85; .81 > .765
    assert found.tolist() == [[1], [3], [1]] and weights.tolist() == pytest.approx([0.81, 1, 0.9, 1])
    assert take_turns(chances, np.ones(4), allowed, 2, 1.0).tolist() == [[1, 3]] * 3
    weights = np.array([1.0, 0.5, 0.5, 0.5])
    take_turns(chances[:1], weights, allowed, 1, 0.9)
    assert weights.tolist() == [1.0] * 4  # the last full weight was taken: all start anew
    assert take_turns(chances[:1], np.ones(4), allowed, 6, 0.9).tolist() == [[1, 3, 2, 4, -1, -1]]


def test_marking_down_keeps_accounts_from_becoming_copies() -> None:
    goal = Goal((cold(medium()),), 8, 20)
    published, marked = (
        overlap(crafted(CLeaR(CLeaRConfig(decay=decay)), medium(), goal, 0).item.reshape(8, -1)) for decay in (1.0, 0.5)
    )
    assert marked < published - 0.05


def test_the_best_choice_is_kept_and_judged_on_refitted_twins(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[tuple[float, float], Any]] = []
    original = Twin.standing

    def note(self: Twin, *given: Any) -> tuple[float, float]:
        value = original(self, *given)
        seen.append((value, self.accounts.copy()))
        return value

    monkeypatch.setattr(Twin, "standing", note)
    goal = Goal((cold(medium()),), 6, 20)
    profiles = crafted(CLeaR(), medium(), goal, 0).item.reshape(6, -1)
    assert len(seen) == 4  # the random accounts, and one judgement after each of three choices
    best = max(seen, key=lambda pair: pair[0])[1]
    assert np.array_equal(np.sort(profiles, axis=1), np.sort(best, axis=1))


@pytest.mark.parametrize("family", ["simgcl", "lightgcn"])
def test_it_beats_random_accounts_on_its_own_family(family: Family) -> None:
    goals = [Goal((cold(medium(), place),), 6, 20) for place in (5, 15, 40)]
    attacks = (CLeaR(CLeaRConfig(twin=family)), RandomFillers())
    own, random = (np.mean([own_standing(attack, family, goal) for goal in goals]) for attack in attacks)
    assert own > random + 0.05


def test_edges() -> None:
    examine_edges(CLeaR)
    for family in FAMILIES:
        goal = Goal((11,), 3, 9)
        examine_profiles(run(CLeaR(CLeaRConfig(twin=family)), log_for("implicit"), goal), log_for("implicit"), goal)
