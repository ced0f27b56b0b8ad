"""Waivers: findings that a policy excuses for a time, with owner, reason and last day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from fnmatch import fnmatchcase

from .evidence import Finding
from .policy import Policy, Waiver

EXCUSABLE = ("fail", "inconclusive")


def with_waivers(findings: Sequence[Finding], policy: Policy, today: date) -> list[Finding]:
    """Failed and inconclusive findings become waived where a waiver counts; else the reason says why it does not.

    A waiver counts up to and including its last day, which may lie at most the policy's `waiver_days` ahead.
    """
    return [_waived(found, policy, today) if found.status in EXCUSABLE else found for found in findings]


def unmatched_waivers(findings: Sequence[Finding], policy: Policy) -> list[Finding]:
    """A warning, not run, for every waiver that matches no finding: it is misspelt or no longer needed."""
    return [
        Finding(
            id=f"waiver.{waiver.check}", check="waivers", title="A waiver that excuses nothing", status="not_run",
            severity="warning", measure="", unit="", estimate=None, interval=None, confidence=0.0, bound=None,
            direction="higher", n=0, reason=f"the waiver {_named(waiver)} matches no finding of this run",
            remedy="correct its pattern or remove it",
        )
        for waiver in policy.waivers
        if not any(_matches(waiver, found) for found in findings)
    ]  # fmt: skip


def _waived(found: Finding, policy: Policy, today: date) -> Finding:
    latest = today + timedelta(days=policy.waiver_days)
    notes = []
    for waiver in policy.waivers:
        if not _matches(waiver, found):
            continue
        if waiver.expires < today:
            notes.append(f"the waiver {_named(waiver)} expired on {waiver.expires}, so the finding counts again")
        elif waiver.expires > latest:
            notes.append(
                f"the waiver {_named(waiver)} ends on {waiver.expires}, more than {policy.waiver_days} days ahead, "
                "so it does not count"
            )
        else:
            reason = f"waived by {waiver.owner} until {waiver.expires}: {waiver.reason}; without it {found.status}: "
            return found.model_copy(update={"status": "waived", "reason": reason + found.reason})
    return found.model_copy(update={"reason": "; ".join([found.reason, *notes])})


def _matches(waiver: Waiver, found: Finding) -> bool:
    named = fnmatchcase(found.check, waiver.check) or fnmatchcase(found.id, waiver.check)
    return named and (waiver.scope is None or fnmatchcase(found.id, waiver.scope))


def _named(waiver: Waiver) -> str:
    return f"of {waiver.owner} for {waiver.check}" + (f" ({waiver.scope})" if waiver.scope else "")
