"""What the check says beside its estimates: rates, curve, drivers, bounds, the checkpoint's own figures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..epsilon import one_run_bound
from ..signals import separation
from .candidates import HELD_OUT, PLANTED, TRAINED, Candidates
from .catalogue import ATTACKS
from .caught import Caught, roc
from .drivers import drivers, exposed, traits
from .game import Game, separated
from .material import Material
from .shadow import confound

ALPHA = 0.05
PRIORS = (0.01, 0.1)
"""Shares of members among those an outsider asks about, for which the precision is told."""
_KINDS = {"trained": TRAINED, "held_out": HELD_OUT, "planted": PLANTED}


def game_details(asked: Candidates, game: Game, included: NDArray[np.bool_], cutoff: int) -> dict[str, Any]:
    """By victim, by kind of candidate, the curve, the drivers; as JSON."""
    everyone = np.ones(len(asked), bool)
    found: dict[str, Any] = {
        "cutoff": cutoff, "candidates": len(asked), "by_victim": game.by_victim.tolist(),
        "roc": roc(game.scores, included, everyone), **caught_details(game),
    }  # fmt: skip
    if asked.unit == "interactions":
        kinds = {name: _of_kind(game, included, asked.source == kind) for name, kind in _KINDS.items()}
        found["by_kind"] = {name: value for name, value in kinds.items() if value is not None}
        natural = asked.source != PLANTED
        own = exposed(game.scores, included)
        found["drivers"] = drivers(own[natural], traits(asked)[natural])
    return found


def caught_details(game: Game) -> dict[str, Any]:
    """The rates at each threshold with their intervals, and the precision at some priors; as JSON.

    Intervals are of so many "trials" as each rate is worth. "precision" is None where no false alarm was seen;
    "precision_at_least" takes the upper end of the interval of the false alarms. A rate that too few non-members
    set a threshold for has "missing", why, in place of its figures.
    """
    return {"rates": [_rate(own) for own in game.caught]}


def _rate(own: Caught) -> dict[str, Any]:
    head = {"false_alarms_wanted": own.rate, "members": own.members, "others": own.others}
    if own.why_not is not None:
        return head | {"tpr": None, "fpr": None, "missing": own.why_not}
    bounds = own.bounds()
    return head | {
        "tpr": own.tpr, "fpr": own.fpr, "intervals": bounds, "trials": own.trials(),
        "precision": {f"{prior:g}": _precision(prior, own.tpr, own.fpr) if own.alarms else None for prior in PRIORS},
        "precision_at_least": {f"{prior:g}": _precision(prior, own.tpr, bounds["fpr"][1]) for prior in PRIORS},
    }  # fmt: skip


def _precision(prior: float, tpr: float, fpr: float) -> float:
    """Members among those above a threshold; `fpr` above 0."""
    return prior * tpr / (prior * tpr + (1 - prior) * fpr)


def bound_of(game: Game, included: NDArray[np.bool_], delta: float) -> dict[str, Any]:
    """The largest of the victims' one-run bounds, each at a share of the level, so that it holds at the level; JSON."""
    share = ALPHA / len(included)
    bounds = [one_run_bound(own, inside, delta, share) for own, inside in zip(game.scores, included, strict=True)]
    best = max(bounds, key=lambda bound: bound.epsilon)
    return {
        "epsilon": best.epsilon, "ceiling": best.ceiling, "delta": delta, "alpha": ALPHA, "method": best.method,
        "by_victim": [bound.epsilon for bound in bounds], "coins": included.shape[1],
    }  # fmt: skip


def against_checkpoint(asked: Candidates, stuff: Material, attack: str) -> dict[str, Any]:
    """The attack on the last model of the material, the checkpoint: its training pairs against held-out ones; JSON.

    No coin decided what the checkpoint was trained on: a split by time makes the two kinds differ by themselves. The
    same attack on the references, among pairs that a reference was not trained on, says by how much ("confound").
    """
    count = len(stuff.signal)
    references = np.arange(count) < count - 1
    scores = ATTACKS[attack](stuff, count - 1, references)
    natural = asked.source != PLANTED
    auc, error = separated(scores[natural], asked.source[natural] == TRAINED, asked.user[natural])
    others = np.flatnonzero(references)
    played = np.stack([ATTACKS[attack](stuff, int(own), references & (np.arange(count) != own)) for own in others])
    return {
        "auc": auc, "error": error, "users": len(np.unique(asked.user[natural])),
        "confound": confound(asked, played, stuff.included[others]),
    }  # fmt: skip


def _of_kind(game: Game, included: NDArray[np.bool_], kind: NDArray[np.bool_]) -> float | None:
    """Mean AUC over victims among candidates of one kind."""
    parts = [(own[inside & kind], own[~inside & kind]) for own, inside in zip(game.scores, included, strict=True)]
    if not all(len(high) and len(low) for high, low in parts):
        return None
    return float(np.mean([separation(high, low) for high, low in parts]))
