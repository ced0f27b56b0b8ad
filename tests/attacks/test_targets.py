"""Targets are drawn before anything else, in strata, among items that can still be recommended."""

from __future__ import annotations

import numpy as np
import pytest

from recaudit.attacks.targets import choose_targets, named_targets, strata
from recaudit.datasets.errors import InputError
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.synthetic import generate

LOG = generate(users=200, items=150, events=4_000, seed=2, skew=1.2)


def test_strata_by_the_plain_definition() -> None:
    counts = LOG.item_counts
    order = sorted((item for item in range(150) if counts[item]), key=lambda item: (-counts[item], item))
    n, found = len(order), strata(LOG)
    assert found["head"].tolist() == order[: round(n * 0.1)]
    assert found["middle"].tolist() == order[round(n * 0.1) : round(n * 0.5)]
    assert found["cold"].tolist() == [item for item in order[round(n * 0.5) :] if counts[item] >= 2]


def test_targets_come_from_their_strata_and_are_repeatable() -> None:
    targets = choose_targets(LOG, LOG, 5, seed=3)
    members = strata(LOG)
    assert targets.strata == ("head",) * 5 + ("middle",) * 5 + ("cold",) * 5
    for stratum in ("head", "middle", "cold"):
        assert set(targets.of(stratum)) <= set(members[stratum].tolist()) and len(set(targets.of(stratum))) == 5
    assert choose_targets(LOG, LOG, 5, seed=3) == targets
    assert choose_targets(LOG, LOG, 5, seed=4) != targets


def test_strata_do_not_influence_each_other_and_more_keeps_fewer() -> None:
    all_of_them = choose_targets(LOG, LOG, 5, seed=3)
    cold = choose_targets(LOG, LOG, 5, seed=3, wanted=("cold",))
    assert cold.items == all_of_them.of("cold") and set(cold.strata) == {"cold"}
    assert choose_targets(LOG, LOG, 8, seed=3).of("middle")[:5] == all_of_them.of("middle")


def test_items_nearly_everyone_has_are_no_targets() -> None:
    users = np.repeat(np.arange(40), 2).astype(np.int32)
    items = np.tile([0, 1], 40).astype(np.int32)
    items[1::2] = 1 + np.arange(40) % 12
    names = np.arange(40).astype(str)
    log = InteractionLog(users, items, names, names[:14])
    assert choose_targets(log, log, 20, 0).of("head") == ()
    validation = log.take(np.zeros(len(log), bool))
    assert 0 not in choose_targets(log, log.plus(validation), 20, 0).items
    # an item everyone got after training is no target either
    after = InteractionLog(np.arange(40, dtype=np.int32), np.full(40, 3, np.int32), names, names[:14])
    chosen = choose_targets(log, log.plus(after), 20, 0)
    assert 3 not in chosen.items and 3 in choose_targets(log, log, 20, 0).items


def test_a_poor_log_gives_what_it_has() -> None:
    assert choose_targets(LOG.take(np.zeros(len(LOG), bool)), LOG, 5, 0).items == ()
    assert len(choose_targets(LOG, LOG, 1000, 0).items) == sum(len(members) for members in strata(LOG).values())


def test_named_items_are_taken_as_they_are() -> None:
    members = strata(LOG)
    wanted = [int(members["cold"][0]), int(members["head"][0])]
    found = named_targets(LOG, [str(LOG.item_ids[item]) for item in wanted])
    assert found.items == (wanted[1], wanted[0]) and found.strata == ("head", "cold")
    with pytest.raises(InputError, match="'nobody'"):
        named_targets(LOG, ["nobody"])
