"""Digests: of what a record says, the same whether it was just made or read back, and of the code that made it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

TIMED = ("seconds", "craft_seconds", "defense_seconds", "costs")
"""Fields of a cell that differ between equal results."""


def policy_digest(policy: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON: equal for policies that ask for the same, whatever their layout."""
    text = json.dumps(policy, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def evidence_digest(cells: Sequence[Mapping[str, Any]], evidence: Sequence[Mapping[str, Any]]) -> str:
    """SHA-256 over everything that was measured, times excepted: equal for equal results."""
    content = [[{k: v for k, v in cell.items() if k not in TIMED} for cell in cells], list(evidence)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@cache
def code_digest(root: Path = Path(__file__).parents[1]) -> str:
    """SHA-256 over the modules of the package at `root`, by name; folders that are no packages do not count."""
    folders = sorted(path.parent for path in root.glob("*/__init__.py"))
    nested = (path for folder in folders for path in folder.rglob("*.py"))
    digest = hashlib.sha256()
    for path in sorted([*root.glob("*.py"), *nested]):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()}\n{len(content)}\n".encode() + content)
    return digest.hexdigest()
