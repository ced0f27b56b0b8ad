"""What sets each heuristic apart, by its definition (attacks.md, section 4)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recaudit.attacks.base import Goal
from recaudit.attacks.catalogue import build
from recaudit.attacks.draws import head
from recaudit.datasets.log import Profiles

from .conformance import log_for, run

LOG = log_for("rating")
T = 11
VALUE: Any = LOG.value
LOW, HIGH = float(VALUE.min()), float(VALUE.max())
MEANS = np.bincount(LOG.item, VALUE, LOG.n_items) / LOG.item_counts
COUNTS = LOG.item_counts


def made(name: str, kind: Any = "rating", direction: Any = "push", profile: int = 11, **settings: Any) -> Profiles:
    """Many accounts, so that shares are seen."""
    return run(build(name, settings), LOG, Goal((T,), 120, profile, kind, direction))


def parts(profiles: Profiles) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Items and values without the target's."""
    assert profiles.value is not None
    other = profiles.item != T
    return profiles.item[other], profiles.value[other]


def target_values(profiles: Profiles) -> set[float]:
    """The target's ratings."""
    assert profiles.value is not None
    return set(profiles.value[profiles.item == T].tolist())


@pytest.mark.parametrize(
    "name", ["random", "average", "love-hate", "bandwagon", "popular", "segment", "reverse-bandwagon"]
)
def test_the_target_gets_the_end_of_the_scale(name: str) -> None:
    assert target_values(made(name)) == {HIGH}
    assert target_values(made(name, direction="nuke")) == {LOW}


def test_random_is_uniform_with_ratings_of_all() -> None:
    items, values = parts(made("random"))
    counts = np.bincount(items, minlength=LOG.n_items)[np.arange(LOG.n_items) != T]
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 90  # chi squared, 48 degrees, far in the tail
    assert values.mean() == pytest.approx(VALUE.mean(), abs=0.15)


def test_average_agrees_with_everyone() -> None:
    items, values = parts(made("average"))
    error = np.abs(values - MEANS[items]).mean()
    other_items, other_values = parts(made("random"))
    assert error < np.abs(other_values - MEANS[other_items]).mean()
    assert np.corrcoef(values, MEANS[items])[0, 1] > 0.2


def test_love_hate() -> None:
    assert set(parts(made("love-hate"))[1].tolist()) == {LOW}
    assert set(parts(made("love-hate", direction="nuke"))[1].tolist()) == {HIGH}


@pytest.mark.parametrize("kind", ["rating", "implicit", "sequence"])
def test_bandwagon_is_half_popular(kind: Any) -> None:
    popular = np.flatnonzero(head(COUNTS, 0.1))
    popular = popular[popular != T]
    profiles = made("bandwagon", kind, profile=9 if kind != "sequence" else 16, popular_share=0.5, head=0.1)
    rows = profiles.item.reshape(120, -1)
    assert (np.isin(rows, popular).sum(axis=1) >= 4).all()
    if kind == "rating":
        items, values = parts(profiles)
        assert set(values[np.isin(items, popular)].tolist()) >= {HIGH} and len(set(values.tolist())) > 2


def test_bandwagon_draws_by_popularity() -> None:
    profiles = run(build("bandwagon", {"head": 1, "popular_share": 1}), LOG, Goal((T,), 8_000, 2))
    others = np.arange(LOG.n_items) != T
    drawn = np.bincount(profiles.item, minlength=LOG.n_items)[others] / 8_000
    assert drawn == pytest.approx(COUNTS[others] / COUNTS[others].sum(), abs=0.008)


def test_reverse_bandwagon_takes_disliked_well_known_items() -> None:
    items, values = parts(made("reverse-bandwagon", direction="nuke", head=0.4))
    known = np.flatnonzero(head(COUNTS, 0.4) & (np.arange(LOG.n_items) != T))
    disliked = known[np.argsort(MEANS[known])[: len(known) // 2]]
    rows = items.reshape(120, -1)
    assert (np.isin(rows, disliked).sum(axis=1) >= 5).all()
    assert (values[np.isin(items, disliked)] == LOW).mean() > 0.8


def test_popular_is_the_top_with_ratings_and_the_head_without() -> None:
    order = np.argsort(-np.where(np.arange(LOG.n_items) == T, 0, COUNTS), kind="stable")
    items, values = parts(made("popular"))
    assert set(items.tolist()) == set(order[:10].tolist())
    liked = MEANS[items] >= VALUE.mean()
    assert (values[~liked] == LOW).all() and (values[liked] > LOW).all() and liked.any() and (~liked).any()
    nuke = parts(made("popular", direction="nuke"))[1]
    assert set(nuke.tolist()) <= {HIGH, HIGH - 1}
    inside = parts(made("popular", "implicit", profile=4, head=0.2))[0]
    assert head(COUNTS, 0.2)[inside].all()


def test_segment_is_near_the_target_and_not_in_the_head() -> None:
    matrix = LOG.matrix().toarray()
    together = matrix.T @ matrix
    likeness = together[T] / np.sqrt(np.maximum(together.diagonal() * together[T, T], 1))
    likeness[head(COUNTS, 0.1)] = 0
    likeness[T] = 0
    nearest = np.argsort(-likeness)[:10]
    items, _ = parts(made("segment", "implicit", profile=6, choice=1.0))
    assert set(items.tolist()) <= set(nearest[:6].tolist())
    items, values = parts(made("segment", profile=11, choice=1.0))
    assert (np.isin(items.reshape(120, -1), nearest[:5]).sum(axis=1) == 5).all()
    assert set(values.tolist()) == {LOW, HIGH} and (values[np.isin(items, nearest[:5])] == HIGH).all()


def test_segment_of_an_audience_is_what_it_consumes() -> None:
    audience = tuple(range(5))
    goal = Goal((T,), 50, 5, audience=audience)
    items = run(build("segment", {"choice": 1.0, "head": 0}), LOG, goal).item
    held = np.unique(LOG.item[LOG.user < 5])
    assert np.isin(items[items != T], held).all()


def test_clones_are_genuine_profiles_without_the_target() -> None:
    profiles = made("clone-and-push", profile=8)
    holders = set(LOG.user[LOG.item == T].tolist())
    rated = {(user, item): value for user, item, value in zip(LOG.user, LOG.item, VALUE, strict=True)}
    sets = {user: set(LOG.item[LOG.user == user].tolist()) for user in range(LOG.n_users)}
    assert profiles.value is not None
    for account in range(10):
        rows = profiles.account == account
        own = {item: value for item, value in zip(profiles.item[rows], profiles.value[rows], strict=True) if item != T}
        sources = [
            user for user in sets
            if set(own) <= sets[user] and all(rated[user, item] == value for item, value in own.items())
        ]  # fmt: skip
        assert sources and not set(sources) & holders


def test_cloned_sequences_end_like_their_users() -> None:
    goal = Goal((T,), 20, 7, "sequence", placement="last")
    rows = run(build("clone-and-push"), LOG, goal).item.reshape(20, 7)
    offsets, items = LOG.sequences()
    tails = {tuple(items[offsets[u + 1] - 6 : offsets[u + 1]].tolist()) for u in range(LOG.n_users)}
    assert all(tuple(row[:6].tolist()) in tails and row[6] == T for row in rows)
    users = {tuple(row[:6].tolist()) for row in rows}
    assert len(users) == 20, "no user is cloned twice while there are others"


def test_more_clones_than_users_repeat_them() -> None:
    profiles = run(build("clone-and-push"), LOG, Goal((T,), 3 * LOG.n_users, 5))
    assert profiles.n_accounts == 180
