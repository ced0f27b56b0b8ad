"""The check "certificate": what of a bagged recommender's lists provably survives so many fake accounts?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field, field_validator

from ...attacks.budget import accounts_of
from ...attacks.targets import choose_targets
from ...audit.cell import Cell
from ...audit.evidence import Evidence, Unit
from ...audit.probe import NotApplicable, Probe, ProbeConfig, Results
from ...datasets.errors import InputError
from ...recommenders.target import Target
from .bagging import Base, Ensemble
from .inquiry import Certificate


class CertificateConfig(ProbeConfig):
    """Settings of the check "certificate"."""

    models: int = Field(default=2000, ge=1, description="T, base models of the ensemble")
    sample: int = Field(default=50, ge=1, description="s, accounts that each of them is fitted to")
    per_model: int = Field(default=10, ge=1, description="N', items that each of them votes for")
    base: Base = Field(default="itemknn", description="how a base model scores: by cosine, or by raw co-occurrence")
    only_drawn: bool = Field(
        default=False, description="whether a base model serves its own accounts alone, as in PORE"
    )
    list: int = Field(default=10, ge=1, description="N, the length of the certified lists")
    alpha: float = Field(default=0.001, gt=0, lt=1, description="the chance that any of the certificates is wrong")
    users: int = Field(default=50, ge=1, description="audited accounts, drawn among the genuine ones with events")
    fakes: tuple[str, ...] = Field(
        default=("1", "2", "5", "1%"),
        min_length=1,
        description="numbers of fake accounts, or shares of the genuine ones",
    )
    targets: int = Field(default=5, ge=1, description="little-known items that somebody may promote")
    utility_users: int = Field(default=500, ge=1, description="accounts on whose held-out events the price is measured")

    @field_validator("fakes", mode="before")
    @classmethod
    def _texts(cls, fakes: Any) -> Any:
        if isinstance(fakes, Sequence) and not isinstance(fakes, str):
            return tuple(str(size) if isinstance(size, int) else size for size in fakes)
        return fakes

    @field_validator("fakes")
    @classmethod
    def _sizes(cls, fakes: tuple[str, ...]) -> tuple[str, ...]:
        try:
            for size in fakes:
                accounts_of(size, 1)
        except InputError as error:  # pydantic names the field
            raise ValueError(str(error)) from None
        return tuple(dict.fromkeys(size.replace(" ", "") for size in fakes))


class CertificateProbe(Probe):
    """What no attack by so many fake accounts can change in a bagged recommender, which is not the audited one.

    Evidence, lower is worse: `certificate.BASE.eFAKES.share`, the mean share of an account's current list that
    provably stays; units are audited accounts. `...not_promotable`, the share of audited accounts into whose list a
    little-known item provably cannot be pushed; units are items. `certificate.BASE.utility.hr@N`, HR of the ensemble
    less that of the audited model on the same accounts: the price.
    """

    key = "certificate"
    title = "What can fake users provably not change?"
    reference = "Jia, Liu, Hu, Gong 2023, PORE, USENIX Security, arXiv 2303.14601"
    config_type = CertificateConfig

    def cells(self, target: Target) -> Sequence[Cell]:
        """One: the votes of all base models.

        Raises:
            NotApplicable: no account has events, or fewer accounts than a base model needs.
        """
        config: CertificateConfig = self.config
        split = target.split
        if not len(split.train):
            raise NotApplicable("the training log has no events")
        if config.sample > split.train.n_users:
            raise NotApplicable(
                f"base models of {config.sample} accounts cannot be drawn from {split.train.n_users}; lower `sample`"
            )
        fakes = {size: accounts_of(size, split.train.n_users) for size in config.fakes}
        asked = Certificate(
            Ensemble(config.models, config.sample, config.per_model, config.base, config.only_drawn),
            n_list=config.list, alpha=config.alpha, users=config.users, fakes=tuple(sorted({0, *fakes.values()})),
            items=choose_targets(split.train, split.history, config.targets, self.seed, ("cold",)).items,
            utility_users=config.utility_users,
        )  # fmt: skip
        label = f"certificate of {config.models} base models of {config.sample} accounts ({config.base})"
        return [Cell("inquiry", label, self.seed, watch=asked.items, inquiry=asked)]

    def evidence(self, target: Target, results: Results) -> Sequence[Evidence]:
        """By number of fakes: what stays, what cannot be promoted; and the price."""
        (cell,) = self.cells(target)
        done = results[cell] if cell in results else None
        values: Mapping[str, float | None] = {} if done is None else done.values
        head: dict[str, Any] = {"worse": "lower", "cells": [] if done is None else [done.key]}
        items = [str(target.split.train.item_ids[place]) for place in cell.watch]
        n_users = target.split.train.n_users
        found: list[Evidence] = []
        for size in self.config.fakes:
            found += self._of_size(size, accounts_of(size, n_users), values, items, head)
        return [*found, self._utility(values, head)]

    def _of_size(
        self, size: str, number: int, values: Mapping[str, float | None], items: Sequence[str], head: Mapping[str, Any]
    ) -> Iterator[Evidence]:
        config: CertificateConfig = self.config
        name = f"{config.base}.e{size}"
        whose = f"of a bagged {_WORDS[config.base]} recommender, not of the audited model,"
        accounts = "1 fake account" if number == 1 else f"{number} fake accounts"
        details = self._details(values, number)

        title = f"Share of the top {config.list} {whose} that {accounts} provably cannot push out"
        unit = "share of an account's current list, 0..1, mean over audited accounts"
        shares = self._shares(values, number)
        if shares:
            none = self._shares(values, 0)
            yield self.made(
                f"{name}.share", title, "certified_share", unit, **head,
                estimate=_mean(shares), n=len(shares), units=shares, limits=(0.0, 1.0), resolution=1 / config.list,
                baseline={"no fake account": _mean(none)}, details=details,
            )  # fmt: skip
        else:
            yield self.made(f"{name}.share", title, "certified_share", unit, **head, missing=_why(values, "vote"))

        title = f"How often a little-known item provably cannot enter the top {config.list} {whose} by {accounts}"
        unit = "share of the audited accounts who lack the item, 0..1, mean over items"
        pairs = [
            Unit(cluster=item, seed=self.seed, value=value)
            for item in items
            if (value := values.get(f"e{number}/target/{item}/not_promotable")) is not None
        ]
        if pairs:
            yield self.made(
                f"{name}.not_promotable", title, "not_promotable", unit, **head,
                estimate=_mean(pairs), n=len(pairs), units=pairs, limits=(0.0, 1.0),
                resolution=1 / min(values[f"target/{unit.cluster}/eligible"] or 1.0 for unit in pairs), details=details,
            )  # fmt: skip
        else:
            why = _why(values, "lack")
            yield self.made(f"{name}.not_promotable", title, "not_promotable", unit, **head, missing=why)

    def _shares(self, values: Mapping[str, float | None], number: int) -> list[Unit]:
        """What stays of the list of each audited account; they are counted, not named."""
        audited = range(1, int(values.get("audited") or 0) + 1)
        read = {place: values.get(f"e{number}/account/{place}/share") for place in audited}
        return [
            Unit(cluster=f"account {place}", seed=self.seed, value=share)
            for place, share in read.items()
            if share is not None
        ]

    def _utility(self, values: Mapping[str, float | None], head: Mapping[str, Any]) -> Evidence:
        config: CertificateConfig = self.config
        measure = f"hr@{config.list}"
        own, model = values.get(f"ensemble/{measure}"), values.get(f"model/{measure}")
        name, unit = f"{config.base}.utility.{measure}", "hit rate, difference in -1..1, mean over accounts"
        title = f"Utility of the bagged {_WORDS[config.base]} recommender less that of the audited model"
        if own is None or model is None:
            return self.made(name, title, measure, unit, **head, missing=_why(values, "test"))
        return self.made(
            name, title, measure, unit, **head, estimate=own - model, n=int(values["utility_users"] or 0),
            standard_error=values.get("utility_error"), limits=(-1.0, 1.0),
            baseline={"audited model": model, "bagged recommender": own},
        )  # fmt: skip

    def _details(self, values: Mapping[str, float | None], number: int) -> dict[str, Any]:
        """Settings and prices, for tables."""
        config: CertificateConfig = self.config
        named = ("models", "sample", "per_model", "base", "only_drawn", "list", "alpha")
        measured = ("audited", "tests", "tolerated/one", "tolerated/half")
        found: dict[str, Any] = {name: getattr(config, name) for name in named} | {"fakes": number}
        found |= {name: values.get(name) for name in measured}
        found |= {name: values.get(f"e{number}/{name}") for name in ("sigma", "delta")}
        measure = f"hr@{config.list}"
        return found | {f"{side}/{measure}": values.get(f"{side}/{measure}") for side in ("ensemble", "model")}


_WORDS: dict[Base, str] = {"itemknn": "item-based", "cooccurrence": "co-occurrence"}
_REASONS = {
    "vote": "no base model listed anything for the audited accounts",
    "lack": "no little-known item that an audited account lacks",
    "test": "no account has held-out events that can be listed",
}


def _why(values: Mapping[str, float | None], reason: str) -> str:
    return _REASONS[reason] if values else "the votes were not counted to the end; see the failures"


def _mean(units: Sequence[Unit]) -> float:
    return float(np.mean([unit.value for unit in units]))
