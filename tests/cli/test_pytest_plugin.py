"""`pytest --recaudit DIR`: a test a finding, by pytest itself."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from importlib.metadata import entry_points
from pathlib import Path
from xml.etree import ElementTree

import pytest

from recaudit.audit.evidence import AuditRun

from ..reports.example_run import example_run
from ..reports.hostile import TEXTS, poisoned

pytest_plugins = ["pytester"]
PLUGIN = "recaudit.cli.pytest_plugin"
INSTALLED = any(entry.value == PLUGIN for entry in entry_points(group="pytest11"))
LOADED = () if INSTALLED else ("-p", PLUGIN)


@pytest.fixture
def run() -> AuditRun:
    return example_run(attacks=("bandwagon", "clone-and-push"), sizes=("3%",))


def write(run: AuditRun, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(run.model_dump_json())
    return folder


def test_a_test_a_finding_with_its_outcome(pytester: pytest.Pytester, run: AuditRun) -> None:
    folder = write(run, pytester.path / "out")
    pytester.makepyfile("def test_of_another_kind(): pass")
    answer = pytester.runpytest_inprocess(*LOADED, "--recaudit", "out", "--strict-markers", "-rs")
    statuses = Counter(f.status if f.severity == "error" or f.status != "fail" else "told" for f in run.findings)
    answer.assert_outcomes(
        passed=statuses["pass"], failed=statuses["fail"], errors=len(run.failures),
        skipped=statuses["inconclusive"] + statuses["waived"] + statuses["not_run"] + statuses["told"],
    )  # fmt: skip
    assert answer.ret == 1 and folder.is_dir()
    text = answer.stdout.str()
    for word in ("the whole interval is on the bad side of the bound", "waived by R. Meyer", "MemoryError"):
        assert word in text
    assert "Traceback" not in text and "pytest_plugin.py" not in text.split("short test summary")[0]


def test_beside_tests_that_are_named(pytester: pytest.Pytester, run: AuditRun) -> None:
    passed = [finding for finding in run.findings if finding.status == "pass"]
    write(run.model_copy(update={"findings": passed, "failures": []}), pytester.path / "out")
    path = pytester.makepyfile("def test_of_another_kind(): pass")
    for names in ([path], [path, "out/run.json"]):
        answer = pytester.runpytest_inprocess(*LOADED, "--recaudit=out", *names)
        answer.assert_outcomes(passed=len(passed) + 1)


def test_without_the_option_nothing_is_collected(pytester: pytest.Pytester, run: AuditRun) -> None:
    write(run, pytester.path / "out")
    pytester.makepyfile("def test_of_another_kind(): pass")
    pytester.runpytest_inprocess(*LOADED, "out", ".").assert_outcomes(passed=1)


def test_inconclusive_fails_under_a_strict_policy(pytester: pytest.Pytester, run: AuditRun) -> None:
    (found,) = [f for f in run.findings if f.status == "inconclusive" and f.severity == "error"][:1]
    one = run.model_copy(update={"findings": [found], "failures": [], "policy": {"strict": True}})
    write(one, pytester.path / "out")
    pytester.runpytest_inprocess(*LOADED, "--recaudit", "out").assert_outcomes(failed=1)


def test_a_missing_or_damaged_record_is_one_line(pytester: pytest.Pytester) -> None:
    answer = pytester.runpytest_inprocess(*LOADED, "--recaudit", "nowhere")
    assert answer.ret == pytest.ExitCode.USAGE_ERROR
    answer.stderr.fnmatch_lines(["ERROR: --recaudit: *nowhere/run.json is not there*"])
    (pytester.mkdir("out") / "run.json").write_text("{")
    answer = pytester.runpytest_inprocess(*LOADED, "--recaudit", "out")
    answer.assert_outcomes(errors=1)
    answer.stdout.fnmatch_lines(["*run.json: *run the audit again*"])


def test_hostile_names_are_distinct_and_harmless(pytester: pytest.Pytester, run: AuditRun) -> None:
    write(poisoned(run, TEXTS, frozenset()), pytester.path / "out")
    answer = pytester.runpytest_inprocess(*LOADED, "--recaudit", "out", "--junit-xml=cases.xml", "-v")
    assert answer.ret == 1
    cases = list(ElementTree.fromstring((pytester.path / "cases.xml").read_text("utf-8")).iter("testcase"))
    assert len({case.get("name") for case in cases}) == len(run.findings) + len(run.failures)
    assert not {"\u202e", "\x1b", "\x00"} & set(answer.stdout.str())


def test_neither_torch_nor_the_rest_is_imported(tmp_path: Path, run: AuditRun) -> None:
    folder = write(run, tmp_path / "out")
    loaded = "".join(f"'{word}'," for word in LOADED)
    code = (
        f"import sys, pytest; pytest.main([{loaded} '-q', '--no-header', '-p', 'no:cacheprovider', "
        f"'--recaudit', {str(folder)!r}]); print([m for m in ('torch', 'pandas', 'scipy') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert answer.stdout.splitlines()[-1] == "[]", answer.stderr
