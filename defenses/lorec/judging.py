"""Calibrators beside the victim: they learn between its steps, and judge every account."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from ...datasets.log import Float32, Int64
from ...datasets.seeding import derive, rng, torch_rng
from ...recommenders.network import Dropout
from ...recommenders.sequences import padded
from ..base import Float64
from ..histories import Histories
from .calibrator import DROPOUT, Calibrator, calibration_loss
from .config import LoRecConfig
from .states import States

_JUDGED_TOKENS = 1 << 14  # padded places read at a time when judging


class Judge:
    """One calibrator, or one for each fold of the accounts that has not learnt from them.

    The victim is read without gradient and without dropout: nothing here changes it.

    Attributes:
        fold: int64 [N], the fold of each account.
    """

    def __init__(
        self,
        victim: States,
        accounts: Histories,
        fraudsters: Histories,
        texts: Float32 | None,
        config: LoRecConfig,
        seed: int,
    ) -> None:
        """Make fresh calibrators.

        Args:
            victim: what is read of it.
            accounts: N histories of the log.
            fraudsters: F simulated histories.
            texts: float32 [N + F, D], accounts first, or None for no alignment.
            config: settings.
            seed: of all draws.
        """
        self.victim = victim
        self.config = config
        self.seed = seed
        self.accounts, self.fraudsters = len(accounts), len(fraudsters)
        histories = accounts.plus(fraudsters)
        if not victim.ordered:  # the order of a log may say who was simulated
            histories = histories.shuffled(rng(seed, "order"))
        self.histories = histories.last(victim.longest)
        self.device = victim.device
        self.texts = None if texts is None else torch.from_numpy(texts).to(self.device)
        folds = max(1, config.cross_fit)
        self.fold = rng(seed, "folds").permutation(self.accounts) % folds
        text_width = None if texts is None else texts.shape[1]
        self.calibrators = [
            Calibrator(victim.width, victim.longest, text_width, torch_rng(seed, "init", number)).to(self.device)
            for number in range(folds)
        ]
        self.optimisers = [
            torch.optim.AdamW(own.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
            for own in self.calibrators
        ]

    def learn(self, turn: int, passes: float) -> None:
        """Passes over accounts and fraudsters, or a part of one; a fold's calibrator leaves its accounts out.

        Where the part is less than a step (few accounts) one is made in every so many rounds, the first among them.

        Args:
            turn: the round, from 1.
            passes: to a round.
        """
        self.victim.refresh()
        for number, (calibrator, optimiser) in enumerate(zip(self.calibrators, self.optimisers, strict=True)):
            own = np.arange(self.accounts)
            if len(self.calibrators) > 1:
                own = own[self.fold != number]
            if (turn - 1) % max(1, round(1 / (passes * self._slices(own)))):
                continue
            noise = torch.Generator(self.device).manual_seed(derive(self.seed, "noise", turn, number))
            drop = Dropout(DROPOUT, noise)
            draw = rng(self.seed, "batches", turn, number)
            calibrator.train()
            for rows in self._batches(own, draw, passes):
                optimiser.zero_grad(set_to_none=True)
                self._loss(calibrator, rows, drop).backward()  # type: ignore[no-untyped-call]
                optimiser.step()

    def _slices(self, own: Int64) -> int:
        """Steps to a pass over these accounts."""
        return max(1, len(own) // self.config.batch)

    def _batches(self, own: Int64, draw: np.random.Generator, passes: float) -> Iterator[Int64]:
        """Slices of both lists, each cut into the same number; a rest is dealt out, so that no slice is tiny."""
        count = self._slices(own)
        fakes = self.accounts + np.arange(self.fraudsters)
        left = max(1, round(passes * count))
        while left > 0:
            slices = (np.array_split(draw.permutation(rows), count)[:left] for rows in (own, fakes))
            for genuine, fake in zip(*slices, strict=True):
                yield np.concatenate([genuine, fake])
            left -= count

    def _loss(self, calibrator: Calibrator, rows: Int64, drop: Dropout) -> torch.Tensor:
        parts = self._alike(rows)
        rows = np.concatenate(parts)
        summaries = torch.cat([calibrator.summaries(*self.states(part), drop) for part in parts])
        fraud = torch.from_numpy((rows >= self.accounts).astype(np.float32)).to(self.device)
        texts = None
        if self.texts is not None:
            texts = calibrator.texts(self.texts[torch.from_numpy(rows).to(self.device)])
        config = self.config
        return calibration_loss(
            calibrator.logits(summaries, drop), fraud, config.confidence, config.alignment, summaries, texts
        )

    def _alike(self, rows: Int64) -> list[Int64]:
        """The rows by length, cut where it passes a power of two: less than half of what is read is filling."""
        rows = rows[np.argsort(self.histories.length[rows], kind="stable")]
        _, doublings = np.frexp(self.histories.length[rows])
        return np.split(rows, np.flatnonzero(np.diff(doublings)) + 1)

    def states(self, rows: Int64) -> tuple[torch.Tensor, torch.Tensor]:
        """What the victim makes of histories now: input and output at every place, float [B, L, 2 d], bool [B, L]."""
        histories = self.histories
        inputs, valid = padded(histories.items, histories.start[rows], histories.length[rows])
        real = torch.from_numpy(valid).to(self.device)
        return self.victim.read(torch.from_numpy(inputs).to(self.device), real), real

    def suspicion(self) -> Float64:
        """How likely each account of the log is a fraudster by the calibrator that judges it, float64 [N] in 0..1."""
        found = np.empty(self.accounts)
        for number, calibrator in enumerate(self.calibrators):
            calibrator.eval()
            for part in self._judged(np.flatnonzero(self.fold == number)):
                with torch.no_grad():
                    silent = Dropout(0.0, None)
                    logits = calibrator.logits(calibrator.summaries(*self.states(part), silent), silent)
                found[part] = torch.sigmoid(logits.double()).cpu().numpy()
        return found

    def _judged(self, rows: Int64) -> Iterator[Int64]:
        for alike in self._alike(rows):
            step = max(1, _JUDGED_TOKENS // int(self.histories.length[alike].max(initial=1)))
            yield from np.split(alike, np.arange(step, len(alike), step))

    def level(self, suspicion: Float64) -> Float64 | None:
        """What each account's suspicion is compared with: the mean of its fold's, whose scale is its calibrator's own.

        None, which stands for the mean of all, if there is a single calibrator.
        """
        if len(self.calibrators) == 1:
            return None
        total = np.bincount(self.fold, suspicion, len(self.calibrators))
        mean: Float64 = (total / np.bincount(self.fold, minlength=len(self.calibrators)))[self.fold]
        return mean
