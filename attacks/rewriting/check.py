"""The check "rewriting": can the owner of an item lift it by rewriting its title?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, field_validator

from ...audit.cell import Cell
from ...audit.evidence import Evidence
from ...audit.probe import NotApplicable, Probe, ProbeConfig, Results
from ...datasets.errors import unknown_name
from ...recommenders.target import Target
from ..before_after import before_after
from ..config import Strata
from ..design import find_targets
from ..targets import STRATA, WORDS, Targets
from .base import Limits
from .catalogue import REWRITINGS
from .serving import Rewritten


class RewritingConfig(ProbeConfig):
    """Settings of the check "rewriting"."""

    rewritings: tuple[str, ...] = Field(default=("random-words", "popular-words", "queried-words"), min_length=1)
    """How titles are rewritten; random-words is the control."""
    per_stratum: int = Field(default=5, ge=1)
    """Target items per stratum; fewer than five rarely allow a verdict."""
    strata: Strata = STRATA
    """head: top 10 % of the items by popularity; middle: next 40 %; cold: the rest with at least two events."""
    items: tuple[str, ...] = ()
    """Ids of the target items; drawn by stratum if none is named."""
    cutoff: int = Field(default=20, ge=1)
    """K of HR@K."""
    watchers: int = Field(default=200, ge=1)
    """Accounts through whose lists an owner who asks sees the item's rank under each title tried."""
    length: float = Field(default=0.2, ge=0, le=1)
    """Largest change of a title's length, as a share of it; twelve characters are always allowed."""
    similarity: float = Field(default=0.8, ge=-1, le=1)
    """Smallest cosine between the vectors of old and new text."""
    encoder: str = "static"
    """Whose vectors: static, sentence, or a folder with a transformers model."""

    @field_validator("rewritings")
    @classmethod
    def _known(cls, rewritings: tuple[str, ...]) -> tuple[str, ...]:
        for name in rewritings:
            if name not in REWRITINGS:
                raise ValueError(str(unknown_name("rewriting", name, REWRITINGS)))
        return tuple(dict.fromkeys(rewritings))


class RewritingProbe(Probe):
    """HR@K and rank of target items before and after their titles are rewritten; nobody is injected or retrained.

    Evidence, higher is worse: `rewriting.NAME.STRATUM.hr@K`, gain in the share of users who lack the item, and
    `...log2_rank_shift`. Units are target items. The model must read texts (`item_vectors: text`).
    """

    key = "rewriting"
    title = "Can the owner of an item lift it by rewriting its title?"
    reference = "Zhang et al. 2024, Stealthy Attack on Large Language Model based Recommendation, ACL, arXiv 2402.14836"
    config_type = RewritingConfig

    def design(self, target: Target) -> tuple[Targets, Mapping[str, Mapping[int, Cell]]]:
        """The target items, and by rewriting a cell for each.

        Raises:
            NotApplicable: the model reads no texts, or no item is eligible.
            InputError: a named item that the log does not have.
        """
        if not getattr(target.model, "reads_text", False):
            raise NotApplicable("the model does not read the texts of items, so that rewriting them changes nothing")
        items = target.split.history.items
        if items is None or "title" not in items:
            raise NotApplicable("the items have no titles that could be rewritten")
        config: RewritingConfig = self.config
        targets = find_targets(target, config.items, config.per_stratum, config.strata, self.seed)
        limits = Limits(config.length, config.similarity, config.encoder)

        def cell(name: str, item: int) -> Cell:
            asked = Rewritten(name, item, config.watchers, config.cutoff, limits)
            label = f"{name} -> item {target.split.train.item_ids[item]}"
            return Cell("inquiry", label, self.seed, watch=(item,), inquiry=asked)

        return targets, {name: {item: cell(name, item) for item in targets.items} for name in config.rewritings}

    def cells(self, target: Target) -> Sequence[Cell]:
        """One for each rewriting and item."""
        return [cell for cells in self.design(target)[1].values() for cell in cells.values()]

    def evidence(self, target: Target, results: Results) -> Sequence[Evidence]:
        """By rewriting and stratum: gain in HR@K, change of log2 rank."""
        targets, cells = self.design(target)
        return [
            found
            for name, own in cells.items()
            for stratum in dict.fromkeys(targets.strata)
            for found in self._of_stratum(
                target, results, name, WORDS[stratum], stratum, {item: own[item] for item in targets.of(stratum)}
            )
        ]

    def _of_stratum(
        self, target: Target, results: Results, name: str, word: str, stratum: str, cells: Mapping[int, Cell]
    ) -> Sequence[Evidence]:
        there = {item: results[cell] for item, cell in cells.items() if cell in results}
        titles = {str(target.split.train.item_ids[item]): result.texts for item, result in there.items()}
        values = {key: value for result in there.values() for key, value in result.values.items()}
        details: dict[str, Any] = {
            "rewriting": name, "stratum": stratum, "titles": titles, "similarity": self.config.similarity,
            "tried": {item: values.get(f"target/{item}/asked") for item in titles},
        }  # fmt: skip
        return before_after(
            f"{self.key}.{name}.{stratum}",
            f"{word} item",
            self.config.cutoff,
            "users",
            f"under a rewritten title ({name})",
            values=values,
            items=list(titles),
            seed=self.seed,
            cells=[result.key for result in there.values()],
            details=details,
        )
