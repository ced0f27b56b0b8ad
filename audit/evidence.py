"""What an audit leaves behind: cells, evidence, findings, the run record. The published JSON schema.

Everything here is data; it imports neither torch nor pandas, so reports and gates open a run in milliseconds.
Fields are only ever added; a change of meaning raises `SCHEMA_VERSION`.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1

Status = Literal["pass", "fail", "inconclusive", "waived", "not_run"]
Severity = Literal["error", "warning", "info"]
Worse = Literal["higher", "lower"]


class Record(BaseModel):
    """Base of all records: unknown fields are refused, NaN never enters a file."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class CellResult(Record):
    """One unit of computing and what was measured in it."""

    key: str = Field(description="content hash of everything that determines the values")
    kind: Literal["model", "reference", "refit", "inquiry"] = Field(
        description="model: the checkpoint as it is; reference: a baseline; refit: retrained from scratch; "
        "inquiry: something asked of the checkpoint as it is"
    )
    label: str = Field(description="for people, for example 'bandwagon 1% -> item 0104257, seed 2'")
    params: dict[str, Any] = Field(description="recipe, injection and watched items; part of the key")
    seed: int
    values: dict[str, float | None] = Field(
        description="NAME for utility and side measures, 'target/ITEM_ID/NAME' for watched items"
    )
    texts: dict[str, str] = Field(default_factory=dict, description="texts that an inquiry brought back, by name")
    seconds: float = Field(description="wall seconds; not part of the evidence digest")
    craft_seconds: float | None = Field(
        default=None, description="CPU seconds of crafting the injected accounts; not part of the evidence digest"
    )
    defense_seconds: float | None = Field(
        default=None, description="CPU seconds of training with a defence; not part of the evidence digest"
    )
    costs: dict[str, float] = Field(
        default_factory=dict,
        description="CPU seconds by name: steps of an inquiry, 'fit' of a refit; not part of the evidence digest",
    )
    exact: bool = Field(default=True, description="false if a shortcut stood in for retraining from scratch")


class Unit(Record):
    """One sampling unit of a designed experiment: a paired difference for one (target, seed)."""

    cluster: str = Field(description="what varies between independent units, here the target item's id")
    seed: int
    value: float


class Evidence(Record):
    """One estimate with what is needed to judge it at any confidence level."""

    id: str = Field(description="stable, dotted: check.subject.measure, e.g. promotion.bandwagon.1%.cold.hr@20")
    check: str
    title: str = Field(description="one plain sentence fragment a non-specialist understands")
    measure: str = Field(description="field's name of the measure, e.g. hr@20 or log2_rank_shift")
    unit: str = Field(description="unit and range in words, e.g. 'share of genuine users, 0..1'")
    worse: Worse
    estimate: float | None
    n: int = Field(description="number of sampling units behind the estimate")
    units: list[Unit] = Field(default_factory=list, description="the sample of a designed experiment")
    standard_error: float | None = Field(
        default=None, description="for large samples of users, where units are not listed"
    )
    resolution: float = Field(default=0.0, description="smallest step one unit can show, 0 = continuous")
    limits: tuple[float, float] | None = Field(
        default=None, description="ends that the mean of the measure cannot pass; intervals are cut there"
    )
    baseline: dict[str, float] = Field(default_factory=dict, description="what to read it against, by name")
    details: dict[str, Any] = Field(default_factory=dict, description="numbers for plots and tables")
    cells: list[str] = Field(default_factory=list)
    missing: str | None = Field(default=None, description="why there is no estimate")


class Skipped(Record):
    """A check that does not apply, and why."""

    check: str
    reason: str


class Failure(Record):
    """A cell that ended in an error, and which."""

    cell: str
    label: str
    error: str


class Finding(Record):
    """One evidence judged by one rule of the policy."""

    id: str
    check: str
    title: str
    status: Status
    severity: Severity
    measure: str
    unit: str
    estimate: float | None
    interval: tuple[float, float] | None
    confidence: float = Field(description="of the interval; above the policy's level where corrected for many")
    bound: float | None
    direction: Worse = Field(description="which side of the bound is worse")
    n: int
    mde: float | None = Field(default=None, description="smallest effect this design sees with 80 % power")
    baseline: dict[str, float] = Field(default_factory=dict)
    reason: str = Field(description="why this status")
    bound_reason: str = Field(default="", description="why the bound is where it is")
    remedy: str = Field(default="", description="what to try, or what would settle an inconclusive one")
    clauses: list[str] = Field(default_factory=list)
    cells: list[str] = Field(default_factory=list)


class TargetCard(Record):
    """What was audited."""

    name: str
    family: str
    model_fingerprint: str
    data_fingerprint: str
    users: int
    items: int
    train_events: int
    valid_events: int
    test_events: int
    split: str
    recipe: dict[str, Any]
    reproduced: bool | None = Field(description="does what is stored in the checkpoint come out again?")
    origin: str | None = Field(default=None, description="of a model that recaudit did not train: its format")
    verified: bool | None = Field(default=None, description="of such a model: are ids and split proved to be its own?")


class AuditRun(Record):
    """`run.json`: the whole record of one audit."""

    schema_version: int = SCHEMA_VERSION
    status: Literal["complete", "incomplete"]
    verdict: Literal["pass", "fail", "inconclusive"]
    exit_code: int
    target: TargetCard
    policy: dict[str, Any]
    policy_digest: str = Field(description="SHA-256 of the policy, taken before the first cell")
    seed: int
    environment: dict[str, str]
    started: str = Field(description="ISO 8601, UTC")
    seconds: float
    evidence_digest: str = Field(description="SHA-256 over cells' values and evidence; equal for equal results")
    findings: list[Finding]
    evidence: list[Evidence]
    cells: list[CellResult]
    skipped: list[Skipped]
    failures: list[Failure]
    titles: dict[str, str] = Field(default_factory=dict, description="item id -> title, for items named here")
