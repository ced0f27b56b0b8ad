"""Where a finding stands and how it is recognised again: the line of its rule in the policy, and a fingerprint.

A model has no lines and is seldom in the repository, so CI systems are shown the rule that judged the finding.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from fnmatch import fnmatchcase
from urllib.parse import quote

from ...audit.evidence import AuditRun, Finding
from .. import text

POLICY = "recaudit.yaml"
"""Name of the policy file where none is told: the one that `recaudit init` writes."""


class Lines:
    """The lines of a policy file's rules and waivers; line 1 for what is not found in it, or without a text."""

    def __init__(self, policy_text: str | None) -> None:
        """Read the places; a text that is no policy has none."""
        self._rules = _places(policy_text, "rules", "select")
        self._waivers = _places(policy_text, "waivers", "check")

    def of(self, finding: Finding) -> int:
        """The first rule that selects the finding, as the verdict takes it; of a waiver that excuses nothing, its own.

        A rule that judged nothing stands in the findings under its own pattern.
        """
        if finding.check == "waivers":
            name = finding.id.removeprefix("waiver.")
            return next((line for pattern, line in self._waivers if pattern == name), 1)
        own = next((line for pattern, line in self._rules if pattern == finding.id), None)
        if finding.status == "not_run" and own is not None:
            return own
        return next((line for pattern, line in self._rules if fnmatchcase(finding.id, pattern)), 1)


def fingerprints(run: AuditRun, findings: Iterable[Finding]) -> list[str]:
    """One a finding: a hash of check, model's name and finding's id, never of a number, so that it outlives a retrain.

    Of several findings with the same id the second and later ones are told apart by their count.
    """
    seen: Counter[tuple[str, str]] = Counter()
    hashes = []
    for finding in findings:
        seen[finding.check, finding.id] += 1
        hashes.append(_hash(finding.check, run.target.name, finding.id, seen[finding.check, finding.id]))
    return hashes


def cell_fingerprint(run: AuditRun, label: str, count: int) -> str:
    """Of the count-th failed cell with a label, by the label: a cell's key changes with the model's numbers."""
    return _hash("cells", run.target.name, label, count)


def uri(path: str) -> str:
    """A path as a relative URI reference; nothing in it can be read as a scheme or a host."""
    return quote(text.clean(path).lstrip("/"), safe="/") or POLICY


def told(finding: Finding, limit: int = 600) -> str:
    """Title, why, and what to do, on one line of plain text."""
    line = f"{text.cut(finding.title, limit // 3)}: {text.cut(finding.reason, limit // 2)}"
    if finding.remedy:
        line += f"; what next: {text.cut(finding.remedy, limit // 3)}"
    return text.undirected(text.cut(line, limit))


def _hash(check: str, target: str, name: str, count: int) -> str:
    parts = [check, target, name] if count == 1 else [check, target, name, str(count)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _places(policy_text: str | None, section: str, field: str) -> list[tuple[str, int]]:
    import yaml

    if policy_text is None:
        return []
    try:
        root = yaml.compose(policy_text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError):  # the gate has read it before: this text is another one
        return []
    found = _value(root, section)
    entries = found.value if isinstance(found, yaml.SequenceNode) else []
    patterns = [_value(entry, field) for entry in entries]
    return [
        (pattern.value, entry.start_mark.line + 1)
        for entry, pattern in zip(entries, patterns, strict=True)
        if isinstance(pattern, yaml.ScalarNode)
    ]


def _value(node: object, name: str) -> object:
    import yaml

    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for key, value in pairs if isinstance(key, yaml.ScalarNode) and key.value == name), None)
