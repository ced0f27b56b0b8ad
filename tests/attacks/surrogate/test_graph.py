"""LightGCN as a surrogate: equal to the victim's propagation and loss, differentiable in the accounts' edges."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from recaudit.attacks.base import Goal
from recaudit.attacks.clone import CloneAndPush
from recaudit.attacks.goal import Kind
from recaudit.attacks.revadv import RevAdv, RevAdvConfig
from recaudit.attacks.surrogate.base import Accounts
from recaudit.attacks.surrogate.descent import block
from recaudit.attacks.surrogate.graph import GraphConfig, GraphSurrogate
from recaudit.datasets.log import InteractionLog, Profiles
from recaudit.datasets.seeding import rng
from recaudit.datasets.synthetic import generate
from recaudit.recommenders.losses import sampled_softmax
from recaudit.recommenders.propagation import adjacency, propagate
from recaudit.recommenders.sampling import Positives, collisions

from ..conformance import examine, examine_declaration, examine_profiles, run

USERS, ITEMS = 20, 15
KINDS: list[Kind] = ["implicit", "rating"]


def small() -> InteractionLog:
    """Twenty users and fifteen items; item 14 has no events."""
    log = generate(users=USERS, items=ITEMS, events=120, seed=1)
    keep = log.item != 14
    return replace(log, user=log.user[keep], item=log.item[keep], value=None, time=None)


def whole_accounts() -> Profiles:
    """Three accounts of four events, one of them on the item without genuine events."""
    item = np.array([[0, 3, 5, 14], [1, 2, 3, 9], [4, 6, 7, 8]], np.int32)
    return Profiles(3, np.repeat(np.arange(3, dtype=np.int32), 4), item.ravel())


def model(**settings: float) -> GraphSurrogate:
    """A small one in float64, always with the same first vectors and batches."""
    config = GraphConfig.model_validate({"dim": 6, "epochs": 2, "unroll": 4, "negatives": 9} | settings)
    return GraphSurrogate(small(), config, np.random.default_rng(1), torch.float64)


def test_vectors_are_those_of_the_victims_graph() -> None:
    """Whole events: propagation over the log with these accounts as users, all three sides."""
    surrogate, profiles = model(layers=3), whole_accounts()
    present = block(profiles, ITEMS, False).present.double()
    base = surrogate.first(3)[0]
    user, item, account = surrogate.final(base, present)
    order = torch.cat([base[:USERS], base[USERS + ITEMS :], base[USERS : USERS + ITEMS]]).float()
    expected = propagate(adjacency(Positives.of(small().with_accounts(profiles))), order, 3)
    expected = torch.nn.functional.normalize(expected, dim=1).double()
    assert torch.allclose(torch.cat([user, account, item]), expected, atol=1e-5)


def test_the_loss_is_the_victims() -> None:
    """Sampled softmax over the batch and over the accounts' pairs, weighted by how many pairs each stands for."""
    surrogate, profiles = model(negatives=40), whole_accounts()
    present = block(profiles, ITEMS, False).present.double()
    base = surrogate.first(3)
    drawn = copy.deepcopy(surrogate.by_batch)
    batch, negative = drawn.integers(len(surrogate.user), size=surrogate.batch), drawn.integers(ITEMS, size=40)
    user, item, account = surrogate.final(base[0], present)

    def theirs(rows: torch.Tensor, items: np.ndarray) -> float:
        hits = torch.from_numpy(collisions(items, negative))
        return float(sampled_softmax(rows, item[items], item[negative], 0.2, hits=hits))

    genuine = theirs(user[surrogate.user[batch]], surrogate.item[batch].numpy())
    fake = theirs(account[profiles.account.astype(np.int64)], profiles.item.astype(np.int64))
    pairs = len(surrogate.user)
    expected = (pairs * genuine + 12 * fake) / (pairs + 12)
    assert float(surrogate.loss(base, Accounts(present, present))) == pytest.approx(expected, rel=1e-9)


def test_gradient_through_the_unrolled_training() -> None:
    """Finite differences in float64 through four steps on the same batches."""
    present = torch.from_numpy(np.random.default_rng(0).uniform(0.3, 1, (3, ITEMS)))
    weight = torch.from_numpy(np.random.default_rng(5).standard_normal((USERS, ITEMS)))

    def value(edges: torch.Tensor) -> torch.Tensor:
        surrogate = model()
        surrogate.fit(Accounts(present, present))
        return (surrogate.unrolled(Accounts(edges, edges)).scores(torch.arange(USERS)) * weight).sum()

    leaf = present.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(value(leaf), [leaf])
    for cell in ((0, 0), (1, 7), (2, 14), (2, 3)):
        ends = []
        for step in (1e-5, -1e-5):
            moved = present.clone()
            moved[cell] += step
            ends.append(value(moved).item())
        assert float(gradient[cell]) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-4, abs=1e-7)


def test_gradient_is_finite_where_no_edge_is() -> None:
    """At an item that nobody has, and at accounts without events; no slope to ratings."""
    surrogate = model()
    present = torch.zeros(2, ITEMS, dtype=torch.float64)
    present[0, [1, 2]] = 1.0
    surrogate.fit(Accounts(present, present))
    leaf, rating = present.clone().requires_grad_(True), present.clone().requires_grad_(True)
    score = surrogate.unrolled(Accounts(leaf, rating)).scores(torch.arange(USERS))[:, 14].sum()
    to_present, to_rating = torch.autograd.grad(score, [leaf, rating], materialize_grads=True)
    assert torch.isfinite(to_present).all() and to_present[0, 14] != 0 and (to_rating == 0).all()


def test_an_edge_acts_through_degrees_too() -> None:
    """With all parameters still, one more edge of an account weakens its others, as far as two layers see it."""
    surrogate = model(layers=2)
    present = block(whole_accounts(), ITEMS, False).present.double().requires_grad_(True)
    _, item, _ = surrogate.final(surrogate.first(3)[0], present)
    (slope,) = torch.autograd.grad(item[0, 0], [present])
    assert (slope[0] != 0).all(), "account 0 holds item 0; every other edge of it changes what it passes on"


def test_calls_go_on_from_the_last_one() -> None:
    """A fit and two calls of four steps are one fit of eight more, batch by batch."""
    present = block(whole_accounts(), ITEMS, False).present.double()
    own = Accounts(present, present)
    surrogate, other = model(), model()
    other.fit_steps += 8
    fitted = surrogate.fit(own)
    surrogate.unrolled(own)
    found, whole = surrogate.unrolled(own), other.fit(own)
    assert torch.allclose(found.item, whole.item, atol=1e-8) and torch.allclose(found.user, whole.user, atol=1e-8)
    assert torch.allclose(fitted.user.norm(dim=1), torch.ones(USERS, dtype=torch.float64))
    assert not torch.equal(surrogate.fit(own).user, fitted.user), "a fit starts from fresh vectors"


def test_it_tells_consumed_items_from_others() -> None:
    """After a fit most consumed items score above most others."""
    present = block(whole_accounts(), ITEMS, False).present.double()
    scores = model(epochs=15).fit(Accounts(present, present)).scores(torch.arange(USERS)).numpy()
    seen = small().matrix().toarray() > 0
    assert (scores[seen][:, None] > scores[~seen]).mean() > 0.8


class OnGraph(RevAdv):
    """RevAdv on a short training, so that the examination is quick."""

    def __init__(self, config: RevAdvConfig | None = None) -> None:
        short = GraphConfig(dim=8, epochs=1, unroll=2, negatives=16)
        super().__init__(config or RevAdvConfig(surrogate="lightgcn", steps=3, lightgcn=short))


@pytest.mark.parametrize("kind", KINDS)
def test_conformance(kind: Kind) -> None:
    """The examination that every attack passes."""
    examine(OnGraph, kind, "push")


def test_declaration() -> None:
    """And what it says about itself."""
    examine_declaration(OnGraph)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("users", [1, 2])
def test_hardly_any_users(kind: Kind, users: int) -> None:
    """One or two users, a target without events."""
    log = generate(users=users, items=12, events=4 * users, seed=0)
    target = int(np.flatnonzero(log.item_counts == 0)[0])
    goal = Goal((target,), 2, 5, kind)
    examine_profiles(run(OnGraph(), log, goal), log, goal)


def test_the_attack_beats_its_start_on_fresh_surrogates() -> None:
    """Mean log2 rank of the target on surrogates of other seeds: below that of the copies it starts from."""
    log = generate(users=120, items=80, events=3000, seed=3, ratings=False)
    target = int(np.argsort(log.item_counts, kind="stable")[8])
    goal = Goal((target,), 6, 20)
    lacks = np.flatnonzero(log.matrix()[:, [target]].toarray().ravel() == 0)
    seen = log.matrix()[lacks].toarray() > 0
    found = []
    for attack in (CloneAndPush(), RevAdv(RevAdvConfig(surrogate="lightgcn"))):
        own = block(run(attack, log, goal), log.n_items, False)
        ranks = []
        for seed in (11, 12, 13):
            scores = GraphSurrogate(log, GraphConfig(), rng(seed)).fit(own).scores(torch.from_numpy(lacks)).numpy()
            scores[seen] = -np.inf
            ranks.append(np.log2(1 + (scores > scores[:, [target]]).sum(1)).mean())
        found.append(np.mean(ranks))
    assert found[1] < found[0] - 0.1
