"""RecEraser: shards of like users or interactions, joined by attention over their vectors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from ...datasets.log import Float32, Int64, InteractionLog
from ...datasets.seeding import derive
from ...datasets.seeding import rng as seeded
from ...recommenders.base import Recipe
from ...recommenders.catalogue import build, fit, model_class
from ...recommenders.ials import IALS
from ...recommenders.losses import bpr
from ...recommenders.pairwise import PairwiseModel
from ...recommenders.sampling import Positives, blocks
from ...recommenders.trainer import Schedule, train
from ..base import Served, Unlearner, UnlearnerConfig
from ..request import Request
from .partition import balanced_interactions, balanced_users
from .shards import Shards

_VICTIMS = ("mf", "lightgcn", "simgcl")


class RecEraserConfig(UnlearnerConfig):
    """Settings of RecEraser."""

    shards: int = Field(default=10, ge=1, le=1000, description="parts of the log, each with a model of its own")
    by: Literal["users", "interactions"] = Field(
        default="users", description="what is clustered: users by their vectors, or pairs by those of both ends"
    )
    slack: float = Field(default=1.2, ge=1, le=10, description="a shard closes at so many times its equal part")
    dim: int = Field(default=32, ge=1, le=2048, description="length of the vectors (of iALS) that are clustered")
    attention: int = Field(default=32, ge=1, le=4096, description="hidden units of the attention")
    epochs: int = Field(default=10, ge=1, description="of the aggregation's training")
    learning_rate: float = Field(default=1e-2, gt=0, description="Adam's, of the aggregation")
    batch_size: int = Field(default=2048, ge=1, description="pairs a step, of the aggregation")
    repartition: bool = Field(
        default=False,
        description="on every request train all again, the clustered vectors too: exact, and slower than a retrain",
    )


class Aggregated:
    """Vectors whose dot product is the score."""

    def __init__(self, user: torch.Tensor, item: torch.Tensor) -> None:
        """Take user float32 [U, d] and item float32 [I, d]."""
        self.user, self.item = user, item
        self.n_users, self.n_items = len(user), len(item)

    def embeddings(self) -> tuple[Float32, Float32]:
        """User float32 [U, d] and item float32 [I, d] vectors."""
        return self.user.numpy(), self.item.numpy()

    def scores(self, users: NDArray[np.int64], history: InteractionLog) -> Float32:
        """See Recommender; the history is not read."""
        found: Float32 = (self.user[torch.from_numpy(np.asarray(users, np.int64))] @ self.item.T).numpy()
        return found


class RecEraser(Unlearner):
    """Balanced clusters as shards, a model for each, and an attention over shards that is trained on all events.

    With e_k the vector of a user or an item in shard k, e'_k = e_k W_k + b_k, its weight is softmax over k of
    h' ReLU(W_a e'_k + b_a), W_a, b_a and h apart for users and items, and its vector the weighted sum of e'_k; graph
    models propagate it over the graph of all retained events. BPR trains the aggregation, shards stay as they are.
    Shards that hold no event of a node get weight 0 for it (ours).

    A request retrains the touched shards and the aggregation. Where the retained events lie was decided with the
    forget set in sight, hence not exact, unless `repartition`.

    Reference: Chen et al. 2022, Recommendation Unlearning, WWW, sections 3.2 and 3.3.
    """

    name: ClassVar[str] = "rec-eraser"
    title: ClassVar[str] = "shards of like users or pairs, joined by attention; touched shards are trained again"
    reference: ClassVar[str] = "Chen et al. 2022, Recommendation Unlearning, WWW, sections 3.2 and 3.3"
    own_model: ClassVar[bool] = True
    config_type: ClassVar[type[UnlearnerConfig]] = RecEraserConfig
    config: RecEraserConfig

    def why_not(self, recipe: Recipe, log: InteractionLog) -> str | None:
        """Only models of two tables, and a graph at most, can be joined by their vectors."""
        return None if recipe.model in _VICTIMS else f"{recipe.model} is none of {', '.join(_VICTIMS)}"

    def prepare(self, served: Served, seed: int) -> Served:
        """Cluster, train the shards and join them: `model` are the joined vectors, `memory` the shards."""
        log = served.log
        shards = Shards.trained(served.recipe, log, self.parts(log, seed), self.config.shards, seed)
        return replace(served, model=self.joined(served.recipe, log, shards), memory=shards)

    def parts(self, log: InteractionLog, seed: int) -> Int64:
        """The shard of each event, int64 [E], by vectors of iALS (which stands in for the paper's WMF)."""
        config = self.config
        pretrained = cast(IALS, fit(Recipe(IALS.name, {"dim": config.dim}), log, derive(seed, "clustered")))
        users, items = pretrained.embeddings()
        if config.by == "users":
            return balanced_users(log, users, config.shards, seed, slack=config.slack)
        return balanced_interactions(log, users, items, config.shards, seed, slack=config.slack)

    def joined(self, recipe: Recipe, log: InteractionLog, shards: Shards) -> Aggregated:
        """Train the aggregation of these shards on all events of the log."""
        training = _Aggregation(self.config, recipe, log, shards)
        schedule = Schedule(self.config.learning_rate, self.config.epochs, self.config.epochs)
        train(training, schedule, derive(shards.seed, "aggregation"), epochs=self.config.epochs)
        return Aggregated(training.final[: log.n_users].clone(), training.final[log.n_users :].clone())

    def forget(self, served: Served, request: Request, seed: int) -> Served:
        """See Unlearner; the seed is that of `prepare`, this one is not used."""
        log = request.retained(served.log)
        kept: Shards = served.memory
        if self.config.repartition:
            return self.prepare(replace(served.after(request, log, served.model), memory=None), kept.seed)
        shards = kept.without(served.recipe, served.log, request)
        return served.after(request, log, self.joined(served.recipe, log, shards), shards)


@dataclass(frozen=True, eq=False)
class _Batch:
    """Nodes (users, then items) of one step, int64 [B] each."""

    user: torch.Tensor
    positive: torch.Tensor
    negative: torch.Tensor


class _Aggregation:
    """The attention over shards under training (a `Trainable`)."""

    def __init__(self, config: RecEraserConfig, recipe: Recipe, log: InteractionLog, shards: Shards) -> None:
        """Take the shards' vectors as constants; transformations start at the identity, weights nearly equal."""
        models = [cast(PairwiseModel, model) for model in shards.models()]
        self.config = config
        self.pairs = Positives.of(log)
        self.users, self.nodes = log.n_users, log.n_users + log.n_items
        self.graph = model_class(recipe.model).family == "graph"
        self.encoder = cast(PairwiseModel, build(recipe)).encoder(self.pairs, torch.device("cpu"))
        self.places = torch.from_numpy(self.encoder.places)
        self.node_at = self.places.argsort()
        self.vectors = torch.stack([_base(model) for model in models], 1)  # [U + I, M, d]
        held = [shards.holds(log.user, log.n_users), shards.holds(log.item, log.n_items)]
        held = [known | ~known.any(1, keepdims=True) for known in held]  # of no shard: all count
        self.known = torch.from_numpy(np.concatenate(held))
        count, dim = self.vectors.shape[1:]
        draw = seeded(shards.seed, "aggregation", "init").standard_normal((2, dim, config.attention), np.float32)
        spread = np.float32((2 / (dim + config.attention)) ** 0.5)
        self.turn = torch.nn.Parameter(torch.eye(dim).repeat(count, 1, 1))
        self.shift = torch.nn.Parameter(torch.zeros(count, dim))
        self.hidden = torch.nn.Parameter(torch.from_numpy(draw * spread))
        self.offset = torch.nn.Parameter(torch.zeros(2, config.attention))
        self.head = torch.nn.Parameter(torch.full((2, config.attention), 0.01))
        self.final = torch.empty(0)

    def parameters(self) -> list[torch.nn.Parameter]:
        """See Trainable."""
        return [self.turn, self.shift, self.hidden, self.offset, self.head]

    def batches(self, rng: np.random.Generator) -> Iterator[_Batch]:
        """All pairs in random order, each with a uniform item that its user has not met."""
        by_order, by_negative = rng.spawn(2)
        unseen = self.pairs.unseen(by_negative, self.pairs.user)
        for rows in blocks(self.pairs.order(by_order), self.config.batch_size):
            parts = self.pairs.user[rows], self.pairs.item[rows] + self.users, unseen[rows] + self.users
            yield _Batch(*(torch.from_numpy(part) for part in parts))

    def loss(self, batch: _Batch, rng: torch.Generator) -> torch.Tensor:
        """BPR; without a graph only the batch's nodes are joined, if they are fewer than all."""
        if self.graph or 3 * len(batch.user) > self.nodes:
            final = self.propagated()
            return bpr(final[batch.user], final[batch.positive], final[batch.negative])
        items = self.joined(torch.cat([batch.positive, batch.negative]), 1)
        positive, negative = items.chunk(2)
        return bpr(self.joined(batch.user, 0), positive, negative)

    def joined(self, nodes: torch.Tensor, side: int) -> torch.Tensor:
        """The weighted sums over shards, float32 [B, d], of nodes int64 [B] that are users (0) or items (1)."""
        moved = torch.einsum("nkd,kde->nke", self.vectors[nodes], self.turn) + self.shift
        each = torch.relu(moved @ self.hidden[side] + self.offset[side]) @ self.head[side]
        weight = torch.softmax(each.masked_fill(~self.known[nodes], -torch.inf), 1)
        return (weight[..., None] * moved).sum(1)

    def propagated(self) -> torch.Tensor:
        """The vectors to score with, float32 [U + I, d]."""
        nodes = torch.arange(self.nodes)
        base = torch.cat([self.joined(nodes[: self.users], 0), self.joined(nodes[self.users :], 1)])
        return self.encoder.final(base[self.node_at])[self.places]

    def refresh(self) -> None:
        """See Trainable."""
        self.final = self.propagated()


def _base(model: PairwiseModel) -> torch.Tensor:
    """What is joined, float32 [U + I, d]: vectors before any propagation, as long as training made them."""
    state = model.state()
    name = "_base" if model.keeps_base else ""
    return torch.cat([state["user" + name], state["item" + name]])
