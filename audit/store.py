"""Computed cells on disk: content-addressed, written atomically, checked when read."""

from __future__ import annotations

import errno
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datasets.errors import UnfinishedError
from .evidence import CellResult
from .files import write_whole


def write_atomically(path: Path, content: bytes) -> None:
    """`write_whole`, with an error that says what to mend.

    Raises:
        UnfinishedError: the disk is full or the folder cannot be written; nothing half-written remains.
    """
    try:
        write_whole(path, content)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "free some space" if full else "check the folder and its permissions"
        raise UnfinishedError(
            f"cannot write {path}: {error.strerror}; {remedy} and run the same command again, finished cells are kept"
        ) from error


class Store:
    """The cells of a run folder: `cells/KEY.json`, and `cells/KEY.npz` for cells with arrays."""

    def __init__(self, folder: Path) -> None:
        """Keep the folder; it is made with the first cell."""
        self.folder = folder

    def write(self, result: CellResult, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep a computed cell; the arrays first, since the JSON says that the cell is there."""
        if arrays:
            buffer = io.BytesIO()
            np.savez_compressed(buffer, allow_pickle=False, **arrays)
            write_atomically(self.folder / f"{result.key}.npz", buffer.getvalue())
        write_atomically(self.folder / f"{result.key}.json", result.model_dump_json(indent=1).encode())

    def read(self, key: str, with_arrays: bool) -> CellResult | None:
        """The cell if it is there and whole, else None: a damaged cell is simply computed again."""
        try:
            result = CellResult.model_validate_json((self.folder / f"{key}.json").read_bytes())
            if with_arrays:
                self.arrays(key)
        except (OSError, ValueError):
            return None
        return result if result.key == key else None

    def arrays(self, key: str) -> dict[str, NDArray[Any]]:
        """The arrays of a cell; never unpickles.

        Raises:
            OSError, ValueError: missing or damaged.
        """
        try:
            with np.load(self.folder / f"{key}.npz", allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except OSError:
            raise
        except Exception as error:  # zip and zlib damage raise half a dozen unrelated types
            raise ValueError(f"{key}.npz is damaged") from error
