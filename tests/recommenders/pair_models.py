"""What every model trained on pairs must do; each model's test file runs it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from recaudit.datasets.errors import DataError
from recaudit.datasets.log import Profiles
from recaudit.datasets.split import Split
from recaudit.recommenders.evaluate import evaluate
from recaudit.recommenders.pairwise import PairwiseModel

from .planted import planted_split

SPLIT = planted_split()
EVERYONE = np.arange(SPLIT.train.n_users)


class Popular:
    """Scores by training popularity."""

    n_users, n_items = SPLIT.train.n_users, SPLIT.train.n_items

    def scores(self, users: np.ndarray, history: object) -> np.ndarray:
        return np.tile(SPLIT.train.item_counts.astype(np.float32), (len(users), 1))


def fitted(kind: type[PairwiseModel], seed: int = 1, split: Split = SPLIT, **config: object) -> PairwiseModel:
    """A model of this kind after a few epochs on the planted log."""
    settings = {"dim": 16, "negatives": 64, "batch_size": 512, "learning_rate": 0.01, "temperature": 0.3} | config
    epochs = settings.pop("epochs", 4)
    weights = settings.pop("weights", None)
    model = kind(kind.config_type(**settings))
    model.fit(split.train, seed, epochs=epochs, weights=weights)
    return model


def content(model: PairwiseModel) -> bytes:
    """All bytes of the state."""
    return b"".join(name.encode() + table.numpy().tobytes() for name, table in sorted(model.state().items()))


def same_seed_same_bytes(kind: type[PairwiseModel], loss: str) -> None:
    before = torch.get_num_threads()
    first = content(fitted(kind, loss=loss))
    torch.set_num_threads(1 if before > 1 else 2)
    second = content(fitted(kind, loss=loss))
    torch.set_num_threads(before)
    assert first == second
    assert first != content(fitted(kind, seed=2, loss=loss))


def refit_by_epochs_repeats_the_validated_training(kind: type[PairwiseModel]) -> None:
    config = kind.config_type(dim=16, negatives=64, batch_size=512, max_epochs=12, patience=3, learning_rate=0.05)
    owner = kind(config)
    owner.fit(SPLIT.train, 5, valid=SPLIT)
    assert owner.epochs is not None
    again = kind(config)
    again.fit(SPLIT.train, 5, epochs=owner.epochs)
    assert again.epochs == owner.epochs
    assert content(owner) == content(again)


def weights_of_one_change_nothing(kind: type[PairwiseModel]) -> None:
    assert content(fitted(kind)) == content(fitted(kind, weights=np.ones(len(EVERYONE), np.float32)))


def weight_of_zero_removes_a_user(kind: type[PairwiseModel], loss: str) -> None:
    """Bit for bit what training on the log without that user's events gives."""
    weights = np.ones(len(EVERYONE), np.float32)
    weights[[3, 40]] = 0
    gone = replace(SPLIT, train=SPLIT.train.without(np.isin(SPLIT.train.user, [3, 40])))
    assert content(fitted(kind, loss=loss, weights=weights)) == content(fitted(kind, split=gone, loss=loss))


def injected_accounts_leave_the_first_vectors(kind: type[PairwiseModel]) -> None:
    """Control and attacked start alike (common random numbers)."""
    fakes = Profiles(2, np.array([0, 1], np.int32), np.array([5, 5], np.int32))
    poisoned = replace(SPLIT, train=SPLIT.train.with_accounts(fakes))
    clean = fitted(kind, epochs=0)
    attacked = fitted(kind, split=poisoned, epochs=0)
    name = "user_base" if kind.keeps_base else "user"
    assert torch.equal(clean.state()[name], attacked.state()[name][:-2])
    name = name.replace("user", "item")
    assert torch.equal(clean.state()[name], attacked.state()[name])


def beats_popularity(kind: type[PairwiseModel], loss: str) -> None:
    settings = {"dim": 16, "negatives": 64, "batch_size": 512, "learning_rate": 0.01, "loss": loss}
    if "contrast" in kind.config_type.model_fields and loss == "bpr":
        settings["contrast"] = 0.001  # against BPR's small gradients the default rules for many epochs
    model = kind(kind.config_type(max_epochs=60, patience=20, every=4, **settings))
    model.fit(SPLIT.train, 1, valid=SPLIT)
    own = evaluate(model, SPLIT.test, SPLIT.history, cutoffs=(10,))["ndcg@10"]
    popular = evaluate(Popular(), SPLIT.test, SPLIT.history, cutoffs=(10,))["ndcg@10"]
    assert own > 1.5 * popular


def state_and_load_round_trip(kind: type[PairwiseModel], loss: str) -> None:
    model = fitted(kind, loss=loss)
    state = model.state()
    wanted = model.shapes(model.n_users, model.n_items)
    assert {name: (tuple(table.shape), table.dtype) for name, table in state.items()} == wanted
    assert all(table.is_contiguous() and not table.requires_grad for table in state.values())
    other = kind(kind.config_type(**model.config.model_dump()))
    other.load(state, model.n_users, model.n_items)
    users = np.array([7, 0, 7])
    scores = other.scores(users, SPLIT.train)
    assert scores.dtype == np.float32
    assert np.array_equal(scores, model.scores(users, SPLIT.train))
    user, item = other.embeddings()
    assert np.allclose(scores, user[users] @ item.T, atol=1e-6)
    if loss == "sampled_softmax":
        assert np.abs(scores).max() <= 1 + 1e-6


def items_and_users_without_events_are_fine(kind: type[PairwiseModel]) -> None:
    log = SPLIT.train.without((SPLIT.train.user == 2) | (SPLIT.train.item == 9))
    for loss in ("bpr", "sampled_softmax"):
        model = fitted(kind, split=replace(SPLIT, train=log), loss=loss)
        assert np.isfinite(model.scores(EVERYONE, log)).all()


def empty_log_is_refused(kind: type[PairwiseModel]) -> None:
    empty = replace(SPLIT, train=SPLIT.train.take(np.zeros(len(SPLIT.train), bool)))
    try:
        fitted(kind, split=empty)
    except DataError as error:
        assert "no interaction" in str(error)
    else:
        raise AssertionError("an empty log was accepted")


EXAMINATION = (
    refit_by_epochs_repeats_the_validated_training,
    weights_of_one_change_nothing,
    injected_accounts_leave_the_first_vectors,
    items_and_users_without_events_are_fine,
    empty_log_is_refused,
)
EXAMINATION_BY_LOSS = (
    same_seed_same_bytes,
    weight_of_zero_removes_a_user,
    beats_popularity,
    state_and_load_round_trip,
)
