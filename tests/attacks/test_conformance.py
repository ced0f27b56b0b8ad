"""Every attack of the catalogue before the examination, on every kind of data, in both directions."""

from __future__ import annotations

from typing import get_args

import pytest

from recaudit.attacks.base import Goal
from recaudit.attacks.catalogue import CATALOGUE, attack_class, build, distinct, names
from recaudit.attacks.goal import Direction, Kind
from recaudit.datasets.errors import InputError

from .conformance import columns, examine, examine_declaration, log_for, run

CASES = [
    (name, kind, direction)
    for name in CATALOGUE.own
    for kind in get_args(Kind)
    for direction in get_args(Direction)
    if attack_class(name).applies(kind, direction)
]


@pytest.mark.parametrize(("name", "kind", "direction"), CASES)
def test_attack(name: str, kind: Kind, direction: Direction) -> None:
    examine(attack_class(name), kind, direction)


@pytest.mark.parametrize("name", CATALOGUE.own)
def test_declaration(name: str) -> None:
    assert attack_class(name).name == name
    examine_declaration(attack_class(name))


@pytest.mark.parametrize("kind", ["implicit", "sequence"])
@pytest.mark.parametrize("direction", get_args(Direction))
def test_without_ratings_random_average_and_love_hate_are_one_attack(kind: Kind, direction: Direction) -> None:
    for ratings in (False, True):
        log = log_for(kind, ratings=ratings)
        goal = Goal((11,), 8, 9, kind, direction)
        first, *others = (columns(run(build(name), log, goal)) for name in ("random", "average", "love-hate"))
        assert others == [first, first]
    assert distinct(("average", "bandwagon", "love-hate", "random"), kind) == {
        "random": ("average", "love-hate", "random"),
        "bandwagon": ("bandwagon",),
    }


def test_with_ratings_they_share_positions_and_differ_in_values() -> None:
    log, goal = log_for("rating"), Goal((11,), 8, 9, "rating")
    first, second, third = (run(build(name), log, goal) for name in ("random", "average", "love-hate"))
    assert first.item.tolist() == second.item.tolist() == third.item.tolist()
    assert len({profiles.value.tobytes() for profiles in (first, second, third)}) == 3  # type: ignore[union-attr]
    assert list(distinct(("average", "love-hate"), "rating")) == ["average", "love-hate"]


def test_an_attack_refuses_data_it_is_not_made_for() -> None:
    with pytest.raises(InputError, match=r"reverse-bandwagon.*implicit.*rating"):
        run(build("reverse-bandwagon"), log_for("implicit"), Goal((1,), 2, 5))


def test_unknown_names_and_settings_name_the_remedy() -> None:
    with pytest.raises(InputError, match="bandwagon"):
        attack_class("bandwagn")
    with pytest.raises(InputError, match="popular_share"):
        build("bandwagon", {"popular_shares": 0.3})
    with pytest.raises(InputError, match="popular_share"):
        build("bandwagon", {"popular_share": 2})
    assert names()[: len(CATALOGUE.own)] == tuple(CATALOGUE.own)
