"""SISA: an ensemble over shards, of which only those that hold the forget set are trained again."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from ...datasets.log import Int64, InteractionLog
from ..base import Served, Unlearner, UnlearnerConfig
from ..request import Request
from .partition import random_interactions, random_users
from .shards import Sharded, Shards


class SISAConfig(UnlearnerConfig):
    """Settings of SISA."""

    shards: int = Field(default=10, ge=1, le=1000, description="parts of the log, each with a model of its own")
    by: Literal["users", "interactions"] = Field(
        default="users",
        description="what is dealt out: users with all their events, or single pairs",
    )


class SISA(Unlearner):
    """Events are dealt out to shards at random, a model is trained on each, and scores are means over them.

    A request retrains the shards that hold its rows, on what they retain and with the seeds that a fresh ensemble
    would use; all shards if it names whole users whose side features the model reads, since each shard has them. Exact
    for the *ensemble*: the result equals, byte for byte, an ensemble trained without the forget set, because a user's
    (or pair's) shard depends on no other event. Slices with checkpoints inside a shard are not built.

    Reference: Bourtoule et al. 2021, Machine Unlearning, IEEE S&P, section IV.
    """

    name: ClassVar[str] = "sisa"
    title: ClassVar[str] = "an ensemble over random shards; touched shards are trained again"
    reference: ClassVar[str] = "Bourtoule et al. 2021, Machine Unlearning, IEEE S&P, section IV"
    exact: ClassVar[bool] = True
    own_model: ClassVar[bool] = True
    version: ClassVar[int] = 2
    config_type: ClassVar[type[UnlearnerConfig]] = SISAConfig
    config: SISAConfig

    def prepare(self, served: Served, seed: int) -> Served:
        """Deal out and train: `model` is then the ensemble, `memory` its shards.

        Raises:
            DataError: no shard can be trained.
        """
        count = self.config.shards
        parts = self.parts(served.log, seed)
        shards = Shards.trained(served.recipe, served.log, parts, count, seed)
        return replace(served, model=Sharded.of(served.recipe, served.log, shards), memory=shards)

    def parts(self, log: InteractionLog, seed: int) -> Int64:
        """The shard of each event, int64 [E]."""
        deal = random_users if self.config.by == "users" else random_interactions
        return deal(log, self.config.shards, seed)

    def forget(self, served: Served, request: Request, seed: int) -> Served:
        """See Unlearner; the seed is that of `prepare`, this one is not used.

        Raises:
            DataError: no shard is left that can be trained.
        """
        log = request.retained(served.log)
        shards: Shards = served.memory.without(served.recipe, served.log, request)
        return served.after(request, log, Sharded.of(served.recipe, log, shards), shards)
