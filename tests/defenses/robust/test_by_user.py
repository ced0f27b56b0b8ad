"""PLD and trimmed users by hand, and a planted noisy user."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from recaudit.defenses.robust.by_user import taken
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit

from .fake import LOG, RECIPES, Fake, epoch, hardened, rows


def test_pld_takes_rows_of_a_pool_by_the_softmax_of_their_losses() -> None:
    losses = np.array([0.0, 0.1])
    generator = np.random.default_rng(0)
    times = sum(taken(np.array([7, 7]), losses, 2, 0.1, generator) for _ in range(4000))
    first = 1 / (1 + np.exp(-1.0))
    # pools of two: both the first row, both the second, or one of each, which the softmax decides
    expected = 8000 * np.array([0.25 + 0.5 * first, 0.25 + 0.5 * (1 - first)])
    assert times == pytest.approx(expected, abs=4 * np.sqrt(8000) / 2)


def test_pld_draws_within_users_as_many_rows_as_there_were() -> None:
    users = np.array([3, 1, 3, 1, 3, 0])
    times = taken(users, np.array([0.0, 50.0, 60.0, 0.0, 60.0, 9.0]), 100, 0.1, np.random.default_rng(0))
    assert times.tolist() == [3, 0, 0, 2, 0, 1]


def test_pld_weighs_rows_across_batches_after_the_warm_up() -> None:
    fake = Fake([rows([0, 1], [0.0, 3.0], [0.5, 1.0]), rows([0, 0], [90.0, 80.0], [0.5, 0.5])])
    training = hardened("pld", fake, warm_up=1, pool=100)
    assert [weight is None or weight.tolist() for _, weight in epoch(training)] == [[0.5, 1.0], [0.5, 0.5]]
    later = [weight.tolist() for _, weight in epoch(training) if weight is not None]
    assert later == [[1.5, 1.0], [0.0, 0.0]]


def test_trimmed_users_leaves_out_those_of_the_largest_mean_loss_of_the_last_epoch() -> None:
    # mean losses: 2, 5 (of 1 and 9), 3, 1
    epochs = [rows([0, 1, 1], [2.0, 1.0, 9.0]), rows([2, 3], [3.0, 1.0])]
    fake = Fake(epochs)
    training = hardened("trimmed-users", fake, q=0.25, warm_up=0)
    assert [weight for _, weight in epoch(training)] == [None, None]
    assert [weight.tolist() for _, weight in epoch(training) if weight is not None] == [[3.0, 0.0, 0.0], [1.0, 1.0]]
    fake.epoch = [rows([0, 1, 1], [2.0, 1.0, 1.0]), rows([2, 3], [3.0, 1.0])]
    epoch(training)  # user 1 is measured though left out, and comes back
    assert [weight.tolist() for _, weight in epoch(training) if weight is not None] == [[1.0] * 3, [0.0, 2.0]]


@pytest.mark.parametrize("name", ["sasrec", "gru4rec"])
def test_trimmed_users_leaves_out_a_planted_noisy_user(name: str) -> None:
    """Of a victim that has no vector for each user, by which it could learn the noise by heart."""
    noisy = 5
    generator = np.random.default_rng(1)
    item = LOG.item.copy()
    own = np.flatnonzero(LOG.user == noisy)
    rare = np.argsort(LOG.item_counts, kind="stable")[: len(own)]
    item[own] = generator.permutation(rare)  # what nobody else has, in no order
    log = replace(LOG, item=item)
    kept: list[Any] = []

    def harden(training: Any) -> Any:
        kept.append(hardened("trimmed-users", training, q=0.05))
        return kept[0]

    recipe = replace(RECIPES[name], epochs=10)
    fit(recipe, log, 0, harden=harden)
    out = kept[0].out
    assert out is not None and int(out.sum()) == 6 and bool(out[noisy])


def test_recipe_without_epochs_is_planned_by_the_longest_training() -> None:
    from recaudit.defenses.base import planned

    assert planned(Recipe("mf", {"max_epochs": 7})) == 7
    assert planned(Recipe("mf", {"max_epochs": 7}, 3)) == 3
