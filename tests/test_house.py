"""The house itself: what stands at the root, what is packaged, how long files are, what they may say."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PACKAGES = [name.removeprefix("recaudit").lstrip(".") for name in CONFIG["tool"]["setuptools"]["packages"]]
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package.replace(".", "/")).glob("*.py"))


def test_root_holds_just_the_package_and_its_entry() -> None:
    assert {path.name for path in ROOT.glob("*.py")} == {"__init__.py", "__main__.py"}


def test_listed_packages_are_the_folders_there_are() -> None:
    found = (
        path.parent.relative_to(ROOT) for depth in ("*", "*/*", "*/*/*") for path in ROOT.glob(f"{depth}/__init__.py")
    )
    folders = {".".join(path.parts) for path in found if path.parts[0] not in ("tests", "build", ".venv")}
    assert set(PACKAGES) - {""} == folders


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_are_small_and_documented(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") <= 400
    assert ast.get_docstring(ast.parse(text)), "a module says what it is for"


def test_no_module_is_a_drawer() -> None:
    drawers = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py"}
    assert not drawers & {path.name for path in MODULES}


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, typer.main, recaudit.cli.program as a; typer.main.get_command(a.app);"
        "heavy = ('torch', 'pandas', 'polars', 'scipy', 'sklearn', 'matplotlib', 'numpy', 'pydantic');"
        "print([m for m in heavy if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_gate_imports_no_torch() -> None:
    code = (
        "import sys, recaudit.audit.verdict, recaudit.audit.policy, recaudit.audit.evidence, recaudit.reports.render;"
        "print([m for m in ('torch', 'pandas') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_importing_prints_and_writes_nothing(tmp_path: Path) -> None:
    names = [".".join(("recaudit", *path.relative_to(ROOT).with_suffix("").parts)) for path in MODULES]
    code = ";".join(f"import {name.removesuffix('.__init__')}" for name in names if "__main__" not in name)
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert (answer.returncode, answer.stdout) == (0, "") and not list(tmp_path.iterdir()), answer.stderr


def test_readme_pins_and_constraints_agree() -> None:
    pins = re.findall(r"^([A-Za-z0-9_.-]+)==", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE)
    pinned = {name.lower().replace("_", "-") for name in pins}
    extras = CONFIG["project"]["optional-dependencies"]
    wanted = [*CONFIG["project"]["dependencies"]]
    for name in ("text", "sign", "mlflow", "test"):
        wanted += extras[name]
    for requirement in wanted:
        if requirement.startswith("recaudit["):
            continue
        name = re.split(r"[<>=\[ ]", requirement)[0].lower().replace("_", "-")
        assert name in pinned, f"{name} is not pinned in constraints.txt"


def test_wheel_holds_the_package_and_its_data(tmp_path: Path) -> None:
    source = tmp_path / "source"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(source)], check=True)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"recaudit"}
    for needed in ("py.typed", "reports/templates/", "datasets/embedded/", "audit/presets/"):
        assert any(name.startswith(f"recaudit/{needed}") for name in names), needed
    assert not any("/tests/" in name or name.startswith("recaudit/benchmarks") for name in names)
