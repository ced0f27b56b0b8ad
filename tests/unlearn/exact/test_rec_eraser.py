"""RecEraser: like users share a shard, attention joins the shards, touched parts are trained again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from recaudit.datasets.log import InteractionLog
from recaudit.datasets.synthetic import generate
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.evaluate import evaluate
from recaudit.unlearn.base import Served
from recaudit.unlearn.exact.rec_eraser import Aggregated, RecEraser, RecEraserConfig, _Aggregation
from recaudit.unlearn.exact.shards import Shards
from recaudit.unlearn.request import Request

from ..conformance import examine, requests, small_log

MF = Recipe("mf", {"dim": 8, "min_steps": 4}, 2)
GRAPH = Recipe("lightgcn", {"dim": 8, "min_steps": 4}, 2)


def eraser(**settings: Any) -> RecEraser:
    return RecEraser(RecEraserConfig(**({"shards": 3, "dim": 8, "epochs": 2} | settings)))


def start(unlearner: RecEraser, recipe: Recipe, log: InteractionLog | None = None, seed: int = 5) -> Served:
    log = small_log() if log is None else log
    nothing = Aggregated(torch.zeros(log.n_users, 1), torch.zeros(log.n_items, 1))
    return unlearner.prepare(Served(recipe, log, nothing), seed)


def scores(served: Served) -> Any:
    return served.model.scores(np.arange(served.log.n_users), served.log)


def bytes_of(model: Any) -> Any:
    return None if model is None else {name: tensor.numpy().tobytes() for name, tensor in model.state().items()}


@pytest.mark.parametrize(
    ("recipe", "by"),
    [(MF, "users"), (GRAPH, "interactions"), (Recipe("simgcl", {"dim": 8, "min_steps": 4}, 1), "users")],
)
def test_conforms(recipe: Recipe, by: str) -> None:
    examine(eraser(by=by), recipe)


def test_conforms_when_all_is_done_again() -> None:
    examine(eraser(repartition=True), MF)


def test_models_without_two_tables_are_refused() -> None:
    assert "ease" in (eraser().why_not(Recipe("ease", {}), small_log()) or "")
    assert eraser().why_not(GRAPH, small_log()) is None


@pytest.mark.parametrize("by", ["users", "interactions"])
def test_touched_shards_are_those_of_the_retain_set_and_others_stay(by: str) -> None:
    before = start(eraser(by=by), MF)
    for label, request in requests(before.log).items():
        after = eraser(by=by).forget(before, request, 99)
        kept = before.memory.of_event[~request.mask(before.log)]
        np.testing.assert_array_equal(after.memory.of_event, kept)  # the partition stays
        fresh = Shards.trained(MF, after.log, kept, 3, 5)
        touched = before.memory.touched(MF, before.log, request)
        for k in range(3):
            assert bytes_of(after.memory.members[k]) == bytes_of(fresh.members[k]), label
            assert (after.memory.members[k] is before.memory.members[k]) == (k not in touched), label
        # the aggregation too is that of a fresh one over these shards
        again = eraser(by=by).joined(MF, after.log, after.memory)
        np.testing.assert_array_equal(scores(after), again.scores(np.arange(60), after.log))
        assert (scores(after) != scores(before)).any()


def test_repartition_equals_a_fresh_start_without_the_forget_set() -> None:
    unlearner = eraser(repartition=True)
    before = start(unlearner, MF)
    for request in requests(before.log).values():
        after = unlearner.forget(before, request, 99)
        fresh = start(unlearner, MF, request.retained(before.log))
        np.testing.assert_array_equal(scores(after), scores(fresh))


def test_the_kept_partition_can_tell_of_what_was_forgotten() -> None:
    """Why it is not exact: the retained pairs lie elsewhere than a partition without the forget set would have them."""
    log = small_log()
    request = requests(log)["five users"]
    unlearner = eraser(by="users")
    kept = unlearner.parts(log, 5)[~request.mask(log)]
    assert (kept != unlearner.parts(request.retained(log), 5)).any()


def aggregation(recipe: Recipe, log: InteractionLog, shards: Shards, **settings: Any) -> _Aggregation:
    return _Aggregation(RecEraserConfig(**settings), recipe, log, shards)


def test_weights_and_sums_by_hand() -> None:
    log = small_log()
    draw = np.random.default_rng(0)
    parts = draw.integers(0, 3, len(log))
    training = aggregation(MF, log, Shards.trained(MF, log, parts, 3, 0), attention=5)
    with torch.no_grad():
        for parameter in training.parameters():
            parameter.copy_(torch.from_numpy(draw.normal(0, 0.5, tuple(parameter.shape)).astype(np.float32)))
    turn, shift, hidden, offset, head = (part.detach().numpy().astype(np.float64) for part in training.parameters())
    vectors = training.vectors.numpy().astype(np.float64)
    for side, node in ((0, 4), (0, 31), (1, 60), (1, 75)):
        moved = [vectors[node, k] @ turn[k] + shift[k] for k in range(3)]
        logits = [np.maximum(part @ hidden[side] + offset[side], 0) @ head[side] for part in moved]
        ends = log.user if side == 0 else log.item + 60
        weight = np.array([np.exp(logits[k]) * bool(((ends == node) & (parts == k)).any()) for k in range(3)])
        expected = sum(share * part for share, part in zip(weight / weight.sum(), moved, strict=True))
        found = training.joined(torch.tensor([node]), side)[0].detach().numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_gradient_is_that_of_finite_differences() -> None:
    log = small_log()
    parts = np.random.default_rng(0).integers(0, 2, len(log))
    training = aggregation(GRAPH, log, Shards.trained(GRAPH, log, parts, 2, 0))
    batch = next(iter(training.batches(np.random.default_rng(0))))
    noise = torch.Generator()
    with torch.no_grad():
        training.head.mul_(50)  # so that attention matters
    training.loss(batch, noise).backward()  # type: ignore[no-untyped-call]
    draw = np.random.default_rng(1)
    for parameter in training.parameters():
        assert parameter.grad is not None
        direction = torch.from_numpy(draw.normal(0, 1, tuple(parameter.shape)).astype(np.float32))
        slope = float((parameter.grad * direction).sum())
        values = []
        with torch.no_grad():
            for step in (1e-2, -1e-2):
                parameter.add_(direction, alpha=step)
                values.append(float(training.loss(batch, noise)))
                parameter.sub_(direction, alpha=step)
        assert (values[0] - values[1]) / 2e-2 == pytest.approx(slope, rel=0.05, abs=2e-4)


def test_one_shard_untrained_is_the_model_itself() -> None:
    """The identity at the start: one shard's vectors, propagated as the model propagates them."""
    log = small_log()
    shards = Shards.trained(GRAPH, log, np.zeros(len(log), np.int64), 1, 0)
    training = aggregation(GRAPH, log, shards)
    training.refresh()
    state = shards.models()[0].state()
    expected = torch.cat([state["user"], state["item"]])
    np.testing.assert_allclose(training.final.detach().numpy(), expected.numpy(), atol=1e-6)


def test_attention_and_batches_agree_on_few_and_all_nodes() -> None:
    log = small_log()
    shards = Shards.trained(MF, log, np.arange(len(log)) % 2, 2, 0)
    training = aggregation(MF, log, shards, batch_size=16)
    batch = next(iter(training.batches(np.random.default_rng(0))))
    few = training.loss(batch, torch.Generator()).item()
    training.graph = True  # the way over all nodes
    assert few == pytest.approx(training.loss(batch, torch.Generator()).item(), rel=1e-5)
    for unseen, user in zip(batch.negative.tolist(), batch.user.tolist(), strict=True):
        assert not ((log.user == user) & (log.item == unseen - 60)).any()


def test_training_the_aggregation_makes_a_better_ranking() -> None:
    log = generate(users=120, items=60, events=3000, seed=2)
    test = np.random.default_rng(0).random(len(log)) < 0.2
    held_out, train = log.take(test), log.take(~test)
    recipe = Recipe("mf", {"dim": 8, "min_steps": 4}, 10)
    before = start(eraser(epochs=1, learning_rate=1e-9), recipe, train)
    after = eraser(epochs=20).joined(recipe, train, before.memory)
    found = [evaluate(model, held_out, train, (20,))["ndcg@20"] for model in (before.model, after)]
    assert found[1] > found[0] + 0.02


def test_a_user_wholly_gone_and_a_shard_wholly_gone() -> None:
    unlearner = eraser()
    before = start(unlearner, MF)
    shard = int(before.memory.of_event[0])
    gone = np.unique(before.log.user[before.memory.of_event == shard]).astype(np.int64)
    after = unlearner.forget(before, Request.of(before.log, "a shard", users=gone), 0)
    assert after.memory.members[shard] is None
    assert np.isfinite(scores(after)).all()


def test_vectors_give_the_scores() -> None:
    model = Aggregated(torch.tensor([[1.0, 2.0], [0.0, 1.0]]), torch.tensor([[3.0, 1.0]]))
    assert (model.n_users, model.n_items) == (2, 1)
    np.testing.assert_array_equal(model.scores(np.array([1, 0]), small_log()), [[1.0], [5.0]])
    users, items = model.embeddings()
    np.testing.assert_array_equal(users @ items.T, model.scores(np.array([0, 1]), small_log()))


def test_one_pair_in_the_log() -> None:
    log = small_log().take(np.array([0, 1]))
    before = start(eraser(shards=10), MF, log)
    after = eraser(shards=10).forget(before, Request.of(log, "one", rows=np.array([1])), 0)
    assert len(after.log) == 1
    assert np.isfinite(scores(after)).all()


def test_injected_pairs_lose_their_exposure() -> None:
    """A cold item pushed by forty users: once they are forgotten, its rank is among those of trainings without."""
    log = generate(users=120, items=60, events=2500, seed=4)
    cold = int(np.argmin(log.item_counts))
    users = np.setdiff1d(np.arange(120), log.user[log.item == cold])[:40]
    pushes = replace(
        log.take(np.arange(len(users))), user=users.astype(np.int32), item=np.full(len(users), cold, np.int32)
    )
    pushed = log.plus(pushes)
    recipe = Recipe("mf", {"dim": 8, "min_steps": 4}, 10)
    unlearner = eraser(epochs=10)
    request = Request.of(pushed, "pushed", rows=np.arange(len(log), len(pushed)))

    def rank(served: Served) -> float:
        block = scores(served)
        return float((block > block[:, [cold]]).sum(1).mean())

    ranks = []
    for seed in range(4):
        before = start(unlearner, recipe, pushed, seed)
        clean = start(unlearner, recipe, log, seed)
        ranks.append([rank(before), rank(unlearner.forget(before, request, 0)), rank(clean)])
    polluted, after, without = np.array(ranks).T
    assert polluted.max() < min(after.min(), without.min())
    assert without.min() <= after.mean() <= without.max()
