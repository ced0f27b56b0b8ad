"""The attack on users by the lists they are shown, by hand and on real data."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import norm

from recaudit.datasets.read import read_log
from recaudit.datasets.split import Split, leave_last_out, ratio_per_user
from recaudit.privacy.membership.candidates import coins
from recaudit.privacy.membership.caught import caught_above
from recaudit.privacy.membership.check import PrivacyProbe
from recaudit.privacy.membership.config import PrivacyConfig
from recaudit.privacy.membership.game import Game, judged, play
from recaudit.privacy.membership.shadow import NONE, Draw, Shadow, material
from recaudit.privacy.membership.taste import (
    AS_SERVED,
    FOLDED,
    features,
    item_vectors,
    play_taste,
    read_taste,
    told,
)
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.target import Target

from ...audited import evidence_of
from ...victims import small_log, small_target

SMALL = ratio_per_user(small_log(users=200, items=60, events=3000), seed=1)


@cache
def movielens(shared: Path) -> Split:
    """Every user of it has 20 records or more, which the paper asks for."""
    return ratio_per_user(read_log(shared / "data" / "movielens-100k").log, 0.1, 0.2, 0)


def shadows(split: Split, recipe: Recipe, models: int, draw: Draw) -> list[dict[str, np.ndarray]]:
    unasked = fit(Recipe("popularity", {}), split.train, 0)  # models of the game are trained anew
    target = Target("t", unasked, recipe, split, 0, "0" * 64, {})
    return [dict(Shadow(draw, place).answer(target, 100 + place).arrays) for place in range(models)]


def test_features_by_hand() -> None:
    vectors = np.array([[1.0, 0.0], [0.0, 2.0], [4.0, 4.0], [0.0, 0.0]], np.float32)
    met = sparse.csr_matrix(np.array([[1, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0]], np.float32))
    lists = np.array([[2, 3, 0], [1, -1, -1], [-1, -1, -1]], np.int32)
    # three places weigh 3/6, 2/6, 1/6; one place all; no list takes nothing away
    expected = [[0.5 - (2 + 1 / 6), 1 - 2], [4 - 0, 4 - 2], [1, 0]]
    np.testing.assert_allclose(features(vectors, met, lists), expected, rtol=1e-6)
    row = np.arange(100, dtype=np.int32)[None]
    own = features(np.eye(100, dtype=np.float32), sparse.csr_matrix((1, 100), dtype=np.float32), row)[0]
    np.testing.assert_allclose(own, -(101 - np.arange(1, 101)) / 5050, rtol=1e-6)


def test_item_vectors_are_those_of_the_decomposition() -> None:
    log = SMALL.train.take(SMALL.train.item != 7)
    found = item_vectors(log)
    assert found.shape == (60, 59) and found.dtype == np.float32 and not found[7].any()
    np.testing.assert_array_equal(found, item_vectors(log))
    _, size, right = np.linalg.svd(log.matrix().toarray(), full_matrices=False)
    np.testing.assert_allclose(np.square(found).sum(axis=0), size[:59], atol=1e-3)
    np.testing.assert_allclose(found[:, :5] @ found[:, :5].T, right[:5].T * size[:5] @ right[:5], atol=1e-3)
    assert (found.max(axis=0) >= -found.min(axis=0) - 1e-6).all()


def test_who_is_served_what() -> None:
    asked = Draw("users", 50, 0, 0, 5).candidates(SMALL, False)
    included = coins(len(asked), 0, 0)
    log, vectors = asked.trained(included), item_vectors(asked.base)
    model = fit(Recipe("popularity", {}), log, 0)
    found = read_taste(model, asked, included, log, False, vectors)
    met = asked.everything.matrix()[asked.user]
    popular = np.argsort(-log.item_counts, kind="stable").astype(np.int32)
    everyone = np.tile(popular, (len(asked), 1))
    np.testing.assert_allclose(
        found[AS_SERVED][~included], features(vectors, met, everyone)[~included], rtol=1e-4, atol=1e-5
    )
    user = np.flatnonzero(included)[0]
    rest = np.setdiff1d(popular, met[user].indices)
    own = popular[np.isin(popular, rest)][None]
    np.testing.assert_allclose(found[AS_SERVED][[user]], features(vectors, met[user], own), rtol=1e-4, atol=1e-5)
    # folded in, a model without personal taste shows everybody the popular items not met in the first half
    events = np.flatnonzero(asked.everything.user == asked.user[0])
    events = events[np.argsort(asked.everything.time[events], kind="stable")]
    half = asked.everything.item[events[: (len(events) + 1) // 2]]
    own = popular[~np.isin(popular, half)][None]
    np.testing.assert_allclose(found[FOLDED][:1], features(vectors, met[:1], own), rtol=1e-4, atol=1e-5)


def test_models_that_read_histories_have_no_fallback() -> None:
    recipe = Recipe("sasrec", {"dim": 8, "layers": 1, "max_epochs": 1}, 1)
    split = leave_last_out(small_log(users=200, items=60, events=3000))
    found = shadows(split, recipe, 1, Draw("users", 50, 0, 0, 5))[0]
    assert f"{NONE}/{AS_SERVED}" not in found and np.isfinite(found[f"{NONE}/{FOLDED}"]).all()
    assert found[f"{NONE}/{FOLDED}"].shape == (len(found["included"]), 59)


def shifted(seed: int, models: int, users: int, apart: float, dim: int = 6) -> tuple[list[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(seed)
    included = rng.random((models, users)) < 0.5
    values = rng.standard_normal((models, users, dim))
    values[..., 0] += apart * included
    return list(values.astype(np.float32)), included


@pytest.mark.parametrize("models", [4, 11])
def test_a_known_shift_is_found_up_to_its_best_auc(models: int) -> None:
    found, included = shifted(0, models, 120 if models > 8 else 400, 1.5)
    game = play_taste(found, included, np.arange(len(found[0])), 0)
    best = norm.cdf(1.5 / 2**0.5)
    assert best - 0.06 < game.auc < best + 0.02
    assert game.caught[0].fpr < 0.03 and game.caught[0].tpr > 0.05


def test_neither_scores_nor_thresholds_learn_from_the_victim() -> None:
    found, included = shifted(1, 5, 80, 1.0)
    scores, levels = told(found, included, 0)
    again = told(found, np.concatenate([~included[:1], included[1:]]), 0)
    np.testing.assert_array_equal(scores[0], again[0][0])
    np.testing.assert_array_equal(levels[0], again[1][0])
    moved = told([found[0] * 3 + 1, *found[1:]], included, 0)
    np.testing.assert_array_equal(levels[0], moved[1][0])
    assert not np.array_equal(scores[1], again[0][1])  # as a reference it teaches
    np.testing.assert_array_equal(told(found, included, 0)[0], scores)


def test_noise_gives_chance() -> None:
    off, alarms = [], []
    for seed in range(20):
        found, included = shifted(seed, 4, 40, 0.0, 4)
        game = play_taste(found, included, np.arange(40), seed)
        off.append((game.auc - 0.5) / game.error)
        alarms.append(game.caught[0].tpr - game.caught[0].fpr)
    # victims that teach each other are not independent: with their plain errors this would be 1.4
    assert 0.7 < np.std(off) < 1.2 and abs(np.mean(off)) < 0.4
    assert abs(np.mean(alarms)) < 0.005


def test_as_served_tells_the_fallback_even_of_a_model_that_was_taught_nothing(shared: Path) -> None:
    split = movielens(shared)
    asked = Draw("users", 200, 0, 3, 20).candidates(split, False)
    model, vectors = fit(Recipe("ease", {"regularisation": 100.0}), asked.base, 0), item_vectors(asked.base)
    included = np.stack([coins(len(asked), 5, place) for place in range(4)])
    found = [read_taste(model, asked, row, asked.trained(row), False, vectors) for row in included]
    games = {name: play_taste([own[name] for own in found], included, asked.user, 0) for name in (FOLDED, AS_SERVED)}
    assert abs(games[FOLDED].auc - 0.5) < norm.ppf(0.995) * games[FOLDED].error
    assert games[AS_SERVED].auc > 0.98


def test_the_papers_claim_holds_for_the_fallback_and_for_a_memorising_model_alone(shared: Path) -> None:
    split, draw = movielens(shared), Draw("users", 150, 0, 3, 20)
    asked = draw.candidates(split, False)

    def played(answers: list[dict[str, np.ndarray]], taste: str) -> Game:
        included = np.stack([own["included"] for own in answers])
        return play_taste([own[f"{NONE}/{taste}"] for own in answers], included, asked.user, 0)

    factors = shadows(split, Recipe("mf", {"dim": 8, "max_epochs": 1}, 1), 4, draw)
    neighbours = shadows(split, Recipe("itemknn", {}), 4, draw)
    memorising = shadows(split, Recipe("ease", {"regularisation": 20.0}), 4, draw)
    assert played(factors, AS_SERVED).auc > 0.98
    assert all(played(own, FOLDED).auc < 0.6 for own in (factors, neighbours))
    # what the lists of neighbours do tell is seen by who compares user by user
    assert play(material(asked, neighbours, f"{NONE}/lists"), "lira", asked.user).auc > 0.7
    found = played(memorising, FOLDED)
    assert found.auc - 3 * found.error > 0.6


def test_evidence_says_what_as_served_tells(tmp_path: Path) -> None:
    settings = {"models": 4, "candidates": 50, "units": ["interactions", "users"], "access": ["lists"]}
    probe = PrivacyProbe(PrivacyConfig.model_validate(settings | {"attacks": ["plain"], "planted": 0}), 7)
    found = {one.id.removeprefix("privacy."): one for one in evidence_of(probe, small_target(split=SMALL), tmp_path)}
    tastes = {name for name in found if "taste" in name}
    assert tastes == {
        "users.lists.taste-folded.auc", "users.lists.taste-folded.tpr@1%", "users.lists.taste-as-served.auc"
    }  # fmt: skip
    served = found["users.lists.taste-as-served.auc"]
    assert served.estimate is not None and served.estimate > 0.9
    assert "fallback" in served.title and "fallback" in served.details["attack"] and "roc" not in served.details
    assert "top 100 list" in served.title and found["users.lists.taste-folded.auc"].details["roc"]
    scores = {"access": ["scores"], "units": ["users"], "attacks": ["plain"], "models": 4}
    quiet = PrivacyProbe(PrivacyConfig.model_validate(scores), 7)
    assert not [one for one in evidence_of(quiet, small_target(split=SMALL), tmp_path) if "taste" in one.id]


def test_the_version_of_users_is_no_part_of_the_key_of_pairs() -> None:
    pairs, users = (Shadow(Draw(unit, 50, 0, 0, 5), 1).describe() for unit in ("interactions", "users"))
    assert pairs["version"] == users["version"] and pairs.keys() == users.keys() - {"users_version"}
    assert "users_version" not in pairs and "users_version" in users
    # what all candidates' users keep changed the cells of planted pairs and of other overlaps alone
    planted, thinned = (Shadow(Draw("interactions", 50, *own), 1).describe() for own in ((9, 0, 5), (0, 0, 5, 0.5)))
    assert planted.keys() == thinned.keys() == pairs.keys() | {"pairs_version"}


def test_judging_takes_any_scores() -> None:
    found, included = shifted(2, 4, 100, 1.0)
    scores = np.stack(found)[..., 0].astype(np.float64)
    levels = np.tile([1e9, 0.5], (4, 2, 1))
    half = np.arange(100) < 50
    users = np.arange(100)
    caught = caught_above(scores, levels, included, users, 100)
    game = judged(scores, caught, included, users, half)
    other = judged(scores[:, half], caught, included[:, half], users[half])
    assert game.auc == other.auc and game.error == other.error and game.caught[0].hits == 0 and game.users == 50
