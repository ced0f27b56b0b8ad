"""Distances between fake and genuine profiles against values worked out by hand or by plain loops."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest
from scipy import sparse
from victims import small_log

from recaudit.attacks import likeness as module
from recaudit.attacks.injection import CloneInjection, craft_only
from recaudit.attacks.likeness import likeness, mean_cosine
from recaudit.attacks.stealth import Stealth, item_tvd, length_ks, popularity_distance, rating_js
from recaudit.attacks.transitions import STRENGTHS, repeat_share, transition_bits
from recaudit.datasets.log import InteractionLog, Profiles

# users: 0 has items 0, 1, 2; 1 has 0, 1; 2 has 0; 3 nothing. item 3 is nobody's
GENUINE = InteractionLog(
    np.array([0, 0, 0, 1, 1, 2], np.int32), np.array([0, 1, 2, 0, 1, 0], np.int32),
    np.array(list("abcd")), np.array(list("wxyz")),
    np.array([5, 4, 1, 5, 5, 4], np.float32), np.array([1, 2, 3, 1, 2, 1], np.int64),
)  # fmt: skip
# account 0 has items 0, 3; account 1 has item 3; account 2 nothing
FAKES = Profiles(
    3, np.array([0, 0, 1], np.int32), np.array([0, 3, 3], np.int32), np.array([1, 5, 5], np.float32),
    np.array([4, 5, 6], np.int64),
)  # fmt: skip


def test_distances_by_hand() -> None:
    # lengths 1, 2, 3 against 1, 2: at 2 the shares up to it are 2/3 and 1
    assert length_ks(GENUINE, FAKES) == pytest.approx(1 / 3)
    # log2 ranks 0, 1, log2 3, 2; shares of events 3, 2, 1, 0 of 6 against 1, 0, 0, 2 of 3
    wanted = 1 / 6 * 1 + 1 / 2 * (math.log2(3) - 1) + 2 / 3 * (2 - math.log2(3))
    assert popularity_distance(GENUINE, FAKES) == pytest.approx(wanted)
    # ratings 1, 4, 5: 1/6, 2/6, 3/6 against 1/3, 0, 2/3
    own, fake = [1 / 6, 2 / 6, 3 / 6], [1 / 3, 0, 2 / 3]
    middle = [(a + b) / 2 for a, b in zip(own, fake, strict=True)]
    wanted = sum(
        share * math.log2(share / half) / 2
        for side in (own, fake)
        for share, half in zip(side, middle, strict=True)
        if share
    )
    assert rating_js(GENUINE, FAKES) == pytest.approx(wanted)
    # item 0: 4, 5 of users 1/3, 2/3; of fakes half rate it 1, half nothing. items 1, 2: 2/3, 1/3 against nothing
    # item 3: nothing against 5. of 3 users and 2 accounts with events
    assert item_tvd(GENUINE, FAKES) == pytest.approx((1 + 2 / 3 + 1 / 3 + 1) / 4)
    assert item_tvd(GENUINE, FAKES, rated=True) == pytest.approx(1)
    implicit = replace(GENUINE, value=None)
    assert item_tvd(implicit, FAKES) == pytest.approx((1 / 2 + 2 / 3 + 1 / 3 + 1) / 4)
    assert item_tvd(implicit, FAKES, rated=True) == pytest.approx(3 / 4)


def test_likeness_by_hand() -> None:
    found = Stealth.of(replace(GENUINE, value=None), FAKES)
    assert found.fake_cosine_mean == found.fake_cosine_max == pytest.approx(1 / math.sqrt(2))
    assert found.fake_jaccard_mean == found.fake_jaccard_max == pytest.approx(1 / 2)
    # account 0 is nearest to user 2 ({0}); account 1 shares nothing with anybody
    assert found.nearest_cosine == pytest.approx(1 / math.sqrt(2) / 2)
    assert found.nearest_jaccard == pytest.approx(1 / 2 / 2)
    assert found.nearest_containment == pytest.approx(1 / 2 / 2)
    # user 0 and 1 are nearest to each other, user 2 to user 1
    pairs = 2 / math.sqrt(6), 1 / math.sqrt(2)
    assert found.usual_nearest_cosine == pytest.approx((2 * pairs[0] + pairs[1]) / 3)
    assert found.usual_nearest_jaccard == pytest.approx((2 / 3 + 2 / 3 + 1 / 2) / 3)
    assert found.usual_nearest_containment == pytest.approx((2 / 3 + 1 + 1) / 3)
    assert found.usual_cosine_mean == pytest.approx((pairs[0] + pairs[1] + 1 / math.sqrt(3)) / 3)
    assert found.repeat_share == found.usual_repeat_share == 0


@pytest.mark.parametrize("pairs", [1, 70, 4_000_000])
def test_blocks_of_likeness_agree_with_loops(monkeypatch: pytest.MonkeyPatch, pairs: int) -> None:
    monkeypatch.setattr(module, "PAIRS", pairs)
    draw = np.random.default_rng(0)
    dense = draw.integers(1, 6, (23, 12)) * (draw.random((23, 12)) < 0.3)
    dense[:, 0] = np.maximum(dense[:, 0], 1 - dense.any(axis=1))  # no empty row
    held = sparse.csr_matrix(dense.astype(float))
    for own in (None, np.arange(9)):
        found = likeness(held[:9], held, own)
        for one in range(9):
            rest = [n for n in range(23) if own is None or n != one]
            a, others = dense[one], dense[rest]
            cosine = others @ a / np.linalg.norm(a) / np.linalg.norm(others, axis=1)
            shared = ((others > 0) & (a > 0)).sum(axis=1)
            jaccard = shared / ((others > 0) | (a > 0)).sum(axis=1)
            assert found.cosine[one] == pytest.approx(cosine.max())
            assert found.cosine_sum[one] == pytest.approx(cosine.sum())
            assert found.jaccard[one] == pytest.approx(jaccard.max())
            assert found.jaccard_sum[one] == pytest.approx(jaccard.sum())
            assert found.containment[one] == pytest.approx(shared.max() / (a > 0).sum())
    among = likeness(held, held, np.arange(23))
    assert mean_cosine(held) == pytest.approx(among.cosine_sum.sum() / 23 / 22)
    assert mean_cosine(held[:1]) is None


def test_steps_are_scored_by_a_chain_without_themselves() -> None:
    draw = np.random.default_rng(1)
    user, item = np.sort(draw.integers(0, 12, 150)).astype(np.int32), draw.integers(0, 7, 150).astype(np.int32)
    ids = (np.arange(12).astype(str), np.arange(7).astype(str))
    log = InteractionLog(user, item, *ids, None, np.arange(150, dtype=np.int64))
    fakes = Profiles(2, np.array([0, 0, 0, 1], np.int32), np.array([2, 5, 5, 1], np.int32), None, np.arange(4))
    steps = [(int(item[n]), int(item[n + 1])) for n in range(149) if user[n] == user[n + 1]]

    def chance(chain: list[tuple[int, int]], step: tuple[int, int], b: float) -> float:
        prior = (sum(j == step[1] for _, j in chain) + 1) / (len(chain) + 7)
        return (chain.count(step) + b * prior) / (sum(i == step[0] for i, _ in chain) + b)

    means = []
    for b in STRENGTHS:
        bits = [math.log2(chance(steps[:n] + steps[n + 1 :], step, b)) for n, step in enumerate(steps)]
        means.append(sum(bits) / len(bits))
    best = STRENGTHS[int(np.argmax(means))]
    wanted = sum(math.log2(chance(steps, step, best)) for step in ((2, 5), (5, 5))) / 2
    assert transition_bits(log, fakes) == (pytest.approx(wanted), pytest.approx(max(means)))
    total = sum(chance(steps, (3, j), best) for j in range(7))
    assert total == pytest.approx(1), "chances of all items sum to 1"

    single = Profiles(1, np.zeros(1, np.int32), np.zeros(1, np.int32), None, np.zeros(1, np.int64))
    assert transition_bits(log, single) == (None, pytest.approx(max(means)))
    assert transition_bits(replace(log, time=None), fakes) == (None, None)
    later = replace(log, time=log.time[::-1].copy())
    assert transition_bits(later, fakes)[1] != pytest.approx(max(means)), "time, not the file, gives the order"


def test_repeats() -> None:
    assert repeat_share(np.array([0, 0, 0, 1, 1]), np.array([4, 4, 4, 4, 2])) == pytest.approx(2 / 5)
    assert repeat_share(np.empty(0, np.int32), np.empty(0, np.int32)) is None


def test_exact_clones_are_at_distance_zero_and_near_someone() -> None:
    log = small_log()
    users = np.arange(log.n_users, dtype=np.int32)
    everybody = Profiles(log.n_users, users[log.user], log.item, log.value, log.time)
    found = Stealth.of(log, everybody)
    for name in ("length_ks", "popularity", "rating_js", "item_tvd", "item_tvd_rated"):
        assert getattr(found, name) == pytest.approx(0, abs=1e-12), name
    for name in ("nearest_cosine", "nearest_jaccard", "nearest_containment"):
        assert getattr(found, name) == pytest.approx(1), name
    assert found.fake_cosine_mean == pytest.approx(found.usual_cosine_mean)
    assert found.transition_bits > found.usual_transition_bits, "copied steps are in the chain"


def test_sequences_of_clones_are_likely_and_random_ones_are_not() -> None:
    log = replace(small_log(), value=None)
    for seed in range(3):
        clones = Stealth.of(log, CloneInjection(12, 15, (), True, seed).profiles(log))
        noise = Stealth.of(log, craft_only(log, "random", [11], 12, 15, seed, kind="sequence"))
        assert clones.transition_bits > clones.usual_transition_bits > noise.transition_bits
        assert noise.repeat_share > 0.3 and clones.repeat_share < 0.3, "the target stands at every second place"


def test_ranges_and_reasons() -> None:
    log = small_log()
    for seed, attack in enumerate(("random", "love-hate", "popular", "clone-and-push")):
        found = Stealth.of(log, craft_only(log, attack, [11], "10%", None, seed))
        assert not found.undefined()
        for name, value in found.as_values().items():
            low, high = (-math.inf, 0) if name.endswith("bits") else (0, 1)
            high = math.log2(log.n_items) if name == "popularity" else high
            assert type(value) is float and low <= value <= high, name
    names = {field.name for field in fields(Stealth)}
    assert set(Stealth.of(log, Profiles.empty()).undefined()) == names
    empty = log.take(np.zeros(len(log), bool))
    assert Stealth.of(empty, FAKES) == Stealth()
    bare = replace(log, value=None, time=None)
    alone = Profiles(1, np.zeros(3, np.int32), np.arange(3, dtype=np.int32))
    reasons = Stealth.of(bare, alone).undefined()
    assert set(reasons) == {
        "rating_js", "transition_bits", "usual_transition_bits",
        "fake_cosine_mean", "fake_cosine_max", "fake_jaccard_mean", "fake_jaccard_max",
    }  # fmt: skip
    assert "ratings" in reasons["rating_js"] and "two accounts" in reasons["fake_jaccard_max"]
    hermit = bare.take(bare.user == 0)
    assert "genuine" in Stealth.of(hermit, alone).undefined()["usual_nearest_jaccard"]
    constant = replace(log, value=np.ones(len(log), np.float32))
    assert rating_js(constant, replace(FAKES, value=FAKES.value)) is None
    for function in (length_ks, popularity_distance, item_tvd):
        assert function(log, Profiles.empty()) is None and function(empty, FAKES) is None
