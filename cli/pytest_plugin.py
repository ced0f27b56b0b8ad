"""A pytest plug-in: `pytest --recaudit DIR` shows every finding of a finished run as a test.

Without other paths on the command line only these findings are collected; with some, they come beside the tests.
Statuses are the record's own, as in its JUnit report: for today's waivers, other bounds or a baseline use
`recaudit gate`. Nothing of recaudit but this module is imported before a run is collected.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ..audit.evidence import Failure, Finding

RECORD = "run.json"
NAME = 300


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--recaudit DIR`."""
    parser.getgroup("recaudit").addoption(
        "--recaudit",
        action="append",
        default=[],
        metavar="DIR",
        help="Collect the findings of the run that `recaudit run --out DIR` wrote, a test each (repeatable).",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Put the records among the paths to collect; in place of pytest's own choice where the user named none."""
    config.addinivalue_line("markers", "recaudit: a finding of an audit, see --recaudit")
    records = _records(config)
    if not records:
        return
    missing = [str(path) for path in records if not path.is_file()]
    if missing:
        raise pytest.UsageError(f"--recaudit: {missing[0]} is not there; give the folder that `recaudit run` wrote")
    named = config.args if config.args_source == pytest.Config.ArgsSource.ARGS else []
    config.args = [*named, *(str(path) for path in records if str(path) not in named)]


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Take the records that were asked for, and no other run.json."""
    if file_path.name == RECORD and file_path.resolve() in _records(parent.config):
        collector: pytest.Collector = RunFile.from_parent(parent, path=file_path)
        return collector
    return None


class RunFile(pytest.File):
    """A run's record."""

    def collect(self) -> Iterator[pytest.Item]:
        """An item a finding, in the record's order, then one a failed cell."""
        from ..datasets.errors import RecauditError
        from ..reports import text
        from .records import read_run

        try:
            run = read_run(self.path.parent)
        except RecauditError as error:
            raise self.CollectError(" ".join(str(error).split())) from None
        strict = run.policy.get("strict") is True
        taken: set[str] = set()

        def name(wanted: str) -> str:
            base = unique = text.undirected(text.cut(wanted, NAME)).replace("::", ":") or "unnamed"
            again = 1
            while unique in taken:
                again += 1
                unique = f"{base} #{again}"
            taken.add(unique)
            return unique

        for finding in run.findings:
            yield FindingItem.from_parent(self, name=name(finding.id), finding=finding, strict=strict)
        for failure in run.failures:
            yield FailedCell.from_parent(self, name=name(failure.label), failure=failure)


class _RecordItem(pytest.Item):
    """An item that reads from a record and runs nothing of its own."""

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """The record, and what was judged."""
        return self.path, None, f"recaudit {self.name}"


class FindingItem(_RecordItem):
    """One finding: passes, fails, or is skipped with the reason."""

    def __init__(self, *, finding: Finding, strict: bool, **rest: Any) -> None:
        """Keep the finding and whether the policy is strict."""
        super().__init__(**rest)
        self.finding = finding
        self.strict = strict
        self.add_marker("recaudit")

    def runtest(self) -> None:
        """Fail or skip by the status: of severity error alone, failures and, if strict, inconclusive ones fail."""
        from ..reports import text

        status, gating = self.finding.status, self.finding.severity == "error"
        message = f"{status.replace('_', ' ')}: {self.finding.title}: {self.finding.reason}"
        if self.finding.remedy:
            message += f"; what next: {self.finding.remedy}"
        message = text.undirected(text.cut(message, 2 * NAME))
        if gating and (status == "fail" or (status == "inconclusive" and self.strict)):
            pytest.fail(message, pytrace=False)
        if status != "pass":
            note = "" if status != "fail" else f"severity {self.finding.severity} never fails the gate: "
            pytest.skip(note + message)


class FailedCell(_RecordItem):
    """A cell that could not finish: an error, not a failure."""

    def __init__(self, *, failure: Failure, **rest: Any) -> None:
        """Keep what failed."""
        super().__init__(**rest)
        self.failure = failure
        self.add_marker("recaudit")

    def setup(self) -> None:
        """Fail before anything would run, which pytest counts as an error."""
        from ..reports import text

        pytest.fail(text.undirected(text.cut(f"could not finish: {self.failure.error}", 2 * NAME)), pytrace=False)

    def runtest(self) -> None:
        """Nothing: setting up has raised."""


def _records(config: pytest.Config) -> list[Path]:
    return [(config.invocation_params.dir / folder / RECORD).resolve() for folder in config.getoption("recaudit")]
