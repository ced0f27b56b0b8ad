"""The published JSON schema of `run.json`."""

from __future__ import annotations

import json
from typing import Any

from ..audit.evidence import SCHEMA_VERSION, AuditRun


def run_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of a run record as recaudit writes it."""
    schema = AuditRun.model_json_schema(mode="serialization")
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"recaudit run record, schema version {SCHEMA_VERSION}",
    }
    return head | {key: value for key, value in schema.items() if key not in head}


def schema_text() -> str:
    """The schema as it stands in `docs/schema/run.schema.json`."""
    return json.dumps(run_schema(), indent=2, ensure_ascii=False) + "\n"
