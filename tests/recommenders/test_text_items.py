"""Sequential models whose items are their texts."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recaudit.datasets.errors import CheckpointError, DataError
from recaudit.datasets.log import InteractionLog, ItemEdits
from recaudit.datasets.seeding import rng
from recaudit.datasets.split import Split, leave_last_out
from recaudit.datasets.synthetic import generate
from recaudit.recommenders.base import ReadsText, Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.checkpoint import open_checkpoint, save_checkpoint
from recaudit.recommenders.ranking import rank
from recaudit.recommenders.sequential import SequentialModel

from .sequence_models import KINDS

pytest.importorskip("wordllama")

FIELDS = {"dim": 32, "item_vectors": "text"}


@cache
def split() -> Split:
    """Users keep to genres, and genres are in the texts."""
    return leave_last_out(generate(users=300, items=150, events=6000, seed=0, ratings=False))


@cache
def fitted(kind: str, epochs: int = 6) -> SequentialModel:
    model = fit(Recipe(kind, FIELDS, epochs), split().train, 0)
    assert isinstance(model, SequentialModel)
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_items_that_nobody_had_go_to_those_who_like_what_their_texts_say(kind: str) -> None:
    log = split().train
    assert log.items is not None
    genre = log.items["genres"].to_numpy()
    new = rng(0, "new").permutation(150)[:20]
    seen = replace(log.without(np.isin(log.item, new)), items=pd.DataFrame({"title": genre}))
    model = fit(Recipe(kind, FIELDS | {"dropout": 0.2}, 6), seen, 0)
    leads = []
    for item in new:
        share = np.bincount(seen.user, genre[seen.item] == genre[item], 300) / np.maximum(seen.user_counts, 1)
        ranks = rank(model, None, seen, 0, watch=np.array([item], np.int32)).watched[0]
        leads.append(np.log2(ranks[share < 0.1]).mean() - np.log2(ranks[share > 0.4]).mean())
    assert np.mean(leads) > 0.4 and np.min(leads) > -0.3


def edited(log: InteractionLog, item: int, **cells: str) -> InteractionLog:
    return log.with_edits(ItemEdits(np.array([item], np.int32), pd.DataFrame({k: [v] for k, v in cells.items()})))


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_text_moves_its_item_alone_and_at_once(kind: str) -> None:
    model, history = fitted(kind), split().history
    assert isinstance(model, ReadsText) and model.reads_text
    users = np.arange(40)
    same = model.reading(history)
    assert (same.scores(users, history) == model.scores(users, history)).all()
    item = int(history.item_counts.argmin())
    lacking = users[np.asarray(history.matrix()[users][:, [item]].todense()).ravel() == 0]
    log = edited(history, item, title="Golden River", genres="Romance")
    moved = model.reading(log).scores(lacking, log)
    before = model.scores(lacking, history)
    others = np.arange(history.n_items) != item
    assert (moved[:, others] == before[:, others]).all() and (moved[:, item] != before[:, item]).all()
    asked = model.text_scores(lacking, history, ["Golden River. Romance", "x"])
    assert asked.shape == (len(lacking), 2) and np.allclose(asked[:, 0], moved[:, item], atol=1e-5)


def test_items_with_equal_texts_tie() -> None:
    log = split().train
    twins = edited(log, 3, **{name: log.items[name].iloc[5] for name in ("title", "genres")})  # type: ignore[index]
    scores = fitted("sasrec").reading(twins).scores(np.arange(20), twins)
    assert (scores[:, 3] == scores[:, 5]).all()


def test_checkpoints_carry_the_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe("sasrec", FIELDS, 6)
    save_checkpoint(tmp_path / "c", fitted("sasrec"), recipe, split(), 0, {})
    monkeypatch.setattr("recaudit.recommenders.sequential.open_cached", lambda name: 1 / 0)  # no encoder is needed
    again = open_checkpoint(tmp_path / "c").model
    users = np.arange(300)
    assert (again.scores(users, split().history) == fitted("sasrec").scores(users, split().history)).all()
    assert pickle.loads(pickle.dumps(again)).reads_text  # noqa: S301


def test_vectors_of_another_width_are_refused(tmp_path: Path) -> None:
    model = fitted("sasrec")
    state = model.state()
    state["text"] = state["text"][:, :-1].contiguous()
    monkey: Any = type(model)(model.config)
    monkey.state = lambda: state
    monkey.n_users, monkey.n_items, monkey.epochs = model.n_users, model.n_items, 6
    with pytest.raises(CheckpointError, match="make a sasrec model"):  # a checkpoint is read back when it is saved
        save_checkpoint(tmp_path / "c", monkey, Recipe("sasrec", FIELDS, 6), split(), 0, {})


def test_what_cannot_be_read_is_said() -> None:
    with pytest.raises(DataError, match="no text"):
        fit(Recipe("sasrec", FIELDS, 1), replace(split().train, items=None), 0)
    ids = fit(Recipe("sasrec", {"dim": 8}, 1), split().train, 0)
    assert isinstance(ids, SequentialModel) and not ids.reads_text
    with pytest.raises(DataError, match="item_vectors='id'"):
        ids.reading(split().train)
    with pytest.raises(DataError, match="cannot read these items"):
        fitted("sasrec").reading(generate(users=20, items=20, events=90, ratings=False))


def test_edits_touch_their_cells_alone() -> None:
    log = split().train
    assert log.items is not None
    after = edited(log, 7, title="New")
    assert after.items is not None and after.items["title"].iloc[7] == "New"
    assert after.items.drop(index=7).equals(log.items.drop(index=7))
    assert after.fingerprint == log.fingerprint and log.items["title"].iloc[7] != "New"
    assert rank(fitted("sasrec"), None, after, 5).slate.items.shape == (300, 5)
    with pytest.raises(DataError, match="no column colour"):
        edited(log, 7, colour="red")
    with pytest.raises(DataError, match="outside"):
        edited(log, 150, title="New")
