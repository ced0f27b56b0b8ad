"""Which column is the user, the item, the rating, the time: by the usual names, or as the caller says."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from .errors import DataError

USUAL = {
    "user": "user userid uid useridx reviewerid reviewer customerid customer visitorid visitor memberid member "
    "accountid account profileid listenerid readerid sessionid session",
    "item": "item itemid iid itemidx movieid movie parentasin asin productid product articleid bookid isbn "
    "trackid songid artistid videoid businessid placeid locationid poiid gameid appid recipeid newsid aid",
    "rating": "rating ratings bookrating score stars star overall value userrating ratingvalue",
    "time": "timestamp time ts unixreviewtime unixtime unixtimestamp datetime date createdat eventtime reviewtime "
    "position order",
    "split": "split subset partition",
}
"""Names in order of preference, lower case, letters and digits only."""

PARTS = {
    "train": "train training",
    "valid": "valid validation val dev vali",
    "test": "test testing heldout",
}
"""What the parts of a split are called."""


@dataclass(frozen=True)
class Columns:
    """Names given by the caller; None is guessed."""

    user: str | None = None
    item: str | None = None
    rating: str | None = None
    time: str | None = None

    @property
    def given(self) -> bool:
        """Whether any is given."""
        return any((self.user, self.item, self.rating, self.time))


def plain(name: str) -> str:
    """A column's name without case, signs and RecBole's type."""
    return re.sub(r"[\W_]", "", name.split(":")[0].lower())


def usual(names: Iterable[str], role: str) -> str | None:
    """The column that plays a role by its usual name, or None."""
    by_plain: dict[str, str] = {}
    for name in names:
        by_plain.setdefault(plain(name), name)
    return next((by_plain[each] for each in USUAL[role].split() if each in by_plain), None)


def part_of(word: str) -> str | None:
    """Which part ('train', 'valid', 'test') a word such as 'val' or 'Training' means."""
    word = plain(word)
    return next((part for part, words in PARTS.items() if word in words.split()), None)


def part_order(part: str | None) -> int:
    """Train before valid before test, for sorting."""
    return list(PARTS).index(part) if part in PARTS else len(PARTS)


def resolve(where: str, names: list[str], wanted: Columns) -> dict[str, str]:
    """Role -> column, with at least user and item.

    Args:
        where: the file, for messages.
        names: its columns.
        wanted: what the caller named.

    Raises:
        DataError: a named column is not there, or no column looks like users or items.
    """
    roles: dict[str, str] = {}
    for role in ("user", "item", "rating", "time"):
        given = getattr(wanted, role)
        if given is None:
            continue
        if given not in names:
            near = get_close_matches(given, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise DataError(f"{where}: no column {given!r} for {role}{hint} (columns: {_listed(names)})")
        roles[role] = given
    free = [name for name in names if name not in roles.values()]
    for role in USUAL:
        found = None if role in roles else usual(free, role)
        if found is not None:
            roles[role] = found
    for role in ("user", "item"):
        if role not in roles:
            raise DataError(
                f"{where}: no column for {role}s among {_listed(names)}; name it ({role}=COLUMN) or rename it {role}_id"
            )
    return roles


def _listed(names: list[str]) -> str:
    words = ", ".join(name if len(name) <= 40 else name[:39] + "…" for name in names[:12])
    return words + (f" and {len(names) - 12} more" if len(names) > 12 else "")
