"""Effects on an exact victim against reference numbers of public attack code (Automotive, five published targets)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

from recaudit.attacks.injection import craft_only
from recaudit.datasets.log import InteractionLog, Profiles

TARGETS = (119, 422, 594, 884, 1593)
Array = NDArray[np.float64]
Stored = dict[tuple[str, int, int], Array]


class Ease:
    """EASE, lambda 200, on the training part; fakes enter the inverse exactly (Woodbury identity)."""

    def __init__(self, log: InteractionLog) -> None:
        self.x = log.matrix().astype(np.float64)
        self.seen = self.x.toarray() > 0
        self.inverse = np.linalg.inv((self.x.T @ self.x).toarray() + 200 * np.eye(log.n_items))
        self.log = log

    def scores(self, fakes: Profiles | None = None) -> Array:
        """Scores of all items for all genuine users, float64 [U, I]."""
        inverse = self.inverse
        if fakes is not None:
            f = np.zeros((fakes.n_accounts, self.log.n_items))
            f[fakes.account, fakes.item] = 1
            inverse = inverse - inverse @ f.T @ np.linalg.solve(np.eye(len(f)) + f @ inverse @ f.T, f @ inverse)
        weights = -inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0)
        scores: Array = self.x @ weights
        return scores

    @cache  # noqa: B019 - one victim for the module
    def clean(self, target: int) -> Array:
        """The measures without an attack."""
        return self.measures(target)

    def measures(self, target: int, fakes: Profiles | None = None) -> Array:
        """HR@20 and mean log2 rank of the target over users who lack it."""
        lack = ~self.seen[:, target]
        scores = np.where(self.seen[lack], -np.inf, self.scores(fakes)[lack])
        own = scores[:, [target]]
        rank = 1 + (scores > own).sum(1) + ((scores == own).sum(1) - 1) / 2
        return np.array([(rank <= 20).mean(), np.log2(rank).mean()])


@pytest.fixture(scope="module")
def victim(shared: Path) -> Ease:
    """Fitted on the published training part."""
    rows = pd.read_csv(shared / "data/legup-automotive/interactions.csv.gz")
    users, items = np.arange(rows.user_id.max() + 1).astype(str), np.arange(rows.item_id.max() + 1).astype(str)
    rows = rows[rows.split == "train"]
    ratings = rows.rating.to_numpy(np.float32)
    log = InteractionLog(rows.user_id.to_numpy(np.int32), rows.item_id.to_numpy(np.int32), users, items, ratings)
    return Ease(log)


@pytest.fixture(scope="module")
def stored(shared: Path) -> Stored:
    """HR@20 and log2 rank of EASE by attack, P (fillers) and target."""
    rows = pd.read_csv(shared / "oracles/attacks/results-automotive.csv")
    rows = rows[rows.victim == "ease"]
    keys = zip(rows.attack, rows.P, rows.target, strict=True)
    return dict(zip(keys, rows[["hr20", "log2rank"]].to_numpy(), strict=True))


def gains(victim: Ease, attack: str, profile: int, kind: Any, seeds: int, **settings: Any) -> Array:
    """HR@20 attacked, and log2 rank clean less attacked, mean over seeds of the craft: [targets, 2]."""
    found = []
    for target in TARGETS:
        goal = {"kind": kind, "settings": settings}
        fakes = (craft_only(victim.log, attack, [target], 50, profile, seed, **goal) for seed in range(seeds))
        attacked = np.mean([victim.measures(target, each) for each in fakes], axis=0)
        found.append([attacked[0], victim.clean(target)[1] - attacked[1]])
    return np.array(found)


def reference(stored: Stored, attack: str, fillers: int = 4) -> Array:
    """The same of the stored profiles."""
    rows = [stored[attack, fillers, target] for target in TARGETS]
    clean = [stored["none", 0, target] for target in TARGETS]
    return np.array([[own[0], none[1] - own[1]] for own, none in zip(rows, clean, strict=True)])


def interval(differences: Array) -> tuple[float, float]:
    """Student's t interval of the mean over targets, 95 %."""
    half = stats.t.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / np.sqrt(len(differences))
    return differences.mean() - half, differences.mean() + half


def test_the_victim_is_the_references(victim: Ease, stored: Stored, shared: Path) -> None:
    for target in TARGETS:
        assert victim.measures(target) == pytest.approx(stored["none", 0, target], abs=1e-4)
    rows = pd.read_csv(shared / "oracles/attacks/automotive/random_119_P4.csv.gz")
    fakes = Profiles(50, rows.account.to_numpy(np.int32), rows.item.to_numpy(np.int32))
    assert victim.measures(119, fakes) == pytest.approx(stored["random", 4, 119], abs=1e-4)


@pytest.mark.parametrize(
    ("attack", "settings", "name", "profile", "seeds"),
    [
        ("random", {}, "random", 5, 1),
        # the public code has one popular item in every profile, the most popular one
        ("bandwagon", {"popular_share": 0.25, "head": 1e-6}, "bandwagon-eq", 5, 1),
        pytest.param("random", {}, "random", 5, 4),
        pytest.param("bandwagon", {"popular_share": 0.2, "head": 1e-6}, "bandwagon", 6, 4),
    ],
)  # fmt: skip
def test_equal_budgets_have_equal_effects(
    victim: Ease, stored: Stored, attack: str, settings: dict[str, Any], name: str, profile: int, seeds: int
) -> None:
    """Margin of the reference page: .25 log2 on EASE; the whole interval over targets must lie inside."""
    ours = gains(victim, attack, profile, "implicit", seeds, **settings)
    difference = ours - reference(stored, name)
    low, high = interval(difference[:, 1])
    assert -0.25 < low and high < 0.25, (ours.mean(0), low, high)
    low, high = interval(difference[:, 0])
    assert -0.02 < low and high < 0.02, (ours.mean(0), low, high)


def test_popular_neighbours_and_real_profiles_push_further_than_random_ones(victim: Ease) -> None:
    random = gains(victim, "random", 6, "implicit", 2)[:, 1]
    for attack in ("bandwagon", "popular", "clone-and-push"):
        low, _ = interval(gains(victim, attack, 6, "implicit", 2)[:, 1] - random)
        assert low > 0, attack


def test_rivals_bury_without_a_negative_event(victim: Ease) -> None:
    for attack in ("bandwagon", "popular", "clone-and-push"):
        shifts = []
        for target in TARGETS:
            fakes = craft_only(victim.log, attack, [target], 50, 6, 0, direction="nuke", kind="implicit")
            shifts.append(victim.clean(target)[1] - victim.measures(target, fakes)[1])
        _, high = interval(np.array(shifts))
        assert high < 0, (attack, shifts)
