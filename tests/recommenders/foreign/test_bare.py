"""Bare tables: recognised by their names, placed by their numbering, proved by what their owner says they reach."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from recaudit.datasets.errors import CheckpointError
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.read import LoadedLog
from recaudit.datasets.split import Split, ratio_per_user
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.evaluate import evaluate
from recaudit.recommenders.foreign.opening import open_foreign
from recaudit.recommenders.foreign.recipe import OwnersRecipe, read_recipe

RECIPE = Recipe("lightgcn", {"dim": 8, "layers": 2, "loss": "bpr", "l2": 0.0}, 3)


def given() -> tuple[LoadedLog, Split, dict[str, torch.Tensor], dict[str, float]]:
    """A log whose ids are numbers in no order, its parts, a model of ours on it and what it reaches."""
    rng = np.random.default_rng(0)
    pairs = np.unique(rng.integers(0, [40, 30], (500, 2)), axis=0)
    rng.shuffle(pairs)
    names = (rng.permutation(40).astype(str), rng.permutation(30).astype(str))
    log = InteractionLog(pairs[:, 0].astype(np.int32), pairs[:, 1].astype(np.int32), *names)
    split = ratio_per_user(log, 0.0, 0.2)
    model = fit(RECIPE, split.train, 0)
    reached = evaluate(model, split.test, split.history, (10,))
    return LoadedLog(log, parts={"train": split.train, "test": split.test}), split, model.state(), reached


LOADED, SPLIT, STATE, REACHED = given()
OWNER: dict[str, Any] = {"epochs": 3, "metrics": {"ndcg@10": round(REACHED["ndcg@10"], 4)}}


def by_number(side: str) -> torch.Tensor:
    """The base table with row n for the id n."""
    ids = getattr(SPLIT.train, f"{side}_ids").astype(int)
    table = torch.empty_like(STATE[f"{side}_base"])
    table[ids] = STATE[f"{side}_base"]
    return table


def padded(side: str) -> torch.Tensor:
    return torch.cat([torch.zeros(1, 8), STATE[f"{side}_base"]])


FILES: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "LightGCN-PyTorch": (
        "lgn-toy-2-8.pth.tar",
        {"embedding_user.weight": by_number("user"), "embedding_item.weight": by_number("item")},
        {},
    ),
    "SSLRec": (
        "ssl.pth",
        {"user_embeds": by_number("user"), "item_embeds": by_number("item")},
        {"model": "lightgcn", "settings": {"layers": 2}},
    ),
    "RecBole, without its configuration": (
        "bare.pth",
        {"state_dict": {"user_embedding.weight": padded("user"), "item_embedding.weight": padded("item")}},
        {"model": "lightgcn", "settings": {"layers": 2}},
    ),
    "torch-geometric, LightGCN": (
        "pyg.pt",
        {"alpha": torch.full((3,), 1 / 3), "embedding.weight": torch.cat([STATE["user_base"], STATE["item_base"]])},
        {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_known_programs_files(name: str, tmp_path: Path) -> None:
    file, content, said = FILES[name]
    torch.save(content, tmp_path / file)
    target = open_foreign(tmp_path / file, LOADED, None, OwnersRecipe.model_validate(OWNER | said))
    assert target.origin is not None and target.origin.verified and target.origin.format == name
    for side in ("user", "item"):
        torch.testing.assert_close(target.model.state()[side], STATE[side])
    assert target.recipe.config["layers"] == 2 and target.recipe.epochs == 3
    assert len(target.split.valid) == 0  # nothing is held out of a training part that is given


def test_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"user_embeds": by_number("user"), "item_embeds": by_number("item").contiguous()}, path)
    owner = OwnersRecipe.model_validate(OWNER | {"model": "lightgcn", "settings": {"layers": 2}})
    target = open_foreign(path, LOADED, None, owner)
    torch.testing.assert_close(target.model.state()["user"], STATE["user"])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="a safetensors file"):
        open_foreign(path, LOADED, None, owner)


def test_without_metrics_all_is_assumed(tmp_path: Path) -> None:
    torch.save(FILES["LightGCN-PyTorch"][1], tmp_path / "lgn-toy-2-8.pth.tar")
    target = open_foreign(tmp_path / "lgn-toy-2-8.pth.tar", LOADED, None, OwnersRecipe(epochs=3))
    assert target.origin is not None and not target.origin.verified
    assert "assumed" in target.origin.proof


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"model": None}, "a line `model: lightgcn`"),
        ({"settings": {}}, "settings: {layers: 3}"),
        ({"epochs": None}, "epochs: 100"),
        ({"model": "sasrec"}, "two tables of vectors"),
        ({"metrics": {"ndcg@10": 0.9}}, r"ndcg@10 0.9000 on the test part"),
        ({"settings": {"layers": 1}}, "numbering or number of layers"),
        ({"ids": "appearance"}, "on the test part"),
        ({"padding": 1}, "from 0 to 38"),
    ],
)
def test_what_is_missing_or_wrong_is_named(said: dict[str, Any], words: str, tmp_path: Path) -> None:
    torch.save(FILES["SSLRec"][1], tmp_path / "ssl.pth")
    owner = OwnersRecipe.model_validate(OWNER | {"model": "lightgcn", "settings": {"layers": 2}} | said)
    with pytest.raises(CheckpointError, match=words) as caught:
        open_foreign(tmp_path / "ssl.pth", LOADED, None, owner)
    assert "\n" not in str(caught.value)


def test_other_tensors_and_other_data(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"layer.weight": torch.zeros(3, 3)}, path)
    with pytest.raises(CheckpointError, match="audit it as a black box"):
        open_foreign(path, LOADED, None, OwnersRecipe(epochs=1))
    torch.save({"alpha": torch.tensor([0.5, 0.2]), "embedding.weight": torch.zeros(70, 8)}, path)
    with pytest.raises(CheckpointError, match="layers that count alike"):
        open_foreign(path, LOADED, None, OwnersRecipe(epochs=1))
    torch.save(FILES["LightGCN-PyTorch"][1], path)
    named = replace(LOADED.log, user_ids=np.array([f"u{n}" for n in range(40)]))
    with pytest.raises(CheckpointError, match="user ids that are numbers of rows"):
        open_foreign(
            path, LoadedLog(named), replace(SPLIT, train=replace(SPLIT.train, user_ids=named.user_ids)),
            OwnersRecipe(epochs=1, settings={"layers": 2}),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "a recipe in YAML"),
        ("layers: 3", "valid layers"),
        ("epochs: many", "valid epochs"),
        ("- 1", "the file"),
    ],
)
def test_bad_recipes(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(CheckpointError, match=words):
        read_recipe(tmp_path / "r.yaml")
    (tmp_path / "empty.yaml").write_text("")
    assert read_recipe(tmp_path / "empty.yaml") == OwnersRecipe()
