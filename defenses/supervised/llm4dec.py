"""LLM4Dec: a small network on what the texts of an account's items say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional

from ...datasets.log import Float32, InteractionLog
from ...language.encoder import CHOICES
from ...language.texts import why_no_texts
from ...recommenders.base import Recipe
from ...recommenders.network import Dropout
from ...recommenders.trainer import one_thread
from ..base import Float64
from ..histories import Histories
from ..lorec.calibrator import calibration_loss
from ..texts import READINGS, Reading, readings
from .base import Bool, Judge, Weighing, WeighingConfig

INNER, DROPOUT, THRESHOLD = 128, 0.1, 0.5


class LLM4DecConfig(WeighingConfig):
    """Settings of LLM4Dec."""

    arm: Literal["real", "permuted", "random-items"] = Field(
        "real",
        description="real: texts as they are; permuted: over accounts; random-items: random vectors for the items' "
        "texts. Only what real does better than the others is the merit of the text",
    )
    encoder: str = Field("static", description=CHOICES)
    account: Reading = Field("mean", description=READINGS)
    width: int = Field(128, ge=1, description="h, of the first layer (ours)")
    confidence: float = Field(0.5, ge=0, description="lambda 1, on the entropy of answers about accounts of the log")
    learning_rate: float = Field(0.01, gt=0, description="AdamW's")
    weight_decay: float = Field(5e-4, ge=0, description="AdamW's")
    passes: int = Field(30, ge=1, description="over accounts and simulated fakes (ours)")
    batch: int = Field(128, ge=2, description="accounts a step at least; simulated fakes come on top (ours)")


class Head(torch.nn.Module):
    """GELU(Linear), Linear, BatchNorm, dropout, GELU, Linear, BatchNorm: log odds of an account's vector."""

    def __init__(self, text: int, width: int, seed: torch.Generator) -> None:
        """Draw first values from a CPU generator, never from the global one."""
        super().__init__()
        with torch.device("meta"):  # made without values: torch would draw them from its global generator
            self.first = torch.nn.Linear(text, width)
            self.wide = torch.nn.Linear(width, INNER)
            self.one = torch.nn.Linear(INNER, 1)
            self.wide_norm = torch.nn.BatchNorm1d(INNER)
            self.one_norm = torch.nn.BatchNorm1d(1)
        self.to_empty(device="cpu")
        for norm in (self.wide_norm, self.one_norm):
            norm.reset_parameters()
        for linear in (self.first, self.wide, self.one):
            torch.nn.init.xavier_uniform_(linear.weight, generator=seed)
            torch.nn.init.zeros_(linear.bias)

    def logits(self, vectors: torch.Tensor, drop: Dropout) -> torch.Tensor:
        """Log odds that accounts are fake: float [B, D] -> float [B]."""
        inner = functional.gelu(drop(self.wide_norm(self.wide(functional.gelu(self.first(vectors))))))
        found: torch.Tensor = self.one_norm(self.one(inner))
        return found[:, 0]


class LLM4Dec(Weighing):
    """Judges an account by what an encoder makes of its texts; from a chance of one half on it teaches nothing.

    An item that the account repeats is read once.

    The loss is LoRec's without alignment: BCE, and half the entropy of answers about accounts of the log. Vectors of
    items carry their identity, and thereby popularity, so that random ones detect fakes too: see the arms.
    """

    name: ClassVar[str] = "llm4dec"
    title: ClassVar[str] = "Network on the texts of an account's items"
    reference: ClassVar[str] = (
        "Zhang et al. 2024, LoRec: Large Language Model for Robust Sequential Recommendation against Poisoning "
        "Attacks, SIGIR, arXiv 2401.17723, LLM4Dec"
    )
    config_type: ClassVar[type[LLM4DecConfig]] = LLM4DecConfig
    version: ClassVar[int] = 4

    def why_not(self, recipe: Recipe, log: InteractionLog) -> str | None:
        """See Defense."""
        return None if self.config.arm == "random-items" else why_no_texts(log)

    def published(self, suspicion: Float64) -> Float32:
        """0 from a chance of one half on, else 1."""
        return (suspicion < THRESHOLD).astype(np.float32)

    def learner(self, log: InteractionLog, accounts: Histories, fake: Bool, rng: np.random.Generator) -> Judge:
        """See Supervised.

        Raises:
            DataError: the items have no text, and the arm reads them.
            InputError: there is no such encoder.
        """
        config: LLM4DecConfig = self.config
        found = readings(log, accounts, config.arm, config.encoder, config.account, rng, repeats=False)
        assert found is not None, "no arm is without vectors"
        vectors = torch.from_numpy(found)
        fraud = torch.from_numpy(fake.astype(np.float32))

        def judge(train: Bool, rng: np.random.Generator) -> Float64:
            seed = torch.Generator().manual_seed(int(rng.integers(1 << 62)))
            with one_thread():
                head = Head(vectors.shape[1], config.width, seed)
                _learn(head, vectors, fraud, train, config, seed, rng)
                with torch.no_grad():
                    logits = head.eval().logits(vectors, Dropout(0.0, None))
            found: Float64 = torch.sigmoid(logits.double()).numpy()
            return found

        return judge


def _learn(
    head: Head,
    vectors: torch.Tensor,
    fraud: torch.Tensor,
    train: Bool,
    config: LLM4DecConfig,
    noise: torch.Generator,
    rng: np.random.Generator,
) -> None:
    optimiser = torch.optim.AdamW(head.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    drop = Dropout(DROPOUT, noise)
    for rows in _batches(fraud.numpy() > 0, train, config, rng):
        optimiser.zero_grad(set_to_none=True)
        loss = calibration_loss(head.logits(vectors[rows], drop), fraud[rows], config.confidence)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    _settle(head, vectors[torch.from_numpy(train)])


def _settle(head: Head, vectors: torch.Tensor) -> None:
    """Take the norms' means and variances anew: running ones lag behind weights that still move, and shift answers."""
    for norm in (head.wide_norm, head.one_norm):
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over what is read from here on
    with torch.no_grad():
        head.logits(vectors, Dropout(0.0, None))


def _batches(fake: Bool, train: Bool, config: LLM4DecConfig, rng: np.random.Generator) -> Iterator[torch.Tensor]:
    """Slices of both classes, each cut into the same number."""
    classes = np.flatnonzero(train & ~fake), np.flatnonzero(train & fake)
    count = max(1, len(classes[0]) // config.batch)
    for _ in range(config.passes):
        slices = (np.array_split(rng.permutation(rows), count) for rows in classes)
        for genuine, fakes in zip(*slices, strict=True):
            yield torch.from_numpy(np.concatenate([genuine, fakes]))
