"""A language model asked in words how likely each account is a fraudster."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from ...datasets.errors import DataError, InputError
from ...datasets.log import InteractionLog
from ...datasets.seeding import rng as stream
from ...language.answers import verdicts
from ...language.opening import open_chat
from ...language.texts import item_texts, why_no_texts
from ...recommenders.base import Recipe
from ..base import Detector, DetectorConfig, Float64
from ..histories import Histories
from ..texts import prompts, swapped

_READ = ("title",)  # of the item table: the prompt speaks of titles, and nothing else leaves the machine


class LLMPromptConfig(DetectorConfig):
    """Settings of the detector that asks."""

    chat: str = Field(
        default="", description="the model: endpoint:MODEL@https://HOST/v1, or a folder (docs/language.md)"
    )
    arm: Literal["real", "permuted"] = Field(
        default="real",
        description="real: titles as they are; permuted: over items. Only what real does better is the text's merit",
    )
    scenario: str = Field(default="product", description="what is recommended, as the prompt calls it")


class LLMPrompt(Detector):
    """The probability of yes when a chat model reads an account's titles in order and is asked if it is a fraudster.

    One prompt an account, answers kept on disk; without times titles stand by item. Where an answer cannot be read, or
    the server refuses that prompt, the account gets the median and is counted in the note `unreadable`. Titles are data
    of strangers: they are quoted, but a model may still believe what one of them says, and one that a server refuses
    hides its accounts.

    Reference: the prompt's form is that of Zhang et al. 2024, LoRec, arXiv 2401.17723; they read hidden states of it.
    """

    name: ClassVar[str] = "llm-prompt"
    title: ClassVar[str] = "A chat model's verdict on the titles of an account"
    reference: ClassVar[str] = "recaudit; prompt after Zhang et al. 2024, LoRec, SIGIR, arXiv 2401.17723"
    config_type: ClassVar[type[DetectorConfig]] = LLMPromptConfig
    version: ClassVar[int] = 4

    def why_not(self, recipe: Recipe, log: InteractionLog) -> str | None:
        """See Defense."""
        if not self.config.chat:
            return f"no chat model is named; set `chat` of {self.name} to endpoint:MODEL@https://HOST/v1 or a folder"
        return why_no_texts(log, _READ)

    def detect(self, log: InteractionLog, rng: np.random.Generator) -> Float64:
        """See Detector.

        Raises:
            InputError: no model is named, sending is not allowed, or the server refuses.
            DataError: the items have no titles, or more than half of the answers cannot be read.
        """
        if not self.config.chat:
            raise InputError(f"{self.name} needs a model: --set chat=endpoint:MODEL@https://HOST/v1 or a folder")
        active = np.flatnonzero(log.user_counts)
        histories = Histories.of_accounts(log, active)
        if self.config.arm == "permuted":  # the same whatever the seed, so that answers are paid for once
            known = np.array([bool(title) for title in item_texts(log, _READ)])
            histories = replace(histories, items=swapped(known, stream(0, self.name, "texts"))[histories.items])
        asked = prompts(log, histories, self.config.scenario)
        found = np.zeros(log.n_users)
        if asked:
            said = verdicts(open_chat(self.config.chat), asked)
            if 2 * said.unreadable > len(asked):
                raise DataError(
                    f"{self.name}: no answer of {self.config.chat} could be read for {said.unreadable:,} of "
                    f"{len(asked):,} accounts, too many; set `chat` to a model that answers yes or no"
                )
            self.notes = {"unreadable": float(said.unreadable)}
            probability = said.probability
            found[active] = np.where(np.isnan(probability), np.nanmedian(probability), probability)
        return found
