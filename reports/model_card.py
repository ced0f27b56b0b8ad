"""A section for a model card in the layout of the Hugging Face hub: metadata as YAML, then the audit as Markdown.

The metadata follow the hub's specification of model cards (`tags`, `model-index`: task, dataset, metrics). The hub
knows no task and no data set of an audit, so the data are named by their size, their split and their fingerprint.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..audit.evidence import AuditRun, Finding
from . import text
from .markdown import LIMIT, SHAPES, code, escape
from .method import limits
from .readings import WORDS, Reading, state
from .summary import counts, verdict_sentences
from .text import Data, Sentence

HEADING = "Robustness, fairness, privacy and unlearning audit"
ROWS = 100
"""Findings that the table lists at most, the most serious ones."""
NAME = 120


def section(run: AuditRun) -> bytes:
    """The front matter and the section; the same run gives the same bytes.

    The YAML is plain ASCII on whole lines, whatever names hold, and always one mapping.

    Args:
        run: the record of an audit.
    """
    import yaml

    head = yaml.safe_dump(metadata(run), sort_keys=False, allow_unicode=False, width=1 << 20)
    reading = Reading(run)
    parts = [f"## {HEADING}", _verdict(reading), *_findings(reading), _limits(reading), _digests(run)]
    return (f"---\n{head}---\n\n" + "\n\n".join(parts) + "\n").encode("utf-8", "replace")


def metadata(run: AuditRun) -> dict[str, Any]:
    """The front matter as plain data; without `model-index` where no metric of the model was measured."""
    model = _plain(str(run.target.recipe.get("model", run.target.family)))
    found: dict[str, Any] = {"tags": ["recommender-system", "recaudit", *_tags(run.target.family, model)]}
    metrics = _metrics(Reading(run))
    if metrics:
        card = run.target
        data = {
            "type": "interaction-log",
            "name": f"{card.users} users, {card.items} items, {_plain(card.split)}",
            "split": "test",
            "revision": _plain(card.data_fingerprint),
        }
        task = {"type": "recommendation", "name": "Top-k recommendation, the whole catalogue ranked"}
        results = [{"task": task, "dataset": data, "metrics": metrics}]
        found["model-index"] = [{"name": _plain(card.name) or "model", "results": results}]
    return found


def _metrics(reading: Reading) -> list[dict[str, Any]]:
    """What the quality check measured of the model itself: all utility metrics, or the one that it reports."""
    values: dict[str, float] = {}
    for name, value in reading.metrics.get("model", {}).items():
        if value is not None:
            values[name] = value
    for found in reading.run.evidence:
        own = found.check == "quality" and found.id == f"quality.{found.measure}" and found.worse == "lower"
        if own and found.estimate is not None and ".minus." not in found.measure:
            values.setdefault(found.measure, found.estimate)
    return [{"type": _plain(name), "name": _plain(name.upper()), "value": value} for name, value in values.items()]


def _tags(*names: str) -> list[str]:
    """Tags as the hub writes them: lower case, words joined."""
    kept = ["".join(c if c.isascii() and c.isalnum() else "-" for c in name.lower()).strip("-")[:40] for name in names]
    return list(dict.fromkeys(tag for tag in kept if tag))


def _plain(value: str) -> str:
    return text.cut(text.undirected(value), NAME)


def _sentence(parts: Sentence) -> str:
    return "".join(escape(part.value) if isinstance(part, Data) else part for part in parts)


def _verdict(reading: Reading) -> str:
    run = reading.run
    version = run.environment.get("recaudit", "")
    incomplete = ", incomplete" if run.status == "incomplete" else ""
    why = " ".join(_sentence(parts) for parts in verdict_sentences(reading))
    tally = ", ".join(f"{n} {WORDS[name].lower()}" for name, n in counts(reading).items())
    made = f"Audited by recaudit {escape(version, 40)} on {escape(text.when(run.started), 40)}, seed {run.seed}."
    return f"{SHAPES[run.verdict]} **{WORDS[run.verdict]}{incomplete}.** {why}\n\nFindings: {tally}. {made}"


def _findings(reading: Reading) -> list[str]:
    rows = reading.findings[:ROWS]
    if not rows:
        return ["No finding: the policy has no rules, or nothing could be judged."]
    lines = ["| status | finding | estimate, interval | bound |", "|---|---|---:|---:|"]
    size = 0
    for shown, finding in enumerate(rows):
        line = _row(finding)
        size += len(line) + 1
        if size > LIMIT:
            rows = rows[:shown]
            break
        lines.append(line)
    table = "\n".join(lines)
    hidden = reading.findings[len(rows) :]
    if not hidden:
        return [table]
    left = Counter(state(finding) for finding in hidden)
    told = ", ".join(f"{n} {WORDS[name].lower()}" for name, n in left.items())
    return [table, f"*{text.plural(len(hidden), 'finding')} more in the report: {told}.*"]


def _row(finding: Finding) -> str:
    low, high = finding.interval or (None, None)
    places = text.decimals(finding.estimate, low, high, finding.bound)
    value = text.number(finding.estimate, places)
    if low is not None:
        value += f" ({text.number(low, places)} to {text.number(high, places)})"
    bound = "–"
    if finding.bound is not None:
        bound = f"{'≤' if finding.direction == 'higher' else '≥'} {text.number(finding.bound, places)}"
    status = f"{SHAPES[state(finding)]} {WORDS[state(finding)].lower()}"
    if finding.severity != "error":
        status += f" ({finding.severity})"
    return f"| {status} | {escape(finding.title)}<br>{code(finding.id)} | {value} | {bound} |"


def _limits(reading: Reading) -> str:
    run = reading.run
    lines = [f"- {_sentence(line)}" for line in limits(reading)]
    lines += [f"- {code(entry.check, 60)} was not run: {escape(entry.reason)}" for entry in run.skipped[:20]]
    return "\n".join(["### What was not tested", "", *lines])


def _digests(run: AuditRun) -> str:
    digests = {
        "model": run.target.model_fingerprint,
        "data": run.target.data_fingerprint,
        "policy": run.policy_digest,
        "evidence": run.evidence_digest,
    }
    lines = [f"- {name}: {code(digest, 80)}" for name, digest in digests.items()]
    return "\n".join(["### Digests", "", *lines])
