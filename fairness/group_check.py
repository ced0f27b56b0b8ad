"""The check "groups": are groups of items and of users treated alike, and does popularity decide too much?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from ..audit.cell import CHECKPOINT, Cell
from ..audit.evidence import Evidence
from ..audit.probe import NotApplicable, Probe, ProbeConfig, Results
from ..datasets.errors import InputError
from ..datasets.log import Int64, InteractionLog
from ..recommenders.evaluate import relevance
from ..recommenders.target import Target
from .awrf import awrf
from .disparity import FLOOR, utility_disparity
from .group_exposure import exposure_disparity, group_exposure
from .group_rows import (
    AUTO,
    columns_of,
    disparity_error,
    finite,
    gap_error,
    group_table,
    mean_error,
    numbers,
    utility_table,
)
from .groups import Groups, column_groups, popularity_buckets
from .measure import Formula
from .popularity_bias import average_popularity, long_tail_share, miscalibration
from .propensity import Propensity, corrected_utility
from .recommendations import Recommendations
from .references import CELLS, judged_lists, lists_of
from .resample import standard_errors
from .sessions import GAP, session_metrics
from .value import PerUser, Value

ITEM_COLUMNS = ("genres", "genre", "category", "categories", "brand", "provider", "artist", "publisher")
USER_COLUMNS = ("gender", "sex", "age", "age_group", "occupation", "country")
_DISPARITY = (
    ("min_max", "Least shown group against the most shown one, by their due", "lower",
     "0..1, 1 = every group is shown as often as it has items"),
    ("js", "Distance of the groups' exposure from their share of the catalogue", "higher",
     "Jensen-Shannon distance, 0..1, 0 = parity"),
)  # fmt: skip


Columns = Sequence[tuple[str, Groups | str]]
"""Group columns of the items by name; in place of groups the reason why there are none."""


class GroupsConfig(ProbeConfig):
    """Settings of the check "groups"."""

    item_columns: tuple[str, ...] = AUTO
    """Columns of the item table to group by; auto: those of the usual names. Several values are separated by "|"."""
    user_columns: tuple[str, ...] = AUTO
    """Columns of the user table; auto: those of the usual names."""
    smallest: int = Field(default=FLOOR, ge=1)
    """Users that a group needs for its mean to be told: fewer would tell of persons."""
    gamma: float = Field(default=2.0, ge=-1)
    """Exponent of the power law of popularity in the propensity model; its authors' fits lie in 1.55..3.07."""


class GroupsProbe(Probe):
    """Exposure of groups of items, utility of groups of users, popularity bias and calibration of the lists.

    Lists of the policy's largest cut-off, for the genuine users with held-out items.
    """

    key = "groups"
    title = "Are groups of items and users treated alike?"
    reference = (
        "Singh, Joachims, KDD 2018 (exposure of groups); Abdollahpouri et al., FLAIRS 2019 (popularity bias); "
        "Steck, RecSys 2018 (calibration); Yang et al., RecSys 2018 (propensity-corrected utility)"
    )
    config_type = GroupsConfig

    def cells(self, target: Target) -> Sequence[Cell]:
        """The checkpoint, and popularity beside it."""
        try:
            relevance(target.split.test, target.split.history, target.split.train.n_users)
        except InputError as error:
            raise NotApplicable(str(error)) from None
        return CELLS

    def evidence(self, target: Target, results: Results) -> Sequence[Evidence]:
        """One evidence per group column and measure."""
        if CHECKPOINT not in results:
            return [self._evidence("items", 0, Value.undefined("the checkpoint could not be measured"))]
        split = target.split
        users, data = judged_lists(target, lists_of(target, results, self.seed))
        groups = list(self._item_groups(split.train))
        found = [
            *self._items(split.train, data, groups),
            *self._popularity(split.train, split.history, users, data, groups),
            *self._users(split.train, users, results.arrays(CHECKPOINT), data["model"].k),
            *self._utility(split.train, split.test, users, data),
        ]
        key = results[CHECKPOINT].key
        # a number over all groups is one over all users
        return [
            e.model_copy(update={"cells": [key], "n": e.n or (len(users) if e.missing is None else 0)}) for e in found
        ]

    def _items(self, log: InteractionLog, data: dict[str, Recommendations], columns: Columns) -> Iterator[Evidence]:
        for name, groups in columns:
            if isinstance(groups, str):
                yield self._evidence(f"items.{name}", data["model"].k, Value.undefined(groups))
                continue
            found = {key: group_exposure(lists, groups, log.item_counts) for key, lists in data.items()}
            disparity = {key: exposure_disparity(exposure) for key, exposure in found.items()}
            for slug, meaning, worse, unit in _DISPARITY:
                yield self._evidence(
                    f"items.{name}.{slug}",
                    data["model"].k,
                    getattr(disparity["model"], slug),
                    title=f"{meaning}: items by {name}",
                    worse=worse,
                    unit=unit,
                    standard_error=disparity_error(data["model"], groups, slug, self.seed),
                    limits=(0.0, 1.0),
                    baseline=numbers({key: getattr(d, slug) for key, d in disparity.items() if key != "model"}),
                    details={"groups": group_table(found["model"])} if slug == "js" else {},
                )
            attention = {key: awrf(lists, groups, "catalogue") for key, lists in data.items()}
            yield self._evidence(
                f"items.{name}.awrf",
                data["model"].k,
                attention["model"].mean,
                title=f"Does every single list share attention as the catalogue does: items by {name} (AWRF, base 2)",
                worse="lower",
                unit="0..1, 1 = every list does",
                standard_error=mean_error(attention["model"]),
                limits=(0.0, 1.0),
                baseline=numbers({key: found.mean for key, found in attention.items() if key != "model"}),
            )

    def _popularity(
        self,
        log: InteractionLog,
        history: InteractionLog,
        users: Int64,
        data: dict[str, Recommendations],
        columns: Columns,
    ) -> Iterator[Evidence]:
        buckets = popularity_buckets(log.item_counts)
        past = history.matrix()[users]
        measured: list[tuple[str, str, str, str, Callable[[Recommendations], PerUser]]] = [
            ("popularity.arp", "Mean popularity of the items in a list", "training events", "higher",
             lambda lists: average_popularity(lists, log.item_counts)),
            ("popularity.aplt", "Share of a list that is long tail (all but the most popular tenth of the items)",
             "0..1", "lower", lambda lists: long_tail_share(lists, buckets)),
            ("popularity.miscalibration", "How far the popularity of what users are shown is from what they chose",
             "Jensen-Shannon divergence, 0..1, 0 = calibrated", "higher",
             lambda lists: miscalibration(lists, past, buckets, "js")),
        ]  # fmt: skip
        for name, groups in columns:
            if isinstance(groups, Groups) and name != "popularity":
                measured.append(
                    (f"calibration.{name}", f"How far the {name} users are shown are from those they chose",
                     "Jensen-Shannon divergence, 0..1, 0 = calibrated", "higher",
                     lambda lists, groups=groups: miscalibration(lists, past, groups, "js"))  # type: ignore[misc]
                )  # fmt: skip
        for name, title, unit, worse, formula in measured:
            per_user = {key: formula(lists) for key, lists in data.items()}
            yield self._evidence(
                name, data["model"].k, per_user["model"].mean, title=title, unit=unit, worse=worse,
                standard_error=mean_error(per_user["model"]),
                baseline=numbers({key: found.mean for key, found in per_user.items() if key != "model"}),
            )  # fmt: skip

    def _users(self, log: InteractionLog, users: Int64, arrays: Any, k: int) -> Iterator[Evidence]:
        values = arrays[f"ndcg@{k}"]
        for name, column in columns_of(log.users, self.config.user_columns, USER_COLUMNS):
            if isinstance(column, str):
                yield self._evidence(f"users.{name}", k, Value.undefined(column))
                continue
            found = utility_disparity(values, column.iloc[users], floor=self.config.smallest, seed=self.seed)
            yield self._evidence(
                f"users.{name}.ndcg_gap",
                k,
                found.gap,
                title=f"Largest difference of NDCG@{k} between groups of users by {name}",
                unit="NDCG, 0..1",
                standard_error=gap_error(found),
                details=utility_table(found),
            )

    def _utility(
        self, log: InteractionLog, test: InteractionLog, users: Int64, data: dict[str, Recommendations]
    ) -> Iterator[Evidence]:
        k = data["model"].k
        propensity = Propensity.of(log.item_counts, self.config.gamma)
        found = {key: corrected_utility(lists, propensity) for key, lists in data.items()}
        formulas: dict[str, Formula] = {
            name: lambda lists, name=name: getattr(corrected_utility(lists, propensity), name).snips  # type: ignore[misc]
            for name in ("recall", "hr")
        }
        errors = standard_errors(data["model"], formulas, self.seed)
        for name in formulas:
            both = {key: getattr(utility, name) for key, utility in found.items()}
            yield self._evidence(
                f"utility.{name}_snips",
                k,
                both["model"].snips,
                title=f"{name} with every held-out event weighted by one over its chance of being observed",
                unit="0..1",
                worse="lower",
                standard_error=finite(errors[name]),
                limits=(0.0, 1.0),
                baseline=numbers(
                    {"uncorrected": both["model"].naive}
                    | {key: utility.snips for key, utility in both.items() if key != "model"}
                ),
                details={
                    "propensity": found["model"].model,
                    "effective_sample": found["model"].effective,
                    "notes": [_uncorrected(both["model"].naive), found["model"].model],
                },
            )
        inside = np.isin(test.user, users)
        if test.time is None or not inside.any() or int(test.time.max()) < 10**8:
            return  # positions and missing times make no sessions
        row = np.searchsorted(users, test.user[inside]).astype(np.int32)
        sessions = session_metrics(data["model"].lists, row, test.item[inside], test.time[inside], gap=GAP)
        if sessions.sessions == sessions.events:
            return  # one event a session: NDCG as it is already
        yield self._evidence(
            "utility.session_ndcg", k, sessions.ndcg.by_user, worse="lower", unit="NDCG, 0..1",
            title="NDCG by session, averaged within users first, so that heavy users do not decide",
            baseline=numbers({"every session alike": sessions.ndcg.by_session}),
            details={"sessions": sessions.sessions, "largest_share": sessions.largest_share, "rule": sessions.rule},
        )  # fmt: skip

    def _item_groups(self, log: InteractionLog) -> Iterator[tuple[str, Groups | str]]:
        yield "popularity", popularity_buckets(log.item_counts)
        for name, column in columns_of(log.items, self.config.item_columns, ITEM_COLUMNS):
            yield name, column if isinstance(column, str) else column_groups(column)

    def _evidence(self, name: str, k: int, value: Value, **fields: Any) -> Evidence:
        defaults: dict[str, Any] = {"title": name, "unit": "0..1", "worse": "higher"}
        if value.value is None:
            fields.pop("standard_error", None)
        return Evidence(
            id=f"groups.{name}@{k}" if k else f"groups.{name}",
            check=self.key,
            measure=name.rsplit(".", 1)[-1],
            estimate=value.value,
            n=value.users or 0,
            missing=value.note if value.value is None else None,
            **(defaults | fields),
        )


def _uncorrected(value: Value) -> str:
    return f"every event alike: {value.note if value.value is None else format(value.value, '.4g')}"
