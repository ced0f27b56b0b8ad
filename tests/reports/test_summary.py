from __future__ import annotations

import pytest

from recaudit.audit.evidence import AuditRun, Skipped, Status
from recaudit.reports.html import page
from recaudit.reports.method import limits, method
from recaudit.reports.readings import Reading
from recaudit.reports.summary import Answer, answers, counts, verdict_sentences
from recaudit.reports.text import Sentence


def told(parts: Sentence) -> str:
    return "".join(part if isinstance(part, str) else part.value for part in parts).replace("\u00a0", " ")


def all_told(answer: Answer) -> str:
    return " ".join([answer.lead, *(told(parts) for parts in answer.sentences)])


def judged(run: AuditRun, check: str, status: Status) -> AuditRun:
    found = [f.model_copy(update={"status": status}) if f.check == check else f for f in run.findings]
    return run.model_copy(update={"findings": found})


def test_each_question_has_one_answer(run: AuditRun) -> None:
    push, bury, better, shown, same = answers(Reading(run))
    assert (push.state, push.lead) == ("fail", "Yes.")
    assert "bandwagon accounts at attack size 3%" in all_told(push) and "20.0 % of the eligible users" in all_told(push)
    assert bury.state == "inconclusive" and "loss 6.1 percentage points" in all_told(bury)
    assert better.state == "inconclusive" and "could not tell it from ease" in all_told(better)
    assert shown.lead.replace("\u00a0", " ") == "412 of 1,099 items (37.5 %)."
    assert same.lead == "Yes." and same.state == "pass"


@pytest.mark.parametrize(
    ("status", "lead", "part"),
    [
        ("pass", "Not in this test.", "other attackers, budgets and targets were not tested"),
        ("inconclusive", "Cannot tell.", "interval contains the bound"),
        ("waived", "Waived.", "excused, by a waiver or the baseline"),
        ("not_run", "Not tested.", "Reason: "),
    ],
)
def test_words_of_every_status(run: AuditRun, status: Status, lead: str, part: str) -> None:
    answer = answers(Reading(judged(run, "promotion", status)))[0]
    assert answer.lead == lead and part in all_told(answer) and answer.state == status


def test_losing_to_a_baseline_is_said(run: AuditRun) -> None:
    answer = answers(Reading(judged(run, "quality", "fail")))[2]
    assert answer.state == "fail" and "does not reach its bound against" in all_told(answer)


def test_nothing_tested_is_said(run: AuditRun) -> None:
    bare = run.model_copy(update={"findings": [], "evidence": [], "verdict": "inconclusive"})
    assert {answer.state for answer in answers(Reading(bare))} == {"not_run"}
    assert "no success" in told(verdict_sentences(Reading(bare))[0])


def test_a_checkpoint_that_is_not_itself(run: AuditRun) -> None:
    card = run.target.model_copy(update={"reproduced": False})
    answer = answers(Reading(judged(run.model_copy(update={"target": card}), "quality", "fail")))[4]
    assert answer.lead == "No." and "split" in all_told(answer)


def with_check(run: AuditRun, check: str, status: Status) -> AuditRun:
    """A run that asked one more check, of the findings of another."""
    renamed = {"check": check}
    evidence = [e.model_copy(update=renamed) for e in run.evidence if e.check == "promotion"]
    findings = [f.model_copy(update=renamed | {"status": status}) for f in run.findings if f.check == "promotion"]
    return run.model_copy(update={"evidence": [*run.evidence, *evidence], "findings": [*run.findings, *findings]})


@pytest.mark.parametrize(
    ("status", "lead", "word"),
    [("fail", "A bound is broken.", "broken"), ("inconclusive", "Cannot tell.", "open"),
     ("waived", "Waived.", "waived"), ("pass", "Within its bounds.", "kept")],
)  # fmt: skip
def test_further_checks_are_answered_where_they_were_asked(run: AuditRun, status: Status, lead: str, word: str) -> None:
    asked = with_check(run, "defense", status)
    answer = next(one for one in answers(Reading(asked)) if one.question == "Does a defence help?")
    assert (answer.state, answer.lead) == (status, lead) and f" {word}." in all_told(answer)
    estimates = [f.estimate for f in asked.findings if f.check == "defense" and f.measure.startswith("hr@")]
    largest = max(value for value in estimates if value is not None)
    assert f": {largest:.3f}," in all_told(answer)
    assert "Does a defence help?" not in {one.question for one in answers(Reading(run))}
    skipped = [*run.skipped, Skipped(check="takeover", reason="the model has no memory")]
    told_why = answers(Reading(run.model_copy(update={"skipped": skipped})))[4]
    assert told_why.state == "not_run" and "the model has no memory" in all_told(told_why)


def test_what_was_not_tested_follows_what_was(run: AuditRun) -> None:
    before, after = (
        " ".join(told(line) for line in limits(Reading(one))) for one in (run, with_check(run, "defense", "pass"))
    )
    assert "Whether a defence would help." in before and "Whether a defence would help." not in after
    assert "hijacked accounts" in after and "Attackers who adapt to this very model by querying it." in after
    evidence = [run.evidence[0].model_copy(update={"details": {"tried": {"i1": 4.0, "i2": None}}}), *run.evidence[1:]]
    querying = " ".join(told(line) for line in limits(Reading(run.model_copy(update={"evidence": evidence}))))
    assert "by querying it" not in querying


def test_counts_name_every_status(run: AuditRun) -> None:
    assert sum(counts(Reading(run)).values()) == len(run.findings)
    assert set(counts(Reading(run.model_copy(update={"findings": []})))) == {
        "fail", "inconclusive", "not_run", "waived", "pass",
    }  # fmt: skip


def test_a_pass_promises_nothing_beyond_the_test(run: AuditRun) -> None:
    passed = run.model_copy(update={"verdict": "pass", "findings": [], "status": "complete"})
    assert told(verdict_sentences(Reading(passed))[0]).endswith("in what was tested.")


def test_a_failure_that_only_warns_says_so(run: AuditRun) -> None:
    failed = judged(run, "exposure", "fail")
    assert "the verdict does not rest on them" in all_told(answers(Reading(failed))[3])
    assert "only warn" not in all_told(answers(Reading(failed))[0])


def test_an_answer_rests_on_what_the_verdict_rests_on(run: AuditRun) -> None:
    passed = judged(run, "promotion", "pass").findings
    warned = [
        f.model_copy(update={"status": "fail", "severity": "warning"}) if f.id.endswith("random.3%.cold.hr@20") else f
        for f in passed
    ]
    answer = answers(Reading(run.model_copy(update={"findings": warned})))[0]
    assert answer.state == "pass" and "Of the bounds that only warn: 1 broken." in all_told(answer)


def test_lost_utility_is_no_push(run: AuditRun) -> None:
    findings = judged(run, "promotion", "pass").findings
    cost = next(f for f in findings if f.check == "promotion").model_copy(
        update={"id": "promotion.random.1%.utility.ndcg@20", "measure": "ndcg@20", "status": "fail"}
    )
    answer = answers(Reading(run.model_copy(update={"findings": [*findings, cost]})))[0]
    assert answer.state == "pass" and "1 bound on the utility of genuine users" in all_told(answer)


@pytest.mark.parametrize(
    ("status", "interval", "lead"),
    [
        ("pass", (0.01, 0.02), "Yes."),
        ("pass", (-0.01, 0.02), "Not shown, but its bounds are kept."),
        ("fail", (-0.03, -0.02), "No."),
        ("fail", (0.001, 0.002), "Not by as much as the policy asks."),
    ],
)
def test_better_is_said_of_the_interval_not_of_the_bound(
    run: AuditRun, status: Status, interval: tuple[float, float], lead: str
) -> None:
    findings = [f.model_copy(update={"interval": interval}) for f in judged(run, "quality", status).findings]
    assert answers(Reading(run.model_copy(update={"findings": findings})))[2].lead == lead


def test_a_baseline_that_only_warns_is_not_passed_over() -> None:
    from recaudit.reports.summary import _kept

    assert _kept([(0.01, 0.02), (0.001, 0.1)]) == "Yes."
    assert _kept([(0.01, 0.02), (-0.06, -0.02)]) == "Not than all of them."
    assert _kept([(0.01, 0.02), (-0.01, 0.02)]) == "Not shown, but its bounds are kept."


@pytest.mark.parametrize("verified", [True, False])
def test_a_model_that_was_brought_is_named_with_its_proof(run: AuditRun, verified: bool) -> None:
    proof = "ids and split verified: its final vectors come out again" if verified else "ids and split assumed"
    reproduction = next(found for found in run.evidence if found.id == "quality.reproduction")
    details = {"proof": proof} if verified else {}
    told_ = reproduction.model_copy(
        update={"details": details, "estimate": 0.0 if verified else None, "missing": None if verified else proof}
    )
    again = reproduction.model_copy(
        update={
            "id": "quality.fidelity.ndcg@20",
            "estimate": -0.01,
            "n": 3,
            "title": "NDCG@20 again: one such training",
        }
    )
    card = run.target.model_copy(
        update={"origin": "RecBole, <b>LightGCN</b>", "verified": verified, "reproduced": True if verified else None}
    )
    evidence = [*(found for found in run.evidence if found is not reproduction), told_, again]
    brought = Reading(run.model_copy(update={"target": card, "evidence": evidence}))
    lines = [told(sentence) for sentence in method(brought)]
    assert any("RecBole" in line and proof in line for line in lines)
    assert any("trained again 3 times" in line.replace("\u00a0", " ") and "-0.0100" in line for line in lines)
    assumed = any("are assumed" in told(sentence) for sentence in limits(brought))
    assert assumed is not verified
    html = page(brought.run).decode()
    assert "RecBole, &lt;b&gt;LightGCN&lt;/b&gt;" in html and "<b>LightGCN" not in html
