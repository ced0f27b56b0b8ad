"""What sequential models share: windows, batches, dropout, losses, scores from a history, weights, determinism."""

from __future__ import annotations

import gc
import itertools
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from recaudit.datasets.errors import DataError
from recaudit.datasets.log import InteractionLog, Profiles
from recaudit.recommenders import sequences
from recaudit.recommenders.evaluate import evaluate
from recaudit.recommenders.network import Dropout
from recaudit.recommenders.popularity import Popularity
from recaudit.recommenders.ranking import rank
from recaudit.recommenders.sequences import Windows, ordered, padded
from recaudit.recommenders.sequential import SequenceTraining, SequentialModel
from recaudit.recommenders.softmax import cross_entropy

from .sequence_models import KINDS, chain, chain_split, log_of, small_model

ROWS = st.lists(st.lists(st.integers(0, 5), max_size=9), min_size=1, max_size=6)


def bytes_of(model: SequentialModel) -> bytes:
    return b"".join(value.numpy().tobytes() for _, value in sorted(model.state().items()))


# --- windows and batches ---


@given(rows=ROWS, max_length=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_windows_hold_every_step_once_and_end_where_scoring_reads(rows: list[list[int]], max_length: int) -> None:
    log = log_of(rows, 6)
    steps = [step for row in rows for step in itertools.pairwise(row)]
    if not steps:
        with pytest.raises(DataError, match="no sequence"):
            Windows.of(log, max_length)
        return
    windows = Windows.of(log, max_length)
    assert windows.length.min() >= 1 and windows.length.max() <= max_length
    inputs, valid = padded(windows.items, windows.start, windows.length)
    every = np.arange(len(windows.start))
    assert list(zip(inputs[valid].tolist(), windows.targets(every).tolist(), strict=True)) == steps
    assert windows.popularity(6).tolist() == [sum(after == item for _, after in steps) for item in range(6)]
    last = {int(np.searchsorted(ordered(log)[0], start, side="right")): n for n, start in enumerate(windows.start)}
    for user, row in enumerate(rows):
        if len(row) > 1:  # the user's last window holds its last inputs
            window = last[user + 1]
            got = inputs[window][valid[window]].tolist()
            assert got == row[:-1][-len(got) :] and len(got) == min(max_length, len(row) - 1)


@given(rows=ROWS, tokens=st.integers(1, 30), min_steps=st.integers(1, 4), seed=st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_batches_cover_all_windows_in_groups_of_like_length(
    rows: list[list[int]], tokens: int, min_steps: int, seed: int
) -> None:
    rows = [*rows, [0, 1, 2]]
    windows = Windows.of(log_of(rows, 6), 4)
    parts = list(windows.batches(np.random.default_rng(seed), tokens, min_steps))
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(windows.start)))
    spans = sorted((windows.length[part].min(), windows.length[part].max()) for part in parts)
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans))
    assert max(windows.length[part].sum() for part in parts) < tokens + 2 * windows.length.max()


def test_injected_accounts_are_just_more_sequences_and_draw_no_other_numbers() -> None:
    log = chain()
    accounts = Profiles(
        2, np.array([0, 0, 0, 1]), np.array([3, 3, 4, 5], np.int32), time=np.array([0, 1, 2, 0], np.int64)
    )
    clean, poisoned = Windows.of(log, 8), Windows.of(log.with_accounts(accounts), 8)
    assert len(poisoned.start) == len(clean.start) + 1  # the account of one event has no step
    assert poisoned.targets(np.array([len(clean.start)])).tolist() == [3, 4]  # a repeat is a step
    one, two = small_model("sasrec"), small_model("sasrec")
    one.fit(log, 4, epochs=0)
    two.fit(log.with_accounts(accounts), 4, epochs=0)
    assert bytes_of(one) == bytes_of(two)


def test_logs_without_times_are_read_in_file_order() -> None:
    items = np.array([4, 1, 2, 0, 3], np.int32)
    user = np.array([0, 1, 0, 1, 0], np.int32)
    log = InteractionLog(user, items, np.array(["a", "b"]), np.array(list("vwxyz")))
    assert ordered(log)[1].tolist() == [4, 2, 3, 1, 0]


def test_a_sorted_history_is_kept_while_the_log_lives_and_no_longer() -> None:
    log = chain(3)
    assert ordered(log)[1] is ordered(log)[1]
    before = len(sequences._SORTED)
    del log
    gc.collect()
    assert len(sequences._SORTED) == before - 1


# --- dropout ---


def test_dropout_drops_the_share_keeps_the_mean_and_leaves_the_global_stream_alone() -> None:
    state = torch.get_rng_state()
    ones = torch.ones(999, 41)
    dropped = Dropout(0.3, torch.Generator().manual_seed(1))(ones)
    assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert (dropped == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert all((dropped[:, lane::4] == 0).float().mean() == pytest.approx(0.3, abs=0.02) for lane in range(4))
    again = Dropout(0.3, torch.Generator().manual_seed(1))(ones)
    other = Dropout(0.3, torch.Generator().manual_seed(2))(ones)
    assert torch.equal(dropped, again) and not torch.equal(dropped, other)
    assert Dropout(0.3, None)(ones) is ones and Dropout(0.0, torch.Generator())(ones) is ones
    assert torch.equal(torch.get_rng_state(), state)


# --- losses ---


def drawn_case(rows: int = 7, n_items: int = 9, dim: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    make = torch.Generator().manual_seed(5)
    hidden = torch.randn(rows, dim, generator=make, dtype=torch.float64, requires_grad=True)
    table = torch.randn(n_items, dim, generator=make, dtype=torch.float64, requires_grad=True)
    return hidden, table, torch.randint(n_items, (rows,), generator=make)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rows", [1, 7, 300])
def test_full_loss_and_gradients_equal_torchs(rows: int, weighted: bool) -> None:
    hidden, table, target = drawn_case(rows, 2000 if rows == 300 else 9)
    weight = torch.linspace(0, 2, rows, dtype=torch.float64) if weighted else None
    got = cross_entropy(hidden, table[target], target, table, weight=weight)
    losses = functional.cross_entropy(hidden @ table.T, target, reduction="none")
    want = (losses if weight is None else losses * weight).mean()
    assert torch.allclose(got, want)
    for mine, theirs in zip(
        torch.autograd.grad(3 * got, (hidden, table)), torch.autograd.grad(3 * want, (hidden, table)), strict=True
    ):
        assert torch.allclose(mine, theirs)


def test_sampled_loss_equals_its_plain_definition() -> None:
    hidden, table, target = drawn_case()
    drawn = torch.tensor([0, 3, 3, 8, 2])
    bias = torch.tensor([0.1, -0.4, -0.4, 0.9, 0.0], dtype=torch.float64)
    got = cross_entropy(hidden, table[target], target, table[drawn], drawn, bias)
    losses = []
    for row, own in zip(hidden, target.tolist(), strict=True):
        logits = [row @ table[own]]
        logits += [row @ table[j] + b for j, b in zip(drawn.tolist(), bias, strict=True) if j != own]
        losses.append(torch.logsumexp(torch.stack(logits), 0) - logits[0])
    want = torch.stack(losses).mean()
    assert torch.allclose(got, want)
    for mine, theirs in zip(
        torch.autograd.grad(got, (hidden, table)), torch.autograd.grad(want, (hidden, table)), strict=True
    ):
        assert torch.allclose(mine, theirs)


def test_large_scores_do_not_overflow() -> None:
    hidden, table, target = drawn_case()
    table = (table * 1e4).detach().float()
    loss = cross_entropy(hidden.float(), table[target], target, table)
    assert torch.isfinite(loss)


@pytest.mark.parametrize("corrected", [True, False])
def test_sampled_gradient_is_the_full_one_on_average_thanks_to_the_correction(corrected: bool) -> None:
    hidden, table, target = drawn_case()
    share = torch.tensor([8, 1, 1, 2, 4, 1, 6, 1, 8], dtype=torch.float64)
    share /= share.sum()
    full = torch.autograd.grad(cross_entropy(hidden, table[target], target, table), (hidden, table))
    n, trials = 512, 30
    make = torch.Generator().manual_seed(0)
    total = [torch.zeros_like(part) for part in full]
    for _ in range(trials):
        drawn = torch.multinomial(share, n, replacement=True, generator=make)
        bias = -torch.log(n * share[drawn]) if corrected else torch.zeros(n, dtype=torch.float64) - np.log(n / 9)
        loss = cross_entropy(hidden, table[target], target, table[drawn], drawn, bias)
        for kept, part in zip(total, torch.autograd.grad(loss, (hidden, table)), strict=True):
            kept += part / trials
    error = max(float((kept - part).norm() / part.norm()) for kept, part in zip(total, full, strict=True))
    assert error < 0.02 if corrected else error > 0.2


def test_negatives_follow_popularity_and_auto_chooses_by_catalogue_size() -> None:
    windows = Windows.of(log_of([[0, 1, 2, 1, 2, 1]], 4), 8)

    def training(loss: str, n_items: int) -> SequenceTraining:
        model = small_model("sasrec", loss=loss, negatives=20000)
        return SequenceTraining(model.config, windows, model._empty(n_items), torch.device("cpu"))

    counts = np.bincount(training("sampled", 4).drawn(np.random.default_rng(0)), minlength=4) / 20000
    assert counts == pytest.approx([0, 0.6, 0.4, 0], abs=0.02)
    assert [training("auto", n).sampled for n in (4, 5000, 5001)] == [False, False, True]
    assert training("sampled", 4).sampled and not training("full", 9000).sampled


# --- models ---


@pytest.mark.parametrize("kind", KINDS)
def test_a_later_item_changes_no_earlier_output(kind: str) -> None:
    model = small_model(kind, layers=2)
    model.fit(chain(n_users=30), 3, epochs=2)
    network, still = model._fitted(), Dropout(0.0, None)
    items = torch.randint(30, (5, 8), generator=torch.Generator().manual_seed(0))
    before = network.encode(items, network.item, still)
    for place in range(8):
        changed = items.clone()
        changed[:, place] = (changed[:, place] + 1) % 30
        after = network.encode(changed, network.item, still)
        assert torch.allclose(before[:, :place], after[:, :place], atol=1e-5)
        assert not torch.isclose(before[:, place], after[:, place], atol=1e-4).all(-1).any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loss", ["full", "sampled"])
def test_learns_a_planted_chain_far_beyond_popularity(kind: str, loss: str) -> None:
    split = chain_split()
    model = small_model(kind, loss=loss, negatives=16)
    model.fit(split.train, 1, epochs=20)
    empty = split.train.take(np.zeros(len(split.train), bool))
    reached = evaluate(model, split.test, split.history, (3,), mask=empty)["hr@3"]
    popular = Popularity(Popularity.config_type())
    popular.fit(split.train, 1)
    baseline = evaluate(popular, split.test, split.history, (3,), mask=empty)["hr@3"]
    assert reached > 0.75 and reached > 3 * baseline


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loss", ["full", "sampled"])
def test_same_seed_same_bytes_whatever_the_global_stream(kind: str, loss: str) -> None:
    log = chain(n_users=40)
    fitted = []
    for seed, disturbance in ((3, 1), (3, 2), (4, 1)):
        torch.randn(disturbance)
        state = torch.get_rng_state()
        model = small_model(kind, loss=loss, negatives=8, dropout=0.4)
        model.fit(log, seed, epochs=2)
        assert torch.equal(torch.get_rng_state(), state)
        fitted.append(bytes_of(model))
    assert fitted[0] == fitted[1] != fitted[2]


@pytest.mark.parametrize("kind", KINDS)
def test_validation_leaves_the_kept_epoch_as_a_plain_repeat_would(kind: str) -> None:
    split = chain_split()
    chosen, repeat = small_model(kind, max_epochs=4, patience=1), small_model(kind)
    chosen.fit(split.train, 2, valid=split)
    assert chosen.epochs is not None and 1 <= chosen.epochs <= 4
    repeat.fit(split.train, 2, epochs=chosen.epochs)
    assert bytes_of(chosen) == bytes_of(repeat)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loss", ["full", "sampled"])
def test_weight_zero_is_absence_and_other_weights_count(kind: str, loss: str) -> None:
    log = chain(n_users=30)
    gone = np.isin(np.arange(30), [2, 17, 29])
    fields = {"loss": loss, "negatives": 8}
    weighted, absent, doubled, plain = (small_model(kind, **fields) for _ in range(4))
    weighted.fit(log, 5, epochs=2, weights=np.where(gone, 0, 1).astype(np.float32))
    absent.fit(log.without(gone[log.user]), 5, epochs=2)
    plain.fit(log, 5, epochs=2)
    doubled.fit(log, 5, epochs=2, weights=np.where(gone, 5, 1).astype(np.float32))
    every = np.arange(30)
    scores = [model.scores(every, log) for model in (weighted, absent, plain, doubled)]
    assert np.allclose(scores[0], scores[1], atol=1e-5)
    assert not np.allclose(scores[0], scores[2], atol=1e-3) and not np.allclose(scores[2], scores[3], atol=1e-3)


@pytest.mark.parametrize(
    "weights", [np.ones(3, np.float32), np.full(30, -1, np.float32), np.full(30, np.nan, np.float32)]
)
def test_weights_that_are_none_are_refused(weights: np.ndarray) -> None:
    with pytest.raises(DataError, match="user weights"):
        small_model("sasrec").fit(chain(n_users=30), 0, weights=weights)


def test_weights_all_zero_are_refused() -> None:
    with pytest.raises(DataError, match="weight above zero"):
        small_model("gru4rec").fit(chain(n_users=30), 0, weights=np.zeros(30, np.float32))


@pytest.mark.parametrize("kind", KINDS)
def test_state_round_trip_and_pickling_give_the_same_scores(kind: str) -> None:
    log = chain(n_users=30)
    model, other = small_model(kind), small_model(kind)
    model.fit(log, 1, epochs=1)
    state = model.state()
    assert {name: (tuple(value.shape), value.dtype) for name, value in state.items()} == model.shapes(30, 30)
    assert all(value.is_contiguous() and not value.requires_grad for value in state.values())
    other.load(state, 30, 30)
    users = np.arange(30)
    assert np.array_equal(model.scores(users, log), other.scores(users, log))
    copied = pickle.loads(pickle.dumps(model))  # noqa: S301 - as a worker gets it
    assert np.array_equal(copied.scores(users, log), other.scores(users, log))
    state["item"].zero_()
    assert model.scores(users, log).any()  # the state is a copy


@pytest.mark.parametrize("kind", KINDS)
def test_scores_do_not_depend_on_the_company_and_read_the_last_items_only(kind: str) -> None:
    rows = [[0, 1], [2], [5, 4, 3, 2, 1, 0, 1, 2, 3, 4], [3, 4, 3, 4, 3, 4, 3, 4], [1, 1, 1], []]
    log = log_of(rows, 6)
    model = small_model(kind)
    model.fit(log, 1, epochs=2)
    block = model.scores(np.arange(6), log)
    assert block.dtype == np.float32 and block.shape == (6, 6)
    for user in range(6):
        assert np.allclose(model.scores(np.array([user]), log)[0], block[user], atol=1e-5)
    swapped = model.scores(np.array([3, 2, 3]), log)
    assert np.allclose(swapped, block[[3, 2, 3]], atol=1e-5)
    tail = log_of([row[-8:] for row in rows], 6)  # max_length is 8
    assert np.allclose(model.scores(np.arange(6), tail), block, atol=1e-5)
    assert model.scores(np.arange(0), log).shape == (0, 6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_user_without_history_gets_equal_scores_and_an_unknown_one_is_read_from_it(kind: str) -> None:
    log = log_of([[0, 1, 2], [2, 1, 0], []], 3)
    model = small_model(kind)
    model.fit(log, 0, epochs=1)
    assert not model.scores(np.array([2]), log).any()
    wider = log_of([[0], [1], [2], [0, 1, 2]], 3)
    assert np.allclose(model.scores(np.array([3]), wider), model.scores(np.array([0]), log), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_ranks_through_the_common_ranking(kind: str) -> None:
    log = chain(n_users=30)
    model = small_model(kind)
    model.fit(log, 1, epochs=1)
    slate = rank(model, None, log, 4).slate
    assert slate.items.shape == (30, 4)
    seen = set(zip(log.user.tolist(), log.item.tolist(), strict=True))
    assert not any((user, item) in seen for user, row in enumerate(slate.items.tolist()) for item in row)


@pytest.mark.parametrize("kind", KINDS)
def test_scoring_before_fitting_is_an_error(kind: str) -> None:
    with pytest.raises(RuntimeError, match="not been fitted"):
        small_model(kind).scores(np.arange(1), chain(n_users=2))
