"""LightGCN whose messages are robust aggregates of a node's neighbours: median, trimmed mean or soft medoid.

Ours; the aggregators are those of robust statistics, brought to graph networks by Geisler et al. 2020. They break down
node by node: where more than half of the neighbours are fake, the message follows the fakes, and the genuine ones are
what is cut. A cold target is such a node: there these defences help the attacker (docs/methods/robust-propagation.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch_geometric.nn.aggr import MeanAggregation, SumAggregation
from torch_geometric.utils import softmax

from ...datasets.errors import InputError
from ...datasets.log import Int64, InteractionLog
from ...recommenders.base import Recipe
from ...recommenders.lightgcn import LightGCNConfig
from ...recommenders.pairwise import PairBatch, PairTraining
from ...recommenders.propagation import adjacency
from ...recommenders.trainer import RankingTraining
from ..base import DefenseConfig, RobustTraining


class GraphTraining(RobustTraining):
    """Base of the defences that put another propagation in the place of LightGCN's; the model stays a LightGCN."""

    def why_not(self, recipe: Recipe, log: InteractionLog) -> str | None:
        """See Defense."""
        return None if recipe.model == "lightgcn" else f"{recipe.model} does not propagate as lightgcn does"

    def opened(self, training: RankingTraining[Any]) -> tuple[PairTraining, int]:
        """The training, whose encoder may be replaced, and its number of layers.

        Raises:
            InputError: it is not LightGCN's.
        """
        if isinstance(training, PairTraining) and isinstance(training.config, LightGCNConfig):
            return training, training.config.layers
        raise InputError(f"{self.name} needs the training of lightgcn")


Aggregate = Callable[[torch.Tensor], torch.Tensor]
"""From the vectors of a layer, float [n, d], to the messages, float [n, d]: the next layer."""


@dataclass(frozen=True, eq=False)
class _Block:
    """Nodes of nearly the same degree with their neighbours, padded to the largest.

    Attributes:
        rows: int64 [b], the nodes.
        at: int64 [b, D], their neighbours; n, one past the last node, where there is none.
        weight: float32 [b, D], LightGCN's coefficients; 0 where there is none.
        ends: int64 [2, b, 1, 1], the places of the smallest and largest value that are kept, in order of size.
    """

    rows: torch.Tensor
    at: torch.Tensor
    weight: torch.Tensor
    ends: torch.Tensor


_EDGES = 2**12  # neighbours in a block, unless one node has more: a block of vectors stays in the cache
_LEVELS = 4  # blocks a doubling of the degree: less than a fifth of a block is padding


def _blocks(graph: torch.Tensor, cut: Callable[[Int64], Int64]) -> Iterator[_Block]:
    offsets, columns = graph.crow_indices().cpu().numpy(), graph.col_indices().cpu().numpy()
    weights = graph.values().cpu().numpy()
    degree = np.diff(offsets).astype(np.int64)
    order = np.argsort(degree, kind="stable")
    order = order[degree[order] > 0]
    level = np.floor(_LEVELS * np.log2(degree[order])).astype(np.int64)
    for same in np.split(order, np.flatnonzero(np.diff(level)) + 1):
        if len(same) == 0:
            continue
        width = int(degree[same[-1]])
        parts = -(-len(same) * width // _EDGES)
        for rows in np.array_split(same, min(parts, len(same))):
            own = degree[rows]
            empty = np.arange(width) >= own[:, None]
            at = np.where(empty, 0, offsets[rows][:, None] + np.arange(width))
            ends = np.stack([cut(own), own - 1 - cut(own)])[..., None, None]
            arrays = (
                rows,
                np.where(empty, len(degree), columns[at]).astype(np.int64),
                np.where(empty, 0, weights[at]).astype(np.float32),
                ends,
            )
            yield _Block(*(torch.from_numpy(array).to(graph.device) for array in arrays))


def _sorted(values: torch.Tensor) -> torch.Tensor:
    """By the last axis; numpy sorts short rows by vector instructions, faster than torch does."""
    return torch.from_numpy(np.sort(values.numpy())) if values.device.type == "cpu" else values.sort(dim=-1).values


class Trimmed:
    """Messages from which each coordinate's extreme neighbours are cut.

    The message of a node is (sum of its coefficients) x (mean of the kept neighbours, weighted by coefficients); which
    neighbours are kept is decided coordinate by coordinate, by count. The gradient takes the choice as constant, which
    is exact wherever no two values are equal. Neighbours equal to the last one that is kept are kept too, so that no
    order among accounts matters. With nothing cut this is LightGCN's sum.

    Sorting is done in blocks of nodes of like degree: `torch_geometric.nn.aggr.QuantileAggregation`, to which a test
    compares it, sorts all edges twice, by value and by node, which takes many times as long.
    Work O(d E log D), memory O(d E): a byte for each coordinate of an edge and layer is kept for the gradient.
    """

    def __init__(self, graph: torch.Tensor, cut: Callable[[Int64], Int64]) -> None:
        """Lay out the neighbourhoods.

        Args:
            graph: what `adjacency` gives, float32 CSR [n, n].
            cut: how many neighbours are cut at each end, from numbers of neighbours: int64 [b] -> int64 [b], less
                than half.
        """
        self.blocks = list(_blocks(graph, cut))

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """See Aggregate."""
        found: torch.Tensor = _Trim.apply(values, self.blocks)  # type: ignore[no-untyped-call]
        return found


class _Trim(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, blocks: list[_Block]) -> torch.Tensor:
        found = torch.zeros_like(values)
        ctx.blocks, ctx.kept, ctx.scales = blocks, [], []
        # who has fewer neighbours is padded by a row larger than all, which is never kept
        padded = torch.cat([values, values.new_full((1, values.shape[1]), torch.inf)])
        for block in blocks:
            own = padded[block.at].transpose(1, 2).contiguous()  # [b, d, D]
            ordered = _sorted(own)
            low, high = (ordered.gather(-1, end.expand(-1, own.shape[1], -1)) for end in block.ends)
            kept = (own >= low) & (own <= high)
            weight = block.weight[..., None].to(values.dtype)
            scale = weight.sum(1) / (kept.to(values.dtype) @ weight)[..., 0]  # [b, d]
            found[block.rows] = (own.masked_fill_(~kept, 0) @ weight)[..., 0] * scale
            ctx.kept.append(kept)
            ctx.scales.append(scale)
        return found

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        total = gradient.new_zeros(len(gradient) + 1, gradient.shape[1])
        for block, kept, scale in zip(ctx.blocks, ctx.kept, ctx.scales, strict=True):
            each = kept * (gradient[block.rows] * scale)[..., None] * block.weight[:, None]
            total.index_add_(0, block.at.ravel(), each.transpose(1, 2).reshape(-1, gradient.shape[1]))
        return total[:-1], None


class SoftMedoid:
    """Messages in which a neighbour counts the less, the farther it lies from the others.

    The weight of neighbour n of node v is proportional to c_n exp(-r_n / T), where c_n is LightGCN's coefficient and
    r_n the squared distance of n to the mean of v's neighbours over the mean of these squared distances. The message
    is the sum of v's coefficients times the mean by these weights; a large T gives LightGCN's sum.

    This is a form linear in edges: the soft medoid of Geisler et al. sums distances over all pairs of neighbours. Of
    *squared* distances the sum over others is k times the squared distance to the mean and a constant, which the
    softmax does not see, so nothing is left out. The price is that squared distances let one far neighbour draw
    the mean towards another, so that the breakdown point of one half holds only for fakes that lie together. Division
    by the mean makes T free of scale: vectors grow in training.
    """

    def __init__(self, graph: torch.Tensor, temperature: float) -> None:
        """Lay out the edges of what `adjacency` gives, float32 CSR [n, n]."""
        degree = graph.crow_indices().diff()
        self.neighbour = graph.col_indices().long()
        self.node = torch.repeat_interleave(torch.arange(len(degree), device=graph.device), degree)
        self.weight = graph.values()
        self.total = SumAggregation()(self.weight[:, None], self.node, dim_size=len(degree))
        self.temperature = temperature

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """See Aggregate."""
        nodes = len(values)
        own = values[self.neighbour]
        centre = MeanAggregation()(own, self.node, dim_size=nodes)
        squared = (own - centre[self.node]).square().sum(-1, keepdim=True)
        spread = MeanAggregation()(squared, self.node, dim_size=nodes).clamp(min=torch.finfo(values.dtype).tiny)
        far = squared / (spread[self.node] * self.temperature)
        share = softmax(self.weight[:, None].to(values.dtype).log() - far, self.node, num_nodes=nodes)
        found: torch.Tensor = SumAggregation()(share * own, self.node, dim_size=nodes) * self.total.to(values.dtype)
        return found


class RobustEncoder:
    """The mean of layers 0..L, of which each is a robust aggregate of the one before (an `Encoder`)."""

    def __init__(self, places: Int64, aggregate: Aggregate, layers: int) -> None:
        """Keep them."""
        self.places = places
        self.aggregate = aggregate
        self.layers = layers

    def final(self, base: torch.Tensor) -> torch.Tensor:
        """See Encoder."""
        layer = total = base
        for _ in range(self.layers):
            layer = self.aggregate(layer)
            total = total + layer
        return total / (self.layers + 1)

    def training(
        self, base: torch.Tensor, batch: PairBatch, rng: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """See Encoder."""
        return self.final(base), None


class RobustPropagationConfig(DefenseConfig):
    """Settings of robust propagation."""

    aggregation: Literal["trimmed", "median", "soft-medoid"] = Field(
        default="trimmed",
        description="trimmed: mean without the extremes of each coordinate; median: of each coordinate; soft-medoid: "
        "mean in which neighbours far from the others count less",
    )
    trim: float = Field(default=0.2, ge=0, lt=0.5, description="share of neighbours cut at each end, of trimmed")
    temperature: float = Field(
        default=0.5, ge=0.01, description="of soft-medoid: small follows few neighbours, large is LightGCN"
    )


_ROUNDING = 1e-9  # 0.29 of 100 neighbours are 29, whatever their product in binary


def aggregator(config: RobustPropagationConfig, graph: torch.Tensor) -> Aggregate:
    """The configured aggregate over what `adjacency` gives; the median is the trimmed mean that keeps one or two."""
    if config.aggregation == "soft-medoid":
        return SoftMedoid(graph, config.temperature)
    if config.aggregation == "median":
        return Trimmed(graph, lambda degree: (degree - 1) // 2)
    return Trimmed(graph, lambda degree: (config.trim * degree + _ROUNDING).astype(np.int64))


class RobustPropagation(GraphTraining):
    """LightGCN whose messages are the sum of coefficients times a robust aggregate of the neighbours.

    Nodes with one or two neighbours get LightGCN's message from `trimmed` and `median`. The trimmed mean is the
    default: it breaks down at a share `trim` of fakes, but keeps most of what honest neighbours say, whereas
    the median, which breaks down at one half, keeps one or two of them in each coordinate.
    """

    name: ClassVar[str] = "robust-propagation"
    title: ClassVar[str] = "Propagation by trimmed means, medians or soft medoids"
    reference: ClassVar[str] = (
        "Ours; aggregators as in Geisler et al. 2020, Reliable Graph Neural Networks via Robust Aggregation, NeurIPS"
    )
    config_type: ClassVar[type[RobustPropagationConfig]] = RobustPropagationConfig

    def harden(
        self, training: RankingTraining[Any], log: InteractionLog, seed: int, epochs: int | None
    ) -> RankingTraining[Any]:
        """The victim's own training with another encoder; see RobustTraining.

        Raises:
            InputError: the training is not LightGCN's.
        """
        own, layers = self.opened(training)
        graph = adjacency(own.pairs, own.device, own.places)
        own.encoder = RobustEncoder(own.places, aggregator(self.config, graph), layers)
        return own
