"""One cell, computed: fit what it names, rank all items for all genuine users, measure."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datasets.log import InteractionLog
from ..recommenders.base import Recommender
from ..recommenders.catalogue import fit
from ..recommenders.evaluate import of_lists
from ..recommenders.ranking import Ranking, rank
from ..recommenders.target import Target
from .cell import Cell
from .evidence import CellResult
from .probe import SideMeasure
from .standing import standing


@dataclass(frozen=True)
class Protocol:
    """What is measured of every model.

    Attributes:
        cutoffs: list lengths K of HR@K, NDCG@K and the like, ascending.
        measures: side measures of the top-K lists at the largest cut-off.
    """

    cutoffs: tuple[int, ...]
    measures: tuple[SideMeasure, ...] = ()

    def describe(self) -> dict[str, Any]:
        """As JSON; part of every cell's key."""
        return {"cutoffs": list(self.cutoffs), "measures": [measure.name for measure in self.measures]}


@dataclass(frozen=True, eq=False)
class Computed:
    """A computed cell: the result, and arrays where later statistics resample users."""

    result: CellResult
    arrays: Mapping[str, NDArray[Any]]


def compute(cell: Cell, target: Target, protocol: Protocol) -> Computed:
    """Fit and measure one cell; deterministic but for the seconds."""
    started = time.perf_counter()
    if cell.inquiry is not None:
        answer = cell.inquiry.answer(target, cell.seed)
        values, arrays = dict(answer.values), dict(answer.arrays)
        if answer.served is not None:
            seen, lists = measured(*answer.served, cell, target, protocol)
            values, arrays = values | seen, arrays | lists
        result = _result(cell, target, protocol, values, started)
        return Computed(result.model_copy(update={"texts": dict(answer.texts), "costs": dict(answer.costs)}), arrays)
    model, injected = fitted(cell, target)
    values, arrays = measured(model, target.split.history, cell, target, protocol)
    values |= standing(model, target.split.history, cell.watch) | dict(injected.observed) | dict(injected.defended)
    result = _result(cell, target, protocol, values, started)
    seconds: dict[str, Any] = {"craft_seconds": injected.seconds, "defense_seconds": injected.defense_seconds}
    if injected.fit_seconds is not None:
        seconds["costs"] = {"fit": injected.fit_seconds}
    return Computed(result.model_copy(update=seconds), arrays if cell.keeps_arrays else {})


def measured(
    model: Recommender, history: InteractionLog, cell: Cell, target: Target, protocol: Protocol
) -> tuple[dict[str, float | None], dict[str, NDArray[Any]]]:
    """What is measured of every model: utility, side measures, watched items; and arrays (`Results.arrays`)."""
    split = target.split
    # injected accounts stand behind the genuine users in the fitted model and are never ranked
    ranking = rank(
        model, None, history, protocol.cutoffs[-1], watch=np.array(cell.watch, np.int32), n_users=history.n_users
    )
    utility = of_lists(ranking.slate.items, split.test, history, protocol.cutoffs)
    values: dict[str, float | None] = dict(utility.means())
    for measure in protocol.measures:
        values.update(measure.values(ranking.slate, split.train.n_items))
    values.update(_watched_values(ranking, split.train, cell.watch, protocol.cutoffs))
    return values, {"items": ranking.slate.items, "users": utility.users, **utility.values}


def _result(
    cell: Cell, target: Target, protocol: Protocol, values: Mapping[str, float | None], started: float
) -> CellResult:
    return CellResult(
        key=cell.key(target, protocol.describe()),
        kind=cell.kind,
        label=cell.label,
        params=cell.params,
        seed=cell.seed,
        values=dict(values),
        seconds=round(time.perf_counter() - started, 3),
    )


@dataclass(frozen=True)
class Injected:
    """What is known of the accounts that were injected.

    Attributes:
        observed: named values.
        seconds: CPU seconds of their making.
        defended: what a defence made of them.
        defense_seconds: CPU seconds of the training with it.
        fit_seconds: CPU seconds of the training, with or without a defence; None of the checkpoint.
    """

    observed: Mapping[str, float | None]
    seconds: float | None
    defended: Mapping[str, float | None] = field(default_factory=dict)
    defense_seconds: float | None = None
    fit_seconds: float | None = None


def fitted(cell: Cell, target: Target) -> tuple[Recommender, Injected]:
    """The model that a cell measures, and what is known of the accounts injected for it."""
    if cell.kind == "model":
        return target.model, Injected({}, None)
    log, injected = target.split.train, Injected({}, None)
    if cell.injection is not None:
        started = time.process_time()
        profiles = cell.injection.profiles(log, target.model)
        seconds = round(time.process_time() - started, 3)
        injected = Injected(cell.injection.observe(log, profiles), seconds)
        log = log.with_accounts(profiles)
    recipe, started = cell.recipe or target.recipe, time.process_time()
    if cell.defense is None:
        model = fit(recipe, log, cell.seed)
        return model, replace(injected, fit_seconds=round(time.process_time() - started, 3))
    defended = cell.defense.train(recipe, log, cell.seed)
    seconds = round(time.process_time() - started, 3)
    found = cell.defense.observe(defended, log, target.split.train.n_users)
    return defended.model, replace(injected, defended=found, defense_seconds=seconds, fit_seconds=seconds)


def _watched_values(
    ranking: Ranking, log: InteractionLog, watch: Sequence[int], cutoffs: Sequence[int]
) -> dict[str, float | None]:
    """HR@k, NDCG@k and ranks of watched items over the genuine users who lack them (attacks.md section 7).

    An item that every user has consumed has no eligible user and None for every measure.
    """
    values: dict[str, float | None] = {}
    for row, item in enumerate(watch):
        name = f"target/{log.item_ids[item]}"
        ranks = ranking.watched[row].astype(np.float64)
        ranks = ranks[~np.isnan(ranks)]
        values[f"{name}/eligible"] = float(len(ranks))
        if not len(ranks):
            continue
        for k in cutoffs:
            inside = ranks <= k
            values[f"{name}/hr@{k}"] = float(inside.mean())
            values[f"{name}/ndcg@{k}"] = float((inside / np.log2(1 + ranks)).mean())
        values[f"{name}/mean_rank"] = float(ranks.mean())
        values[f"{name}/log2_rank"] = float(np.log2(ranks).mean())
    return values
