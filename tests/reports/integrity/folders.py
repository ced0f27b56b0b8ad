"""A small run folder whose record agrees with itself, made without an audit."""

from __future__ import annotations

import hashlib
import io
from datetime import date
from pathlib import Path

import numpy as np
import pikepdf

from recaudit import __version__
from recaudit.audit.evidence import AuditRun, CellResult, Evidence, Skipped, TargetCard, Unit
from recaudit.audit.policy import Policy
from recaudit.audit.tables import parquet
from recaudit.audit.verdict import conclude, judge
from recaudit.reports.integrity.consistency import evidence_digest
from recaudit.reports.integrity.manifest import installed
from recaudit.reports.render import render_all

DAY = date(2026, 3, 2)


def small_run() -> AuditRun:
    """A record with a failed, a waived, a passed and a skipped finding, judged by the real rules."""
    policy = Policy.model_validate(
        {
            "seed": 7,
            "rules": [
                {"select": "promotion.average.*", "bound": 0.01, "reason": "one user in a hundred"},
                {"select": "promotion.*", "bound": 0.05, "reason": "one user in twenty", "author": "R. Meyer"},
                {"select": "quality.*", "bound": 0.0, "reason": "no worse than popularity"},
            ],
            "waivers": [
                {"check": "promotion.average.*", "owner": "R. Meyer", "reason": "known", "expires": "2026-06-30"}
            ],
        }
    )
    cells = [
        CellResult(key=f"{n:032x}", kind="refit", label=f"cell {n}", params={"watch": [n]}, seed=n,
                   values={"ndcg@20": 0.1 + n / 7}, seconds=1.5 + n)
        for n in range(3)
    ]  # fmt: skip
    draw = np.random.default_rng(3)
    evidence = [
        Evidence(
            id=f"promotion.{attack}.1%.hr@20", check="promotion", title=f"Gain under {attack}", measure="hr@20",
            unit="share of genuine users, 0..1", worse="higher", estimate=gain, n=8, resolution=0.001,
            units=[Unit(cluster=f"{n:04d}", seed=0, value=gain + float(draw.normal(0, 0.01))) for n in range(8)],
            cells=[cells[1].key],
        )
        for attack, gain in (("bandwagon", 0.3), ("average", 0.2), ("random", 0.001))
    ]  # fmt: skip
    evidence.append(
        Evidence(
            id="quality.ndcg@20.minus.popularity", check="quality", title="Utility less that of popularity",
            measure="ndcg@20", unit="NDCG, 0..1", worse="lower", estimate=0.05, n=900, standard_error=0.004,
        )
    )  # fmt: skip
    skipped = [Skipped(check="genres", reason="the data have no genres")]
    findings = judge(evidence, skipped, [], policy, DAY)
    verdict, code = conclude(findings, policy, True)
    run = AuditRun(
        status="complete", verdict=verdict, exit_code=code, target=_card(), policy=policy.model_dump(mode="json"),
        policy_digest=policy.digest, seed=7, started=f"{DAY}T23:59:50+00:00", seconds=60.0, evidence_digest="",
        environment={"recaudit": __version__, "numpy": installed("numpy"), "polars": installed("polars")},
        findings=findings, evidence=evidence, cells=cells, skipped=skipped, failures=[], titles={"0001": "A title"},
    )  # fmt: skip
    return sealed(run)


def sealed(run: AuditRun) -> AuditRun:
    """The run with the digest of what it holds."""
    raw = run.model_dump(mode="json")
    return run.model_copy(update={"evidence_digest": evidence_digest(raw["cells"], raw["evidence"])})


def write_run(folder: Path, run: AuditRun, *, reports: bool = True) -> None:
    """Everything that an audit writes; the reports cost seconds."""
    (folder / "cells").mkdir(parents=True)
    (folder / "run.json").write_bytes(run.model_dump_json(indent=1).encode())
    (folder / "evidence.jsonl").write_text("".join(found.model_dump_json() + "\n" for found in run.evidence))
    (folder / "evidence.parquet").write_bytes(parquet(run.evidence))
    for cell in run.cells:
        (folder / "cells" / f"{cell.key}.json").write_bytes(cell.model_dump_json(indent=1).encode())
    np.savez_compressed(folder / "cells" / f"{run.cells[0].key}.npz", users=np.arange(50))
    if reports:
        render_all(run, folder)


def pdf_with(record: bytes) -> bytes:
    """A page with a record attached."""
    pdf, buffer = pikepdf.new(), io.BytesIO()
    pdf.add_blank_page()
    pdf.attachments["run.json"] = pikepdf.AttachedFileSpec(pdf, record, filename="run.json")
    pdf.save(buffer)
    return buffer.getvalue()


def _card() -> TargetCard:
    digest = hashlib.sha256(b"model").hexdigest()
    return TargetCard(
        name="lightgcn-movies", family="graph", model_fingerprint=digest, data_fingerprint=digest[::-1], users=900,
        items=400, train_events=9000, valid_events=900, test_events=900, split="leave-last-out",
        recipe={"model": "lightgcn"}, reproduced=True,
    )  # fmt: skip
