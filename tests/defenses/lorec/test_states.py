"""What the calibrator reads of models of users and items, and how their edges are weighed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from recaudit.datasets.errors import InputError
from recaudit.datasets.synthetic import generate
from recaudit.defenses.catalogue import build
from recaudit.defenses.histories import Histories
from recaudit.defenses.lorec.states import Edges, PairStates, states_of
from recaudit.defenses.lorec.weights import Compensation
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.propagation import adjacency, weighted_adjacency
from recaudit.recommenders.sampling import Positives

LOG = generate(users=60, items=40, events=900, ratings=False)
RECIPES = {
    "mf": Recipe("mf", {"dim": 8, "negatives": 16}, 3),
    "lightgcn": Recipe("lightgcn", {"dim": 8, "negatives": 16, "layers": 2}, 3),
    "simgcl": Recipe("simgcl", {"dim": 8, "negatives": 16, "layers": 2}, 3),
}


def training(model: str) -> Any:
    """A training of this model after it was run."""
    caught: list[Any] = []

    def harden(own: Any) -> Any:
        caught.append(own)
        return own

    fit(RECIPES[model], LOG, 0, harden=harden)
    return caught[0]


@pytest.mark.parametrize("model", ["mf", "lightgcn"])
def test_a_state_is_the_items_base_and_the_account_made_of_its_items(model: str) -> None:
    own = training(model)
    states = states_of(own, LOG)
    assert isinstance(states, PairStates) and states.width == 16
    base, at = own.base.detach(), torch.from_numpy(own.places[60:])
    final = own.encoder.final(base)[at]
    items = torch.tensor([[3, 7, 0], [5, 0, 0]])
    read = states.read(items, torch.tensor([[True, True, False], [True, False, False]]))
    counts = LOG.item_counts
    for row, known in ((0, [3, 7]), (1, [5])):
        account = sum(final[i] / np.sqrt(counts[i]) for i in known) / np.sqrt(len(known))
        for place, item in enumerate(known):
            assert torch.allclose(read[row, place], torch.cat([base[at][item], account]), atol=1e-6)


def test_states_follow_the_victim_when_they_are_told_to() -> None:
    own = training("lightgcn")
    states = states_of(own, LOG)
    items, valid = torch.tensor([[1]]), torch.tensor([[True]])
    before = states.read(items, valid)
    with torch.no_grad():
        own.base += 1
    assert torch.equal(states.read(items, valid), before)
    states.refresh()
    assert not torch.allclose(states.read(items, valid), before)


def test_order_within_histories_is_lost_and_nothing_else() -> None:
    accounts = Histories.of_accounts(LOG, np.array([4, 9, 20]))
    mixed = accounts.shuffled(np.random.default_rng(0))
    assert mixed.length.tolist() == accounts.length.tolist()
    parts = [
        [own.items[start : start + length] for start, length in zip(own.start, own.length, strict=True)]
        for own in (accounts, mixed)
    ]
    assert all(sorted(a) == sorted(b) for a, b in zip(*parts, strict=True))
    assert any((a != b).any() for a, b in zip(*parts, strict=True))


def test_weighted_edges_by_hand() -> None:
    pairs = Positives(np.array([0, 0, 1]), np.array([0, 1, 1]), 2, 2, None)
    weights = np.array([1.0, 0.25], np.float32)
    found = weighted_adjacency(pairs, weights).to_dense()
    degree = {"u0": 2.0, "u1": 0.25, "i0": 1.0, "i1": 1.25}
    assert found[0, 2] == pytest.approx(1 / np.sqrt(degree["u0"] * degree["i0"]))
    assert found[0, 3] == pytest.approx(1 / np.sqrt(degree["u0"] * degree["i1"]))
    assert found[1, 3] == pytest.approx(0.25 / np.sqrt(degree["u1"] * degree["i1"]))
    assert torch.allclose(found, found.T)
    ones = weighted_adjacency(pairs, np.ones(2, np.float32)).to_dense()
    assert torch.equal(ones, adjacency(pairs).to_dense())


@pytest.mark.parametrize("model", RECIPES)
def test_weights_in_the_loss_alone_are_those_of_a_weighed_refit(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lower = np.where(np.arange(60) < 30, 0.1, 1).astype(np.float32)
    monkeypatch.setattr(Compensation, "weights", lambda own: lower)
    lorec = build("lorec", {"arm": "none", "start": 0.001, "batch": 32})
    users = np.arange(60)
    want = fit(RECIPES[model], LOG, 0, weights=lower).scores(users, LOG)
    assert (lorec.fit(RECIPES[model], LOG, 0).model.scores(users, LOG) == want).all()


@pytest.mark.parametrize("model", ["lightgcn", "simgcl"])
def test_weighed_edges_take_a_user_out_of_what_is_served(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    silenced = np.where(np.arange(60) < 30, 1e-6, 1).astype(np.float32)
    monkeypatch.setattr(Compensation, "weights", lambda own: silenced)
    edges, loss, both = (
        build("lorec", {"arm": "none", "start": 0.001, "batch": 32, "weigh": weigh}).fit(RECIPES[model], LOG, 0).model
        for weigh in ("edges", "loss", "both")
    )
    users = np.arange(60)
    assert (edges.scores(users, LOG) != loss.scores(users, LOG)).any()
    # both is the refit without those users' pairs, but for vectors of users who teach nothing
    kept = LOG.take(LOG.user >= 30)
    plain = fit(RECIPES[model], replace(kept), 0)
    last = np.arange(30, 60)
    apart = np.abs(both.scores(last, LOG) - plain.scores(last, LOG)).mean()
    assert apart < np.abs(loss.scores(last, LOG) - plain.scores(last, LOG)).mean()


def test_models_without_edges_are_refused() -> None:
    lorec = build("lorec", {"arm": "none", "weigh": "edges"})
    why = lorec.why_not(RECIPES["mf"], LOG)
    assert why is not None and "edges" in why and lorec.why_not(RECIPES["simgcl"], LOG) is None
    with pytest.raises(InputError, match="edges"):
        Edges(training("mf"))
