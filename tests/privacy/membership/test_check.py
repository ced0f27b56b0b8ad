from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from recaudit.audit.bench import Protocol
from recaudit.audit.engine import make_plan
from recaudit.audit.store import Store
from recaudit.datasets.split import ratio_per_user
from recaudit.privacy.membership.check import PrivacyProbe
from recaudit.privacy.membership.config import PrivacyConfig
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit

from ...audited import evidence_of
from ...victims import small_log, small_target

SPLIT = ratio_per_user(small_log(users=200, items=60, events=3000), seed=1)
SETTINGS = {"models": 4, "candidates": 100, "planted": 40, "cutoff": 10}
MITIGATIONS = {
    "rounded": {"use": "rounding", "decimals": 1},
    "regular": {"use": "other-recipe", "set": {"regularisation": 3000}},
    "noisy": {"use": "noise"},
}


def probe(**settings: object) -> PrivacyProbe:
    return PrivacyProbe(PrivacyConfig.model_validate(SETTINGS | settings), 7)


def test_evidence(tmp_path: Path) -> None:
    own = probe(units=["interactions", "users"], mitigations=MITIGATIONS)
    target = small_target(split=SPLIT)
    found = {one.id.removeprefix("privacy."): one for one in evidence_of(own, target, tmp_path)}
    for where in ("interactions", "users", "mitigation.rounded.interactions", "mitigation.regular.users"):
        for access in ("scores", "ranks", "lists", "weights"):
            if access == "weights" and "rounded" in where:  # the weights are what they were
                assert not any(name.startswith(f"{where}.weights") for name in found)
                continue
            for attack in ("rmia", "lira"):
                auc, rate = (found[f"{where}.{access}.{attack}.{measure}"] for measure in ("auc", "tpr@1%"))
                assert auc.estimate is not None and 0 <= auc.estimate <= 1 and auc.standard_error
                assert auc.n > 40 and len(auc.cells) == 4
                # three references have about 75 users who are no members: too few for one false alarm in a hundred
                assert (
                    (rate.estimate is None) == ("users" in where) == ("needs 100 non-members" in (rate.missing or ""))
                )
                assert (
                    auc.details["rates"][0]["members"] + auc.details["rates"][0]["others"]
                    == 4 * (auc.details["candidates"])
                )
        bound = found[f"{where}.epsilon"]
        assert bound.estimate is not None and 0 <= bound.estimate <= bound.baseline["ceiling"]
        assert (bound.details["access"], bound.details["attack"], bound.details["models"]) == ("scores", "lira", 4)
    leaks = found["interactions.scores.lira.auc"]
    assert leaks.estimate is not None and leaks.estimate > 0.8  # a linear model of 60 items remembers
    assert leaks.details["by_kind"].keys() == {"trained", "held_out", "planted"} and leaks.details["drivers"]
    regular = found["mitigation.regular.interactions.ranks.rmia.auc"].estimate
    assert regular is not None and regular < (found["interactions.ranks.rmia.auc"].estimate or 0)
    wrong = found["outsider.regular.interactions.scores.lira.auc"]
    assert wrong.estimate is not None and 0.5 < wrong.estimate < leaks.estimate
    assert wrong.details["outsider"] == "regular" and len(wrong.cells) == 8
    assert not any("outsider.rounded" in name or "plain" in name for name in found)
    price = found["mitigation.regular.utility.ndcg@10"]
    assert price.estimate is not None and price.worse == "lower" and price.n == 4
    assert "no user vectors" in (found["mitigation.noisy.none"].missing or "")
    told = found["checkpoint.scores.lira.auc"]
    assert told.estimate is not None and "the split alone" in told.baseline


@pytest.mark.parametrize(("mitigations", "access"), [(["rounded"], "lists"), (["regular"], "weights")])
def test_epsilons_of_all_arms_are_of_one_access(mitigations: list[str], access: str, tmp_path: Path) -> None:
    own = {name: MITIGATIONS[name] for name in mitigations}
    asked = probe(mitigations=own, access=["weights", "lists", "weights"], attacks=["plain", "plain"])
    found = evidence_of(asked, small_target(split=SPLIT), tmp_path)
    bounds = [one for one in found if one.measure == "epsilon"]
    assert len(bounds) == 2 and {(one.details["access"], one.details["attack"]) for one in bounds} == {
        (access, "plain")
    }
    assert len({one.id for one in found}) == len(found)  # what a policy names twice is done once


def test_one_training_serves_all_that_only_serve_in_another_way(tmp_path: Path) -> None:
    target = small_target(split=SPLIT)
    plan = make_plan(target, [probe(mitigations=MITIGATIONS)], Protocol((10,)), Store(tmp_path))
    assert sum(cell.trains for cell in plan.cells.values()) == 8  # plain and rounded together, regular
    assert len(plan.cells) == 9


def test_a_unit_that_cannot_be_guessed_about_leaves_the_other(tmp_path: Path) -> None:
    small = small_target(split=ratio_per_user(small_log(users=120, items=60, events=3000), seed=1))
    found = {one.id: one for one in evidence_of(probe(units=["interactions", "users"]), small, tmp_path / "a")}
    assert "160 or more" in (found["privacy.users.auc"].missing or "")
    assert found["privacy.interactions.scores.lira.auc"].estimate is not None
    # rows that a model keeps of users, but gives no vectors of, would tell who was never trained
    recipe = Recipe("ncf", {"max_epochs": 1}, 1)
    rows = replace(small_target(split=SPLIT), recipe=recipe, model=fit(recipe, SPLIT.train, 0))
    assert "different scores" in (probe().why_not(rows, "users") or "")
    assert probe().why_not(rows, "interactions") is None


def test_too_small_data_are_skipped_with_the_reason(tmp_path: Path) -> None:
    target = small_target(split=ratio_per_user(small_log(users=10, items=20, events=100), seed=1))
    plan = make_plan(target, [probe()], Protocol((10,)), Store(tmp_path))
    assert not plan.cells and "20 or more" in plan.skipped[0].reason


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"attacks": ["lyra"]}, "unknown attack"), ({"models": 3}, "greater than or equal to 4"),
        ({"mitigations": {"x": {}}}, "`use` must name"), ({"mitigations": {"x": {"use": "roundin"}}}, "rounding"),
        ({"mitigations": {"none": {"use": "noise"}}}, "not 'none'"), ({"access": ["rows"]}, "weights"),
        ({"mitigations": {"x": {"use": "noise", "scale": -1}}}, "scale"), ({"units": []}, "at least 1"),
    ],
)  # fmt: skip
def test_wrong_settings_are_named(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        PrivacyConfig.model_validate(SETTINGS | settings)
