"""A verification: the references trained and kept as cells, the model in question beside them, the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..audit.bench import Protocol
from ..audit.cell import Cell
from ..audit.engine import Plan, Progress, run_plan
from ..audit.store import Store
from ..datasets.errors import InputError, UnfinishedError
from ..datasets.seeding import derive
from ..recommenders.base import Recommender
from ..recommenders.catalogue import reads_order
from ..recommenders.target import Target
from .request import Request
from .trial import How, Trial
from .verify.changes import HINDRANCES, hindrances
from .verify.comparison import Answers
from .verify.given import OWN, why_not
from .verify.question import answers, question, sample_of
from .verify.rows import learnt
from .verify.verdict import LIMITS, Verdict, verdict

PROTOCOL = Protocol((10, 20))


def references(
    request: Request,
    retrains: int,
    refits: int,
    seed: int,
    method: str = "",
    settings: Mapping[str, Any] | None = None,
    sample: int = 0,
) -> dict[How, list[Cell]]:
    """The cells to compare with: trainings without the forget set, and with it, each with a seed of its own.

    Args:
        request: the forget set.
        retrains: how many without it.
        refits: how many with it.
        seed: of all of them.
        method: an unlearner with a model of its own, of which the references then are.
        settings: of the method.
        sample: of the question that they answer (`Trial`).
    """
    found: dict[How, list[Cell]] = {}
    groups: tuple[tuple[How, int], ...] = (("retrain", retrains), ("refit", refits))
    for how, count in groups:
        trial = Trial(request, how, method, settings or {}, sample)
        name = f"{how} of {method}" if method else how
        found[how] = [
            Cell("inquiry", f"{name} {place + 1}, {request.label}", derive(seed, how, place), inquiry=trial)
            for place in range(count)
        ]
    return found


def verify(
    target: Target,
    after: Recommender,
    request: Request,
    store: Store,
    *,
    retrains: int = 8,
    refits: int = 4,
    given: Sequence[Recommender] = (),
    parts: Sequence[Request] = (),
    seed: int = 0,
    sample: int = 0,
    margin: float = 0.3,
    confidence: float = 0.95,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Verdict:
    """Whether a model has forgotten a request (`verdict.verdict`).

    Args:
        target: the model before, with the data it was trained on.
        after: the model in question, over the same users and items.
        request: rows of the target's training part.
        store: where trained references are kept; the same call resumes.
        retrains: R, trainings without the forget set, 2 or more.
        refits: R', trainings with it, 2 or more.
        given: retrained models, taken as references beside `given.OWN` retrains of our own instead of `retrains`.
        parts: requests of which this one is made up, to be looked at apart too.
        seed: of the references.
        sample: seed of what is looked at of a large request; who makes the model must not know it beforehand.
        margin: how much of the trace may be left, as |rho|.
        confidence: of intervals and tests.
        jobs: workers.
        progress: called as references are done.

    Raises:
        InputError: another number of users or items, too few references, or given ones that are no retrains by ours.
        UnfinishedError: a reference could not be trained.
    """
    retrains = OWN if given else retrains
    if min(retrains, refits) < 2:
        raise InputError("a verification needs at least 2 retrains and 2 trainings with the forget set")
    for model in (after, *given):
        if (model.n_users, model.n_items) != (target.model.n_users, target.model.n_items):
            raise InputError(
                f"the model after has {model.n_users:,} users and {model.n_items:,} items, the one before "
                f"{target.model.n_users:,} and {target.model.n_items:,}; both must know the same ids"
            )
    sample = sample_of(target.split.train, request, sample)
    asked = question(target.split, request, sample, in_order=reads_order(target.recipe), parts=parts)
    wanted = references(request, retrains, refits, seed, sample=sample)
    cells = {cell.key(target, PROTOCOL.describe()): cell for group in wanted.values() for cell in group}
    done = frozenset(key for key in cells if store.read(key, True))
    _, failures = run_plan(Plan(cells, (), (), done), target, PROTOCOL, store, jobs=jobs, progress=progress)
    if failures:
        raise UnfinishedError(f"a reference could not be trained: {failures[0].label}: {failures[0].error}")
    kept: dict[How, list[Mapping[str, NDArray[Any]]]] = {
        how: [store.arrays(cell.key(target, PROTOCOL.describe())) for cell in group] for how, group in wanted.items()
    }
    rows = learnt(target, request)

    def answered(model: Recommender) -> Answers:
        own = rows.kept(model.state()) if rows is not None and hasattr(model, "state") else {}
        return {**answers(model, asked), **own}

    others = [answered(model) for model in given]
    why = why_not(others, kept["retrain"], asked.weights) if given else None
    if why is not None:
        raise InputError(f"the given retrained models are no retrains by this recipe without the request; {why}")
    found = verdict(
        answered(after), [*kept["retrain"], *others], kept["refit"], asked.weights, margin, confidence,
        groups=asked.groups, checkpoint=answered(target.model),
    )  # fmt: skip
    return limited(found, hindrances(target.model, after, request.whole_users(target.split.train)))


def limited(found: Verdict, names: Sequence[str]) -> Verdict:
    """The verdict, at most inconclusive where something hinders (`changes.HINDRANCES`)."""
    return found.hindered("; ".join(HINDRANCES[name] for name in names))


_HEAD = ("reason", "over", "margin", "pairs", "needed", "worst", "rows_left", "hindrance")


def as_json(found: Verdict) -> dict[str, Any]:
    """The contract's answer of `recaudit unlearn verify --json`; what is not finite becomes null."""
    statistics = []
    for own in found.statistics:
        row: dict[str, Any] = {
            "name": own.name, "value": own.value, "reference": own.reference, "before": own.before,
            "interval": list(own.interval), "rho": own.rho, "rho_interval": list(own.rho_interval),
            "power": own.power, "kept": own.kept, "p": own.p,
        }  # fmt: skip
        statistics.append({name: _finite(value) for name, value in row.items()})
    head = {name: value for name, value in asdict(found).items() if name in _HEAD}
    named = ("value", "retrains", "least", "largest")
    described = {name: dict(zip(named, values, strict=True)) for name, values in found.described.items()}
    return {
        "verdict": found.outcome, **head, "statistics": statistics, "described": described, "limits": list(LIMITS)
    }  # fmt: skip


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(own) for own in value]
    return value if not isinstance(value, float) or np.isfinite(value) else None
