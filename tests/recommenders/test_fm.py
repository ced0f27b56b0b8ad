"""The factorisation machine: its formula term by term, ratings and ranking, and what every model must do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from recaudit.attacks.goal import data_kind
from recaudit.datasets.errors import DataError
from recaudit.datasets.log import InteractionLog, Profiles
from recaudit.datasets.read import read_log
from recaudit.datasets.split import Split, make_split, ratio_per_user
from recaudit.datasets.synthetic import generate
from recaudit.recommenders.evaluate import evaluate
from recaudit.recommenders.features import of_nodes
from recaudit.recommenders.fm import FM, FMConfig, _Events, _Training
from recaudit.recommenders.ranking import rank
from recaudit.recommenders.sampling import Positives

from .pair_models import SPLIT, Popular

LOG = generate(60, 50, 900, seed=4)
PARTS = ratio_per_user(LOG, 0.1, 0.2)
NO_RATINGS = replace(LOG, value=None)


def fitted(
    log: InteractionLog = LOG, seed: int = 1, epochs: int = 4, weights: np.ndarray | None = None, **config: object
) -> FM:
    model = FM(FMConfig(**{"dim": 8, **config}))
    model.fit(log, seed, epochs=epochs, weights=weights)
    return model


def content(model: FM) -> bytes:
    return b"".join(name.encode() + table.numpy().tobytes() for name, table in sorted(model.state().items()))


def training(log: InteractionLog, dim: int = 3) -> _Training:
    """A machine with random parameters, not trained."""
    pairs = Positives.of(log)
    events = _Events.of(log, pairs, None)
    made = _Training(FMConfig(dim=dim), events, pairs, of_nodes(log, pairs), 0, torch.device("cpu"), lambda *_: None)
    source = torch.Generator().manual_seed(2)
    for parameter in made.parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=source)
    return made


@pytest.mark.parametrize("features", [True, False])
def test_scores_are_equation_1_term_by_term(features: bool) -> None:
    """w0 + sum_a w_a x_a + sum_{a<b} <v_a, v_b> x_a x_b, over all pairs of ids and features, in float64."""
    log = LOG if features else replace(LOG, users=None, items=None)
    machine = training(log)
    model = FM(FMConfig(dim=3))
    model.n_users, model.n_items = log.n_users, log.n_items
    machine.keep = model._take
    with torch.no_grad():
        machine.refresh()
    x = of_nodes(log, machine.pairs).toarray().astype(float)
    base = machine.base.detach().double().numpy()
    weight = np.zeros((0, 4)) if machine.weight is None else machine.weight.detach().double().numpy()
    scores = model.scores(np.array([5, 0]), log)
    for row, user in enumerate((5, 0)):
        for item in (0, 17, 49):
            active = [(1.0, base[user]), (1.0, base[60 + item])]
            active += [(value, weight[a]) for node in (user, 60 + item) for a, value in enumerate(x[node]) if value]
            expected = float(machine.offset.detach()) + machine.events.mean + sum(value * w[0] for value, w in active)
            expected += sum(p * q * (v[1:] @ w[1:]) for (p, v), (q, w) in combinations(active, 2))
            assert scores[row, item] == pytest.approx(expected, abs=1e-5)
    assert np.allclose(model.predict(np.array([5, 0]), np.array([17, 49])), [scores[0, 17], scores[1, 49]], atol=1e-5)


@pytest.mark.parametrize("log", [LOG, NO_RATINGS], ids=["ratings", "pairs"])
def test_gradient_is_the_finite_difference(log: InteractionLog) -> None:
    machine = training(log)
    batch = next(iter(machine.batches(np.random.default_rng(0))))
    draws = torch.Generator()
    machine.loss(batch, draws).backward()
    for parameter in machine.parameters():
        if parameter is machine.offset and log is NO_RATINGS:
            assert parameter.grad is None  # w0 ranks nothing
            continue
        assert parameter.grad is not None
        towards = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(5))
        values = []
        for step in (1e-2, -1e-2):
            parameter.data += step * towards
            values.append(float(machine.loss(batch, draws).detach()))
            parameter.data -= step * towards
        slope = float((parameter.grad * towards).sum())
        assert slope == pytest.approx((values[0] - values[1]) / 2e-2, rel=0.02, abs=2e-3)


def item_means(train: InteractionLog, test: InteractionLog) -> float:
    """Test RMSE of the mean rating of each item (the global mean for items without ratings)."""
    assert train.value is not None and test.value is not None
    mean = np.full(train.n_items, train.value.mean())
    rated = train.item_counts > 0
    mean[rated] = np.bincount(train.item, train.value, train.n_items)[rated] / train.item_counts[rated]
    return float(np.sqrt(np.mean((test.value - mean[test.item]) ** 2)))


def test_ratings_of_movielens_are_predicted(shared: Path) -> None:
    """Better than item means by a wide margin, and by a smaller one than the same machine on ids alone."""
    split = make_split(read_log(shared / "data" / "movielens-100k"), "ratio:0.8,0.1,0.1", 0)
    model, bare = FM(FMConfig()), FM(FMConfig(user_features=False, item_features=False))
    for each in (model, bare):
        each.fit(split.train, 0, valid=split)
    assert model.rmse(split.test) < 0.92 < item_means(split.train, split.test) - 0.08
    assert model.rmse(split.test) < bare.rmse(split.test)


def test_users_without_ratings_are_predicted_by_their_features() -> None:
    """Two groups with opposite tastes; users who rated nothing get their group's."""
    rng = np.random.default_rng(0)
    user, item = np.repeat(np.arange(80), 10), np.concatenate([rng.permutation(30)[:10] for _ in range(80)])
    value = np.where((user % 2) == (item % 2), 5, 1)
    table = pd.DataFrame({"group": np.where(np.arange(80) % 2, "odd", "even")})
    names = (np.arange(n).astype(str) for n in (80, 30))
    log = InteractionLog(user.astype(np.int32), item.astype(np.int32), *names, value.astype(np.float32), users=table)
    seen, unseen = log.take(log.user < 60), log.take(log.user >= 60)
    assert fitted(seen, epochs=40).rmse(unseen) < 0.8
    assert fitted(seen, epochs=40, user_features=False).rmse(unseen) > 1.5


def test_it_says_that_it_reads_ratings() -> None:
    assert FM.reads_ratings and data_kind(LOG) == "rating"
    assert content(fitted(LOG)) != content(fitted(NO_RATINGS))
    assert LOG.value is not None
    assert content(fitted(replace(LOG, value=6 - LOG.value))) != content(fitted(LOG))


def test_constant_ratings_are_no_ratings() -> None:
    same = replace(LOG, value=np.full(len(LOG), 5, np.float32))
    assert content(fitted(same)) == content(fitted(NO_RATINGS))


def test_without_ratings_it_ranks_better_than_popularity() -> None:
    model = FM(FMConfig(max_epochs=60, patience=20, every=4))
    model.fit(SPLIT.train, 1, valid=SPLIT)
    own, popular = (evaluate(m, SPLIT.test, SPLIT.history, cutoffs=(10,))["ndcg@10"] for m in (model, Popular()))
    assert own > 1.5 * popular


def test_validation_stops_by_rmse_and_refits_repeat_it() -> None:
    lines: list[str] = []
    config = FMConfig(dim=8, max_epochs=60, patience=6, learning_rate=0.05)
    owner, again = FM(config), FM(config)
    owner.fit(PARTS.train, 5, valid=PARTS, report=lambda step, steps, text: lines.append(text))
    seen = [float(text.rpartition(" ")[2]) for text in lines if "validation RMSE" in text]
    assert not any("NDCG" in text or "-" in text for text in lines)
    assert owner.epochs is not None and owner.epochs < len(lines)
    assert owner.rmse(PARTS.valid) == pytest.approx(min(seen), abs=1e-4)
    again.fit(PARTS.train, 5, epochs=owner.epochs)
    assert content(owner) == content(again) and again.epochs == owner.epochs


def test_an_empty_validation_part_stops_nothing() -> None:
    model = FM(FMConfig(dim=2, max_epochs=3))
    model.fit(LOG, 0, valid=Split(LOG, LOG.take(np.zeros(len(LOG), bool)), LOG, "none"))
    assert model.epochs == 3


@pytest.mark.parametrize("log", [LOG, NO_RATINGS], ids=["ratings", "pairs"])
def test_same_seed_same_bytes(log: InteractionLog) -> None:
    before = torch.get_num_threads()
    first = content(fitted(log))
    torch.set_num_threads(1 if before > 1 else 2)
    second = content(fitted(log))
    torch.set_num_threads(before)
    assert first == second != content(fitted(log, seed=2))


@pytest.mark.parametrize("log", [LOG, NO_RATINGS], ids=["ratings", "pairs"])
def test_weights(log: InteractionLog) -> None:
    weights = np.ones(60, np.float32)
    assert content(fitted(log, weights=weights)) == content(fitted(log))
    heavy = weights.copy()
    heavy[4] = 3
    assert content(fitted(log, weights=heavy)) != content(fitted(log, weights=weights))
    weights[[3, 40]] = 0
    assert content(fitted(log, weights=weights)) == content(fitted(log.without(np.isin(log.user, [3, 40]))))
    with pytest.raises(DataError, match="no interaction"):
        fitted(log, weights=np.zeros(60, np.float32))


def injected(log: InteractionLog, n: int = 5, features: Sequence[str] = ("F", "robot")) -> InteractionLog:
    account, item = np.repeat(np.arange(n, dtype=np.int32), 4), np.tile(np.arange(4, dtype=np.int32), n)
    table = pd.DataFrame({"gender": [features[k % len(features)] for k in range(n)]})
    value, time = np.full(4 * n, 5, np.float32), np.full(4 * n, 1_500_000_000)
    return log.with_accounts(Profiles(n, account, item, value, time, table))


def test_injected_accounts_leave_the_first_vectors() -> None:
    clean, attacked = fitted(epochs=0).state(), fitted(injected(LOG), epochs=0).state()
    for name in ("user", "user_bias"):
        assert torch.equal(clean[name], attacked[name][:60])
    assert torch.equal(clean["item"], attacked["item"]) and torch.equal(clean["item_bias"], attacked["item_bias"])
    assert fitted(injected(LOG)).scores(np.arange(65), LOG).shape == (65, 50)


@pytest.mark.parametrize("log", [LOG, NO_RATINGS], ids=["ratings", "pairs"])
def test_state_loads_without_the_log(log: InteractionLog) -> None:
    model = fitted(log)
    wanted = model.shapes(60, 50)
    assert {name: (tuple(table.shape), table.dtype) for name, table in model.state().items()} == wanted
    assert all(table.is_contiguous() and not table.requires_grad for table in model.state().values())
    other = FM(model.config)
    other.load(model.state(), 60, 50)
    users = np.array([7, 0, 7])
    scores = other.scores(users, log)
    assert scores.dtype == np.float32 and np.array_equal(scores, model.scores(users, log))
    left, right = other.embeddings()
    assert np.allclose(scores, left[users] @ right.T, atol=1e-6)
    assert rank(model, None, log, 5).slate.items.shape == (60, 5)


@pytest.mark.parametrize("side", ["user", "item"])
def test_nodes_without_events_are_fine(side: str) -> None:
    log = LOG.without(getattr(LOG, side) == 2)
    assert np.isfinite(fitted(log).scores(np.arange(60), log)).all()


def test_one_user_two_items() -> None:
    one = np.array([0, 0], np.int32)
    log = InteractionLog(one, np.array([0, 1], np.int32), np.array(["a"]), np.array(["x", "y"]))
    for value in (None, np.array([1, 5], np.float32)):
        model = fitted(replace(log, value=value), epochs=30, learning_rate=0.05)
        scores = model.scores(np.array([0]), log)
        assert np.isfinite(scores).all()
    assert scores[0, 1] > scores[0, 0]
