from __future__ import annotations

import pytest

from recaudit.audit.evidence import AuditRun, Status
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
        ("waived", "Yes, and it is waived.", "waived by the policy"),
        ("not_run", "Not tested.", "Reason: "),
    ],
)
def test_words_of_every_status(run: AuditRun, status: Status, lead: str, part: str) -> None:
    answer = answers(Reading(judged(run, "promotion", status)))[0]
    assert answer.lead == lead and part in all_told(answer) and answer.state == status


def test_losing_to_a_baseline_is_a_no(run: AuditRun) -> None:
    answer = answers(Reading(judged(run, "quality", "fail")))[2]
    assert answer.lead == "No." and "does not reach its bound against" in all_told(answer)


def test_nothing_tested_is_said(run: AuditRun) -> None:
    bare = run.model_copy(update={"findings": [], "evidence": [], "verdict": "inconclusive"})
    assert {answer.state for answer in answers(Reading(bare))} == {"not_run"}
    assert "no success" in told(verdict_sentences(Reading(bare))[0])


def test_a_checkpoint_that_is_not_itself(run: AuditRun) -> None:
    card = run.target.model_copy(update={"reproduced": False})
    answer = answers(Reading(judged(run.model_copy(update={"target": card}), "quality", "fail")))[4]
    assert answer.lead == "No." and "split" in all_told(answer)


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
    assert "the verdict does not rest on it" in all_told(answers(Reading(failed))[3])
    assert "does not rest" not in all_told(answers(Reading(failed))[0])
