from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from recaudit.audit.evidence import AuditRun
from recaudit.reports.model_card import HEADING, metadata, section

from .example_run import many_findings
from .hostile import MARK, TEXTS, poisoned
from .test_markdown import tokens

FRONT = re.compile(r"\A---\n(.*?)\n---\n\n(.*)\Z", re.DOTALL)


def parts(run: AuditRun) -> tuple[dict[str, Any], str]:
    """Front matter and body, cut where the hub cuts: at the first line of three dashes."""
    found = FRONT.match(section(run).decode())
    assert found is not None
    return yaml.safe_load(found[1]), found[2]


def test_the_front_matter_has_the_layout_of_the_hub(run: AuditRun) -> None:
    head, _ = parts(run)
    assert head == metadata(run)
    assert head["tags"] == ["recommender-system", "recaudit", "graph", "lightgcn"]
    (index,) = head["model-index"]
    (result,) = index["results"]
    assert index["name"] == "lightgcn-movies" and set(result) == {"task", "dataset", "metrics"}
    assert result["dataset"]["revision"] == run.target.data_fingerprint
    values = {metric["type"]: metric["value"] for metric in result["metrics"]}
    utility = next(e for e in run.evidence if e.id == "quality.ndcg@20")
    assert values == utility.details["metrics"]["model"] and values["ndcg@20"] == utility.estimate
    assert all(isinstance(value, float) for value in values.values())


def test_the_hubs_own_library_reads_it(run: AuditRun) -> None:
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard(section(run).decode())
    results = {result.metric_type: result for result in card.data.eval_results}
    assert results["ndcg@20"].metric_value == pytest.approx(0.1312)
    assert results["ndcg@20"].task_type == "recommendation" and card.data.model_name == "lightgcn-movies"
    assert f"## {HEADING}" in card.text and "tags" not in card.text


def test_verdict_findings_limits_and_digests_stand_there(run: AuditRun) -> None:
    _, body = parts(run)
    assert body.startswith(f"## {HEADING}\n\n❌ **Fail, incomplete.**")
    assert all(f"`{finding.id}`" in body for finding in run.findings)
    assert "Whether an outsider can tell who was in the training data" in body and "genre-exposure` was not run" in body
    for digest in (run.target.model_fingerprint, run.policy_digest, run.evidence_digest):
        assert f"`{digest}`" in body


def test_of_a_run_that_measured_nothing_there_is_no_index(run: AuditRun) -> None:
    bare = run.model_copy(
        update={"findings": [], "evidence": [], "cells": [], "skipped": [], "failures": [], "environment": {}}
    )
    head, body = parts(bare)
    assert "model-index" not in head and "No finding" in body


def test_only_the_models_own_metrics_count(run: AuditRun) -> None:
    bare = [e.model_copy(update={"details": {}}) for e in run.evidence]
    (index,) = metadata(run.model_copy(update={"evidence": bare}))["model-index"]
    assert [metric["type"] for metric in index["results"][0]["metrics"]] == ["ndcg@20"]


@pytest.mark.parametrize("text", [*TEXTS, "---\nlicense: mit\n---\n", "!!python/object:os.system", "- a: b # c", "yes"])
def test_text_from_data_never_breaks_the_yaml_nor_acts(run: AuditRun, text: str) -> None:
    pytest.importorskip("markdown_it")
    card = run.target.model_copy(update={"name": text, "family": text, "split": text, "data_fingerprint": text})
    hostile = poisoned(run, text).model_copy(update={"target": card})
    head, body = parts(hostile)
    assert set(head) == {"tags", "model-index"} and head == metadata(hostile)
    assert all(isinstance(tag, str) and re.fullmatch(r"[a-z0-9-]{1,40}", tag) for tag in head["tags"])
    content = section(hostile).decode()
    assert content[: content.index("\n---\n")].isascii()
    found, plain = tokens(body), tokens(parts(run)[1])
    assert not {"link_open", "image", "fence", "code_block", "blockquote_open", "hr"} & {t.type for t in found}
    assert all(t.content == "<br>" for t in found if t.type in ("html_inline", "html_block"))
    for kind in ("tr_open", "heading_open", "list_item_open"):
        assert sum(t.type == kind for t in found) == sum(t.type == kind for t in plain), kind
    assert MARK not in text or MARK in body


def test_a_long_audit_is_cut_and_says_so() -> None:
    for text in ("x", "|" * 5000):
        content = section(many_findings(3000, text)).decode()
        assert len(content) < 100_000 and "more in the report" in content


def test_the_same_run_gives_the_same_bytes(run: AuditRun) -> None:
    assert section(AuditRun.model_validate_json(run.model_dump_json())) == section(run)
