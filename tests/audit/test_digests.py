"""Digests of records and of the code that made them."""

from __future__ import annotations

from pathlib import Path

from recaudit.audit.digests import code_digest, evidence_digest, policy_digest


def test_times_are_no_evidence_and_everything_else_is() -> None:
    cell = {"key": "a", "values": {"x": 1.0}, "seconds": 1.0, "costs": {"craft": 2.0}}
    assert evidence_digest([cell], []) == evidence_digest([cell | {"seconds": 9.0, "costs": {}}], [])
    assert evidence_digest([cell], []) != evidence_digest([cell | {"values": {"x": 1.5}}], [])
    assert evidence_digest([cell], []) != evidence_digest([cell], [{"id": "a"}])


def test_a_policy_is_what_it_asks_for_not_how_it_is_laid_out() -> None:
    assert policy_digest({"a": 1, "b": [2]}) == policy_digest({"b": [2], "a": 1}) != policy_digest({"a": 1, "b": [3]})


def test_every_module_counts_and_nothing_beside_the_package_does(tmp_path: Path) -> None:
    def package(name: str, **changed: str) -> Path:
        root = tmp_path / name
        content = {"__init__.py": "", "one/__init__.py": "", "one/two.py": "x = 1\n", "tests/test_one.py": ""} | changed
        for path, text in content.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        return root

    plain = code_digest(package("plain"))
    assert plain == code_digest(package("beside", **{"tests/test_one.py": "y", "notes.txt": "z"}))
    for n, path in enumerate(("__init__.py", "one/two.py", "one/three.py")):
        assert code_digest(package(f"changed-{n}", **{path: "x = 2\n"})) != plain
    assert len(code_digest()) == 64 and code_digest() == code_digest()
