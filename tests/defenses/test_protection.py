"""Who judges a defence knows the fakes; the defence does not."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recaudit.audit.cell import Defended
from recaudit.datasets.errors import InputError
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.seeding import rng
from recaudit.datasets.synthetic import generate
from recaudit.defenses.base import Detector, DetectorConfig, Float64, shuffled
from recaudit.defenses.catalogue import build, defense_class, names
from recaudit.defenses.protection import Protection, judged, weighed
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit

LOG = generate(users=60, items=30, events=600, seed=1, ratings=False)
RECIPE = Recipe("mf", {"dim": 8}, 2)


class ByLength(Detector):
    """Long profiles are suspicious; keeps what it was shown."""

    name: ClassVar[str] = "by-length"
    title: ClassVar[str] = ""
    reference: ClassVar[str] = ""
    seen: ClassVar[list[InteractionLog]] = []

    def detect(self, log: InteractionLog, _: np.random.Generator) -> Float64:
        self.seen.append(log)
        return log.user_counts.astype(float)


def test_a_detector_sees_neither_ids_nor_places_and_its_answer_comes_back_in_order() -> None:
    ByLength.seen.clear()
    log = replace(LOG, user_ids=np.array([f"injected:{n}" for n in range(60)]))
    found = ByLength().suspicion(log, 0)
    assert found.tolist() == log.user_counts.tolist()
    (shown,) = ByLength.seen
    assert not any("injected" in name for name in shown.user_ids)
    assert shown.user_counts.tolist() != log.user_counts.tolist()
    other = ByLength().suspicion(log, 1)
    assert (other == found).all() and ByLength.seen[1].user_counts.tolist() != shown.user_counts.tolist()


@given(st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_shuffled_logs_hold_the_same_histories(seed: int) -> None:
    order = np.random.default_rng(seed).permutation(60)
    other = shuffled(LOG, order)
    offsets, items = LOG.sequences()
    own, theirs = other.sequences()
    for place, user in enumerate(order[:10]):
        assert theirs[own[place] : own[place + 1]].tolist() == items[offsets[user] : offsets[user + 1]].tolist()
    assert LOG.users is not None and other.users is not None
    assert other.users.equals(LOG.users.iloc[order].reset_index(drop=True))


@given(st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_shuffled_logs_without_times_do_not_say_how_the_file_was_ordered(seed: int) -> None:
    draw = np.random.default_rng(seed)
    order, mixed = draw.permutation(60), draw.permutation(len(LOG))
    plain = replace(LOG, time=None)
    one, two = shuffled(plain, order), shuffled(plain.take(mixed), order)
    assert one.user.tolist() == two.user.tolist() and one.item.tolist() == two.item.tolist()
    assert (np.diff(one.pair_keys) >= 0).all()
    rated = shuffled(replace(plain, value=np.arange(len(LOG), dtype=np.float32)), order)  # the last rating stays last
    assert rated.value is not None
    assert (np.diff(rated.value)[np.diff(rated.pair_keys) == 0] > 0).all()


def test_flagged_accounts_teach_nothing() -> None:
    defended = ByLength(DetectorConfig(share=0.1)).fit(RECIPE, LOG, 3)
    assert defended.weights is not None and int((defended.weights == 0).sum()) == 6
    longest = np.argsort(-LOG.user_counts, kind="stable")[:5]
    assert (defended.weights[longest] == 0).all()
    want = fit(RECIPE, LOG, 3, weights=defended.weights)
    users = np.arange(60)
    assert (defended.model.scores(users, LOG) == want.scores(users, LOG)).all()


def test_ties_at_the_threshold_do_not_flag_more_than_the_share() -> None:
    detector, draws = ByLength(DetectorConfig(share=0.3)), [rng(seed, "t") for seed in (0, 0, 1)]
    suspicion = np.array([5.0] + [2.0] * 8 + [1.0])
    first, again, other = (detector.weights(suspicion, draw) for draw in draws)
    assert int((first == 0).sum()) == 3 and first[0] == 0 and first[9] == 1
    assert (first == again).all() and (first != other).any()


def test_weighing_keeps_the_order_and_ties() -> None:
    weights = ByLength(DetectorConfig(action="weigh")).weights(np.array([3.0, 1.0, 2.0, 2.0]), rng(0, "t"))
    assert weights.tolist() == [0.25, 1.0, 0.75, 0.75]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_who_is_least_suspicious_weighs_one_and_ties_count_for_the_account(levels: list[int]) -> None:
    suspicion = np.array(levels, float)
    weights = ByLength(DetectorConfig(action="weigh")).weights(suspicion, rng(0, "t"))
    wanted = [(suspicion >= own).mean() for own in suspicion]
    assert weights.tolist() == pytest.approx(wanted) and (weights[suspicion == suspicion.min()] == 1).all()


def test_where_no_two_are_alike_half_weigh_less_than_half() -> None:
    weights = ByLength(DetectorConfig(action="weigh")).weights(np.arange(60.0), rng(0, "t"))
    assert int((weights < 0.5).sum()) == 29 and weights.min() == pytest.approx(1 / 60)


@pytest.mark.parametrize(("accounts", "share", "flagged"), [(1, 0.02, 0), (20, 0.02, 0), (49, 0.02, 0), (50, 0.02, 1),
                                                            (74, 0.02, 1), (3, 0.5, 2), (10, 0.1, 1)])  # fmt: skip
def test_of_fewer_accounts_than_make_one_nobody_is_flagged(accounts: int, share: float, flagged: int) -> None:
    weights = ByLength(DetectorConfig(share=share)).weights(np.arange(float(accounts)), rng(0, "t"))
    assert int((weights == 0).sum()) == flagged


def test_what_a_detector_notes_stands_beside_its_scores() -> None:
    class Noting(ByLength):
        def detect(self, log: InteractionLog, _: np.random.Generator) -> Float64:
            self.notes["unread"] = self.notes.get("unread", 0.0) + 3.0
            return super().detect(log, _)

    own = Noting()
    first, again = own.fit(RECIPE, LOG, 0), own.fit(RECIPE, LOG, 0)
    assert first.notes == again.notes == {"unread": 3.0}
    assert Protection("fap").observe(again, LOG, 55)["defense/unread"] == 3.0


def test_accounts_without_events_are_the_least_suspicious() -> None:
    idle = LOG.without(LOG.user == 7)

    class Worst(ByLength):
        def detect(self, log: InteractionLog, _: np.random.Generator) -> Float64:
            return -super().detect(log, _)

    found = Worst().suspicion(idle, 0)
    assert found[7] == found.min()


def test_answers_that_make_no_sense_are_refused() -> None:
    class Wrong(ByLength):
        def detect(self, log: InteractionLog, _: np.random.Generator) -> Float64:
            return np.full(log.n_users, np.nan)

    with pytest.raises(ValueError, match="NaN"):
        Wrong().suspicion(LOG, 0)


def test_judged_by_hand() -> None:
    log = LOG.take(np.isin(LOG.user, range(10)))
    log = replace(log, user_ids=LOG.user_ids[:10], users=None)
    suspicion = np.array([0.0, 1, 2, 3, 4, 5, 6, 7, 9, 8])  # the last two are fakes
    found = judged(suspicion, log, 8)
    assert found["defense/auc"] == 1.0 and found["defense/ap"] == 1.0 and found["defense/precision"] == 1.0
    assert found["defense/ap_by_chance"] == pytest.approx(0.2)
    tied = judged(np.zeros(10), log, 8)
    assert tied["defense/auc"] == 0.5 and tied["defense/precision"] == pytest.approx(0.2)
    assert tied["defense/ap"] == pytest.approx(0.2)
    nobody = judged(suspicion, log, 10)
    assert nobody["defense/auc"] is None and nobody["defense/ap"] is None


def test_false_alarms_by_activity() -> None:
    weights = np.ones(60, np.float32)
    heavy = np.argsort(LOG.user_counts[:57], kind="stable")[-19:]
    weights[heavy] = 0
    weights[[57, 58]] = 0
    found = weighed(weights, LOG, 57)
    assert found["defense/caught"] == pytest.approx(2 / 3) and found["defense/false_alarms"] == pytest.approx(1 / 3)
    assert [found[f"defense/false_alarms/{group}"] for group in ("light", "middle", "heavy")] == [0, 0, 1]


VICTIMS = (RECIPE, Recipe("sasrec", {"dim": 8}, 2), Recipe("lightgcn", {"dim": 8}, 2))


@pytest.mark.parametrize("name", [name for name in names() if name != "llm-prompt"])  # needs a server
def test_every_defence_is_described_and_repeats_itself(name: str) -> None:
    kind = defense_class(name)
    assert kind.name == name and kind.title and kind.reference and kind.__doc__
    protection = Protection(name)
    assert protection.describe() == Protection(name, {}).describe()
    recipe = next((r for r in VICTIMS if build(name).why_not(r, LOG) is None), None)
    assert recipe is not None
    first, again = protection.train(recipe, LOG, 4), protection.train(recipe, LOG, 4)
    users = np.arange(60)
    assert (first.model.scores(users, LOG) == again.model.scores(users, LOG)).all()
    assert isinstance(first, Defended) and set(protection.observe(first, LOG, 55)) == set(
        protection.observe(again, LOG, 55)
    )


def test_unknown_names_and_settings_are_named() -> None:
    with pytest.raises(InputError, match="Did you mean 'fap'"):
        build("fapp")
    with pytest.raises(InputError, match="field 'share'"):
        build("fap", {"share": 2})
