"""What is written about an item, as one line."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..datasets.errors import DataError
from ..datasets.log import InteractionLog

COLUMNS = ("title", "brand", "categories", "genres", "description")
"""Columns of the item table that are read, in this order; "a|b" means a and b."""

LONGEST = 1000
"""Characters of a text that are read."""


_READ = 4 * LONGEST  # characters of a raw text that are looked at: runs of spaces and decomposed letters shrink
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # category Cc, all of it
_SIGN = re.compile(r"[^\s\x00-\x1f\x7f-\x9f]")


def normalised(text: str) -> str:
    """NFC, without control characters, single spaces, cut at `LONGEST` characters; read up to 4 times as many."""
    clean = _CONTROL.sub(" ", unicodedata.normalize("NFC", text[:_READ]))
    return " ".join(clean.split())[:LONGEST].rstrip()


def texts_of(table: pd.DataFrame, columns: Sequence[str] = COLUMNS) -> list[str]:
    """One line for each row of an item table: its title, then what else `columns` names; empty if nothing is known."""
    known = [
        [normalised(value[:_READ].replace("|", ", ")) if isinstance(value, str) else "" for value in table[name]]
        for name in columns
        if name in table
    ]
    if len(known) < 2:
        return known[0] if known else [""] * len(table)
    return [". ".join(filter(None, parts))[:LONGEST].rstrip() for parts in zip(*known, strict=True)]


def why_no_texts(log: InteractionLog, columns: Sequence[str] = COLUMNS) -> str | None:
    """Why `item_texts` refuses a log, or None if it does not; the texts are not made for it."""
    if log.items is None or not any(name in log.items for name in columns):
        named = f"{', '.join(columns[:-1])} or so" if len(columns) > 1 else columns[0]
        return f"the items have no text; give an item table with a column {named}"
    known = np.zeros(len(log.items), bool)
    for name in columns:
        if name in log.items:
            signs = [isinstance(value, str) and bool(_SIGN.search(value, 0, _READ)) for value in log.items[name]]
            known |= np.array(signs, bool)
    empty = int((~known).sum())
    if 2 * empty > len(known):
        return f"{empty:,} of {len(known):,} items have no text, too many for a model that reads texts"
    return None


def item_texts(log: InteractionLog, columns: Sequence[str] = COLUMNS) -> list[str]:
    """The text of every item of a log, I lines; empty where nothing is known.

    Args:
        log: with an item table.
        columns: of it that are read.

    Raises:
        DataError: the log has no item table, or most items have no text.
    """
    why = why_no_texts(log, columns)
    if why is not None or log.items is None:
        raise DataError(str(why))
    return texts_of(log.items, columns)
