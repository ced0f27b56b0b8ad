"""Agreement, chance, the linear student, and which models can be asked at all."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recaudit.attacks.surrogate.extracted import ModelQuery, extract
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.seeding import rng
from recaudit.datasets.synthetic import generate
from recaudit.privacy.extraction.copies import Student, agreements, beginning, by_chance, reads_order, why_not
from recaudit.privacy.extraction.inquiry import ratio_of_means
from recaudit.privacy.extraction.linear import LinearStudent
from recaudit.recommenders.base import Model, Recipe
from recaudit.recommenders.blackbox.asked import Lists
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.network import Dropout
from recaudit.recommenders.sequential import SequentialConfig

LISTS = st.lists(st.permutations(range(8)), min_size=1, max_size=6)


@cache
def log() -> InteractionLog:
    return generate(users=120, items=80, events=2400, seed=0, ratings=False)


@cache
def model(name: str) -> Model:
    small = {"mf": {"dim": 8, "max_epochs": 1}}
    sequential = {"dim": 8, "layers": 1, "max_epochs": 1}
    config = sequential if name in ("sasrec", "gru4rec") else small.get(name, {})
    return fit(Recipe(name, config), log(), 0)


@given(LISTS, LISTS, st.integers(1, 5), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_agreement_against_sets(one: list[list[int]], other: list[list[int]], k: int, length: int) -> None:
    count = min(len(one), len(other))
    own, copied = (np.array(lists[:count], np.int32)[:, :5] for lists in (one, other))
    own[:, length:] = -1  # a list may end early
    wanted = [
        len({item for item in a[:k].tolist() if item >= 0} & set(b[:k].tolist())) / max(1, min(k, length))
        for a, b in zip(own, copied, strict=True)
    ]
    assert agreements(own, copied, k).tolist() == wanted
    assert agreements(own, own, k).tolist() == [float(length > 0)] * count


def test_chance_is_what_random_lists_get() -> None:
    draw, known = rng(0), np.array([5, 20, 26])
    drawn = [
        agreements(np.arange(4)[None], draw.permutation(30 - known[row])[None, :4], 4)[0]
        for row in range(3)
        for _ in range(3000)
    ]
    assert by_chance(known, 30, 4) == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / 9000**0.5 + 1e-9)
    assert by_chance(np.array([28]), 30, 4) == 1


def test_the_error_of_a_ratio_against_resampling() -> None:
    draw = rng(1)
    below = draw.gamma(1.0, size=400)
    above = 0.5 * below + 0.1 * draw.gamma(1.0, size=400)
    ratio, error = ratio_of_means(above, below)
    rows = draw.integers(400, size=(4000, 400))
    assert ratio == above.mean() / below.mean()
    assert error == pytest.approx((above[rows].mean(1) / below[rows].mean(1)).std(), rel=0.1)
    assert ratio_of_means(below, below) == (1.0, 0.0)
    assert ratio_of_means(below, np.zeros(400)) == (None, None)


def test_linear_weights_by_hand() -> None:
    student = LinearStudent(SequentialConfig.model_validate({"dim": 3, "max_length": 50}))
    read, shown = (torch.from_numpy(rng(0, name).normal(size=(80, 3)).astype(np.float32)) for name in ("in", "out"))
    student.load({"item": shown, "read": read}, 120, 80)
    found = student.scores(np.arange(4), log())
    offsets, items = log().sequences()
    for user in range(4):
        own = torch.from_numpy(items[offsets[user] : offsets[user + 1]].astype(np.int64))
        wanted = shown @ read[own].sum(0) / len(own) ** 0.5
        assert np.allclose(found[user], wanted.numpy(), atol=1e-5)
    network = student.network(5).to_empty(device="cpu")
    with torch.no_grad():
        network.item.fill_(1.0)
        network.get_parameter("read").copy_(torch.arange(15.0).view(5, 3))
        state = network.encode(torch.tensor([[1, 4]]), network.table(), Dropout(0.0, None))
    assert torch.allclose(state[0], torch.tensor([[3.0, 4, 5], [15 / 2**0.5, 17 / 2**0.5, 19 / 2**0.5]]))


@pytest.mark.parametrize("name", ["ease", "itemknn", "sasrec", "gru4rec"])
def test_models_that_read_histories_can_be_asked(name: str) -> None:
    assert why_not(model(name)) is None
    assert reads_order(model(name)) == (name in ("sasrec", "gru4rec"))


def test_others_cannot_and_the_reason_is_said() -> None:
    for name in ("mf", "ials"):
        assert "known users" in (why_not(model(name)) or "")
    assert "do not depend on the history" in (why_not(model("popularity")) or "")
    box = Lists(items=np.zeros((3, 2), np.int32))
    box.n_users, box.n_items = 3, 9
    assert "known users" in (why_not(box) or "")


def test_a_small_budget_is_part_of_a_large_one_and_trained_as_long() -> None:
    answers = extract(ModelQuery(model("ease"), 10), 80, 40, 6, rng(0))
    part = beginning(answers, 10)
    assert part.queries == 60 and part.n_items == 80
    assert (part.sequences == answers.sequences[:10]).all() and (part.lists == answers.lists[:10]).all()
    for count in (1, 16, 17, 100, 1000):
        config = Student("sasrec", 8, 600).settings(count, 6)
        steps = config.max_epochs * -(-count // config.batch)
        assert abs(steps - 600) <= -(-count // config.batch) / 2 and config.max_length == 6


def test_copies_repeat_themselves_and_read_no_more_than_was_asked() -> None:
    answers = extract(ModelQuery(model("sasrec"), 10), 80, 16, 6, rng(0))
    for kind in ("sasrec", "gru4rec", "linear"):
        student = Student(kind, 8, 3)  # type: ignore[arg-type]
        first, again, other = (student.fitted(answers, 120, rng(seed)) for seed in (0, 0, 1))
        scores = [copy.scores(np.arange(120), log()) for copy in (first, again, other)]
        assert first.name == kind and (scores[0] == scores[1]).all() and (scores[0] != scores[2]).any()
        assert reads_order(first) == (kind != "linear")
        assert first.config.max_length == (1024 if kind == "linear" else 6)
