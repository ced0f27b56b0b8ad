from __future__ import annotations

import json
import os
from pathlib import Path

import jsonschema
import pytest

from recaudit.audit.evidence import AuditRun
from recaudit.reports.schema import run_schema, schema_text

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "schema" / "run.schema.json"


def test_the_committed_schema_is_current() -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        COMMITTED.write_text(schema_text(), "utf-8")
    assert COMMITTED.read_text("utf-8") == schema_text(), "after a change of evidence.py: UPDATE_GOLDEN=1 pytest"


def test_a_run_is_valid_and_a_damaged_one_is_not(run: AuditRun) -> None:
    validator = jsonschema.Draft202012Validator(run_schema())
    jsonschema.Draft202012Validator.check_schema(run_schema())
    record = json.loads(run.model_dump_json())
    validator.validate(record)
    for name, value in (("verdict", "perhaps"), ("findings", [{"id": 1}]), ("unknown", 1)):
        with pytest.raises(jsonschema.ValidationError):
            validator.validate(record | {name: value})
