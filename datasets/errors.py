"""The few errors a user can meet: what was expected, what came, how to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

INTERRUPTED = 130
"""What the command line ends with after Ctrl-C."""


class RecauditError(Exception):
    """Base of every error that is shown as one line without a traceback.

    `exit_code` is what the command line ends with (2 wrong use or input, 3 could not finish).
    """

    exit_code = 2


class InputError(RecauditError):
    """A file, option or value from outside cannot be used; the message names it and the remedy."""


class DataError(InputError):
    """A data file or folder is no interaction log, or holds rows that make no sense."""


class CheckpointError(InputError):
    """A checkpoint is damaged, truncated, hostile or does not belong to its data."""


class PolicyError(InputError):
    """A policy file is not valid; the message names the field."""


class UnfinishedError(RecauditError):
    """The audit could not finish (full disk, a worker that died); what was done is kept."""

    exit_code = 3


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """An error for an unknown name, with the nearest known one."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return InputError(f"unknown {kind} {name!r}.{hint} Known: {', '.join(names)}.")
