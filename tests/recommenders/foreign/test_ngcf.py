"""RecBole's NGCF: layers by hand; the vectors that it keeps are served, for it drops messages when it scores, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recaudit.datasets.errors import CheckpointError
from recaudit.datasets.read import LoadedLog, read_log
from recaudit.recommenders.evaluate import evaluate
from recaudit.recommenders.foreign.opening import open_foreign

from .crafting import DIM, ITEMS, SETTINGS, USERS, config, ordered, recbole, stored, tensor, write

Arrays = dict[str, NDArray[np.float32]]
OWN: dict[str, Any] = {
    "model": "NGCF", "hidden_size_list": [DIM, DIM], "message_dropout": 0.1, "node_dropout": 0.0,
    "eval_args": {"split": {"RS": [0.6, 0.2, 0.2]}, "order": "RO", "group_by": "user", "mode": "full"},
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> LoadedLog:
    rows = [f"u{user}\ti{item}" for user in range(USERS) for item in range(ITEMS)]
    path = tmp_path_factory.mktemp("data") / "a.inter"
    path.write_text("\n".join(["user_id:token\titem_id:token", *rows]) + "\n")
    return read_log(path)


def drawn() -> Arrays:
    rng = np.random.default_rng(3)
    shapes: dict[str, tuple[int, ...]] = {
        "user_embedding.weight": (USERS + 1, DIM), "item_embedding.weight": (ITEMS + 1, DIM),
    }  # fmt: skip
    for layer in range(2):
        for part in ("linear", "interActTransform"):
            shapes |= {f"GNNlayers.{layer}.{part}.weight": (DIM, DIM), f"GNNlayers.{layer}.{part}.bias": (DIM,)}
    return {name: rng.normal(0, 0.7, shape).astype(np.float32) for name, shape in shapes.items()}


def saved(path: Path, state: Arrays, kept: tuple[Any, Any] | None = None, **parts: Any) -> Path:
    """As RecBole's trainer writes it."""
    held = {} if kept is None else {"restore_user_e": kept[0], "restore_item_e": kept[1]}
    storages = {name: array.tobytes() for name, array in (state | held).items()}

    def op(name: str, array: NDArray[Any]) -> Any:
        stride = (array.shape[1], 1) if array.ndim == 2 else (1,)
        return tensor(array.shape, stride, storage=stored(key=name, count=array.size))

    content: dict[str, Any] = {
        "config": config(SETTINGS | OWN), "state_dict": ordered({name: op(name, state[name]) for name in state}),
        "best_valid_score": None,
    }  # fmt: skip
    if held:
        content["other_parameter"] = {name: op(name, array) for name, array in held.items()}
    return write(path, recbole(**(content | parts)), storages)


def by_hand(state: Arrays, train: Any) -> NDArray[np.float64]:
    """Layers in float64, one node at a time: [U + I, 3 d]."""
    users, items = (state[f"{side}_embedding.weight"][1:].astype(float) for side in ("user", "item"))
    now = np.concatenate([users, items])
    near: list[list[int]] = [[] for _ in now]
    for user, item in zip(train.user.tolist(), train.item.tolist(), strict=True):
        near[user].append(USERS + item)
        near[USERS + item].append(user)
    layers = [now]
    for layer in range(2):
        out = np.zeros_like(now)
        for node, others in enumerate(near):
            own = sum((now[other] / np.sqrt(len(others) * len(near[other])) for other in others), np.zeros(DIM))
            for part, read in (("linear", own + now[node]), ("interActTransform", own * now[node])):
                name = f"GNNlayers.{layer}.{part}"
                out[node] += state[f"{name}.weight"] @ read + state[f"{name}.bias"]
        out = np.where(out > 0, out, 0.2 * out)
        now = out / np.linalg.norm(out, axis=1, keepdims=True)
        layers.append(now)
    return np.concatenate(layers, 1)


def test_its_layers_are_those_of_recbole(data: LoadedLog, tmp_path: Path) -> None:
    state = drawn()
    target = open_foreign(saved(tmp_path / "m.pth", state), data)
    want = by_hand(state, target.split.train)
    scores = target.model.scores(np.arange(USERS), target.split.train)
    assert np.allclose(scores, want[:USERS] @ want[USERS:].T, atol=1e-5)
    assert target.recipe.config["bias"] and target.recipe.config["unit"] and target.recipe.config["layers"] == 2


def test_the_vectors_it_keeps_are_served_and_proved_by_its_score(data: LoadedLog, tmp_path: Path) -> None:
    state, rng = drawn(), np.random.default_rng(5)
    kept = tuple(rng.normal(size=(n + 1, 3 * DIM)).astype(np.float32) for n in (USERS, ITEMS))
    first = open_foreign(saved(tmp_path / "m.pth", state, kept), data)
    scores = first.model.scores(np.arange(USERS), first.split.train)
    assert np.allclose(scores, kept[0][1:] @ kept[1][1:].T, atol=1e-5)
    reached = evaluate(first.model, first.split.valid, first.split.train, (3,))["ndcg@3"]
    right = open_foreign(saved(tmp_path / "r.pth", state, kept, best_valid_score=round(float(reached), 4)), data)
    assert right.origin is not None and right.origin.verified
    with pytest.raises(CheckpointError, match="validation NDCG@3"):
        open_foreign(saved(tmp_path / "w.pth", state, kept, best_valid_score=float(reached) - 0.01), data)
    with pytest.raises(CheckpointError, match="of shape"):
        open_foreign(saved(tmp_path / "s.pth", state, (kept[0][:, :4].copy(), kept[1])), data)


@pytest.mark.parametrize("widths", [None, [], [DIM, 3], 2, ["2"]])
def test_layers_of_other_widths_are_refused(widths: Any, data: LoadedLog, tmp_path: Path) -> None:
    settings = config(SETTINGS | OWN | {"hidden_size_list": widths})
    with pytest.raises(CheckpointError, match="hidden_size_list"):
        open_foreign(saved(tmp_path / "m.pth", drawn(), config=settings), data)
