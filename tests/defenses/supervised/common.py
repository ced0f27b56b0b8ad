"""Logs and fakes that the tests of supervised detectors share."""

from __future__ import annotations

from typing import Any

import numpy as np

from recaudit.attacks.goal import Goal
from recaudit.attacks.injection import craft_only, crafted
from recaudit.attacks.visibility import auc
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.synthetic import generate
from recaudit.defenses.base import Float64, shuffled
from recaudit.defenses.supervised.base import Supervised
from recaudit.defenses.supervised.co_detector import CoDetector
from recaudit.defenses.supervised.degree_sad import DegreeSAD
from recaudit.defenses.supervised.graph_rfi import GraphRfi
from recaudit.defenses.supervised.llm4dec import LLM4Dec

from ...attacks.thirty_lines import Obscure

LOG = generate(users=600, items=300, events=18000, seed=0, skew=1.6, ratings=False)
TARGET = int(np.argsort(LOG.item_counts)[5])
KINDS: dict[str, type[Supervised]] = {
    "degree-sad": DegreeSAD, "co-detector": CoDetector, "graph-rfi": GraphRfi, "llm4dec": LLM4Dec,
}  # fmt: skip


def made(name: str, **settings: Any) -> Supervised:
    """A detector without the catalogue."""
    kind = KINDS[name]
    return kind(kind.config_type(**settings))


def scores(name: str, log: InteractionLog, seed: int = 0, **settings: Any) -> Float64:
    return made(name, **settings).detect(log, np.random.default_rng(seed))


def attacked(attack: str, log: InteractionLog = LOG, seed: int = 0) -> tuple[InteractionLog, np.ndarray]:
    """The log with 2 % fakes, and which accounts they are; `obscure` is a family that cannot be simulated."""
    if attack == "obscure":
        profiles = crafted(Obscure(), log, Goal((TARGET,), 12, 30, kind="implicit"), seed)
    else:
        profiles = craft_only(log, attack, [TARGET], "2%", seed=seed, kind="implicit")
    found = log.with_accounts(profiles)
    return found, np.arange(found.n_users) >= log.n_users


def caught(name: str, attack: str, **settings: Any) -> float:
    """AUC of the fakes of an attack."""
    log, fake = attacked(attack)
    found = auc(made(name, **settings).suspicion(log, 0), fake)
    assert found is not None
    return found


def turned(log: InteractionLog, fake: np.ndarray) -> tuple[InteractionLog, np.ndarray]:
    """The same accounts in reverse order: fakes in front."""
    order = np.arange(log.n_users)[::-1]
    return shuffled(log, order), fake[order]
