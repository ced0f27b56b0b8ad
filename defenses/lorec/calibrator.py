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

    def encode(self, x: torch.Tensor, seen: torch.Tensor, drop: Dropout) -> torch.Tensor:
        """Outputs of real places, float [T, w], from inputs, float [T, w], and where those are, bool [B, L].

        Args:
            x: real places alone, row after row: half of what is filled up would be filling.
            seen: T of them true.
            drop: dropout.
        """
        parts = _filled(self.query_key_value(self.attention_norm(x)), seen)
        query, key, value = parts.view(*seen.shape, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        read = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen[:, None, None, :])
        return self._forward(x, read.transpose(1, 2).flatten(2)[seen], drop)

    def summarise(self, x: torch.Tensor, seen: torch.Tensor, drop: Dropout) -> torch.Tensor:
        """Outputs of the first place of each history alone, float [B, w]; see encode.

        One query a history needs no key and no value of any place: keys are folded into the query, values into what is
        read. A bias of keys moves all scores alike, so that it is left out.
        """
        width = x.shape[1]
        places = self.attention_norm(x)
        length = seen.sum(1)
        heads = length.cumsum(0) - length
        query, key, value = self.query_key_value.weight.view(3, HEADS, -1, width)
        own_bias, _, value_bias = self.query_key_value.bias.view(3, HEADS, -1)
        asked = torch.einsum("bw,hdw->bhd", places[heads], query) + own_bias
        folded = torch.einsum("bhd,hdw->bhw", asked, key)
        filled = _filled(places, seen)
        scores = (folded @ filled.transpose(1, 2)) * (HEADS / width) ** 0.5
        shares = scores.masked_fill(~seen[:, None], -torch.inf).softmax(-1)
        read = torch.einsum("bhw,hdw->bhd", shares @ filled, value) + value_bias
        return self._forward(x[heads], read.flatten(1), drop)

    def _forward(self, x: torch.Tensor, read: torch.Tensor, drop: Dropout) -> torch.Tensor:
        x = x + drop(self.attention_out(read))
        added: torch.Tensor = x + drop(self.forward_out(functional.gelu(self.forward_in(self.forward_norm(x)))))
        return added


def _filled(x: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Real places, float [T, w], where they are, and zeros: float [B, L, w]."""
    filled = x.new_zeros(*seen.shape, x.shape[1])
    filled[seen] = x
    return filled


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
        *deep, last = self.blocks
        for block in deep:
            x = block.encode(x, seen, drop)  # type: ignore[operator]
        x = last.summarise(x, seen, drop)  # type: ignore[operator]
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
