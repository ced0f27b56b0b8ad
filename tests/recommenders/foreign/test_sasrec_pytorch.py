"""SASRec.pytorch's files: four ways to compute under one set of names, told apart by shapes, by name or by a metric."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recaudit.datasets.errors import CheckpointError
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.read import LoadedLog
from recaudit.datasets.split import make_split
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.evaluate import evaluate
from recaudit.recommenders.foreign.opening import open_foreign
from recaudit.recommenders.foreign.recipe import OwnersRecipe
from recaudit.recommenders.target import Target

from ..sequence_models import chain

LONGEST, DIM = 6, 8
NAME = f"SASRec.epoch=5.lr=0.002.layer=2.head=2.hidden={DIM}.maxlen={LONGEST}.pth"
OWN: dict[str, Any] = {
    "dim": DIM, "heads": 2, "layers": 2, "max_length": LONGEST, "loss": "binary", "learning_rate": 0.002,
}  # fmt: skip
PARTS = ("attention_norm", "query_key_value", "attention_out", "forward_norm", "forward_in", "forward_out")
WAYS = {"after": True, "before": True, "query": True, "first": False}


def data() -> LoadedLog:
    """A chain whose items are called by the numbers 1 to 30, in no order."""
    log = chain(n_users=40)
    names = (np.random.default_rng(1).permutation(30) + 1).astype(str)
    return LoadedLog(InteractionLog(log.user, log.item, log.user_ids, names, time=log.time))


DATA = data()
SPLIT = make_split(DATA, "leave-last-out", 0)


def named(state: dict[str, torch.Tensor], names: Any, carried: bool) -> dict[str, torch.Tensor]:
    """The state dict of our model as SASRec.pytorch names it."""
    items = torch.zeros(len(names) + 1, DIM)
    items[torch.from_numpy(names.astype(int))] = state["item"]
    position = state["position"]
    found = {"item_emb.weight": items, "pos_emb.weight": position}
    if carried:
        found["pos_emb.weight"] = torch.cat([torch.zeros(1, DIM), position])
    for kind in ("weight", "bias"):
        found[f"last_layernorm.{kind}"] = state[f"last_norm.{kind}"]
        for n in range(2):
            own = {name: state[f"blocks.{n}.{name}.{kind}"] for name in PARTS}
            wide = (slice(None), slice(None), None) if kind == "weight" else slice(None)
            found |= {
                f"attention_layernorms.{n}.{kind}": own["attention_norm"],
                f"attention_layers.{n}.in_proj_{kind}": own["query_key_value"],
                f"attention_layers.{n}.out_proj.{kind}": own["attention_out"],
                f"forward_layernorms.{n}.{kind}": own["forward_norm"],
                f"forward_layers.{n}.conv1.{kind}": own["forward_in"][wide],
                f"forward_layers.{n}.conv2.{kind}": own["forward_out"][wide],
            }
    return found


def trained(way: str) -> tuple[Any, dict[str, torch.Tensor], dict[str, float]]:
    """A model of ours, its file's content, and what it reaches."""
    norm = "query" if way == "first" else way
    model = fit(Recipe("sasrec-left", OWN | {"norm": norm, "carried": WAYS[way]}, 5), SPLIT.train, 0)
    reached = evaluate(model, SPLIT.test, SPLIT.history, (10,))
    return model, named(model.state(), SPLIT.train.item_ids, WAYS[way]), {"ndcg@10": round(reached["ndcg@10"], 4)}


def opened(path: Path, content: Any, **owner: Any) -> Target:
    torch.save(content, path)
    return open_foreign(path, DATA, None, OwnersRecipe.model_validate({"split": "leave-last-out"} | owner))


@pytest.mark.parametrize("way", WAYS)
def test_each_way_comes_back_by_what_it_reaches(way: str, tmp_path: Path) -> None:
    model, content, reached = trained(way)
    target = opened(tmp_path / NAME, content, metrics=reached)
    assert target.origin is not None and target.origin.verified and target.origin.format == "SASRec.pytorch"
    assert target.recipe.config["carried"] == WAYS[way] and target.recipe.epochs == 5
    assert target.recipe.config["learning_rate"] == 0.002 and target.recipe.config["heads"] == 2
    users = np.arange(40)
    found = target.model.scores(users, target.split.history)
    assert np.allclose(found, model.scores(users, SPLIT.history), atol=1e-5)


def test_without_a_metric_the_way_must_be_named(tmp_path: Path) -> None:
    _, content, _ = trained("before")
    with pytest.raises(CheckpointError, match=r"how it normalises.*norm: after"):
        opened(tmp_path / NAME, content)
    target = opened(tmp_path / NAME, content, settings={"norm": "before"})
    assert target.origin is not None and not target.origin.verified
    with pytest.raises(CheckpointError, match=r"ndcg@10 0\.9"):
        opened(tmp_path / NAME, content, metrics={"ndcg@10": 0.9})


def test_the_first_version_needs_no_name_but_has_one_way(tmp_path: Path) -> None:
    _, content, _ = trained("first")
    assert opened(tmp_path / NAME, content).recipe.config["norm"] == "query"
    with pytest.raises(CheckpointError, match="a norm that its positions allow"):
        opened(tmp_path / NAME, content, settings={"norm": "after"})


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        ({}, "how long it was trained"),
        ({"epochs": 5}, "the number of attention heads"),
        ({"epochs": 5, "settings": {"heads": 2}}, "the longest history"),
        ({"epochs": 5, "settings": {"heads": 2, "max_length": 9}}, "9 or 10 positions"),
        ({"model": "sasrec", "epochs": 5}, "model sasrec-left"),
    ],
)
def test_what_name_and_tensors_do_not_say_is_asked_for(owner: dict[str, Any], expected: str, tmp_path: Path) -> None:
    _, content, _ = trained("first")
    with pytest.raises(CheckpointError, match=expected):
        opened(tmp_path / "m.pth", content, **owner)


def test_rows_that_fill_up_must_be_zero(tmp_path: Path) -> None:
    _, content, _ = trained("after")
    content["item_emb.weight"][0] = 0.1
    with pytest.raises(CheckpointError, match="zeros in the first rows"):
        opened(tmp_path / NAME, content, settings={"norm": "after"})


@pytest.mark.parametrize(
    "name", ["forward_layers.1.conv2.weight", "attention_layers.0.out_proj.bias", "pos_emb.weight"]
)
def test_missing_and_misshapen_tensors_are_refused(name: str, tmp_path: Path) -> None:
    _, content, _ = trained("after")
    for wrong in (None, torch.ones(3), torch.ones(3, 5), torch.ones(0, 5), torch.ones(2, 2, 2, 2)):
        own = {key: value for key, value in content.items() if key != name}
        with pytest.raises(CheckpointError):
            opened(tmp_path / NAME, own if wrong is None else own | {name: wrong}, settings={"norm": "after"})


def test_items_are_numbers_from_one_or_in_order_of_appearance(tmp_path: Path) -> None:
    model, content, _ = trained("first")
    log = DATA.log
    renamed = InteractionLog(log.user, log.item, log.user_ids, np.char.add("i", log.item_ids), time=log.time)
    torch.save(content, tmp_path / NAME)
    with pytest.raises(CheckpointError, match="item ids that are numbers"):
        open_foreign(tmp_path / NAME, LoadedLog(renamed), None, OwnersRecipe(split="leave-last-out"))
    content["item_emb.weight"] = torch.cat([torch.zeros(1, DIM), model.state()["item"]])
    torch.save(content, tmp_path / NAME)
    owner = OwnersRecipe(split="leave-last-out", ids="appearance")
    target = open_foreign(tmp_path / NAME, LoadedLog(renamed), None, owner)
    assert torch.equal(target.model.state()["item"], model.state()["item"])
