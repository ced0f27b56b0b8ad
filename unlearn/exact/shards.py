"""Models that were each trained on one shard of the events: training them, some of them again, and scoring by all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...datasets.errors import DataError
from ...datasets.log import Float32, Int64, InteractionLog
from ...datasets.seeding import derive
from ...recommenders.base import Model, Recipe, Recommender
from ...recommenders.catalogue import build, fit, model_class, reads_order
from ..request import Request

Member = Model | None


@dataclass(frozen=True, eq=False)
class Shards:
    """The parts of a log and the models trained on them.

    Attributes:
        seed: of the first training; shards that are trained again use it too, as a training without the forget set
            would.
        of_event: int64 [E], the shard of each event of the log in service.
        members: a model for each shard; None where its events do not suffice to train one.
    """

    seed: int
    of_event: Int64
    members: tuple[Member, ...]

    @classmethod
    def trained(cls, recipe: Recipe, log: InteractionLog, of_event: Int64, count: int, seed: int) -> Shards:
        """Train every shard by the recipe, with the users and items of the whole log.

        Args:
            recipe: of the model that is sharded.
            log: all events.
            of_event: int64 [E], in 0..count-1.
            count: S, number of shards.
            seed: shard k is trained with derive(seed, "shard", k).
        """
        members = tuple(_trained(recipe, log.take(of_event == k), seed, k) for k in range(count))
        return cls(seed, of_event, members)

    def touched(self, recipe: Recipe, log: InteractionLog, request: Request) -> Int64:
        """The shards that hold anything of the request, ascending: events, or side features that their models read.

        Every shard has a row for each user of the whole log. Where a model reads side features they are in that row, so
        with those of a user who is forgotten whole all shards are touched.

        Args:
            recipe: as in `trained`.
            log: the log in service, with the forget set.
            request: rows of it.
        """
        if reads_users(recipe) and _described(log, request.users):
            return np.arange(len(self.members))
        return np.unique(self.of_event[request.rows])

    def without(self, recipe: Recipe, log: InteractionLog, request: Request) -> Shards:
        """The touched shards trained again on what they retain; all others are the same objects.

        Args:
            recipe: as in `trained`.
            log: the log in service, with the forget set.
            request: rows of it.
        """
        retained = request.retained(log)
        of_event = self.of_event[~request.mask(log)]
        members = list(self.members)
        for k in self.touched(recipe, log, request).tolist():
            members[k] = _trained(recipe, retained.take(of_event == k), self.seed, k)
        return Shards(self.seed, of_event, tuple(members))

    def holds(self, side: NDArray[np.integer], count: int) -> NDArray[np.bool_]:
        """Which shard that has a model holds an event of which node, bool [count, M], M the shards with models.

        Args:
            side: int [E], the users or the items of the events.
            count: how many there are.
        """
        found = np.zeros((count, len(self.members)), np.bool_)
        found[side, self.of_event] = True
        return found[:, [member is not None for member in self.members]]

    def models(self) -> tuple[Model, ...]:
        """The models there are, in the order of shards.

        Raises:
            DataError: no shard can be trained.
        """
        found = tuple(member for member in self.members if member is not None)
        if not found:
            raise DataError("no shard holds enough events to train a model; use fewer shards")
        return found


@dataclass(eq=False)
class Sharded:
    """A recommender whose scores are means of its members' scores.

    Plain means: members come from one recipe and random parts of one log, so that their scores have one scale.

    Attributes:
        n_users: U.
        n_items: I.
        members: M models.
        weights: float32 [U, M], what a member counts for a user, or [1, M], for every user; rows sum to 1.
    """

    n_users: int
    n_items: int
    members: tuple[Recommender, ...]
    weights: Float32

    @classmethod
    def of(cls, recipe: Recipe, log: InteractionLog, shards: Shards) -> Sharded:
        """The mean over the members that know the user.

        A model with vectors of users knows those who had events in its training; the vectors of all others are
        first values, which training never touched. Users whom no member knows are scored by all members: that is
        noise, as it is in a single model. Models that read the history know everybody.

        Args:
            recipe: of the members.
            log: the log in service.
            shards: its parts.

        Raises:
            DataError: no shard has a model.
        """
        models = shards.models()
        if not keeps_users(recipe):
            weights = np.full((1, len(models)), 1 / len(models), np.float32)
        else:
            known = shards.holds(log.user, log.n_users)
            known[~known.any(1)] = True
            weights = (known / known.sum(1, keepdims=True)).astype(np.float32)
        return cls(log.n_users, log.n_items, models, weights)

    def scores(self, users: NDArray[np.int64], history: InteractionLog) -> Float32:
        """See Recommender; members of weight 0 are not asked."""
        users = np.asarray(users, np.int64)
        weight = self.weights[users] if len(self.weights) > 1 else self.weights.repeat(len(users), axis=0)
        total: Float32 = np.zeros((len(users), self.n_items), np.float32)
        for k, member in enumerate(self.members):
            rows = np.flatnonzero(weight[:, k])
            if len(rows):
                total[rows] += weight[rows, k, None] * member.scores(users[rows], history)
        return total


def keeps_users(recipe: Recipe) -> bool:
    """Whether the model has tensors with a row for each user, or may: of a black box nothing is known."""
    if model_class(recipe.model).family == "black box":
        return True
    model = build(recipe)
    return model.shapes(2, 2) != model.shapes(3, 2)


def reads_users(recipe: Recipe) -> bool:
    """Whether the model reads side features of users (a setting `user_features`), or may: a black box."""
    if model_class(recipe.model).family == "black box":
        return True
    return bool(getattr(build(recipe).config, "user_features", False))


def _described(log: InteractionLog, users: Int64) -> bool:
    """Whether any side feature of these users is known."""
    return log.users is not None and bool(log.users.iloc[users].notna().to_numpy().any())


def _trained(recipe: Recipe, part: InteractionLog, seed: int, shard: int) -> Member:
    """A model of this part, or None where there is too little: no event, or no sequence of two."""
    least = 2 if reads_order(recipe) else 1
    if part.user_counts.max(initial=0) < least:
        return None
    return fit(recipe, part, derive(seed, "shard", shard))
