"""Which defence is chosen: least left in the worst case, within the tolerance, over the same cases."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from recaudit.defenses.choice import Outcome, best

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


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3), st.floats(-0.1, 0.5)), min_size=1, max_size=6))
def test_nobody_within_the_tolerance_leaves_less(drawn: list[tuple[float, float, float]]) -> None:
    outcomes = {f"d{n}": outcome(*each) for n, each in enumerate(drawn)}
    chosen = best(outcomes, 0.02)
    fair = [own for own in outcomes.values() if own.price <= 0.02]
    assert (chosen is None) == (not fair)
    if chosen is not None:
        assert max(outcomes[chosen].left.values()) == min(max(own.left.values()) for own in fair)
