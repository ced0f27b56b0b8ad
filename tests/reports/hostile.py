"""Texts that try to act, and a way to put them into every text field of a run record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import cycle
from typing import Any

from recaudit.audit.evidence import AuditRun

MARK = "Zq7"
TEXTS = (
    f"{MARK}<script>alert(1)</script>",
    f"{MARK}</style></title></bdi></svg><img src=x onerror=alert(1)>",
    f"{MARK}\"' onload='x' {{{{ 7 * 7 }}}} {{% raw %}} ${{x}} $\\frac{{1}}{{0}}$ $a_",
    f"{MARK}&lt;b&gt; &#60;i&#62; <!-- --> ]]> <![CDATA[ -->",
    f"{MARK}\x00\x01\x0b\x1b[31m\x7f\x85\ufffe\uffff\n\r\t\u2028 end",
    f"{MARK}\u202eright to left \u2067 never closed \u200f",
    f"{MARK} | a | b |\n\n# heading\n- list `code` ``` ~~~ **bold** [x](javascript:1) ![i](https://example.org/i.png)",
    f"{MARK} @someone #12 owner/repo#3 GH-4 www.example.org https://example.org a@example.org :// <https://e.org>",
    f"{MARK} 😀👩‍👩‍👧‍👦 雨 نص טקסט ไทย 𝕏",
    MARK + "long " * 2000,
    MARK + "W" * 10_000,
)
LITERAL = {"status", "verdict", "severity", "worse", "direction", "kind"}
KEYED = {"lorenz", "values", "metrics", "titles", "environment", "baseline", "stored", "now"}


def poisoned(run: AuditRun, texts: str | Sequence[str], keep: frozenset[str] = frozenset({"check"})) -> AuditRun:
    """The run with a text behind every string and every free key, except fields named in `keep`; several take turns."""
    turns = cycle([texts] if isinstance(texts, str) else texts)

    def walk(value: Any, name: str, free: bool) -> Any:
        if isinstance(value, dict):
            return {
                (key if name not in KEYED or key == "model" else key + next(turns)): walk(
                    entry, key, free or key == "details"
                )
                for key, entry in value.items()
            }
        if isinstance(value, list):
            return [walk(entry, name, free) for entry in value]
        literal = name in LITERAL and not free
        return value + next(turns) if isinstance(value, str) and not literal and name not in keep else value

    return AuditRun.model_validate(walk(json.loads(run.model_dump_json()), "", False))
