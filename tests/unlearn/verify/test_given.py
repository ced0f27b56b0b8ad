from __future__ import annotations

from typing import Any

import numpy as np

from recaudit.unlearn.verify.given import why_not

WEIGHTS = np.ones(300)


def model(level: float, seed: int) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    return {
        "forgotten": level + draw.normal(0, 0.1, 200),
        "controls": 0.8 + draw.normal(0, 0.1, 300),
        "served": np.empty(0),
    }


OWN = [model(0.8, seed) for seed in range(4)]


def test_honest_ones_are_taken() -> None:
    refused = [
        why_not(
            [model(0.8, 100 * turn + place) for place in range(5)],
            [model(0.8, 7000 + 10 * turn + own) for own in range(4)],
            WEIGHTS,
        )
        for turn in range(1, 60)
    ]
    assert sum(why is not None for why in refused) <= 4  # 2 % and chance


def test_forged_ones_are_not() -> None:
    why = why_not([model(0.86, 50 + place) for place in range(5)], OWN, WEIGHTS)
    assert why is not None
    assert "4 retrains of our own" in why
    assert why_not([model(0.8, 60), model(0.8, 61), model(0.95, 62)], OWN, WEIGHTS) is not None
    assert why_not([model(0.95, 62)], OWN, WEIGHTS) is not None


def test_models_without_a_seed_must_be_the_same() -> None:
    same = [OWN[0]] * 4
    assert why_not(same[:1], same, WEIGHTS) is None
    assert why_not([model(0.81, 0)], same, WEIGHTS) is not None


def test_rows_that_were_kept_tell_too() -> None:
    own = [model(0.8, seed) | {"served": np.full(50, 0.5 + seed / 1000)} for seed in range(4)]
    assert why_not([own[0] | {"served": np.full(50, 0.9)}], own, WEIGHTS) is not None
