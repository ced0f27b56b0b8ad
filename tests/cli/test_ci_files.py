"""The files for CI systems: they parse, and every option they give to recaudit exists."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from recaudit.cli.program import app
from recaudit.reports.markdown import MARKER

ROOT = Path(__file__).resolve().parents[2]
FILES = ("action.yml", "ci/gitlab.yml", ".pre-commit-hooks.yaml", "docs/ci.md")
CALL = re.compile(r"\brecaudit (\w+)((?:[^\n|;&]|\\\n)*)")
ADDED = re.compile(r"(?:more\+=\(|set -- (?:\"\$@\" )?)(--[a-z-]+)")


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


def scripts(name: str) -> list[str]:
    if name.endswith(".md"):
        blocks = re.findall(r"^```\w*\n(.*?)^```$", (ROOT / name).read_text("utf-8"), re.DOTALL | re.MULTILINE)
        return [block for block in blocks if block.startswith("recaudit ")]
    content = read(name)
    if name == "action.yml":
        return [step["run"] for step in content["runs"]["steps"] if "run" in step]
    if name == "ci/gitlab.yml":
        return list(content[".recaudit"]["script"])
    return [f"{hook['entry']} {' '.join(hook['args'])}" for hook in content]


def options(command: str) -> set[str]:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert command in commands, command
    return {name for parameter in commands[command].params for name in (*parameter.opts, *parameter.secondary_opts)}


@pytest.mark.parametrize("name", FILES)
def test_every_option_exists(name: str) -> None:
    seen = 0
    for script in scripts(name):
        for command, rest in CALL.findall(script):
            asked = {*re.findall(r"(?<!\S)--[a-z-]+", rest), *ADDED.findall(script)}
            assert asked <= options(command), asked - options(command)
            seen += 1
    assert seen >= 1


@pytest.mark.parametrize("name", FILES[:2])
def test_scripts_are_shell(name: str) -> None:
    for script in scripts(name):
        answer = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
        assert answer.returncode == 0, answer.stderr


def test_the_action_puts_no_expression_into_a_script_and_uses_every_input() -> None:
    content, text = read("action.yml"), (ROOT / "action.yml").read_text("utf-8")
    assert content["runs"]["using"] == "composite"
    assert not [script for script in scripts("action.yml") if "${{" in script]
    for name in ("model", "data", "policy", "baseline", "out", "name", "strict", "comment"):
        assert name in content["inputs"] and f"inputs.{name}" in text
    assert all("shell" in step for step in content["runs"]["steps"] if "run" in step)


def test_the_action_finds_its_comment_by_the_marker_of_the_report() -> None:
    (script,) = [script for script in scripts("action.yml") if "gh api" in script]
    assert MARKER in script and "PATCH" in script and "POST" in script


def test_the_action_exits_with_the_code_of_the_gate_after_reporting_it(tmp_path: Path) -> None:
    (script,) = [script for script in scripts("action.yml") if "recaudit gate" in script]
    fake = tmp_path / "recaudit"
    fake.write_text('#!/bin/sh\necho "$@" >> "$CALLS"\nexit 4\n')
    fake.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin", "CALLS": str(tmp_path / "calls"),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "OUT": "a b", "FILES": "c d", "POLICY": "$(touch pwned).yaml", "BASELINE": "", "STRICT": "true",
    }  # fmt: skip
    answer = subprocess.run(["bash", "-eo", "pipefail", "-c", script], env=environment, cwd=tmp_path)
    assert answer.returncode == 4 and (tmp_path / "output").read_text() == "exit-code=4\n"
    called = (tmp_path / "calls").read_text()
    assert called.startswith("gate a b ") and "--policy $(touch pwned).yaml --strict" in called
    assert "--baseline" not in called and not (tmp_path / "pwned").exists()


def test_gitlab_takes_both_reports_and_warns_of_inconclusive() -> None:
    job = read("ci/gitlab.yml")[".recaudit"]
    assert job["allow_failure"] == {"exit_codes": [4]} and job["artifacts"]["when"] == "always"
    gate = next(script for script in job["script"] if "recaudit gate" in script)
    for kind in ("junit", "codequality"):
        assert f'--{kind} "{job["artifacts"]["reports"][kind]}"' in gate


def test_the_hook_gates_once_and_takes_no_file_names() -> None:
    (hook,) = read(".pre-commit-hooks.yaml")
    assert hook["id"] == "recaudit-gate" and hook["pass_filenames"] is False and hook["always_run"] is True


def test_the_yaml_of_the_documentation_parses_and_names_what_there_is() -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "docs/ci.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)
    github, gitlab, hook = (yaml.safe_load(block) for block in blocks)
    (step,) = [step for step in github["jobs"]["audit"]["steps"] if "recaudit@" in step["uses"]]
    assert set(step["with"]) <= set(read("action.yml")["inputs"])
    template = read("ci/gitlab.yml")[".recaudit"]
    assert gitlab["audit"]["extends"] == ".recaudit" and set(gitlab["audit"]["variables"]) <= set(template["variables"])
    (used,) = hook["repos"][0]["hooks"]
    assert used["id"] == read(".pre-commit-hooks.yaml")[0]["id"]
    assert {word for word in used["args"] if word.startswith("--")} <= options("gate")
