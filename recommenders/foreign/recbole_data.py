"""RecBole's numbering of ids and its splits, made again from the events and its configuration."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ...datasets.filters import deduplicate, k_core
from ...datasets.log import Int64, InteractionLog
from ...datasets.read import LoadedLog
from ...datasets.split import Split, given
from ..checkpoint_files import refuse
from .recbole import RecBole

_OTHERWISE = "give the parts RecBole trained on as files (train, valid and test in one folder) by --data"


def rebuilt_split(file: RecBole, loaded: LoadedLog) -> Split:
    """The parts of these data as RecBole splits them with this configuration and seed.

    Parts that the data give are taken as they are. Users and items are numbered by first appearance after filtering,
    as RecBole numbers them, whose id is one more.

    Raises:
        CheckpointError: the configuration asks for a filter, order or split that is not made again here.
        DataError: a filter leaves nothing.
    """
    if loaded.parts:
        return given(loaded.parts)
    log = _timed(file, _filtered(file, loaded.log))
    if file.settings.get("benchmark_filename"):
        raise refuse(file.path, "its own files of parts", "one log", _OTHERWISE)
    wanted = file.settings.get("eval_args")
    wanted = wanted if isinstance(wanted, dict) else {}
    split = wanted.get("split")
    split = split if isinstance(split, dict) else {}
    order = _ordered(file, log, wanted.get("order"))
    if wanted.get("group_by") not in (None, "none", "user"):
        raise file.lacks("eval_args.group_by", "user or none", wanted.get("group_by"))
    grouped = wanted.get("group_by") == "user"
    if "RS" in split:
        parts = _by_ratio(log, order, _ratios(file, split["RS"]), grouped)
    elif "LS" in split:
        parts = _last_out(file, log, order, split["LS"])
    else:
        raise file.lacks("eval_args.split", "RS or LS", wanted.get("split"))
    train, valid, test = (log.take(np.sort(rows)) for rows in parts)
    name = "RS" if "RS" in split else "LS"
    said = split[name] if name == "LS" else "/".join(f"{share:g}" for share in split[name])
    return Split(train, valid, test, f"as RecBole splits: {name} {said}, {wanted.get('order')}, seed {_seed(file)}")


def _seed(file: RecBole) -> int:
    return file.whole("seed")


def _filtered(file: RecBole, log: InteractionLog) -> InteractionLog:
    if file.settings.get("rm_dup_inter") == "first":
        log, _ = deduplicate(log)
    elif file.settings.get("rm_dup_inter"):
        raise file.lacks("rm_dup_inter", "none or first", file.settings["rm_dup_inter"])
    log = _by_value(file, log)
    users, items = (_least(file, f"{side}_inter_num_interval") for side in ("user", "item"))
    return _by_appearance(k_core(log, users, items) if max(users, items) > 0 else log)


def _by_appearance(log: InteractionLog) -> InteractionLog:
    """The log with users and items numbered by their first event, those without one left out."""
    parts: dict[str, Any] = {}
    for side, index, ids in (("user", log.user, log.user_ids), ("item", log.item, log.item_ids)):
        used, first = np.unique(index, return_index=True)
        order = used[np.argsort(first)]
        place = np.empty(len(ids), np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        table = getattr(log, f"{side}s")
        parts |= {side: place[index], f"{side}_ids": ids[order]}
        parts[f"{side}s"] = None if table is None else table.iloc[order].reset_index(drop=True)
    return replace(log, **parts)


_INTERVAL = re.compile(r"([\[(])\s*([-+.\w]{1,32})\s*,\s*([-+.\w]{1,32})\s*([\])])")


def _by_value(file: RecBole, log: InteractionLog) -> InteractionLog:
    """The events whose rating and time lie in the intervals of `val_interval`, "[3,inf)" or several with ; between."""
    wanted = file.settings.get("val_interval")
    if not wanted:
        return log
    columns = {file.text("RATING_FIELD", "rating"): log.value, file.text("TIME_FIELD", "timestamp"): log.time}
    kept = np.ones(len(log), bool)
    for name, text in wanted.items() if isinstance(wanted, dict) else (("", wanted),):
        column = columns.get(name) if isinstance(name, str) else None
        if column is None or not isinstance(text, str):
            raise file.lacks("val_interval", "intervals of the data's ratings or times", name)
        inside = np.zeros(len(log), bool)
        for part in text.split(";"):
            low, high, at_low, at_high = _ends(file, part.strip())
            above = column >= low if at_low else column > low
            inside |= above & (column <= high if at_high else column < high)
        kept &= inside
    return log.take(np.flatnonzero(kept))


def _ends(file: RecBole, text: str) -> tuple[float, float, bool, bool]:
    """Both ends of an interval, and whether they belong to it."""
    found = _INTERVAL.fullmatch(text)
    try:
        low, high = (float(found[2]), float(found[3])) if found else (math.nan, math.nan)
    except ValueError:
        low = high = math.nan
    if found is None or not low <= high:
        raise file.lacks("val_interval", "intervals such as [3,inf)", text)
    return low, high, found[1] == "[", found[4] == "]"


def _least(file: RecBole, name: str) -> int:
    """The lower end of an interval of counts, "[5,inf)"."""
    value = file.settings.get(name)
    if value is None:
        return 0
    found = re.fullmatch(r"\[(\d{1,9}),\s*inf\)", value) if isinstance(value, str) else None
    if found is None:
        raise file.lacks(name, "an interval [N,inf)", value)
    return int(found[1])


def _timed(file: RecBole, log: InteractionLog) -> InteractionLog:
    """The log with times as fine as RecBole's: float32, normalised before if its configuration says so.

    Events that float32 cannot tell apart stand in the order of the file; each gets the first time of its group.
    """
    if log.time is None:
        return log
    time = log.time.astype(np.float64)
    if file.settings.get("normalize_all"):
        spread = time.max() - time.min()
        time = (time - time.min()) / spread if spread else np.ones_like(time)
    _, group = np.unique(time.astype(np.float32), return_inverse=True)
    first = np.full(group.max(initial=-1) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, group, log.time)
    return replace(log, time=first[group])


def _ordered(file: RecBole, log: InteractionLog, order: Any) -> Int64:
    """All events in the order in which they are dealt out."""
    if order == "RO":
        draw = torch.Generator().manual_seed(_seed(file))
        return torch.randperm(len(log), generator=draw).numpy()
    if order == "TO":
        if log.time is None:
            raise refuse(file.path, "events with times, by which it was split", "none", "give data with times")
        return np.argsort(log.time, kind="stable")
    raise file.lacks("eval_args.order", "RO or TO", order)


def _ratios(file: RecBole, value: Any) -> tuple[float, float, float]:
    numbers = isinstance(value, list) and len(value) == 3
    numbers = numbers and all(type(n) in (int, float) and math.isfinite(n) for n in value)
    if not numbers or min(value) < 0 or sum(value) <= 0:
        raise file.lacks("eval_args.split.RS", "three shares", value)
    train, valid, test = (float(n) / sum(value) for n in value)
    return train, valid, test


def _by_ratio(
    log: InteractionLog, order: Int64, ratios: tuple[float, float, float], grouped: bool
) -> tuple[Int64, Int64, Int64]:
    """Shares of each user's events (or of all) in this order, the held-out ones rounded down.

    Of a held-out part whose share is less than one event, one event is taken if the training part has more than one.
    """
    group = log.user[order] if grouped else np.zeros(len(order), np.int32)
    by_group = order[np.argsort(group, kind="stable")]
    total = np.bincount(group)
    valid, test = (np.array([int(share * n) for n in total.tolist()]) for share in ratios[1:])
    train = total - valid - test
    for share, part in ((ratios[2], test), (ratios[1], valid)):
        one = (train > 1) & (0 < share * total) & (share * total < 1)
        part += one
        train -= one
    start = np.cumsum(total) - total
    place = np.arange(len(order)) - np.repeat(start, total)
    first, second = np.repeat(train, total), np.repeat(train + valid, total)
    return by_group[place < first], by_group[(place >= first) & (place < second)], by_group[place >= second]


def _last_out(file: RecBole, log: InteractionLog, order: Int64, mode: Any) -> tuple[Int64, Int64, Int64]:
    """The last events of each user, as long as one is left to train on."""
    held = {"valid_and_test": (1, 1), "valid_only": (1, 0), "test_only": (0, 1)}.get(
        mode if isinstance(mode, str) else ""
    )
    if held is None:
        raise file.lacks("eval_args.split.LS", "valid_and_test, valid_only or test_only", mode)
    by_user = order[np.argsort(log.user[order], kind="stable")]
    counts = log.user_counts
    from_end = np.repeat(np.cumsum(counts), counts) - 1 - np.arange(len(order))
    # a model of sequences is taught nothing by a user's first event, so one more must be left
    least = 2 if _sequential(file) else 1
    spare = np.repeat(np.maximum(counts - least, 0), counts)
    in_test = (from_end < held[1]) & (from_end < spare)
    in_valid = ~in_test & (from_end < sum(held)) & (from_end < spare)
    return by_user[~(in_test | in_valid)], by_user[in_valid], by_user[in_test]


def _sequential(file: RecBole) -> bool:
    """Whether the configuration is one of a model of sequences (`ModelType.SEQUENTIAL`, number 2)."""
    kind = file.settings.get("MODEL_TYPE")
    args: Sequence[Any] = getattr(kind, "args", ())
    return list(args) == [2]
