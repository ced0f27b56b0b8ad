"""The four terms of UnlearnRec's loss; the first is the victim's own, over vectors that the encoder has shifted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch.nn import functional

from ....datasets.log import InteractionLog
from ....datasets.seeding import derive
from ....recommenders.losses import info_nce
from ....recommenders.pairwise import Encoder, PairBatch, PairTraining, PairwiseConfig, PairwiseModel
from ....recommenders.sampling import Positives


class _Recorded:
    """An encoder that remembers the last vectors it made under training, so that other terms can read them."""

    def __init__(self, inner: Encoder) -> None:
        self.inner = inner
        self.places = inner.places
        self.last = torch.empty(0)

    def final(self, base: torch.Tensor) -> torch.Tensor:
        return self.inner.final(base)

    def training(
        self, base: torch.Tensor, batch: PairBatch, rng: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        self.last, rest = self.inner.training(base, batch, rng)
        return self.last, rest


class Backbone(PairTraining):
    """The victim's own training on a log, at base tables that are handed over in every step.

    Tables outside are ordered by node, users first; inside by the graph's places.

    Attributes:
        empty: bool [U], users without a pair.
        fresh: float32 [n, d], the base tables that a training on the log would begin with.
    """

    def __init__(self, model: PairwiseModel, log: InteractionLog, seed: int) -> None:
        """Build the graph of the log.

        Args:
            model: the victim, for its config and its encoder; it is not changed.
            log: what the loss and the graph are taken of.
            seed: of `fresh`.
        """
        device = torch.device("cpu")
        pairs = Positives.of(log)
        self.recorded = _Recorded(model.encoder(pairs, device))
        self.state: dict[str, torch.Tensor] = {}
        super().__init__(model.config, pairs, self.recorded, derive(seed, "unlearn-rec"), device, self._keep)
        self.nodes = torch.from_numpy(self.places)
        self.rows = self.nodes.argsort()
        self.empty = torch.from_numpy(np.bincount(pairs.user, minlength=pairs.n_users) == 0)
        self.fresh = self.base.detach()[self.nodes]
        self.table = self.fresh

    def first(self) -> torch.Tensor:
        """The table at hand, ordered by place."""
        return self.table[self.rows]

    def behaviour(self, table: torch.Tensor, batch: PairBatch, rng: torch.Generator) -> torch.Tensor:
        """L_M: the victim's own loss, contrasts and L2 included, at this base table [n, d]; a scalar."""
        self.table = table
        return self.loss(batch, rng)

    def last(self) -> torch.Tensor:
        """The final vectors of the last `behaviour`, float32 [n, d], ordered by place, with their gradient."""
        return self.recorded.last

    def vectors_of(self, table: torch.Tensor) -> torch.Tensor:
        """Final vectors [n, d] of a base table [n, d], ordered by node."""
        return self.encoder.final(table[self.rows])[self.nodes]

    def state_of(self, table: torch.Tensor) -> Mapping[str, torch.Tensor]:
        """The state of the victim with this base table."""
        self.table = table.detach()
        with torch.no_grad():
            self.refresh()
        return self.state

    def _keep(self, base: torch.Tensor, final: torch.Tensor) -> None:
        users = self.pairs.n_users
        tables = {"user": final[:users], "item": final[users:], "user_base": base[:users], "item_base": base[users:]}
        self.state = {name: table.clone() for name, table in tables.items()}


def pair_scores(user: torch.Tensor, item: torch.Tensor, config: PairwiseConfig) -> torch.Tensor:
    """What the victim's loss takes for the score of a pair: cosine / temperature, or the dot product after bpr.

    Cosines alone lie in -1..1, where -log sigmoid(-s) hardly tells a favourite from a stranger.

    Shapes: user, item float [B, d] -> float [B].
    """
    if config.loss == "bpr":
        return (user * item).sum(-1)
    return functional.cosine_similarity(user, item, dim=-1) / config.temperature


def unlearning(user: torch.Tensor, item: torch.Tensor, config: PairwiseConfig, mark: float = 0.0) -> torch.Tensor:
    """L_U: mean over forgotten pairs of -log sigmoid(mark - s); the paper's with mark 0.

    A pair is pushed the harder the higher it stands above the mark.

    Shapes: user, item float [F, d], their final vectors -> scalar.
    """
    return functional.softplus(pair_scores(user, item, config) - mark).mean()


def preserving(
    new: tuple[torch.Tensor, torch.Tensor],
    old: tuple[torch.Tensor, torch.Tensor],
    config: PairwiseConfig,
    temperature: float = 1.0,
) -> torch.Tensor:
    """L_P: the log-probability of each pair among the items of the batch, squared difference of new and old.

    The mean over pairs, so that its weight does not depend on the batch.

    Shapes: new and old are users and items, float [B, d] each; old is taken as constant -> scalar.
    """
    change = _own_log_share(*new, config, temperature) - _own_log_share(*old, config, temperature).detach()
    return change.square().mean()


def _own_log_share(user: torch.Tensor, item: torch.Tensor, config: PairwiseConfig, temperature: float) -> torch.Tensor:
    if config.loss != "bpr":
        user, item = functional.normalize(user, dim=-1), functional.normalize(item, dim=-1)
        temperature = temperature * config.temperature
    every = user @ item.T / temperature
    return every.diagonal() - torch.logsumexp(every, dim=-1)


def contrastive(
    layers: list[torch.Tensor], views: list[torch.Tensor], sides: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """L_C: InfoNCE at temperature 1 between H_1..H_L, taken as constant, and the same with edges left out.

    H_0 reads no edge and is left out; so should be nodes without forgotten pairs, whose vectors are 0 in all layers.

    Args:
        layers: H_0 to H_L, float [n, d] each.
        views: the same over a graph with edges left out.
        sides: nodes to contrast, users and items, int64.
    """
    total = layers[0].new_zeros(())
    for layer, view in zip(layers[1:], views[1:], strict=True):
        for nodes in sides:
            if len(nodes):
                total = total + info_nce(view[nodes], layer[nodes].detach(), 1.0)
    return total
