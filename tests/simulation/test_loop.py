"""The rounds on popularity, whose lists can be counted by hand, and on EASE."""

from __future__ import annotations

import gc
import tracemalloc
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recaudit.attacks.goal import Goal
from recaudit.attacks.injection import AttackInjection
from recaudit.datasets.log import InteractionLog, Profiles
from recaudit.datasets.split import Split, leave_last_out
from recaudit.datasets.synthetic import generate
from recaudit.recommenders import consumed
from recaudit.recommenders.base import Recipe, Recommender
from recaudit.recommenders.catalogue import fit
from recaudit.simulation.feedback import UserModel
from recaudit.simulation.loop import DAY, Course, exposure_of, gini, simulate
from recaudit.simulation.truth import Truth, fit_truth

COURSE = Course(3, 2, 10, 1.0)
EAGER = UserModel(active=1.0)
Values = dict[str, float | None]


@cache
def split(users: int = 150) -> Split:
    return leave_last_out(generate(users=users, items=80, events=2500 * users // 150, seed=0, ratings=False))


def likes(loved: int | None, users: int = 150, n_items: int = 80) -> Truth:
    """Everybody likes one item for sure and no other, or none at all."""
    items = np.full((n_items, 1), -1.0, np.float32)
    if loved is not None:
        items[loved] = 1.0
    return Truth(np.ones((users, 1), np.float32), items, 1000.0, 0.0)


class Victim:
    """Trains a recipe and keeps the logs it was shown."""

    def __init__(self, name: str = "popularity") -> None:
        self.recipe, self.logs, self.seeds = Recipe(name, {}), list[InteractionLog](), list[int]()

    def __call__(self, log: InteractionLog, seed: int) -> Recommender:
        self.logs.append(log)
        self.seeds.append(seed)
        model: Recommender = fit(self.recipe, log, seed)
        return model


def fakes(item: int, accounts: int, own: Split | None = None) -> Profiles:
    goal = Goal((item,), accounts, 8)
    return AttackInjection("popular", goal, 5).profiles((own or split()).train)


def outsider(places: int = 10) -> int:
    """The most popular item that popularity shows to nobody at a list of 10."""
    values = simulate(
        Victim(), split(), likes(None), EAGER, Profiles.empty(), tuple(range(80)), Course(1, 0, places, 1), 0
    )
    ids, counts = split().train.item_ids, split().train.item_counts
    unseen = [n for n in range(80) if values[f"target/{ids[n]}/round/1/share"] == 0]
    return max(unseen, key=lambda n: counts[n])


def series(values: Values, item: int, measure: str, course: Course = COURSE) -> list[float]:
    found = [values[f"target/{split().train.item_ids[item]}/round/{n}/{measure}"] for n in range(1, course.total + 1)]
    assert all(value is not None for value in found)
    return [value for value in found if value is not None]


def run(
    profiles: Profiles, truth: Truth, people: UserModel = EAGER, watch: int = 0, seed: int = 0, **more: Victim
) -> Values:
    return simulate(more.get("victim", Victim()), split(), truth, people, profiles, (watch,), COURSE, seed)


def test_gini_and_exposure_by_hand() -> None:
    # places count 1, 1/2: item 0 gets 1 + 1/2, item 1 gets 1/2, item 2 gets 1, item 3 nothing
    exposure = exposure_of(np.array([[0, 1], [2, 0], [-1, -1]], np.int32), 4, 1.0)
    assert exposure.tolist() == [1.5, 0.5, 1.0, 0.0]
    # sorted 0, .5, 1, 1.5 with weights -3, -1, 1, 3 over 4 x 3
    assert gini(exposure) == pytest.approx((-0.5 + 1 + 4.5) / 12)
    assert gini(np.ones(5)) == 0 and gini(np.zeros(5)) is None
    assert gini(np.array([0.0, 0, 0, 1])) == pytest.approx(3 / 4)


def test_without_clicks_nothing_changes() -> None:
    victim = Victim()
    values = run(Profiles.empty(), fit_truth(split().train, 0), UserModel(active=0.0), victim=victim)
    for name in ("gini", "ndcg@10", "events"):
        assert len({values[f"round/{n}/{name}"] for n in range(1, 6)}) == 1, name
    assert {values[f"round/{n}/clicks"] for n in range(1, 6)} == {0.0}
    assert {log.fingerprint for log in victim.logs} == {split().train.fingerprint}
    assert victim.seeds[0] == 0 and len(set(victim.seeds)) == 5


@pytest.mark.parametrize("name", ["popularity", "ease"])
def test_no_accounts_is_the_clean_arm_and_all_is_seeded(name: str) -> None:
    truth = fit_truth(split().train, 0)
    people = UserModel(explore=0.3)
    clean = run(Profiles.empty(), truth, people, victim=Victim(name))
    assert run(fakes(0, 0), truth, people, victim=Victim(name)) == clean
    assert run(Profiles.empty(), truth, people, seed=1, victim=Victim(name)) != clean
    assert sum(clean[f"round/{n}/clicks"] or 0 for n in range(1, 6)) > 100


def test_the_first_round_counts_as_by_hand() -> None:
    """Popularity's list of user u: the most popular items that u lacks."""
    values = run(Profiles.empty(), likes(None), watch=3)
    held = split().history.matrix().toarray() > 0
    counts = split().train.matrix().toarray().sum(0)
    order = np.argsort(-counts, kind="stable")
    lists = [[item for item in order if not held[u, item]][:10] for u in range(150)]  # some lack fewer than ten
    shown = sum(1 / (1 + own.index(3)) for own in lists if 3 in own)
    total = sum(1 / (1 + place) for own in lists for place in range(len(own)))
    assert series(values, 3, "share")[0] == pytest.approx(shown / total)
    # ranks count half of the ties before the item
    beaten = [
        (counts[~held[u]] > counts[3]).sum() + ((counts[~held[u]] == counts[3]).sum() - 1) / 2 for u in range(150)
    ]
    inside = [1 + beaten[u] <= 10 for u in range(150) if not held[u, 3]]
    assert series(values, 3, "hr@10")[0] == pytest.approx(np.mean(inside))
    assert series(values, 3, "holders")[0] == pytest.approx(held[:, 3].mean())


def test_an_item_that_is_loved_grows_and_stays() -> None:
    item = outsider()
    truth = likes(item)
    some = UserModel(active=0.3)
    clean, poisoned = (run(own, truth, some, item) for own in (Profiles.empty(), fakes(item, 12)))
    assert series(clean, item, "holders") == [series(clean, item, "holders")[0]] * 5  # never shown, never found
    holders = series(poisoned, item, "holders")
    assert holders[1] > holders[0] and sorted(holders) == holders
    ranks = series(poisoned, item, "log2_rank")
    assert ranks[2] < ranks[0]  # clicks lift it above what the accounts did
    # the accounts are gone in round 4, what users have clicked is not
    for number in (3, 4):
        assert series(poisoned, item, "share")[number] > 0 == series(clean, item, "share")[number]
        assert series(clean, item, "log2_rank")[number] > ranks[number]


def test_an_item_that_nobody_likes_falls_back() -> None:
    item = outsider()
    for truth in (likes(None), likes(0 if item else 1)):
        clean, poisoned = run(Profiles.empty(), truth, watch=item), run(fakes(item, 12), truth, watch=item)
        assert series(poisoned, item, "share")[2] > 0 == series(clean, item, "share")[2]
        assert series(poisoned, item, "share")[3:] == [0.0, 0.0]
        assert series(poisoned, item, "holders") == series(clean, item, "holders")


def test_where_nobody_clicks_removal_undoes_all() -> None:
    item, asleep = outsider(), UserModel(active=0.0)
    clean, poisoned = (run(own, likes(item), asleep, item) for own in (Profiles.empty(), fakes(item, 12)))
    assert poisoned["round/3/gini"] != clean["round/3/gini"]
    assert {name: value for name, value in poisoned.items() if "/round/3/" in f"/{name}"} != {
        name: value for name, value in clean.items() if "/round/3/" in f"/{name}"
    }
    for name, value in clean.items():
        if any(f"round/{n}/" in name for n in (4, 5)):
            assert poisoned[name] == value, name


def test_clicks_are_events_of_genuine_users_that_go_on_in_time() -> None:
    victim = Victim()
    values = run(fakes(0, 9), fit_truth(split().train, 0), victim=victim)
    train, last = (
        split().train,
        max(int(part.time.max()) for part in (split().train, split().test) if part.time is not None),
    )
    for number, log in enumerate(victim.logs, 1):
        with_fakes = number <= COURSE.rounds
        assert log.n_users == train.n_users + 9 * with_fakes
        own = log.take(log.user < train.n_users)
        assert values[f"round/{number}/events"] == len(own)
        assert (own.take(np.arange(len(train))).item == train.item).all()
        new = own.take(np.arange(len(train), len(own)))
        assert len(np.unique(own.pair_keys)) == len(own), "nothing consumed is shown, or clicked, again"
        assert new.time is not None and own.time is not None
        day = (new.time - last) // DAY
        assert set(day.tolist()) == set(range(1, number))
        assert len(new) <= (number - 1) * COURSE.cutoff * train.n_users


def test_logs_without_times_and_with_ratings() -> None:
    own = split()
    train, valid, test = (replace(part, time=None) for part in (own.train, own.valid, own.test))
    bare = Split(train, valid, test, "x")
    assert simulate(Victim(), bare, likes(2), EAGER, Profiles.empty(), (0,), COURSE, 0)["round/1/clicks"]
    rated = leave_last_out(generate(users=150, items=80, events=2500, seed=0))
    victim = Victim()
    simulate(victim, rated, fit_truth(rated.train, 0), EAGER, Profiles.empty(), (0,), COURSE, 0)
    assert rated.train.value is not None and victim.logs[-1].value is not None
    new = victim.logs[-1].value[len(rated.train) :]
    assert len(new) and set(new.tolist()) <= set(rated.train.value.tolist()) and len(set(new.tolist())) == 1


def test_utility_asks_the_same_in_every_round() -> None:
    """A test item that users have clicked stays in the question."""
    loved = int(np.bincount(split().test.item).argmax())
    values = run(Profiles.empty(), likes(loved), watch=loved)
    assert all(values[f"round/{n}/ndcg@10"] is not None for n in range(1, 6))
    everything = Truth(np.ones((150, 1), np.float32), np.ones((80, 1), np.float32), 1000.0, 0.0)
    late = simulate(
        Victim(), split(), everything, UserModel(eta=0.0, active=1.0), Profiles.empty(), (0,), Course(9, 0, 10, 1.0), 0
    )
    assert late["round/9/ndcg@10"] is not None and late["round/9/clicks"] == 0  # all is consumed
    assert late["round/9/gini"] is None and late[f"target/{split().train.item_ids[0]}/round/9/share"] is None
    empty = split().test.take(np.empty(0, np.int64))
    none = simulate(Victim(), replace(split(), test=empty), likes(0), EAGER, Profiles.empty(), (0,), COURSE, 0)
    assert none["round/1/ndcg@10"] is None


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 20), st.integers(0, 79), st.floats(0, 1), st.integers(0, 3))
def test_shares_are_shares(accounts: int, item: int, active: float, seed: int) -> None:
    values = run(fakes(item, accounts), likes(item), UserModel(active=active), item, seed)
    assert all(0 <= share <= 1 / (1 / np.arange(1, 11)).sum() + 1e-9 for share in series(values, item, "share"))
    assert all(0 <= (values[f"round/{n}/gini"] or 0) < 1 for n in range(1, 6))


def test_memory_follows_the_size_of_the_log_and_not_the_rounds() -> None:
    def peak(users: int, rounds: int) -> int:
        own, truth = split(users), likes(None, users)
        gc.collect()
        tracemalloc.start()
        course = Course(rounds, 0, 10, 1.0)
        simulate(
            lambda log, seed: fit(Recipe("popularity", {}), log, seed),
            own,
            truth,
            EAGER,
            Profiles.empty(),
            (0,),
            course,
            0,
        )
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1000, 1)  # what is made once: caches, imports
    few, many = peak(1000, 2), peak(1000, 8)
    assert many < 1.3 * few
    assert peak(4000, 2) < 6 * few
    gc.collect()
    before = len(consumed._matrices)
    run(Profiles.empty(), likes(0))
    gc.collect()
    assert len(consumed._matrices) <= before + 1, "no round's matrix outlives the simulation"
