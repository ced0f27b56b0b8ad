"""Which defence is chosen: least left in the worst case, within the tolerance, over the same cases."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recaudit.defenses import choice
from recaudit.defenses.choice import NONE, Outcome, best

CASES = (("popular", "1%"), ("pga", "1%"))


def outcome(first: float, second: float, price: float) -> Outcome:
    return Outcome(dict(zip(CASES, (first, second), strict=True)), price)


def test_the_worst_case_decides_not_the_mean() -> None:
    assert best({"even": outcome(0.5, 0.5, 0.0), "uneven": outcome(0.0, 0.6, 0.0)}, 0.02) == "even"
    assert outcome(0.1, 0.6, 0.0).worst == ("pga", "1%")


def test_who_costs_too_much_is_not_chosen() -> None:
    outcomes = {"strong": outcome(0.1, 0.1, 0.3), "weak": outcome(0.5, 0.5, 0.01)}
    assert best(outcomes, 0.02) == "weak" and best(outcomes, 0.5) == "strong"
    assert best(outcomes, 0.001) is None and best({}, 1.0) is None


def test_who_was_not_measured_against_a_case_cannot_win_by_it() -> None:
    outcomes = {"partial": Outcome({CASES[0]: 0.0}, 0.0), "whole": outcome(0.3, 0.9, 0.0)}
    assert best(outcomes, 0.02) == "whole"


def test_of_equals_the_cheaper_one() -> None:
    assert best({"dear": outcome(0.2, 0.2, 0.01), "cheap": outcome(0.2, 0.2, -0.01)}, 0.02) == "cheap"


def test_a_defence_that_leaves_more_than_none_is_not_the_best() -> None:
    undefended = outcome(0.69, 0.5, 0.0)
    assert best({NONE: undefended, "rgcf": outcome(1.15, 0.2, -0.02)}, 0.02) == NONE
    assert best({NONE: undefended, "same": outcome(0.69, 0.69, -0.02)}, 0.02) == NONE
    assert best({NONE: undefended, "rgcf": outcome(1.15, 0.2, 0.0), "vat": outcome(0.3, 0.3, 0.01)}, 0.02) == "vat"


def test_none_is_no_defence_where_none_can_be_afforded_or_compared() -> None:
    undefended = outcome(0.69, 0.5, 0.0)
    assert best({NONE: undefended}, 0.02) is None
    assert best({NONE: undefended, "dear": outcome(0.1, 0.1, 0.3)}, 0.02) is None
    assert best({NONE: Outcome({CASES[0]: 0.1}, 0.0), "whole": outcome(0.3, 0.9, 0.0)}, 0.02) == "whole"


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3), st.floats(-0.1, 0.5)), min_size=1, max_size=6))
def test_nobody_within_the_tolerance_leaves_less(drawn: list[tuple[float, float, float]]) -> None:
    outcomes = {f"d{n}": outcome(*each) for n, each in enumerate(drawn)}
    chosen = best(outcomes, 0.02)
    fair = [own for own in outcomes.values() if own.price <= 0.02]
    assert (chosen is None) == (not fair)
    if chosen is not None:
        assert max(outcomes[chosen].left.values()) == min(max(own.left.values()) for own in fair)


def test_none_is_measured_where_any_defence_was(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = *CASES, ("random", "1%")
    attacks = SimpleNamespace(trials={case: f"plain {case}" for case in (first, second, third)}, controls=())
    trials = {("vat", *first): "vat", ("vat", *second): "failed", ("apr", *third): "failed"}
    design: Any = SimpleNamespace(attacks=attacks, controls={"vat": (), "apr": ()}, trials=trials, known=())
    shifts = {"vat": 0.3, f"plain {first}": 0.69, f"plain {second}": 1.0, f"plain {third}": 2.0}
    monkeypatch.setattr(choice, "_left", lambda trials, log, results: shifts.get(trials))
    monkeypatch.setattr(choice, "_prices", lambda *_: [0.01, 0.03])
    nothing: Any = None
    found = choice.outcomes(design, nothing, nothing, "ndcg@20")
    assert found == {"vat": Outcome({first: 0.3}, 0.02), NONE: Outcome({first: 0.69}, 0.0)}
    design.known = {("vat", first[0])}
    taught = choice.outcomes(design, nothing, nothing, "ndcg@20")
    assert taught["vat"].left == {first: 0.69}, "no credit for what it was taught to find"
    shifts["vat"] = 0.9
    assert choice.outcomes(design, nothing, nothing, "ndcg@20")["vat"].left == {first: 0.9}
    shifts.clear()
    assert choice.outcomes(design, nothing, nothing, "ndcg@20") == {}
    assert choice.trials_of(design, NONE, second) == f"plain {second}"
    assert choice.trials_of(design, "vat", second) == "failed"
