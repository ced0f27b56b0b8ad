"""The calibrator: reads what the victim makes of a history and says how likely a fraudster wrote it."""

from __future__ import annotations

import torch
from torch.nn import functional

from ...recommenders.network import Dropout

BLOCKS, HEADS, INNER, DROPOUT = 2, 2, 128, 0.1
"""Of the authors' code."""


class _Block(torch.nn.Module):
    """Self-attention over all places of a history and a feed-forward layer, each normalised before and added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention_norm = torch.nn.LayerNorm(width)
        self.query_key_value = torch.nn.Linear(width, 3 * width)
        self.attention_out = torch.nn.Linear(width, width)
        self.forward_norm = torch.nn.LayerNorm(width)
        self.forward_in = torch.nn.Linear(width, INNER)
        self.forward_out = torch.nn.Linear(INNER, width)

    def encode(self, x: torch.Tensor, seen: torch.Tensor, drop: Dropout, wanted: torch.Tensor | None) -> torch.Tensor:
        """Outputs of real places, float [T, w], from inputs, float [T, w], and where those are, bool [B, L].

        Args:
            x: real places alone, row after row: half of what is filled up would be filling.
            seen: T of them true.
            drop: dropout.
            wanted: int64 [N], whose outputs are wanted; all if None.
        """
        parts = x.new_zeros(*seen.shape, 3 * x.shape[1])
        parts[seen] = self.query_key_value(self.attention_norm(x))
        query, key, value = parts.view(*seen.shape, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        read = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen[:, None, None, :])
        own = read.transpose(1, 2).flatten(2)[seen]
        if wanted is not None:
            x, own = x[wanted], own[wanted]
        x = x + drop(self.attention_out(own))
        added: torch.Tensor = x + drop(self.forward_out(functional.gelu(self.forward_in(self.forward_norm(x)))))
        return added


class Calibrator(torch.nn.Module):
    """A transformer whose summary of a history is judged, and held to the text of its account if there is one.

    Reference: Zhang et al. 2024, LoRec, SIGIR, arXiv 2401.17723, the LLM-enhanced calibrator. Other than in their code
    padding is hidden from the attention, so that it has no effect at all, and blocks normalise first.
    """

    def __init__(self, width: int, longest: int, text_width: int | None, seed: torch.Generator) -> None:
        """Draw first values from a CPU generator, never from the global one.

        Args:
            width: of the state at a place, w; even.
            longest: most places of a history.
            text_width: D of an account's text, None without texts.
            seed: of the first values.
        """
        super().__init__()
        with torch.device("meta"):  # made without values: torch would draw them from its global generator
            self.summary = torch.nn.Parameter(torch.empty(1, width))
            self.position = torch.nn.Parameter(torch.empty(longest + 1, width))
            self.blocks = torch.nn.ModuleList(_Block(width) for _ in range(BLOCKS))
            self.last_norm = torch.nn.LayerNorm(width)
            self.wide = torch.nn.Linear(width, INNER)
            self.wide_norm = torch.nn.BatchNorm1d(INNER)
            self.one = torch.nn.Linear(INNER, 1)
            self.one_norm = torch.nn.BatchNorm1d(1)
            self.text = None if text_width is None else torch.nn.Linear(text_width, width)
        self.to_empty(device="cpu")
        for module in self.modules():
            if isinstance(module, torch.nn.LayerNorm | torch.nn.BatchNorm1d):
                module.reset_parameters()
            elif isinstance(module, torch.nn.Linear):
                torch.nn.init.xavier_uniform_(module.weight, generator=seed)
                torch.nn.init.zeros_(module.bias)
        for parameter in (self.summary, self.position):
            torch.nn.init.normal_(parameter, std=0.1, generator=seed)

    def summaries(self, states: torch.Tensor, valid: torch.Tensor, drop: Dropout) -> torch.Tensor:
        """One vector for each history, float [B, w], from float [B, L, w] and bool [B, L], true where there is an item.

        What stands where there is no item has no effect.
        """
        first = self.summary.expand(len(states), 1, -1)
        seen = functional.pad(valid, (1, 0), value=True)
        x = drop((torch.cat([first, states], 1) + self.position[: seen.shape[1]])[seen])
        length = seen.sum(1)
        heads = length.cumsum(0) - length
        for number, block in enumerate(self.blocks):
            own: _Block = block  # type: ignore[assignment]
            x = own.encode(x, seen, drop, heads if number == BLOCKS - 1 else None)  # at last the summaries alone
        found: torch.Tensor = self.last_norm(x)
        return found

    def logits(self, summaries: torch.Tensor, drop: Dropout) -> torch.Tensor:
        """Log odds that a fraudster wrote the histories: float [B, w] -> float [B]."""
        inner = functional.gelu(drop(self.wide_norm(self.wide(summaries))))
        found: torch.Tensor = self.one_norm(self.one(inner))
        return found[:, 0]

    def texts(self, vectors: torch.Tensor) -> torch.Tensor:
        """What the summaries are held to: float [B, D] -> float [B, w]."""
        assert self.text is not None, "made without texts"
        return functional.gelu(self.text(vectors))


def calibration_loss(
    logits: torch.Tensor,
    fraud: torch.Tensor,
    confidence: float,
    alignment: float = 0.0,
    summaries: torch.Tensor | None = None,
    texts: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean of BCE and, for accounts of the log, the entropy of the answer; less the mean cosine to the texts.

    Some accounts of the log are fakes that nobody has named. The entropy favours sure answers there, so that one that
    looks fake is not drawn back to a doubtful middle.

    Args:
        logits: float [B].
        fraud: float [B], 1 for simulated fraudsters, 0 for accounts of the log.
        confidence: weight of the entropy (lambda 1).
        alignment: weight of the cosine (lambda 2).
        summaries: float [B, w], read if there are texts.
        texts: float [B, w], or None.
    """
    chance = torch.sigmoid(logits)
    entropy = chance * functional.softplus(-logits) + (1 - chance) * functional.softplus(logits)
    each = functional.binary_cross_entropy_with_logits(logits, fraud, reduction="none")
    loss = (each + confidence * (1 - fraud) * entropy).mean()
    if texts is None or summaries is None:
        return loss
    return loss - alignment * functional.cosine_similarity(summaries, texts, dim=-1).mean()
