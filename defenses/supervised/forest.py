"""A neural decision forest: soft decisions route an input to leaves that hold chances."""

from __future__ import annotations

import torch

READ = 0.5
"""Share of the input that a tree reads."""


class Forest(torch.nn.Module):
    """Trees of soft decisions, each on a random half of the input; the answer is the mean over trees.

    Reference: Kontschieder et al. 2015, Deep Neural Decision Forests, ICCV. The leaves' chances are learnt by gradient,
    not by the paper's own update.
    """

    reads: torch.Tensor

    def __init__(self, width: int, trees: int, depth: int, seed: torch.Generator) -> None:
        """Draw first values and what trees read from a CPU generator.

        Args:
            width: of the input, k.
            trees: T.
            depth: decisions on each way, so that a tree has 2^depth leaves.
            seed: of all draws.
        """
        super().__init__()
        nodes = 2**depth - 1
        count = max(1, round(READ * width))
        order = torch.rand(trees, width, generator=seed).argsort(1)
        self.register_buffer("reads", (order < count).float())
        self.weight = torch.nn.Parameter(torch.randn(trees, width, nodes, generator=seed) / count**0.5)
        self.bias = torch.nn.Parameter(torch.zeros(trees, nodes))
        self.leaf = torch.nn.Parameter(0.1 * torch.randn(trees, 2**depth, generator=seed))

    def routes(self, x: torch.Tensor) -> torch.Tensor:
        """The chance of reaching each leaf, float [B, T, 2^depth] from float [B, k]; it sums to 1 over leaves."""
        gates = torch.sigmoid(torch.einsum("bk,tkn->btn", x, self.weight * self.reads[:, :, None]) + self.bias)
        reached = x.new_ones(len(x), len(self.bias), 1)
        first = 0
        while first < gates.shape[2]:
            gate = gates[:, :, first : first + reached.shape[2]]
            first += reached.shape[2]
            reached = torch.stack([reached * gate, reached * (1 - gate)], -1).flatten(2)
        return reached

    def chance(self, x: torch.Tensor) -> torch.Tensor:
        """Of being fake, float [B] in 0..1 from float [B, k]."""
        return (self.routes(x) * torch.sigmoid(self.leaf)).sum(2).mean(1)
