"""Digests of what a record says, over its JSON: the same whether it was just made or read back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
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
