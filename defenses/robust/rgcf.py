"""RGCF: LightGCN on edges that weigh by how reliable they look, contrasted with a graph that has more edges."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from ...audit.cell import Defended
from ...datasets.log import Float32, Int64, InteractionLog
from ...datasets.seeding import rng as seeded
from ...recommenders.base import Recipe
from ...recommenders.losses import info_nce
from ...recommenders.pairwise import PairBatch, PairTraining
from ...recommenders.propagation import on_device, propagate
from ...recommenders.sampling import Positives
from ...recommenders.trainer import Compared, RankingTraining
from ..base import DefenseConfig
from .base import Hardened
from .propagation import GraphTraining


class RGCFConfig(DefenseConfig):
    """Settings of RGCF; defaults are the published ones for MovieLens-1M."""

    beta: float = Field(default=0.02, ge=0, le=1, description="edges less reliable than this are pruned")
    diverse: float = Field(
        default=0.1, ge=0, le=1, description="edges the diverse graph has more, as a share of those of the log"
    )
    candidates: int = Field(default=10, ge=1, description="random pairs judged for each edge that is added")
    contrast: float = Field(
        default=1e-6, ge=0, description="weight of the contrast of users in both graphs; 0 makes no diverse graph"
    )
    contrast_temperature: float = Field(default=0.2, gt=0, description="temperature of that contrast")
    contrast_users: int = Field(default=2048, ge=2, description="users of a batch that are contrasted, at most")


_ROWS = 2**16  # pairs whose features are compared at a time


def reliability(features: Float32, user: Int64, item: Int64) -> Float32:
    """How alike two ends of pairs are by their features: (cosine + 1) / 2, in 0..1; 1/2 where one is zero.

    Shapes: features float32 [n, d]; user, item int64 [P], rows of it -> float32 [P].

    Reference: Tian et al. 2022, RGCF, the interaction denoising.
    """
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.where(lengths > 0, lengths, 1)
    found = np.empty(len(user), np.float32)
    for start in range(0, len(user), _ROWS):
        part = slice(start, start + _ROWS)
        found[part] = np.einsum("ij,ij->i", unit[user[part]], unit[item[part]])
    return np.clip((found + 1) / 2, 0, 1)


class Weighed:
    """A graph with weights on its edges, and propagation over it normalised by rows.

    With S the symmetric matrix of weights and D its row sums, (D^-1 S)^l = D^-1/2 N^l D^1/2 for the symmetric
    N = D^-1/2 S D^-1/2: `propagate`, which needs a symmetric graph for its gradient, does the work. Nodes without an
    edge keep a share of their own vector, as in LightGCN.
    """

    def __init__(self, user: Int64, item: Int64, weight: Float32, nodes: int, device: torch.device) -> None:
        """Normalise; pairs of rows int64 [P] are distinct, weights float32 [P] positive."""
        ends = np.concatenate([user, item]), np.concatenate([item, user])
        degree = np.bincount(ends[0], np.tile(weight, 2), minlength=nodes)
        degree[degree == 0] = 1
        value = (weight / np.sqrt(degree[user] * degree[item])).astype(np.float32)
        matrix = sparse.csr_matrix((np.tile(value, 2), ends), shape=(nodes, nodes))
        self.graph = on_device(matrix, device)
        self.scale = torch.from_numpy(np.sqrt(degree).astype(np.float32)[:, None]).to(device)

    def propagate(self, base: torch.Tensor, layers: int) -> torch.Tensor:
        """The mean of layers 0..L, differentiable: float32 [n, d] -> float32 [n, d]."""
        return propagate(self.graph, base * self.scale, layers) / self.scale


class DenoisingEncoder:
    """Propagation over the denoised graph (an `Encoder`). Graphs are constants: no gradient flows through them.

    Attributes:
        places: see Encoder.
        pruned: share of the edges that the newest denoised graph lacks.
    """

    def __init__(self, pairs: Positives, places: Int64, layers: int, config: RGCFConfig, device: torch.device) -> None:
        """Lay out the log's graph; `renew` makes those that training uses."""
        self.pairs = pairs
        self.places = places
        self.layers = layers
        self.config = config
        self.device = device
        self.pruned = 0.0
        self.user, self.item = places[pairs.user], places[pairs.n_users + pairs.item]
        ends = np.concatenate([self.user, self.item]), np.concatenate([self.item, self.user])
        ones = np.ones(2 * len(pairs), np.float32)
        self.neighbours = sparse.csr_matrix((ones, ends), shape=(len(places), len(places)))
        self.graph: Weighed | None = None
        self.diverse: Weighed | None = None

    def features(self, base: torch.Tensor) -> Float32:
        """Of every node the sum of its neighbours' base vectors, float32 [n, d]."""
        found: Float32 = self.neighbours @ base.detach().cpu().numpy()
        return found

    def denoised(self, features: Float32) -> tuple[NDArray[np.bool_], Float32]:
        """Which pairs are kept, bool [P], and how reliable the kept ones are, float32 [K]."""
        found = reliability(features, self.user, self.item)
        kept = (found >= self.config.beta) & (found > 0)
        self.pruned = 1 - float(kept.mean())
        return kept, found[kept]

    def added(self, features: Float32, rng: np.random.Generator) -> tuple[Int64, Int64]:
        """Rows of the most reliable of random pairs that the log lacks: users and items, int64 [A] each."""
        pairs, config = self.pairs, self.config
        count = round(config.diverse * len(pairs))
        users = rng.choice(np.unique(pairs.user), count * config.candidates)
        keys = np.unique(users * pairs.n_items + pairs.unseen(rng, users))
        # who has seen everything is given an item all the same
        keys = np.setdiff1d(keys, pairs.user * pairs.n_items + pairs.item, assume_unique=True)
        user, item = self.places[keys // pairs.n_items], self.places[pairs.n_users + keys % pairs.n_items]
        best = np.argsort(-reliability(features, user, item), kind="stable")[:count]
        return user[best], item[best]

    def renew(self, base: torch.Tensor, rng: np.random.Generator) -> None:
        """Make the graphs of the next steps from base vectors, float32 [n, d]."""
        features = self.features(base)
        kept, weight = self.denoised(features)
        user, item = self.user[kept], self.item[kept]
        self.graph = Weighed(user, item, weight, len(self.places), self.device)
        if self.config.contrast:
            more_user, more_item = self.added(features, rng)
            middle = np.median(weight) if len(weight) else 0.5
            self.diverse = Weighed(
                np.concatenate([user, more_user]),
                np.concatenate([item, more_item]),
                np.concatenate([weight, np.full(len(more_user), middle, np.float32)]),
                len(self.places),
                self.device,
            )

    def final(self, base: torch.Tensor) -> torch.Tensor:
        """See Encoder; over the graph as these base vectors make it, so that nothing else decides the outcome."""
        kept, weight = self.denoised(self.features(base))
        graph = Weighed(self.user[kept], self.item[kept], weight, len(self.places), self.device)
        return graph.propagate(base, self.layers)

    def training(
        self, base: torch.Tensor, batch: PairBatch, rng: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """See Encoder; over the graphs of the last `renew`."""
        if self.graph is None:
            raise RuntimeError("there is no graph yet: renew comes before the steps of an epoch")
        found = self.graph.propagate(base, self.layers)
        if self.diverse is None:
            return found, None
        config = self.config
        # a batch's order is random, so its first distinct users are a random choice of them
        users = torch.unique(batch.user[: config.contrast_users])
        other = self.diverse.propagate(base, self.layers)
        return found, config.contrast * info_nce(found[users], other[users], config.contrast_temperature)


class _Denoised(Hardened):
    """The victim's training over graphs that are made anew when an epoch begins."""

    def __init__(
        self,
        training: PairTraining,
        log: InteractionLog,
        seed: int,
        epochs: int | None,
        config: RGCFConfig,
        layers: int,
    ) -> None:
        super().__init__(training, log, seed, epochs, config)
        self.own = training
        self.encoder = DenoisingEncoder(training.pairs, training.places, layers, config, training.device)
        training.encoder = self.encoder

    def begin(self) -> None:
        self.encoder.renew(self.own.first(), seeded(self.seed, "graph", self.epoch))

    def compared(self, vectors: Compared, batch: Any) -> torch.Tensor:
        return self.training.ranking(vectors, batch, self.training.weights(batch))


class RGCF(GraphTraining):
    """LightGCN on edges weighed by reliability: how alike their ends are by the sums of their neighbours' vectors.

    Fakes of one profile look more reliable than a target's genuine users do: most of the target's users are fakes, and
    its features are theirs.

    Graphs are made once an epoch and are constant within it. The second propagation, over the diverse graph for the
    contrast, doubles the price of a step's propagation. The victim's loss stays its own, with its layers and
    regularisation.
    """

    _own: _Denoised

    name: ClassVar[str] = "rgcf"
    title: ClassVar[str] = "RGCF: edges weighed by reliability, contrast with a diverse graph"
    reference: ClassVar[str] = (
        "Tian et al. 2022, Learning to Denoise Unreliable Interactions for Graph Collaborative Filtering, SIGIR"
    )
    config_type: ClassVar[type[RGCFConfig]] = RGCFConfig

    def harden(self, training: RankingTraining[Any], log: InteractionLog, seed: int, epochs: int | None) -> Hardened:
        """See RobustTraining.

        Raises:
            InputError: the training is not LightGCN's.
        """
        own, layers = self.opened(training)
        self._own = _Denoised(own, log, seed, epochs, self.config, layers)
        return self._own

    def fit(self, recipe: Recipe, log: InteractionLog, seed: int) -> Defended:
        """See Defense; the note `pruned` is the share of edges that the fitted graph lacks."""
        model = super().fit(recipe, log, seed).model
        return Defended(model, notes={"pruned": self._own.encoder.pruned})
