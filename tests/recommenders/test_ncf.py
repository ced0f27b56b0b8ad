"""NeuMF: scores and loss by hand, all items in blocks, and what every model must do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from recaudit.datasets.errors import DataError
from recaudit.datasets.log import Profiles
from recaudit.datasets.split import Split
from recaudit.recommenders import ncf
from recaudit.recommenders.evaluate import evaluate
from recaudit.recommenders.ncf import NCF, NCFConfig, log_loss
from recaudit.recommenders.ranking import rank
from recaudit.recommenders.sampling import Positives

from .pair_models import EVERYONE, SPLIT, Popular
from .planted import make_log

LOG = make_log([0, 0, 1, 2, 2, 2, 4, 4], [0, 1, 1, 0, 2, 4, 4, 4], 5, 6)


def fitted(seed: int = 1, split: Split = SPLIT, weights: np.ndarray | None = None, **config: object) -> NCF:
    settings = {"dim": 8, "batch_size": 512} | config
    epochs = settings.pop("epochs", 3)
    model = NCF(NCFConfig(**settings))
    model.fit(split.train, seed, epochs=epochs, weights=weights)
    return model


def content(model: NCF) -> bytes:
    return b"".join(name.encode() + table.numpy().tobytes() for name, table in sorted(model.state().items()))


def plain_score(state: dict[str, torch.Tensor], user: int, item: int, dim: int, depth: int) -> torch.Tensor:
    """One pair's logit from its definition, in float64."""
    state = {name: value.double() for name, value in state.items()}
    one, two = state["user"][user], state["item"][item]
    hidden = torch.cat([one[dim:], two[dim:]])
    for layer in range(1, depth + 1):
        hidden = (state[f"weight_{layer}"] @ hidden + state[f"bias_{layer}"]).clamp(min=0)
    fused = torch.cat([one[:dim] * two[:dim], hidden])
    return state["head"] @ fused + state["offset"][0]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_scores_are_the_definition(depth: int) -> None:
    model = NCF(NCFConfig(dim=4, depth=depth))
    model.fit(LOG, 3, epochs=4)
    scores = model.scores(np.arange(5), LOG)
    expected = [[float(plain_score(model.state(), user, item, 4, depth)) for item in range(6)] for user in range(5)]
    assert scores.dtype == np.float32
    assert np.allclose(scores, expected, atol=1e-5)


def test_widths_halve_down_to_the_factors() -> None:
    model = fitted(epochs=0, dim=8, depth=3)
    shapes = {name: tuple(value.shape) for name, value in model.state().items()}
    assert [shapes[f"weight_{layer}"] for layer in (1, 2, 3)] == [(32, 64), (16, 32), (8, 16)]
    assert shapes["user"] == (200, 8 + 32)
    assert shapes["head"] == (16,)
    assert "weight_4" not in shapes


def test_log_loss_by_hand() -> None:
    scores = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0]])
    expected = [
        -np.log(1 / (1 + np.exp(-2.0))) - np.log(1 - 1 / (1 + np.exp(1.0))) - np.log(1 - 1 / (1 + np.exp(-0.5))),
        -3 * np.log(0.5),
    ]
    assert np.allclose(log_loss(scores).numpy(), expected, atol=1e-6)


def test_a_batchs_loss_is_that_of_its_scores_with_weights() -> None:
    weights = np.array([1.0, 0.5, 2.0, 1.0, 3.0], np.float32)
    model = NCF(NCFConfig(dim=4, negatives=2))
    pairs = Positives.of(LOG, weights)
    training = ncf._Training(model.config, pairs, 7, torch.device("cpu"), model._take, None)
    model.n_users, model.n_items = 5, 6
    training.refresh()
    scores = torch.from_numpy(model.scores(np.arange(5), LOG))
    total, count = 0.0, 0
    for users, items, weight in training.batches(np.random.default_rng(1)):
        assert weight is not None
        expected = (log_loss(scores[users[:, None], items.long()]) * weight).mean()
        got = training.loss((users, items, weight), torch.Generator()).detach()
        assert float(got) == pytest.approx(float(expected), abs=1e-5)
        assert torch.equal(weight, torch.from_numpy(weights)[users])
        total, count = total + float(got), count + len(users)
    assert count == len(pairs)
    assert total > 0


def test_an_epoch_has_every_pair_and_unseen_items() -> None:
    pairs = Positives.of(SPLIT.train)
    training = ncf._Training(NCFConfig(dim=4, negatives=3), pairs, 1, torch.device("cpu"), lambda _: None, None)
    seen = SPLIT.train.matrix().toarray() > 0
    found = np.zeros_like(seen, int)
    for users, items, _ in training.batches(np.random.default_rng(2)):
        user, item = users.numpy(), items.numpy()
        np.add.at(found, (user, item[:, 0]), 1)
        assert not seen[user[:, None], item[:, 1:]].any()
        assert len(np.unique(item[:, 1:])) > 20
    assert np.array_equal(found, seen)


def test_scores_in_blocks_are_the_scores_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = fitted()
    whole = model.scores(EVERYONE, SPLIT.train)
    one_by_one = np.concatenate([model.scores(np.array([user]), SPLIT.train) for user in range(20)])
    assert np.allclose(one_by_one, whole[:20], atol=1e-5)
    largest = 0
    scored = ncf._scored

    def watched(state: object, products: object, first: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        nonlocal largest
        largest = max(largest, len(first[0]) * first[1].shape[1] * first[1].shape[2])
        return scored(state, products, first)  # type: ignore[arg-type]

    monkeypatch.setattr(ncf, "_scored", watched)
    for cells, tile in ((1, 4_096), (5_000, 7), (3_000, 64)):
        monkeypatch.setattr(ncf, "_CELLS", cells)
        monkeypatch.setattr(ncf, "_TILE", tile)
        largest = 0
        assert np.allclose(model.scores(EVERYONE[:30], SPLIT.train), whole[:30], atol=1e-5)
        assert largest <= max(cells, 32)
    assert model.scores(np.empty(0, np.int64), SPLIT.train).shape == (0, 160)


def test_ranking_reads_the_scores() -> None:
    model = fitted()
    assert not hasattr(model, "embeddings")
    lists = rank(model, EVERYONE[:5], SPLIT.train, 10).slate.items
    scores = model.scores(EVERYONE[:5], SPLIT.train)
    scores[SPLIT.train.matrix()[:5].toarray() > 0] = -np.inf
    assert np.array_equal(lists, np.argsort(-scores, axis=1, kind="stable")[:, :10])


def test_it_beats_popularity() -> None:
    model = NCF(NCFConfig(dim=8, batch_size=512, max_epochs=60, patience=12, every=4))
    model.fit(SPLIT.train, 1, valid=SPLIT)
    own = evaluate(model, SPLIT.test, SPLIT.history, cutoffs=(10,))["ndcg@10"]
    popular = evaluate(Popular(), SPLIT.test, SPLIT.history, cutoffs=(10,))["ndcg@10"]
    assert own > 1.5 * popular


def test_same_seed_same_bytes() -> None:
    before = torch.get_num_threads()
    first = content(fitted())
    torch.set_num_threads(1 if before > 1 else 2)
    second = content(fitted())
    torch.set_num_threads(before)
    assert first == second
    assert first != content(fitted(seed=2))


def test_refit_by_epochs_repeats_the_validated_training() -> None:
    config = NCFConfig(dim=8, batch_size=512, max_epochs=10, patience=3)
    owner, again = NCF(config), NCF(config)
    owner.fit(SPLIT.train, 5, valid=SPLIT)
    again.fit(SPLIT.train, 5, epochs=owner.epochs)
    assert content(owner) == content(again)


def test_weights() -> None:
    ones = np.ones(len(EVERYONE), np.float32)
    plain = content(fitted())
    assert content(fitted(weights=ones)) == plain
    assert content(fitted(weights=np.where(EVERYONE < 50, 3.0, 1.0).astype(np.float32))) != plain
    ones[[3, 40]] = 0
    gone = replace(SPLIT, train=SPLIT.train.without(np.isin(SPLIT.train.user, [3, 40])))
    assert content(fitted(weights=ones)) == content(fitted(split=gone))


def test_injected_accounts_leave_the_first_vectors() -> None:
    fakes = Profiles(2, np.array([0, 1], np.int32), np.array([5, 5], np.int32))
    clean = fitted(epochs=0).state()
    attacked = fitted(epochs=0, split=replace(SPLIT, train=SPLIT.train.with_accounts(fakes))).state()
    assert torch.equal(clean.pop("user"), attacked.pop("user")[:-2])
    for name, value in clean.items():
        assert torch.equal(value, attacked[name])


def test_state_and_load_round_trip() -> None:
    model = fitted()
    state = model.state()
    wanted = model.shapes(model.n_users, model.n_items)
    assert {name: (tuple(table.shape), table.dtype) for name, table in state.items()} == wanted
    assert all(table.is_contiguous() and not table.requires_grad for table in state.values())
    other = NCF(NCFConfig(**model.config.model_dump()))
    other.load(state, model.n_users, model.n_items)
    users = np.array([7, 0, 7])
    assert np.array_equal(other.scores(users, SPLIT.train), model.scores(users, SPLIT.train))


def test_training_resumes_from_a_state() -> None:
    model = fitted(epochs=2)
    before = content(model)
    again = NCF(model.config)
    again.fit(SPLIT.train, 9, epochs=0, start=model.state())
    assert content(again) == before
    again.fit(SPLIT.train, 9, epochs=1, start=model.state())
    assert content(again) != before
    assert content(model) == before


@pytest.mark.parametrize(
    "part", [lambda log: (log.user == 2) | (log.item == 9), lambda log: log.user > 0], ids=["cold", "one user"]
)
def test_users_and_items_without_events_are_fine(part: Callable[[object], np.ndarray]) -> None:
    log = SPLIT.train.without(part(SPLIT.train))
    assert np.isfinite(fitted(split=replace(SPLIT, train=log)).scores(EVERYONE, log)).all()


def test_an_empty_log_is_refused() -> None:
    empty = replace(SPLIT, train=SPLIT.train.take(np.zeros(len(SPLIT.train), bool)))
    with pytest.raises(DataError, match="no interaction"):
        fitted(split=empty)
