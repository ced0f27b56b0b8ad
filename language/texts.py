"""What is written about an item, as one line."""

from __future__ import annotations

import unicodedata

import pandas as pd

from ..datasets.errors import DataError
from ..datasets.log import InteractionLog

COLUMNS = ("title", "brand", "categories", "genres", "description")
"""Columns of the item table that are read, in this order; "a|b" means a and b."""

LONGEST = 1000
"""Characters of a text that are read."""


def normalised(text: str) -> str:
    """NFC, without control characters, single spaces, cut at `LONGEST` characters."""
    clean = "".join(" " if unicodedata.category(sign) == "Cc" else sign for sign in unicodedata.normalize("NFC", text))
    return " ".join(clean.split())[:LONGEST].rstrip()


def texts_of(table: pd.DataFrame) -> list[str]:
    """One line for each row of an item table: its title, then what else `COLUMNS` names; empty if nothing is known."""
    columns = [name for name in COLUMNS if name in table]
    lines = []
    for row in table[columns].itertuples(index=False):
        parts = (normalised(value.replace("|", ", ")) for value in row if isinstance(value, str))
        lines.append(normalised(". ".join(part for part in parts if part)))
    return lines


def why_no_texts(log: InteractionLog) -> str | None:
    """Why `item_texts` refuses a log, or None if it does not."""
    try:
        item_texts(log)
    except DataError as error:
        return str(error)
    return None


def item_texts(log: InteractionLog) -> list[str]:
    """The text of every item of a log, I lines; empty where nothing is known.

    Raises:
        DataError: the log has no item table, or most items have no text.
    """
    if log.items is None or not any(name in log.items for name in COLUMNS):
        raise DataError(f"the items have no text; give an item table with a column {', '.join(COLUMNS[:-1])} or so")
    lines = texts_of(log.items)
    empty = sum(not line for line in lines)
    if 2 * empty > len(lines):
        raise DataError(f"{empty:,} of {len(lines):,} items have no text, too many for a model that reads texts")
    return lines
