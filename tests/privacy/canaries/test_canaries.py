from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from recaudit.datasets.errors import DataError, InputError
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.split import given, leave_last_out
from recaudit.privacy.canaries import trace
from recaudit.privacy.canaries.planting import ACTIVE, Kind, Planted, evenly, plant, trained
from recaudit.privacy.canaries.secret import load, save
from recaudit.privacy.canaries.trace import CanaryTest
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.unlearn.base import Served
from recaudit.unlearn.controls import DoNothing, RowsOnly
from recaudit.unlearn.exact.retrain import Retrain
from recaudit.unlearn.exact.sisa import SISA, SISAConfig
from recaudit.unlearn.request import of_canaries

from ...unlearn.conformance import small_log

LOG = small_log(users=80, items=60, events=1_600)
LARGER = small_log(users=300, items=150, events=6_000)
MEMORISES = Recipe("ials", {"dim": 32, "regularisation": 0.003})
CHEAP = Recipe("ials", {"dim": 8, "sweeps": 2})
KINDS: tuple[Kind, ...] = ("pairs", "users")


def outcome(planted: Planted, recipe: Recipe, unlearner: object, seed: int = 0) -> CanaryTest:
    asked = of_canaries(planted)
    before = Served(recipe, planted.log, fit(recipe, planted.log, seed))
    after = unlearner.forget(before, asked, seed + 1)  # type: ignore[attr-defined]
    values = trace.statistic(after.model, planted, after.log)
    return trace.test(values, planted.included, seed=seed)


@pytest.mark.parametrize("kind", KINDS)
def test_the_log_is_the_old_one_with_the_included_ones_behind(kind: Kind) -> None:
    planted = plant(LOG, kind, 100, 3)
    log, asked = planted.log, of_canaries(planted)
    assert 25 < planted.included.sum() < 75
    np.testing.assert_array_equal(asked.rows, np.arange(len(LOG), len(log)))
    assert asked.retained(log).take(np.arange(len(LOG))).pair_keys.tolist() == LOG.pair_keys.tolist()
    np.testing.assert_array_equal(log.time[: len(LOG)], LOG.time)
    again = plant(LOG, kind, 100, 3)
    assert again.log.fingerprint == log.fingerprint
    assert plant(LOG, kind, 100, 4).log.fingerprint != log.fingerprint


def test_pairs_are_distinct_unseen_and_of_active_users() -> None:
    planted = plant(LOG, "pairs", 300, 0)  # more than there are users
    keys = planted.user * LOG.n_items + planted.profiles.item
    assert len(np.unique(keys)) == 300
    assert not np.isin(keys, LOG.pair_keys).any()
    assert LOG.user_counts[planted.user].min() >= ACTIVE
    assert np.ptp(np.bincount(planted.user, minlength=LOG.n_users)[np.unique(planted.user)]) <= 1
    times = {(u, t) for u, t in zip(LOG.user.tolist(), LOG.time.tolist(), strict=True)}
    assert all((u, t) in times for u, t in zip(planted.user.tolist(), planted.profiles.time.tolist(), strict=True))
    assert planted.scored.all()


def test_users_are_copies_with_one_swap_in_the_scored_half() -> None:
    planted = plant(LOG, "users", 60, 1)
    own, scored = planted.profiles, planted.scored
    known = [set(LOG.item[LOG.user == user].tolist()) for user in range(LOG.n_users)]
    for place in range(60):
        rows = np.flatnonzero(own.account == place)
        items = set(own.item[rows].tolist())
        assert len(items) == len(rows) >= ACTIVE
        assert max(len(items & each) for each in known if len(each) == len(items)) == len(items) - 1
        assert (np.diff(own.time[rows]) >= 0).all()
        assert scored[rows].tolist() == [False] * (len(rows) // 2) + [True] * (len(rows) - len(rows) // 2)
        original = max(known, key=lambda each, items=items: (len(items & each), -len(each)))
        first = set(own.item[rows[~scored[rows]]].tolist())
        assert first <= original  # what is read is genuine
        if planted.included[place]:
            user = int(planted.user[place])
            assert planted.log.user_ids[user].startswith("injected:")
            assert set(planted.log.item[planted.log.user == user].tolist()) == items
        else:
            assert planted.user[place] == -1
    assert planted.log.n_users == LOG.n_users + planted.included.sum()
    assert planted.log.users is not None
    assert not planted.log.users.iloc[LOG.n_users :].isna().any().any()  # with side features of the originals


def test_p_by_hand() -> None:
    values = np.array([4.0, 1.0, 3.0, 2.0]) / 10
    found = trace.test(values, np.array([True, False, True, False]))
    assert found.exact
    assert found.difference == pytest.approx(0.2)
    assert found.auc == 1
    # six labellings; differences of means x 10: 2, 1, 0, 0, -1, -2
    assert (found.p, found.p_left, found.p_over) == pytest.approx((2 / 6, 1 / 6, 1))
    found = trace.test(values, np.array([True, True, False, False]))  # difference 0
    assert (found.p, found.p_left, found.p_over) == pytest.approx((1, 4 / 6, 4 / 6))


def test_drawn_labels_agree_with_all_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random(14)
    values[:7] += 0.2
    included = np.arange(14) < 7
    exact, drawn = trace.test(values, included), trace.test(values, included, draws=3_000)
    assert exact.exact
    assert not drawn.exact
    for name in ("p", "p_left", "p_over"):
        p = getattr(exact, name)
        assert getattr(drawn, name) == pytest.approx(p, abs=4 * (p * (1 - p) / 3_000) ** 0.5 + 1 / 3_000)
    assert trace.test(np.arange(60.0), np.arange(60) >= 30, draws=99).p == 1 / 100  # never 0
    same = trace.test(np.full(60, 0.5), np.arange(60) >= 30, draws=99)
    assert (same.p, same.p_left, same.p_over, same.auc) == (1, 1, 1, 0.5)
    monkeypatch.setattr(trace, "_CELLS", 50)
    assert trace.test(values, included, draws=3_000).p == pytest.approx(drawn.p, abs=0.03)
    for wrong in (np.ones(4, bool), np.zeros(4, bool)):
        with pytest.raises(InputError, match="nothing to compare"):
            trace.test(np.arange(4.0), wrong)


@pytest.mark.parametrize("kind", KINDS)
def test_exact_unlearning_gives_uniform_p(kind: Kind) -> None:
    found = [outcome(plant(LOG, kind, 200, seed), CHEAP, Retrain(), seed).p for seed in range(40)]
    assert sum(p <= 0.05 for p in found) <= 6
    assert stats.kstest(found, "uniform").pvalue > 0.001


@pytest.mark.parametrize("kind", KINDS)
def test_doing_nothing_is_caught(kind: Kind) -> None:
    found = outcome(plant(LARGER, kind, 200, 0), MEMORISES, DoNothing())
    assert found.p <= 0.01
    assert found.p_left <= 0.01
    assert found.auc > 0.6
    assert found.p_over > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_new_rows_alone_are_caught(kind: Kind) -> None:
    found = outcome(plant(LARGER, kind, 200, 0), MEMORISES, RowsOnly())
    assert found.p_left <= 0.01
    assert found.auc > 0.6


class TooFar(DoNothing):
    """Puts the forgotten pairs below everything else."""

    def forget(self, served: Served, request: object, seed: int) -> Served:
        gone = request.forgotten(served.log)  # type: ignore[attr-defined]
        own, matrix = served.model, gone.matrix()

        class Pushed:
            n_users, n_items = own.n_users, own.n_items

            def scores(self, users: np.ndarray, history: InteractionLog) -> np.ndarray:
                return np.asarray(own.scores(users, history) - 100 * matrix[users].toarray(), np.float32)

        return replace(served, log=request.retained(served.log), model=Pushed())  # type: ignore[attr-defined]


def test_over_forgetting_is_told() -> None:
    found = outcome(plant(LOG, "pairs", 100, 0), CHEAP, TooFar())
    assert found.p_over <= 0.001
    assert found.p_left > 0.99
    assert found.p <= 0.001
    assert found.auc < 0.1


def test_canaries_in_the_history_are_not_read() -> None:
    for kind in KINDS:
        planted = plant(LOG, kind, 60, 0)
        model = fit(CHEAP, planted.log, 0)
        kept = of_canaries(planted).retained(planted.log)
        np.testing.assert_array_equal(
            trace.statistic(model, planted, planted.log), trace.statistic(model, planted, kept)
        )


@pytest.mark.parametrize("model", ["ease", "itemknn", "sasrec", "fm", "lightgcn", "popularity"])
def test_all_kinds_of_models_are_asked(model: str) -> None:
    epochs = {"dim": 8, "max_epochs": 1} if model in ("sasrec", "lightgcn", "fm") else {}
    for kind in KINDS:
        planted = plant(LOG, kind, 40, 0)
        values = trace.statistic(fit(Recipe(model, epochs), planted.log, 0), planted, planted.log)
        assert values.shape == (40,)
        assert ((values >= 0) & (values <= 1)).all()


def test_a_model_without_vectors_and_without_new_users_is_refused() -> None:
    planted = plant(LOG, "users", 40, 0)
    before = Served(CHEAP, planted.log, fit(CHEAP, planted.log, 0))
    model = SISA(SISAConfig(shards=2)).prepare(before, 0).model
    with pytest.raises(InputError, match="plant pairs instead"):
        trace.statistic(model, planted, planted.log)
    planted = plant(LOG, "pairs", 40, 0)
    before = Served(CHEAP, planted.log, fit(CHEAP, planted.log, 0))
    assert trace.statistic(SISA(SISAConfig(shards=2)).prepare(before, 0).model, planted, planted.log).shape == (40,)
    with pytest.raises(InputError, match="same users and items"):
        trace.statistic(before.model, planted, small_log())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bare", [False, True])
def test_save_and_load(kind: Kind, bare: bool, tmp_path: Path) -> None:
    log = replace(LOG, value=None, time=None) if bare else LOG
    planted = plant(log, kind, 30, 0)
    path = tmp_path / "secret.json"
    save(planted, path)
    # the operator's data come back in another order of users
    order = np.random.default_rng(0).permutation(planted.log.n_users)
    place = np.argsort(order)
    other = replace(
        planted.log, user=place[planted.log.user].astype(np.int32), user_ids=planted.log.user_ids[order], users=None
    )
    found = load(path, other)
    assert found.kind == kind
    np.testing.assert_array_equal(found.included, planted.included)
    np.testing.assert_array_equal(found.user, np.where(planted.user < 0, -1, place[planted.user]))
    for name in ("account", "item", "value", "time"):
        np.testing.assert_array_equal(getattr(found.profiles, name), getattr(planted.profiles, name))
    np.testing.assert_array_equal(
        trace.statistic(fit(Recipe("ease", {}), other, 0), found, other),
        trace.statistic(fit(Recipe("ease", {}), planted.log, 0), planted, planted.log),
    )


def test_a_damaged_list_is_named(tmp_path: Path) -> None:
    planted = plant(LOG, "pairs", 30, 0)
    path = tmp_path / "secret.json"
    save(planted, path)
    good = json.loads(path.read_text())
    yes, no = int(np.flatnonzero(planted.included)[0]), int(np.flatnonzero(~planted.included)[0])
    for place, change, match in (
        (3, {"user": "nobody"}, r"secret.json: canaries.3.user: unknown id 'nobody'"),
        (3, {"items": ["x"]}, r"canaries.3.items: unknown id 'x'"),
        (3, {"items": []}, r"canaries.3.items: List should have"),
        (3, {"items": ["1", "2"]}, r"canaries.3.items: a pair has one item"),
        (3, {"user": None}, r"canaries.3.user: is missing"),
        (3, {"times": None}, r"canaries.3.times: needs one"),
        (3, {"times": [2**70]}, r"canaries.3.times.0"),
        (3, {"included": "yes"}, r"canaries.3.included"),
        (3, {"shoe": 1}, r"canaries.3.shoe"),
        (yes, {"included": False}, rf"canaries.{yes}.included: never included, but it is"),
        (no, {"included": True}, rf"canaries.{no}.included: included, but not all"),
    ):
        rows = [dict(row) for row in good["canaries"]]
        rows[place] |= change
        path.write_text(json.dumps(good | {"canaries": rows}))
        with pytest.raises(InputError, match=match):
            load(path, planted.log)
    for text in ("", "[1, 2]", "{}", "[" * 100_000, json.dumps(good | {"kind": "items"})):
        path.write_text(text)
        with pytest.raises(InputError, match=r"secret\.json"):
            load(path, planted.log)
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / "none.json", planted.log)


def log_of(rows: list[list[int]], items: int) -> InteractionLog:
    user = np.repeat(np.arange(len(rows)), [len(row) for row in rows]).astype(np.int32)
    ids = [np.array([str(n) for n in range(count)]) for count in (len(rows), items)]
    return InteractionLog(user, np.concatenate(rows).astype(np.int32), ids[0], ids[1])


def test_small_and_full_logs() -> None:
    one = log_of([[0, 1, 2, 3, 4]], 7)
    planted = plant(one, "pairs", 2, 0)  # two unseen items, two canaries
    assert sorted(planted.profiles.item) == [5, 6]
    assert planted.included.sum() == 1
    assert len(plant(one, "users", 5, 0)) == 5
    with pytest.raises(InputError, match="too few unseen pairs"):
        plant(one, "pairs", 3, 0)
    with pytest.raises(InputError, match="2 or more"):
        plant(one, "pairs", 1, 0)
    for full in (log_of([[0, 1, 2, 3, 4]], 5), log_of([[0, 1, 2, 3]], 9)):
        with pytest.raises(InputError, match="no canary can be planted"):
            plant(full, "users", 2, 0)
    with pytest.raises(DataError, match="empty"):
        plant(one.take(np.empty(0, np.int64)), "pairs", 2, 0)
    twice = log_of([[0, 1, 1, 2, 3, 4, 0]], 7)
    assert np.bincount(plant(twice, "users", 4, 0).profiles.account).tolist() == [5] * 4


@pytest.mark.parametrize("kind", ["pairs", "users"])
def test_a_split_that_holds_canaries_out_leaves_fair_coins(kind: Kind) -> None:
    """Short histories are held out more often: thinning by one share would make long ones look included."""
    shares: list[float] = []
    for seed in range(12):
        planted = plant(small_log(users=150, items=60, events=3000), kind, 100, seed)
        split = leave_last_out(planted.log)
        kept = evenly(planted, split)
        assert kept.log is split.train and len(kept) > 40
        active = split.train.user_counts[kept.user.clip(0)] if kind == "pairs" else np.ones(len(kept))
        longer = active >= np.median(active)
        shares.append(float(kept.included[longer].mean()))
    assert abs(np.mean(shares) - 0.5) < 0.06
    parts = {"train": split.train, "valid": split.valid, "test": split.test}
    if len(trained(planted, split.train)) < len(planted):
        with pytest.raises(InputError, match="own split"):
            evenly(planted, given(parts))
