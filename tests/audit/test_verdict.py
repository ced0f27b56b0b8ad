"""Judging: every status by a table of cases, corrections, waivers by the day, what gates and what does not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from recaudit.audit.evidence import Evidence, Failure, Finding, Skipped, Unit
from recaudit.audit.policy import Policy
from recaudit.audit.statistics import interval, student
from recaudit.audit.verdict import conclude, judge

TODAY = date(2030, 6, 15)


def policy(*rules: dict[str, Any], **fields: Any) -> Policy:
    defaults = {"select": "*", "bound": 0.05, "reason": "because", "remedy": "mend it"}
    return Policy.model_validate({"rules": [defaults | rule for rule in rules or ({},)], **fields})


def designed(values: Sequence[float], name: str = "p.x.hr@20", worse: str = "higher", **fields: Any) -> Evidence:
    """Evidence with a unit per target."""
    units = [Unit(cluster=f"item{n}", seed=0, value=value) for n, value in enumerate(values)]
    base: dict[str, Any] = {
        "id": name, "check": name.split(".")[0], "title": "t", "measure": "m", "unit": "u", "worse": worse,
        "estimate": float(np.mean(values)) if len(values) else None, "n": len(units), "units": units,
    }  # fmt: skip
    return Evidence.model_validate(base | fields)


def surveyed(
    estimate: float | None, error: float | None, name: str = "q.ndcg", worse: str = "lower", **fields: Any
) -> Evidence:
    """Evidence over many users."""
    return designed(
        [], name, worse, **({"estimate": estimate, "standard_error": error, "n": 500, "units": []} | fields)
    )


def one(found: Evidence, rules: Policy | None = None, failures: Sequence[Failure] = ()) -> Finding:
    return judge([found], [], failures, rules or policy(), TODAY)[0]


NEAR = [0.010, 0.012, 0.008, 0.011, 0.009]
FAR = [value + 0.2 for value in NEAR]
WIDE = [0.0, 0.1, 0.02, 0.09, 0.01]

CASES: list[tuple[str, Evidence, float, str]] = [
    ("good side", designed(NEAR), 0.05, "pass"),
    ("bad side", designed(FAR), 0.05, "fail"),
    ("across", designed(WIDE), 0.05, "inconclusive"),
    ("below the lowest good", designed(NEAR, worse="lower"), 0.05, "fail"),
    ("above the lowest good", designed(FAR, worse="lower"), 0.05, "pass"),
    ("across, lower", designed(WIDE, worse="lower"), 0.05, "inconclusive"),
    ("negative bound", designed([-0.2 + v for v in NEAR], worse="lower"), -0.05, "fail"),
    ("four targets pass not", designed(NEAR[:4]), 0.05, "inconclusive"),
    ("four targets fail not", designed(FAR[:4]), 0.05, "inconclusive"),
    ("one target", designed([0.5]), 0.05, "inconclusive"),
    ("no effect at all", designed([0.0] * 5), 0.05, "pass"),
    ("no effect, bound zero", designed([0.0] * 5), 0.0, "pass"),
    ("no effect, but a step is larger than the bound", designed([0.0] * 5, resolution=0.1), 0.05, "inconclusive"),
    ("no effect within steps", designed([0.0] * 5, resolution=0.001), 0.05, "pass"),
    ("users, good", surveyed(0.1, 0.01), 0.05, "pass"),
    ("users, bad", surveyed(0.01, 0.01), 0.05, "fail"),
    ("users, across", surveyed(0.06, 0.01), 0.05, "inconclusive"),
    ("few users", surveyed(0.1, 0.01, n=29), 0.05, "inconclusive"),
    ("no error known", surveyed(0.1, None), 0.05, "inconclusive"),
    ("exact, good", surveyed(1e-9, 0.0, worse="higher", n=4), 1e-6, "pass"),
    ("exact, at the bound", surveyed(0.05, 0.0, worse="higher", n=1), 0.05, "pass"),
    ("exact, bad", surveyed(0.1, 0.0, worse="higher", n=4), 1e-6, "fail"),
    ("missing", surveyed(None, None, missing="the cell failed"), 0.05, "not_run"),
]


@pytest.mark.parametrize(("found", "bound", "status"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_status(found: Evidence, bound: float, status: str) -> None:
    finding = one(found, policy({"bound": bound}))
    assert finding.status == status, finding.reason
    assert finding.reason and finding.bound == bound and finding.bound_reason == "because"
    assert (finding.remedy == "mend it") == (status == "fail")
    if status == "inconclusive":
        assert finding.remedy and "mend" not in finding.remedy
    Finding.model_validate_json(finding.model_dump_json())


def test_numbers_of_a_finding() -> None:
    finding = one(
        designed(NEAR, baseline={"control": 0.002}, cells=["k"]), policy({"author": "owner", "clauses": ["c"]})
    )
    expected = interval(NEAR, [f"item{n}" for n in range(5)], 0.95, 0)
    assert finding.interval == expected and finding.confidence == 0.95 and finding.estimate == pytest.approx(0.01)
    assert finding.mde == pytest.approx(2.8 * np.std(NEAR, ddof=1) / np.sqrt(5))
    assert (finding.baseline, finding.cells, finding.clauses) == ({"control": 0.002}, ["k"], ["c"])
    assert finding.bound_reason == "because (owner)" and finding.direction == "higher" and finding.n == 5
    assert one(surveyed(0.1, 0.01)).mde == pytest.approx(0.028)
    assert one(surveyed(0.1, 0.0, n=1)).interval == (0.1, 0.1)


def test_seeds_of_a_target_are_no_more_targets() -> None:
    units = [Unit(cluster=f"item{n % 4}", seed=n // 4, value=value) for n, value in enumerate(NEAR * 4)]
    finding = one(designed(NEAR * 4, units=units))
    assert finding.status == "inconclusive" and "4 of at least 5 targets" in finding.reason


def test_equal_targets_are_a_pass_that_says_what_it_leaves_open() -> None:
    finding = one(designed([0.0] * 5, resolution=0.001))
    assert finding.interval is not None and finding.interval[0] < 0 < finding.interval[1]
    assert "all 5 targets show the same" in finding.reason and "45%" in finding.reason
    assert "same" not in one(designed(NEAR)).reason


def test_inconclusive_says_what_would_settle_it() -> None:
    finding = one(designed([0.0, 0.06, 0.02, 0.05, 0.01]))
    assert finding.status == "inconclusive" and "now 5" in finding.remedy and "per_stratum" in finding.remedy
    needed = int(finding.remedy.split()[1].replace(",", ""))
    assert 6 <= needed <= 60
    # the same spread and mean on so many targets is settled
    rng = np.random.default_rng(0)
    values = rng.normal(size=needed)
    values = 0.028 + 0.0259 * (values - values.mean()) / values.std(ddof=1)
    assert one(designed(values.tolist())).status == "pass"
    on_the_bound = one(designed([0.0, 0.1, 0.05, 0.02, 0.08]))
    assert on_the_bound.status == "inconclusive" and "no affordable number" in on_the_bound.remedy
    users = one(surveyed(0.06, 0.01))
    assert "users would settle it, now 500" in users.remedy
    # at 95 %: 500 (2.80 x 0.01 / 0.01)^2
    assert int(users.remedy.split()[1].replace(",", "")) == pytest.approx(500 * 2.8016**2, abs=2)


def test_evidence_without_a_rule_is_no_finding() -> None:
    assert judge([designed(FAR)], [], [], policy(rules=[]), TODAY) == []


def test_first_matching_rule_wins() -> None:
    rules = policy({"select": "p.*.hr@20", "bound": 1.0, "severity": "info"}, {"select": "p.*", "bound": 0.0})
    assert (one(designed(FAR), rules).bound, one(designed(FAR), rules).severity) == (1.0, "info")


def test_intervals_are_simultaneous_within_a_check() -> None:
    found = [designed(NEAR, f"p.{n}") for n in range(4)] + [designed(NEAR, "other.1")]
    # neither exact values nor missing ones can err, so they cost nothing
    found += [surveyed(0.0, 0.0, "p.exact", n=3), surveyed(None, None, "p.missing", missing="gone")]
    findings = judge(found, [], [], policy(), TODAY)
    by_id = {finding.id: finding for finding in findings}
    assert [by_id[f"p.{n}"].confidence for n in range(4)] == pytest.approx([1 - 0.05 / 4] * 4)
    assert by_id["other.1"].confidence == pytest.approx(0.95)
    assert [finding.id for finding in findings] == [evidence.id for evidence in found]
    assert by_id["p.1"].interval is not None and by_id["other.1"].interval is not None
    assert by_id["p.1"].interval[1] > by_id["other.1"].interval[1]


def test_correction_keeps_the_share_of_wrong_fails_of_a_whole_check() -> None:
    generator = np.random.default_rng(8)
    wrong = 0
    for _ in range(60):
        found = [designed(generator.normal(0.05, 0.02, 6).tolist(), f"p.{n}") for n in range(6)]
        wrong += any(finding.status == "fail" for finding in judge(found, [], [], policy(), TODAY))
    assert wrong <= 0.05 * 60


def test_numbers_beyond_all_bounds_are_inconclusive_and_no_crash() -> None:
    found = Evidence(
        id="p.x.hr@20", check="p", title="t", measure="hr@20", unit="u", worse="higher", estimate=1e308, n=1000,
        standard_error=1e308,
    )  # fmt: skip
    judged = one(found)
    assert judged.status == "inconclusive" and judged.interval is None and judged.mde is None


def test_missing_evidence_names_the_cells_that_failed() -> None:
    failures = [
        Failure(cell="k", label="bandwagon 1% -> item 7", error="ValueError"),
        Failure(cell="l", label="x", error="y"),
    ]
    reason = one(surveyed(None, None, missing="no refit"), failures=failures).reason
    assert reason == "no refit; cells that failed: bandwagon 1% -> item 7 and 1 more"
    assert one(surveyed(None, None)).reason == "no value was measured"


def test_skipped_checks_are_not_run() -> None:
    (finding,) = judge([], [Skipped(check="quality", reason="no test part")], [], policy(rules=[]), TODAY)
    assert (finding.id, finding.check, finding.status, finding.reason) == (
        "quality",
        "quality",
        "not_run",
        "no test part",
    )


def test_a_rule_that_judges_nothing_is_reported() -> None:
    rules = policy({"select": "p.*.hr@20"}, {"select": "p.*.hr@2O"}, {"select": "promotoin.*"}, {"select": "off.*"},
                   {"select": "skipped.*"}, {"select": "*.none"}, checks={"off": {"enabled": False}})  # fmt: skip
    findings = judge([designed(NEAR)], [Skipped(check="skipped", reason="r")], [], rules, TODAY)
    idle = {finding.id: finding for finding in findings if "judged nothing" in finding.reason}
    assert set(idle) == {"p.*.hr@2O", "promotoin.*", "*.none"}
    assert {finding.check for finding in idle.values()} == {"p", "promotoin", "policy"}
    assert all(finding.status == "not_run" and finding.severity == "warning" for finding in idle.values())
    assert conclude(findings, rules, complete=True) == ("pass", 0)


# waivers

WAIVER = {"check": "p", "owner": "Ann", "reason": "known", "expires": TODAY}


@pytest.mark.parametrize(
    ("waiver", "status", "words"),
    [
        ({}, "waived", "waived by Ann until 2030-06-15: known; without it fail"),
        ({"expires": TODAY - timedelta(days=1)}, "fail", "expired on 2030-06-14, so the finding counts again"),
        ({"expires": TODAY + timedelta(days=365)}, "waived", "Ann"),
        ({"expires": TODAY + timedelta(days=366)}, "fail", "more than 365 days ahead"),
        ({"check": "p.*.hr@20"}, "waived", "Ann"),
        ({"check": "*", "scope": "p.x.*"}, "waived", "Ann"),
        ({"scope": "p.y.*"}, "fail", "bound"),
        ({"check": "q"}, "fail", "bound"),
    ],
)
def test_waivers(waiver: dict[str, Any], status: str, words: str) -> None:
    rules = policy(waivers=[WAIVER | waiver])
    findings = judge([designed(FAR)], [], [], rules, TODAY)
    assert findings[0].status == status and words in findings[0].reason
    assert conclude(findings, rules, complete=True) == (("pass", 0) if status == "waived" else ("fail", 1))
    unmatched = [finding for finding in findings if finding.id.startswith("waiver.")]
    assert bool(unmatched) == (("scope" in waiver and status == "fail") or waiver.get("check") == "q")
    for finding in unmatched:
        assert finding.status == "not_run" and finding.severity == "warning" and "no finding" in finding.reason


def test_a_valid_waiver_counts_behind_an_expired_one() -> None:
    old = WAIVER | {"expires": TODAY - timedelta(days=9)}
    assert judge([designed(FAR)], [], [], policy(waivers=[old, WAIVER]), TODAY)[0].status == "waived"


def test_waivers_excuse_inconclusive_but_touch_no_pass() -> None:
    rules = policy(strict=True, waivers=[WAIVER])
    findings = judge([designed(WIDE), designed(NEAR, "p.z")], [], [], rules, TODAY)
    assert [finding.status for finding in findings] == ["waived", "pass"]
    assert conclude(findings, rules, complete=True) == ("pass", 0)


# the verdict


def verdict(*cases: tuple[Sequence[float], str], complete: bool = True, strict: bool = False) -> tuple[str, int]:
    rules = policy(*({"select": f"p.{n}", "severity": s} for n, (_, s) in enumerate(cases)), strict=strict)
    found = [designed(values, f"p.{n}") for n, (values, _) in enumerate(cases)]
    return conclude(judge(found, [], [], rules, TODAY), rules, complete)


@pytest.mark.parametrize(
    ("cases", "options", "expected"),
    [
        ([(NEAR, "error")], {}, ("pass", 0)),
        ([(FAR, "error")], {}, ("fail", 1)),
        ([(WIDE, "error")], {}, ("inconclusive", 0)),
        ([(WIDE, "error")], {"strict": True}, ("inconclusive", 4)),
        ([(NEAR, "error"), (WIDE, "error"), (FAR, "error")], {"strict": True}, ("fail", 1)),
        ([(NEAR, "error"), (WIDE, "error")], {}, ("inconclusive", 0)),
        ([(NEAR, "error"), (FAR, "warning"), (FAR, "info"), (WIDE, "info")], {"strict": True}, ("pass", 0)),
        ([(FAR, "warning")], {"strict": True}, ("pass", 0)),
        ([(NEAR, "error")], {"complete": False}, ("inconclusive", 3)),
        ([(FAR, "error")], {"complete": False}, ("fail", 3)),
        ([([], "error")], {}, ("inconclusive", 3)),
        ([([], "error"), (NEAR, "warning")], {}, ("inconclusive", 0)),
        ([([], "error"), (NEAR, "warning")], {"strict": True}, ("inconclusive", 4)),
        ([([], "error"), (NEAR, "error")], {}, ("pass", 0)),
    ],
)
def test_verdict_and_exit_code(cases: Any, options: dict[str, bool], expected: tuple[str, int]) -> None:
    assert verdict(*cases, **options) == expected


def test_nothing_ran_is_no_success() -> None:
    assert conclude([], policy(), complete=True) == ("inconclusive", 3)
    skipped = judge([], [Skipped(check="p", reason="r")], [], policy(), TODAY)
    assert conclude(skipped, policy(), complete=True) == ("inconclusive", 3)


def test_a_policy_without_rules_asks_for_no_verdict() -> None:
    assert conclude([], policy(rules=[]), complete=True) == ("inconclusive", 0)
    assert conclude([], policy(rules=[], strict=True), complete=True) == ("inconclusive", 4)
    assert conclude([], policy(rules=[]), complete=False) == ("inconclusive", 3)


def test_judging_is_a_pure_function() -> None:
    found = [designed(WIDE), designed(NEAR, "p.z"), surveyed(0.1, 0.02)]
    first = judge(found, [], [], policy(seed=3), TODAY)
    again = judge([Evidence.model_validate_json(e.model_dump_json()) for e in found], [], [], policy(seed=3), TODAY)
    assert [f.model_dump_json() for f in first] == [f.model_dump_json() for f in again]


def test_null_effects_rarely_fail_and_large_ones_never_pass() -> None:
    generator = np.random.default_rng(9)
    fails = passes = 0
    for _ in range(100):
        fails += one(designed(generator.normal(0.0, 0.01, 5).tolist()), policy({"bound": 0.0})).status == "fail"
        passes += one(designed(generator.normal(0.2, 0.05, 5).tolist())).status == "pass"
    assert fails <= 0.025 * 100 + 3 and passes == 0


def test_a_gate_opens_neither_torch_nor_pandas_and_is_quick() -> None:
    code = (
        "import sys, time; t = time.perf_counter();"
        "import recaudit.audit.verdict as v, recaudit.audit.policy as p, datetime, json;"
        "from recaudit.audit.evidence import Evidence;"
        "e = [Evidence.model_validate(x) for x in json.loads(sys.argv[1])];"
        "v.judge(e * 20, [], [], p.load_policy(None), datetime.date.today());"
        "print(json.dumps([m for m in ('torch', 'pandas', 'scipy.stats', 'sklearn') if m in sys.modules]))"
    )
    names = [f"promotion.bandwagon.1%.{stratum}.hr@20" for stratum in ("head", "middle", "cold")]
    found = json.dumps([designed(NEAR, name).model_dump() for name in names])
    answer = subprocess.run([sys.executable, "-c", code, found], capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout) == []


def test_student_agrees_with_the_table() -> None:
    assert [round(student(4, c), 3) for c in (0.95, 0.99)] == [2.776, 4.604]


def test_an_interval_ends_where_the_measure_does() -> None:
    wild = [0.9, -0.8, 0.7, 0.95, -0.9]
    free, cut = (one(designed(wild, **fields)).interval for fields in ({}, {"limits": (-1.0, 1.0)}))
    assert free is not None and cut is not None
    assert free[0] < -1.0 and free[1] > 1.0 and cut == (-1.0, 1.0)
