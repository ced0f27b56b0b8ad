"""UnlearnRec: pre-train an influence encoder on simulated requests, then shift, fine-tune and stop in time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import numpy as np
import torch
from pydantic import Field

from ....datasets.errors import InputError
from ....datasets.log import InteractionLog
from ....datasets.seeding import rng, torch_rng
from ....recommenders.base import Recipe
from ....recommenders.catalogue import build, model_class
from ....recommenders.pairwise import PairBatch, PairwiseModel
from ....recommenders.trainer import one_thread
from ...base import Served, Unlearner, UnlearnerConfig
from ...request import Request
from ..watch import Watch, landing, place, values
from .aim import Aim
from .encoder import Influence, InfluenceEncoder, dependency
from .losses import Backbone, contrastive, pair_scores, preserving, unlearning

BACKBONES = ("lightgcn", "simgcl", "sgl")

_PAIRS = 4096  # forgotten pairs in a step's L_U, at most
_NODES = 1024  # pairs of a batch that L_P compares, and nodes of a side that L_C does, at most
_DROPPED = 0.05  # edges left out of L_C's views


class UnlearnRecConfig(UnlearnerConfig):
    """Settings of UnlearnRec."""

    encoder: bool = Field(default=True, description="shift by the pre-trained encoder; false: only remove the edges")
    fine_tune: int = Field(default=5, ge=0, le=1000, description="epochs of fine-tuning, at most")
    checks: int = Field(default=4, ge=1, le=1000, description="looks at the forgotten pairs in each of these epochs")
    share: float = Field(
        default=0.5, ge=0, le=100, description="epochs of pre-training, as a share of the victim's own epochs"
    )
    layers: int = Field(default=3, ge=1, le=16, description="propagations along the forgotten edges")
    alpha: float = Field(default=0.1, ge=0, le=100, description="weight of the withdraw term")
    slope: float = Field(default=0.99, gt=0, le=1, description="of the encoder's LeakyReLU")
    masked: bool = Field(default=True, description="shift only users and items with a forgotten pair; false: all")
    renew: bool = Field(default=True, description="users with no pair left get a row that was never trained")
    learning_rate: float = Field(default=1e-3, gt=0, le=1, description="Adam's, of pre-training")
    tune_rate: float = Field(default=5e-3, gt=0, le=1, description="Adam's, of fine-tuning")
    unlearn: float = Field(default=0.02, ge=0, le=1000, description="weight of L_U, the forgotten pairs' scores")
    marked: bool = Field(default=True, description="L_U pushes towards the held-out pairs' mean score; false: to 0")
    preserve: float = Field(default=0.05, ge=0, le=1000, description="weight of L_P, the retained pairs' order")
    contrast: float = Field(default=1e-3, ge=0, le=1000, description="weight of L_C, the encoder's contrast")


@dataclass(frozen=True, eq=False)
class Memory:
    """The pre-trained encoder.

    Attributes:
        hidden: H_0, float32 [n, d], users first.
        withdraw: tau, float32 [n, 1].
        gaps: mean distance from the held-out level on the simulated validation requests, at every look; the first
            is that of the untrained encoder. Empty without held-out pairs.
    """

    hidden: torch.Tensor
    withdraw: torch.Tensor
    gaps: tuple[float, ...] = ()


class UnlearnRec(Unlearner):
    """Remove the edges, shift the base tables by an encoder of the request, fine-tune until it looks forgotten.

    Reference: Chen, Xia, Huang 2025, Pre-training for Recommendation Unlearning (UnlearnRec), SIGIR. Where we differ:
    docs/methods/unlearn-rec.md.
    """

    name: ClassVar[str] = "unlearn-rec"
    title: ClassVar[str] = "UnlearnRec: a pre-trained encoder of requests, and fine-tuning"
    reference: ClassVar[str] = (
        "Chen, Xia, Huang 2025, Pre-training for Recommendation Unlearning, SIGIR; arXiv 2505.22649"
    )
    config_type: ClassVar[type[UnlearnRecConfig]] = UnlearnRecConfig
    version: ClassVar[int] = 7
    config: UnlearnRecConfig

    def why_not(self, recipe: Recipe, log: InteractionLog) -> str | None:
        """Graph models whose layer 0 is a table of their own."""
        if recipe.model in BACKBONES and issubclass(model_class(recipe.model), PairwiseModel):
            return None
        return f"{recipe.model} is none of {', '.join(BACKBONES)}, whose graph and first vectors the encoder reads"

    def prepare(self, served: Served, seed: int) -> Served:
        """Pre-train the encoder on simulated requests; kept is the state that leaves them nearest the held-out level.

        With `encoder` off nothing is done.
        """
        if not self.config.encoder:
            return served
        with one_thread():
            return replace(served, memory=self._pretrained(served, seed))

    def forget(self, served: Served, request: Request, seed: int) -> Served:
        """See Unlearner; prepares first if that was not done."""
        if self.config.encoder and served.memory is None:
            served = self.prepare(replace(served, held_out=served.unseen(request)), seed)
        log = request.retained(served.log)
        if not len(request):
            return served.after(request, log, served.model)
        with one_thread():
            state = self._unlearned(served, request, log, seed)
        model = build(served.recipe)
        model.load(state, log.n_users, log.n_items)
        return served.after(request, log, model)

    def _unlearned(
        self, served: Served, request: Request, log: InteractionLog, seed: int
    ) -> Mapping[str, torch.Tensor]:
        config = self.config
        backbone = Backbone(cast(PairwiseModel, build(served.recipe)), log, seed)
        base, final = _tables(served)
        gone = torch.from_numpy(request.whole_users(served.log))

        def state_of(table: torch.Tensor) -> Mapping[str, torch.Tensor]:
            if config.renew:
                table = table.index_copy(0, gone, backbone.fresh[gone])
            return backbone.state_of(table)

        influence = Influence.of(request.forgotten(served.log), final)
        encoder = self._encoder(served.memory if config.encoder else None, final)
        watch = Watch(served, request, log, seed)
        tuned = torch.nn.Parameter(base.clone())

        def table() -> torch.Tensor:
            return tuned + encoder.shift(influence, masked=config.masked) if config.encoder else tuned * 1.0

        best = state_of(table())
        aim = Aim.at(watch, served.recipe, state_of(base)) if watch.known else None
        over, nearest = (1.0, 0.0) if aim is None else aim.miss(best)
        if config.fine_tune == 0 or over <= 0:
            return best
        with torch.no_grad():
            target = backbone.vectors_of(base)
        learnt = [tuned, *encoder.mix] if config.encoder else [tuned]
        optimiser = torch.optim.Adam(learnt, lr=config.tune_rate)
        # without a level nothing says when to stop pushing: the forgotten pairs are then left alone
        push = self._push(watch, target, backbone) if watch.known else Push(0.0, 0.0)
        seen = values(learnt)
        for epoch in range(1, config.fine_tune + 1):
            noise = torch_rng(seed, "unlearn-rec", "tune", "noise", epoch)
            batches = list(backbone.batches(rng(seed, "unlearn-rec", "tune", epoch)))
            looks = {-(-len(batches) * part // config.checks) for part in range(1, config.checks + 1)}
            for step, batch in enumerate(batches, 1):
                loss = self._shared(backbone, table(), batch, noise, influence, target, push)
                _descend(optimiser, loss)
                if aim is None or step not in looks:
                    continue
                now = state_of(table())
                over, distance = aim.miss(now)
                if over < 0:
                    now = _landed(learnt, seen, lambda: state_of(table()), aim)
                    distance = aim.miss(now)[1]
                if distance < nearest:
                    best, nearest = now, distance
                if over <= 0:
                    return best
                seen = values(learnt)
        return state_of(table()) if aim is None else best

    def _pretrained(self, served: Served, seed: int) -> Memory:
        config, log = self.config, served.log
        base, final = _tables(served)
        encoder = self._encoder(None, final)
        optimiser = torch.optim.Adam([encoder.hidden, encoder.withdraw], lr=config.learning_rate)
        trials = self._trials(served, seed)
        model = cast(PairwiseModel, build(served.recipe))
        gaps: list[float] = []
        best = Memory(encoder.hidden.detach().clone(), encoder.withdraw.detach().clone())
        epochs = max(1, round(config.share * _epochs(served))) if config.share else 0
        every = max(1, epochs // 5)
        for epoch in range(epochs + 1):
            if epoch:
                request = simulated(log, seed, epoch)
                retained = request.retained(log)
                backbone = Backbone(model, retained, seed)
                influence = Influence.of(request.forgotten(log), final)
                push = self._push(Watch(served, request, retained, seed), final, backbone)
                draw = rng(seed, "unlearn-rec", "pre", epoch)
                self._epoch(encoder, optimiser, backbone, base, influence, push, draw)
            if epoch % every and epoch < epochs:
                continue
            now = encoder.hidden.detach().clone(), encoder.withdraw.detach().clone()
            if trials:
                gaps.append(sum(trial.distance(base, encoder, config.masked) for trial in trials) / len(trials))
            if not trials or gaps[-1] == min(gaps):
                best = Memory(*now)
        return replace(best, gaps=tuple(gaps))

    def _epoch(
        self,
        encoder: InfluenceEncoder,
        optimiser: torch.optim.Optimizer,
        backbone: Backbone,
        base: torch.Tensor,
        influence: Influence,
        push: Push,
        draw: np.random.Generator,
    ) -> None:
        """One simulated request: all batches of its retain set."""
        config, users = self.config, influence.pairs.n_users
        view = dependency(influence.pairs, draw.random(len(influence.pairs)) >= _DROPPED)
        sides = tuple(
            torch.from_numpy(draw.permutation(np.unique(nodes))[:_NODES])
            for nodes in (influence.pairs.user, influence.pairs.item + users)
        )
        noise = torch.Generator().manual_seed(int(draw.integers(2**62)))
        for batch in backbone.batches(draw):
            layers = encoder.layers(influence.graph)
            table = base + encoder.shift(influence, masked=config.masked, layers=layers)
            loss = self._shared(backbone, table, batch, noise, influence, influence.final, push)
            if config.contrast:
                loss = loss + config.contrast * contrastive(layers, encoder.layers(view), (sides[0], sides[1]))
            _descend(optimiser, loss)

    def _shared(
        self,
        backbone: Backbone,
        table: torch.Tensor,
        batch: PairBatch,
        noise: torch.Generator,
        influence: Influence,
        target: torch.Tensor,
        push: Push,
    ) -> torch.Tensor:
        """L_M + L_U + L_P with their weights: what pre-training and fine-tuning share."""
        loss = backbone.behaviour(table, batch, noise)
        final = backbone.last()
        if push.weight:
            user, item = influence.pairs.user, influence.pairs.item + influence.pairs.n_users
            if len(user) > _PAIRS:
                chosen = torch.randperm(len(user), generator=noise)[:_PAIRS].numpy()
                user, item = user[chosen], item[chosen]
            users, items = (final[backbone.nodes[torch.from_numpy(side)]] for side in (user, item))
            # what a user with no pair left has taught is in the items: they turn away from the vector it was served by
            users = torch.where(backbone.empty[user, None], influence.final[user], users)
            loss = loss + push.weight * unlearning(users, items, backbone.config, push.mark)
        if self.config.preserve:
            places = (batch.user[:_NODES], batch.positive[:_NODES])
            old = tuple(target[backbone.rows[side]] for side in places)
            value = preserving((final[places[0]], final[places[1]]), (old[0], old[1]), backbone.config)
            loss = loss + self.config.preserve * value
        return loss

    def _push(self, watch: Watch, final: torch.Tensor, backbone: Backbone) -> Push:
        """The mark is the mean held-out score by these final vectors, or 0 if there is none or none is wanted."""
        if not (watch.known and self.config.marked):
            return Push(self.config.unlearn, 0.0)
        user, item = (torch.from_numpy(side) for side in watch.controls)
        scores = pair_scores(final[user], final[item + watch.history.n_users], backbone.config)
        return Push(self.config.unlearn, float(np.average(scores.numpy(), weights=watch.weights)))

    def _encoder(self, memory: Any, final: torch.Tensor) -> InfluenceEncoder:
        config = self.config
        if memory is None:
            memory = Memory(torch.zeros_like(final), torch.full((len(final), 1), 2 * config.learning_rate))
        return InfluenceEncoder(memory.hidden, memory.withdraw, config.layers, config.alpha, config.slope)

    def _trials(self, served: Served, seed: int) -> list[Trial]:
        """Simulated validation requests, drawn apart from those of the pre-training."""
        found = []
        model = cast(PairwiseModel, build(served.recipe))
        base, final = _tables(served)
        for number in range(4):
            request = simulated(served.log, seed, -1 - number)
            log = request.retained(served.log)
            watch = Watch(served, request, log, seed)
            if watch.known:
                influence = Influence.of(request.forgotten(served.log), final)
                backbone = Backbone(model, log, seed)
                found.append(Trial(backbone, influence, Aim.at(watch, served.recipe, backbone.state_of(base))))
        return found


@dataclass(frozen=True)
class Push:
    """Weight and mark of L_U."""

    weight: float
    mark: float


@dataclass(frozen=True, eq=False)
class Trial:
    """A simulated request on which encoders are compared."""

    backbone: Backbone
    influence: Influence
    aim: Aim

    def distance(self, base: torch.Tensor, encoder: InfluenceEncoder, masked: bool) -> float:
        """See `Aim.miss`, after the encoder's shift."""
        with torch.no_grad():
            table = base + encoder.shift(self.influence, masked=masked)
        return self.aim.miss(self.backbone.state_of(table))[1]


def simulated(log: InteractionLog, seed: int, number: int) -> Request:
    """A request as they come: one user, halves of the histories of up to 20 users, one item, or .1 to 20 % of pairs.

    Falls back on one pair where the draw would leave nothing.

    Raises:
        InputError: the log has one pair only.
    """
    draw = rng(seed, "unlearn-rec", "simulated", number)
    kind = ("user", "halves", "item", "pairs")[number % 4]
    label = f"simulated {kind}"
    active, known = np.unique(log.user).astype(np.int64), np.unique(log.item).astype(np.int64)
    try:
        if kind == "user":
            return Request.of(log, label, users=draw.choice(active, 1))
        if kind == "item":
            return Request.of(log, label, items=draw.choice(known, 1))
        if kind == "halves":
            users = draw.choice(active, int(draw.integers(1, 21)))
            rows = np.flatnonzero(np.isin(log.user, users) & (draw.random(len(log)) < 0.5))
        else:
            share = 10.0 ** draw.uniform(-3, np.log10(0.2))
            rows = draw.choice(len(log), max(1, int(share * len(log))), replace=False)
        return Request.of(log, label, rows=rows)
    except InputError:
        return Request.of(log, "simulated pair", rows=draw.integers(len(log), size=1))


def _landed(
    learnt: list[torch.nn.Parameter],
    seen: list[torch.Tensor],
    state: Callable[[], Mapping[str, torch.Tensor]],
    aim: Aim,
) -> Mapping[str, torch.Tensor]:
    """The last state on the way from the look before that does not lie too low."""
    ahead = values(learnt)

    def over(share: float) -> float:
        place(learnt, seen, ahead, share)
        return aim.over(state())

    place(learnt, seen, ahead, landing(over))
    return state()


def _tables(served: Served) -> tuple[torch.Tensor, torch.Tensor]:
    """Base and final vectors of the model, copies, float32 [n, d], users first."""
    state = served.trained.state()
    return torch.cat([state["user_base"], state["item_base"]]), torch.cat([state["user"], state["item"]])


def _epochs(served: Served) -> int:
    """How long the victim was trained, as far as that is known."""
    known = served.trained.epochs or served.recipe.epochs
    return int(known or served.trained.config.max_epochs)


def _descend(optimiser: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
