from __future__ import annotations

import numpy as np
import pytest

from recaudit.datasets.errors import InputError
from recaudit.datasets.split import ratio_per_user
from recaudit.privacy.membership.candidates import coins, draw_users
from recaudit.privacy.membership.reading import read
from recaudit.privacy.mitigations.catalogue import build, names
from recaudit.privacy.signals import separation
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit

from ...victims import small_log

SPLIT = ratio_per_user(small_log(users=200, items=60, events=3000), seed=1)
LOG = SPLIT.train
USERS = np.arange(20)


def test_rounded_scores_are_the_scores_rounded() -> None:
    model = fit(Recipe("ease", {}), LOG, 0)
    served = build("rounding", {"decimals": 1}).serve(model, 0)
    np.testing.assert_array_equal(served.scores(USERS, LOG), np.round(model.scores(USERS, LOG), 1))


def test_noise_has_the_size_that_was_asked_for_and_spares_items() -> None:
    recipe = Recipe("mf", {"dim": 16, "max_epochs": 3}, 3)
    model = fit(recipe, LOG, 0)
    own = build("noise", {"scale": 2.0})
    assert own.why_not(recipe) is None and "no user vectors" in (own.why_not(Recipe("ease", {})) or "")
    served, again, other = own.serve(model, 1), own.serve(model, 1), own.serve(model, 2)
    users, items = model.embeddings()
    noisy, same = served.embeddings()
    np.testing.assert_array_equal(items, same)
    added = np.linalg.norm(noisy - users, axis=1)
    assert added.mean() == pytest.approx(2 * np.linalg.norm(users, axis=1).mean(), rel=0.1)
    np.testing.assert_array_equal(served.scores(USERS, LOG), again.scores(USERS, LOG))
    assert not np.array_equal(served.scores(USERS, LOG), other.scores(USERS, LOG))


def test_another_recipe_is_trained() -> None:
    recipe = Recipe("mf", {"dim": 16, "max_epochs": 8}, 8)
    short = build("other-recipe", {"epochs": 0.25, "set": {"dim": 4}})
    assert short.recipe(recipe) == Recipe("mf", {"dim": 4, "max_epochs": 8}, 2)
    trained = short.train(recipe, LOG, 3)
    np.testing.assert_array_equal(
        trained.scores(USERS, LOG), fit(Recipe("mf", {"dim": 4, "max_epochs": 8}, 2), LOG, 3).scores(USERS, LOG)
    )
    assert "not trained in epochs" in (short.why_not(Recipe("ease", {})) or "")
    assert "dims" in (build("other-recipe", {"set": {"dims": 4}}).why_not(recipe) or "")
    assert "different ways" in (build("other-recipe", {"model": "sasrec"}).why_not(recipe) or "")
    assert build("other-recipe", {"model": "ease"}).recipe(recipe).model == "ease"


def test_every_mitigation_is_described_and_unknown_settings_are_refused() -> None:
    for name in names():
        own = build(name)
        assert own.describe()["name"] == name and own.title and own.reference
        assert own.describe() == build(name).describe()
        with pytest.raises(InputError, match="wrong"):
            build(name, {"wrong": 1})


@pytest.mark.parametrize("name", ["rounding", "noise"])
def test_users_are_folded_in_before_they_are_served(name: str) -> None:
    """Else the vector that a stranger never got would be told from members', through any serving."""
    log = ratio_per_user(small_log(users=400, items=60, events=6000), seed=1)
    asked = draw_users(log, 100, 0)
    included = coins(len(asked), 0, 0)
    model = fit(Recipe("mf", {"dim": 8, "max_epochs": 5}, 5), asked.trained(included), 0)
    own = build(name)
    plain, served = (read(model, asked, False, 10, serve) for serve in (lambda own: own, lambda m: own.serve(m, 0)))
    assert not np.array_equal(plain["scores"], served["scores"])
    for access in ("scores", "ranks", "lists"):
        values = served[access][: len(asked)]
        assert 0.3 < separation(values[included], values[~included]) < 0.75
    if name == "rounding":  # the wrong order tells nearly everybody
        wrong = read(own.serve(model, 0), asked, False, 10)["ranks"][: len(asked)]
        assert separation(wrong[included], wrong[~included]) > 0.85
