"""For GitHub's workflows: findings as workflow commands, and the summary of a step.

A line that begins with `::` is a command to the runner, and `##[` an old one: text from data must form neither.
"""

from ...audit.evidence import AuditRun, Finding
from .. import markdown, text
from ..readings import Reading
from .places import POLICY, Lines, told, uri

MOST = 10
"""Errors, and as many warnings, that one step may show; GitHub drops the rest without a word."""
SUMMARY = 1024 * 1024
"""Bytes of a step's summary; of a larger one nothing at all is shown."""
_ZERO_WIDTH = "\u200b"


def annotations(run: AuditRun, policy_uri: str = POLICY, policy_text: str | None = None) -> str:
    """Workflow commands, one a line: what fails the gate as errors, other failures and open questions as warnings.

    At most ten of each, errors first; one notice says how many more there are. Empty if all is well.

    Args:
        run: the record.
        policy_uri: path of the policy file from the repository's root.
        policy_text: its text, to find the lines of its rules.
    """
    lines, path = Lines(policy_text), uri(policy_uri)
    strict = run.policy.get("strict") is True
    errors: list[str] = []
    warnings: list[str] = []
    for finding in Reading(run).findings:
        gating = finding.severity == "error"
        if finding.status not in ("fail", "inconclusive") or (finding.status == "inconclusive" and not gating):
            continue
        fails = gating and (finding.status == "fail" or strict)
        at = f"file={_property(path)},line={lines.of(finding)},title={_property(_title(finding))}"
        (errors if fails else warnings).append(f"{at}::{_data(told(finding))}")
    for failure in run.failures:
        message = f"{text.cut(failure.label, 200)} could not finish: {text.cut(failure.error, 400)}"
        errors.append(f"title=recaudit could not finish a cell::{_data(text.undirected(message))}")
    told_of = [f"::error {error}" for error in errors[:MOST]] + [f"::warning {entry}" for entry in warnings[:MOST]]
    left = [(max(0, len(entries) - MOST), word) for entries, word in ((errors, "error"), (warnings, "warning"))]
    if any(n for n, _ in left):
        more = " and ".join(text.plural(n, word) for n, word in left if n)
        told_of.append(f"::notice title=recaudit::{more} more; the report holds them all")
    return "".join(f"{line}\n" for line in told_of)


def summary(run: AuditRun) -> bytes:
    """The Markdown report: at most 60,000 characters, so below GitHub's 1024 KiB in any script."""
    return markdown.document(run)


def _title(finding: Finding) -> str:
    word = "fails" if finding.status == "fail" else "is inconclusive"
    return f"{text.undirected(text.cut(finding.id, 160))} {word}"


def _data(value: str) -> str:
    """A command's message: what ends a line or begins an escape, in the runner's own escapes."""
    escaped = value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return escaped.replace("##[", f"#{_ZERO_WIDTH}#[")


def _property(value: str) -> str:
    """A property's value: a colon or comma would end it."""
    return _data(value).replace(":", "%3A").replace(",", "%2C")
