"""Lists instead of scores: what a system shows, by users and history, as a model that can be ranked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from ...datasets.errors import DataError, InputError
from ...datasets.log import Float32, Int32, InteractionLog, Text
from ..base import ModelConfig
from ..consumed import consumed

_SHOWN = 5  # ids in an error
_ENOUGH = 20


class Asked:
    """Base of systems that give ranked lists; the first of K listed items scores K, one that is not listed `rest`.

    Lists are asked for once for each history, for all users.
    """

    rest: ClassVar[float] = 0.0
    family: ClassVar[str] = "black box"

    def __init__(self, config: ModelConfig) -> None:
        """Store the config; ask nothing."""
        self.config: Any = config
        self.n_users = 0
        self.n_items = 0
        self.epochs: int | None = None
        self._known: WeakKeyDictionary[InteractionLog, Int32] = WeakKeyDictionary()

    def lists(self, history: InteractionLog) -> Int32:
        """Lists of all users, best first: int32 [U, K], -1 behind the end of a shorter one."""
        raise NotImplementedError

    def scores(self, users: NDArray[np.int64], history: InteractionLog) -> Float32:
        """See Recommender."""
        known = self._known.get(history)
        if known is None:
            known = self._known[history] = self.lists(history)
        items = known[np.asarray(users, np.int64)]
        found = np.full((len(items), self.n_items), self.rest, np.float32)
        row, place = np.nonzero(items >= 0)
        found[row, items[row, place]] = items.shape[1] - place
        return found

    def state(self) -> dict[str, torch.Tensor]:
        """Nothing: the system keeps its own."""
        return {}

    def load(self, state: Mapping[str, torch.Tensor], n_users: int, n_items: int) -> None:
        """Take the sizes."""
        self.n_users, self.n_items = n_users, n_items

    def shapes(self, n_users: int, n_items: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """None."""
        return {}

    def __getstate__(self) -> dict[str, Any]:
        """Without the lists known, which hang on logs of this process."""
        return {name: value for name, value in self.__dict__.items() if name != "_known"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """With no list known."""
        self.__dict__.update(state, _known=WeakKeyDictionary())


def read_lists(path: Path, log: InteractionLog) -> Int32:
    """Ranked lists from a file, over the users and items of a log: int32 [U, K], -1 where a list is shorter.

    Args:
        path: CSV or Parquet with columns user and item, a row for each listed item, and `rank` (1 is best) or `score`
            (higher is better) if the rows of a user do not stand in order.
        log: whose ids are known.

    Raises:
        DataError: unreadable, a column is missing, an id is unknown, an item stands twice in a list, or a score is no
            number.
    """
    try:
        table = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path}: cannot be read as lists ({str(error).splitlines()[0][:200]})") from None
    for name in ("user", "item"):
        if name not in table.columns:
            raise DataError(f"{path}: no column {name!r}; expected user, item and perhaps rank or score")
    user = rows_of(table["user"].cast(pl.String).to_numpy().astype(np.str_), log.user_ids, path, "user")
    item = rows_of(table["item"].cast(pl.String).to_numpy().astype(np.str_), log.item_ids, path, "item")
    pairs = user * log.n_items + item
    if len(np.unique(pairs)) < len(pairs):
        raise DataError(f"{path}: an item stands twice in the list of a user; list each once")
    order = np.lexsort((np.arange(len(user)), _order(table, path), user))
    user, item = user[order], item[order]
    counts = np.bincount(user, minlength=log.n_users)
    found = np.full((log.n_users, int(counts.max(initial=0))), -1, np.int32)
    found[user, np.arange(len(user)) - np.repeat(np.cumsum(counts) - counts, counts)] = item
    return found


def long_enough(items: Int32, history: InteractionLog, name: str) -> Int32:
    """The lists, if nearly all hold enough items that their user has not consumed.

    Raises:
        DataError: more than one list of twenty holds fewer than 20 of them (or than there are): what stands behind the
            end of a list would be ranked by chance.
    """
    row, place = np.nonzero(items >= 0)
    fresh = ~np.isin(row * history.n_items + items[row, place], history.pair_keys)
    count = np.bincount(row[fresh], minlength=len(items))
    wanted = np.minimum(_ENOUGH, history.n_items - np.diff(consumed(history).indptr))
    short = int((count < wanted).sum())
    if short > len(items) / 20:
        raise DataError(
            f"{name}: {short:,} of {len(items):,} lists hold fewer than {_ENOUGH} items that their user has not "
            "consumed; leave consumed items out ({history}) or list more ({k})"
        )
    return items


def _order(table: pl.DataFrame, path: Path) -> NDArray[np.float64]:
    for name, sign in (("rank", 1.0), ("score", -1.0)):
        if name in table.columns:
            values = table[name].cast(pl.Float64, strict=False)
            if values.null_count() or not np.isfinite(values.to_numpy()).all():
                raise DataError(f"{path}: column {name} holds NaN, infinite or no numbers")
            return sign * values.to_numpy()
    return np.zeros(len(table))


def rows_of(ids: Text, known: Text, path: Path | str, kind: str) -> NDArray[np.int64]:
    """The indices of ids among the known ones.

    Raises:
        DataError: an id is unknown; the message names the path.
    """
    order = np.argsort(known)
    rows: NDArray[np.int64] = order[np.searchsorted(known, ids, sorter=order).clip(max=len(known) - 1)]
    unknown = np.unique(ids[known[rows] != ids])
    if len(unknown):
        few = ", ".join(repr(str(own)) for own in unknown[:_SHOWN])
        raise DataError(
            f"{path}: {len(unknown):,} {kind}s are not in the data ({few}); ids are text: check leading zeros and case"
        )
    return rows


class ListsConfig(ModelConfig):
    """Nothing to set: the lists are given."""


class Lists(Asked):
    """Lists that were given: they can be looked at, and nothing can be trained. What is not listed is never shown."""

    rest: ClassVar[float] = -np.inf

    name: ClassVar[str] = "lists"
    title: ClassVar[str] = "Lists as they were given"
    reference: ClassVar[str] = "the owner's system"
    config_type: ClassVar[type[ModelConfig]] = ListsConfig

    def __init__(self, config: ModelConfig | None = None, items: Int32 | None = None) -> None:
        """Of lists int32 [U, K]."""
        super().__init__(config or ListsConfig())
        self.items = np.empty((0, 0), np.int32) if items is None else items

    def lists(self, history: InteractionLog) -> Int32:
        """The given ones, whatever the history."""
        return self.items

    def why_no_refit(self) -> str | None:
        """Always."""
        return "lists cannot be trained again; give a system with a retraining (--refit-cmd, --python)"

    def fit(self, log: InteractionLog, seed: int, **_: Any) -> None:
        """Impossible.

        Raises:
            InputError: always.
        """
        raise InputError(self.why_no_refit())

    def state(self) -> dict[str, torch.Tensor]:
        """The lists."""
        return {"items": torch.from_numpy(self.items)}

    def load(self, state: Mapping[str, torch.Tensor], n_users: int, n_items: int) -> None:
        """Take lists."""
        super().load(state, n_users, n_items)
        self.items = state["items"].numpy()

    def shapes(self, n_users: int, n_items: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """One table, of any width."""
        return {"items": ((n_users, -1), torch.int32)}
