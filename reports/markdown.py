"""The report as compact Markdown for a pull-request comment: answers first, then what did not pass.

Text from data may not act: no link, image, mention, issue reference, HTML, table cell or code fence comes out of it.
"""

from __future__ import annotations

import re

from ..audit.evidence import AuditRun, Finding
from . import text
from .method import limits
from .readings import WORDS, Reading, State, state
from .summary import answers, counts, verdict_sentences
from .text import Data, Sentence

MARKER = "<!-- recaudit-report -->"
"""By this a comment of an earlier run is found and updated."""
LIMIT = 60_000
"""Characters; GitHub refuses comments above 65,536."""
ROWS = 40
SHAPES: dict[State, str] = {
    "fail": "❌",
    "inconclusive": "❔",
    "not_run": "⚪",
    "waived": "🏳️",
    "pass": "✅",
    "measured": "📏",
}
_SPECIAL = re.compile(r"([\\`*_\[\]~$])")
_ZERO_WIDTH = "\u200b"
# what GitHub and GitLab turn into links by themselves: mentions, addresses, #12, !12, GH-12, www., scheme://
_ACTIVE = re.compile(r"@|#(?=\w)|!(?=\d)|(?<=www)\.|(?<=gh)-(?=\d)|:(?=//|\w+:)|(?<=mailto):", re.IGNORECASE)


def escape(value: str, limit: int = 160) -> str:
    """Text from data as inert Markdown on one line."""
    line = text.undirected(text.cut(value, limit)).replace("@", f"@{_ZERO_WIDTH}")
    line = _ACTIVE.sub(lambda found: found[0] if found[0] == "@" else f"{found[0]}{_ZERO_WIDTH}", line)
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", line).replace("|", "&#124;")  # in a table a pipe ends the cell even in code


def code(value: str, limit: int = 120) -> str:
    """Text from data as a code span: it can be copied as it is, and nothing in it acts."""
    return "`" + (text.undirected(text.cut(value, limit)).replace("`", "'").replace("|", "¦") or "–") + "`"


def document(run: AuditRun) -> bytes:
    """`report.md`: the same run gives the same bytes, at most `LIMIT` characters, cut by section and saying so."""
    reading = Reading(run)
    sections = [_head(reading), _answers(reading), _table(reading), _passed(reading), _open(reading), _limits(reading)]
    kept: list[str] = []
    for section in filter(None, sections):
        if sum(len(part) + 2 for part in kept) + len(section) > LIMIT:
            kept.append("*Cut here for length; `report.html` and `run.json` hold the rest.*")
            break
        kept.append(section)
    digests = f"policy {code(run.policy_digest[:16])} · evidence {code(run.evidence_digest[:16])}"
    kept.append(f"<sub>recaudit · {digests} · seed {run.seed}</sub>")
    return ("\n\n".join(kept) + "\n").encode("utf-8", "replace")


def _sentence(parts: Sentence) -> str:
    return "".join(escape(part.value) if isinstance(part, Data) else part for part in parts)


def _head(reading: Reading) -> str:
    run = reading.run
    incomplete = ", incomplete" if run.status == "incomplete" else ""
    verdict = f"{SHAPES[run.verdict]} Verdict: **{WORDS[run.verdict].lower()}{incomplete}**"
    tally = " · ".join(f"{n} {WORDS[name].lower()}" for name, n in counts(reading).items())
    why = " ".join(_sentence(parts) for parts in verdict_sentences(reading))
    return f"{MARKER}\n## {verdict}: {escape(run.target.name, 80)}\n\n{why}\n\n{tally}"


def _answers(reading: Reading) -> str:
    lines = []
    for answer in answers(reading):
        told = " ".join(_sentence(parts) for parts in answer.sentences)
        lines.append(
            f"- {SHAPES[answer.state]} **{answer.question} {answer.lead}** {told} ({WORDS[answer.state].lower()})"
        )
    return "\n".join(lines)


def _table(reading: Reading) -> str:
    wanted = [f for f in reading.findings if state(f) not in ("pass", "measured")]
    return _findings("Findings that did not pass", wanted)


def _passed(reading: Reading) -> str:
    passed = [f for f in reading.findings if state(f) in ("pass", "measured")]
    if not passed:
        return ""
    summary = f"<summary>{text.plural(len(passed), 'finding')} passed or without a bound</summary>"
    return f"<details>{summary}\n\n{_findings('', passed)}\n\n</details>"


def _findings(title: str, findings: list[Finding]) -> str:
    if not findings:
        return ""
    lines = [f"### {title}", ""] if title else []
    lines += ["| status | finding | estimate, interval | bound | why, what next |", "|---|---|---:|---:|---|"]
    lines += [_row(finding) for finding in findings[:ROWS]]
    if len(findings) > ROWS:
        lines += ["", f"{text.count(len(findings) - ROWS)} more are in `report.html`."]
    return "\n".join(lines)


def _row(finding: Finding) -> str:
    low, high = finding.interval or (None, None)
    places = text.decimals(finding.estimate, low, high, finding.bound)
    estimate = text.number(finding.estimate, places)
    if low is not None:
        estimate += f" ({text.number(low, places)} to {text.number(high, places)})"
    bound = "–"
    if finding.bound is not None:
        bound = f"{'≤' if finding.direction == 'higher' else '≥'} {text.number(finding.bound, places)}"
    found = state(finding)
    status = f"{SHAPES[found]} {WORDS[found].lower()}"
    if finding.severity != "error":
        status += f" ({finding.severity})"
    why = escape(finding.reason) + (f"; {escape(finding.remedy)}" if finding.remedy else "")
    return f"| {status} | {escape(finding.title)}<br>{code(finding.id)} | {estimate} | {bound} | {why} |"


def _open(reading: Reading) -> str:
    run = reading.run
    lines = [f"- not run: {code(entry.check, 80)}: {escape(entry.reason)}" for entry in run.skipped[:ROWS]]
    lines += [f"- error: {escape(entry.label, 80)}: {escape(entry.error)}" for entry in run.failures[:ROWS]]
    left = max(0, len(run.skipped) - ROWS) + max(0, len(run.failures) - ROWS)
    if left:
        lines.append(f"- {text.count(left)} more in `report.html`")
    return "\n".join(["### Not run, or ended in an error", "", *lines]) if lines else ""


def _limits(reading: Reading) -> str:
    lines = [f"- {_sentence(line)}" for line in limits(reading)]
    return "\n".join(["<details><summary>What was not tested</summary>", "", *lines, "", "</details>"])
