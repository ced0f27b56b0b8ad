"""The check "unlearning": is there a method by which this model honours a deletion request, and at what price?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from ..attacks.config import InjectionConfig
from ..audit.cell import Cell
from ..audit.evidence import Evidence
from ..audit.probe import NotApplicable, Probe, ProbeConfig, Results
from ..audit.statistics import paired_standard_error
from ..datasets.errors import DataError, InputError
from ..datasets.seeding import derive
from ..recommenders.catalogue import reads_order
from ..recommenders.target import Target
from .catalogue import CATALOGUE, build, names, unlearner_class
from .drawing import DRAWS, Draw, draw
from .exact.retrain import Retrain
from .request import Request
from .trial import How, Trial
from .undoing import UndoingDesign, make_undoing_design, undone
from .verification import limited, references
from .verify.changes import HINDRANCES
from .verify.comparison import Answers
from .verify.question import question, sample_of
from .verify.residual import Statistic
from .verify.verdict import LEAST_PAIRS, LIMITS, Verdict, verdict

CONTROLS = ("do-nothing", "rows-only")
"""Always run beside what is asked for: they show what the check would have caught."""


class UnlearningConfig(ProbeConfig):
    """Settings of the check "unlearning"."""

    unlearners: tuple[str, ...] = ("downdate", "ascent-repair")
    """Names from `recaudit list unlearners`: the one in use, or several to choose from; `all` for each that fits."""
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Settings of single unlearners, by name."""
    requests: tuple[Draw, ...] = ("part-of-users", "users")
    """What is asked to be forgotten: users, core-users, edge-users, part-of-users, items, pairs."""
    pairs: int = Field(default=1000, ge=1, description="about how many events a request forgets; a tenth at most")
    retrains: int = Field(default=8, ge=2, description="trainings without the forget set")
    refits: int = Field(default=4, ge=2, description="trainings with it")
    margin: float = Field(default=0.3, gt=0, description="how much of the trace may be left, as |rho|")
    cutoff: int = Field(default=20, ge=1, description="K of NDCG@K")
    injected: InjectionConfig | None = None
    """Attacks, sizes and targets as in the check "promotion", of which the accounts are forgotten again."""

    @field_validator("unlearners", mode="before")
    @classmethod
    def _all(cls, unlearners: Any) -> Any:
        return tuple(name for name in names() if name not in CONTROLS) if unlearners == "all" else unlearners

    @field_validator("unlearners")
    @classmethod
    def _known(cls, unlearners: tuple[str, ...]) -> tuple[str, ...]:
        if not unlearners:
            raise ValueError("name at least one unlearner, see `recaudit list unlearners`")
        return tuple(dict.fromkeys(CATALOGUE.sound(name) for name in unlearners))

    @field_validator("settings")
    @classmethod
    def _valid(cls, settings: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        return {CATALOGUE.sound(name, own): own for name, own in settings.items()}

    @field_validator("requests")
    @classmethod
    def _some(cls, requests: tuple[Draw, ...]) -> tuple[Draw, ...]:
        if not requests:
            raise ValueError(f"name at least one kind of request: {', '.join(DRAWS)}")
        return tuple(dict.fromkeys(requests))


class UnlearningProbe(Probe):
    """Drawn requests, forgotten by each unlearner from the checkpoint, verified against retrains.

    Evidence: `unlearning.METHOD.REQUEST.residual`, |rho| of the statistic that speaks most against the method, 0 like a
    retrain and 1 like nothing was done, where higher is worse; the verdict and all statistics are in its details, and
    the negative controls get one each. `...utility.ndcg@K`, change of utility against retrains of genuine users, with
    the change for the most active twentieth and the others. `unlearning.best.REQUEST.residual`, that of the
    method with the least among those that honour it, or among all: what a policy judges that names no method.
    With `injected` also `unlearning.METHOD.injected.ATTACK.SIZE.log2_rank_shift`, what is left of an attack whose
    accounts are forgotten, beside what the attack gained; of `retrain`, what another seed leaves.
    Methods that serve a model of their own are not compared there: they start from no checkpoint. Retraining counts
    where no method fits that does, is named as such, and is then also run unasked.
    """

    key = "unlearning"
    title = "Is a deletion request honoured?"
    reference = (
        "our design (docs/unlearning.md); Chen, Xia, Huang 2025, Pre-training for Recommendation Unlearning, SIGIR"
    )
    config_type = UnlearningConfig

    def requests(self, target: Target) -> dict[str, Request]:
        """The drawn requests by kind.

        Raises:
            NotApplicable: the log is too small, or nothing is held out to compare with.
        """
        config: UnlearningConfig = self.config
        log = target.split.train
        pairs = min(config.pairs, len(log) // 10)
        if pairs < 1:
            raise NotApplicable(f"the training log has {len(log)} events, too few to forget a part of them")
        try:
            found: dict[str, Request] = {kind: draw(log, kind, pairs, self.seed) for kind in config.requests}
            for request in found.values():
                question(target.split, request)
        except (InputError, DataError) as error:
            raise NotApplicable(str(error)) from None
        return found

    def fitting(self, target: Target) -> dict[str, str | None]:
        """Unlearners and controls by name, each with why it cannot be used, or None.

        With retraining, what always can be done, where none fits of those that start from the checkpoint.
        """
        config: UnlearningConfig = self.config
        wanted = dict.fromkeys((*config.unlearners, *CONTROLS))
        found = {
            name: build(name, config.settings.get(name)).why_not(target.recipe, target.split.train) for name in wanted
        }
        if all(why is not None or name in CONTROLS or _starts_anew(name) for name, why in found.items()):
            found.setdefault(Retrain.name, None)
        return found

    def cells(self, target: Target) -> Sequence[Cell]:
        """For each request: retrains, trainings with the forget set, and each method's model."""
        fitting = [name for name, why in self.fitting(target).items() if why is None]
        found: list[Cell] = []
        for request in self.requests(target).values():
            for name in fitting:
                for groups in (self._references("", request, target), self._references(name, request, target)):
                    found += [*groups["retrain"], *groups["refit"]]
                found.append(self._forgetting(name, request, target))
        if (undoing := self._undoing(target)) is not None:
            found += undoing.cells()
        return list(dict.fromkeys(found))

    def evidence(self, target: Target, results: Results) -> Sequence[Evidence]:
        """By method and request: what is left, what it costs; the best; who does not fit."""
        fitting = self.fitting(target)
        found: list[Evidence] = []
        for kind, request in self.requests(target).items():
            residuals: dict[str, Evidence] = {}
            for name, why in fitting.items():
                if why is None:
                    residuals[name] = self._residual(name, kind, request, target, results)
                    found.append(residuals[name])
                    if name not in CONTROLS:
                        found.append(self._utility(name, kind, request, target, results))
            found.append(self._best(kind, {name: own for name, own in residuals.items() if name not in CONTROLS}))
        if (undoing := self._undoing(target)) is not None:
            found += undone(self.made, undoing, target.split.train, results)
        for name, why in fitting.items():
            if why is not None and name not in CONTROLS:
                text = f"unlearner {name} cannot be used on this model: {why}"
                found.append(self.made(f"{name}.none", text, "none", "none", "higher", missing=text))
        return found

    def _undoing(self, target: Target) -> UndoingDesign | None:
        """By every method that starts from the model, and by retraining, which shows what the seed alone leaves."""
        config: UnlearningConfig = self.config
        if config.injected is None:
            return None
        fitting = [name for name, why in self.fitting(target).items() if why is None and name not in CONTROLS]
        methods = dict.fromkeys([Retrain.name, *(name for name in fitting if not _starts_anew(name))])
        settings = {name: config.settings.get(name, {}) for name in methods}
        return make_undoing_design(target, config.injected, settings, self.seed)

    def _references(self, name: str, request: Request, target: Target) -> dict[How, list[Cell]]:
        """Of the method's own kind if it has one, else (and for no method) of the victim's recipe."""
        own = bool(name) and unlearner_class(name).own_model
        method, settings = (name, self.config.settings.get(name)) if own else ("", None)
        return references(
            request,
            self.config.retrains,
            self.config.refits,
            self.seed,
            method,
            settings,
            self._sample(request, target),
        )

    def _sample(self, request: Request, target: Target) -> int:
        return sample_of(target.split.train, request, self.seed)

    def _forgetting(self, name: str, request: Request, target: Target) -> Cell:
        trial = Trial(request, "forget", name, self.config.settings.get(name, {}), self._sample(request, target))
        return Cell("inquiry", f"{request.label}, forgotten by {name}", derive(self.seed, name), inquiry=trial)

    def _judged(self, name: str, request: Request, target: Target, results: Results) -> Verdict | None:
        """None where a cell failed."""
        own, groups = self._forgetting(name, request, target), self._references(name, request, target)
        if own not in results or any(cell not in results for group in groups.values() for cell in group):
            return None
        kept: Mapping[How, list[Answers]] = {
            how: [results.arrays(cell) for cell in group] for how, group in groups.items()
        }
        asked = question(target.split, request, self._sample(request, target), in_order=reads_order(target.recipe))
        before = self._forgetting(CONTROLS[0], request, target)  # the checkpoint as it is
        found = verdict(
            results.arrays(own), kept["retrain"], kept["refit"], asked.weights, self.config.margin,
            groups=asked.groups,
            checkpoint=results.arrays(before) if before in results and not unlearner_class(name).own_model else None,
        )  # fmt: skip
        return limited(found, [one for one in HINDRANCES if results[own].values.get(one)])

    def _residual(self, name: str, kind: str, request: Request, target: Target, results: Results) -> Evidence:
        head = f"{name}.{kind}.residual"
        title = f"What {name} leaves of {_WORDS[kind]}"
        unit = "|rho|: 0 like a retrain, 1 like nothing was done"
        judged = self._judged(name, request, target, results)
        if judged is None:
            why = "a model of this comparison could not be trained; see the failures"
            return self.made(head, title, "residual", unit, "higher", missing=why)
        details = {
            "unlearner": name, "request": kind, "control": name in CONTROLS, "verdict": judged.outcome,
            "reason": judged.reason, "over": judged.over, "margin": judged.margin, "pairs": judged.pairs,
            "needed": judged.needed, "worst": judged.worst, "rows_left": judged.rows_left, "limits": list(LIMITS),
            "statistics": [_row(own) for own in judged.statistics],
            "described": {key: list(values) for key, values in judged.described.items()},
        }  # fmt: skip
        first, own = judged.statistics[0], self._forgetting(name, request, target)
        kept = [one for one in judged.statistics if one.kept]
        vetoed = any(not one.accuses and one.beyond(judged.margin) > 0 for one in kept)  # which measures nothing
        told = first.kept and judged.pairs >= LEAST_PAIRS and not judged.hindrance and not vetoed
        worst = max((one for one in kept if one.accuses), key=lambda one: one.beyond(judged.margin), default=first)
        shown = worst if worst.beyond(judged.margin) > 0 else first
        if judged.outcome == "inconclusive" and not told:
            return self.made(
                head, title, "residual", unit, "higher", missing=f"inconclusive: {judged.reason}", details=details
            )
        # else it is rows that accuse, which needs no statistic: what they were is all of the trace
        by_it = shown.kept and bool(np.isfinite(shown.rho))
        keys = [results[cell].key for group in self._references(name, request, target).values() for cell in group]
        return self.made(
            head, f"{title}, by the {shown.name if by_it else 'rows that were left'}", "residual", unit, "higher",
            estimate=max(abs(shown.rho), float(judged.rows_left > 0)) if by_it else 1.0,
            standard_error=_error(shown) if by_it else None, n=judged.pairs, limits=(0.0, 1e9),
            baseline={"retrained": 0.0, "nothing done": 1.0}, details=details,
            cells=[results[own].key, *keys],
        )  # fmt: skip

    def _utility(self, name: str, kind: str, request: Request, target: Target, results: Results) -> Evidence:
        """NDCG@K of each user, after forgetting less the mean of the retrains."""
        value = f"ndcg@{self.config.cutoff}"
        title, unit = f"Change of utility by {name} against retrains, {_WORDS[kind]}", "NDCG, difference in -1..1"
        # against the victim's own recipe also where a method serves a model of its own: that is the price of it
        own, clean = self._forgetting(name, request, target), self._references("", request, target)["retrain"]
        clean = [cell for cell in clean if cell in results]
        if own not in results or not clean:
            why = "a model of this comparison could not be trained; see the failures"
            return self.made(f"{name}.{kind}.utility.{value}", title, value, unit, "lower", missing=why)
        after = results.arrays(own)
        if value not in after:
            why = f"NDCG@{self.config.cutoff} was not measured; add the cut-off to the policy"
            return self.made(f"{name}.{kind}.utility.{value}", title, value, unit, "lower", missing=why)
        log = target.split.train
        there = request.retained(log).user_counts[after["users"]] > 0  # who is gone is served by nobody
        users, now = after["users"][there], after[value][there]
        before = np.mean([results.arrays(cell)[value][there] for cell in clean], axis=0)
        change = now - before
        return self.made(
            f"{name}.{kind}.utility.{value}", title, value, unit, "lower", estimate=float(change.mean()),
            standard_error=paired_standard_error(now, before), n=len(change), limits=(-1.0, 1.0),
            baseline={"retrained": float(before.mean())}, cells=[results[own].key],
            details={
                "unlearner": name, "request": kind, "changes": self._sides(own, clean, results),
                **by_activity(change, log.user_counts[users]),
            },
        )  # fmt: skip

    def _sides(self, own: Cell, clean: Sequence[Cell], results: Results) -> dict[str, float]:
        """Side measures of the lists against the mean of the retrains."""
        found = {}
        for name, value in results[own].values.items():
            others = [results[cell].values.get(name) for cell in clean]
            if name.startswith("exposure/") and value is not None and None not in others:
                found[name] = value - float(np.mean([other for other in others if other is not None]))
        return found

    def _best(self, kind: str, residuals: Mapping[str, Evidence]) -> Evidence:
        title, unit = (
            f"What the best unlearner leaves of {_WORDS[kind]}",
            "|rho|: 0 like a retrain, 1 like nothing was done",
        )
        others = {name: own for name, own in residuals.items() if not _starts_anew(name)}
        fallback = Retrain.name in residuals and not others
        if fallback:
            others = {Retrain.name: residuals[Retrain.name]}
        known = {name: own for name, own in others.items() if own.estimate is not None}
        if not known:
            why = "; ".join(f"{name}: {own.missing}" for name, own in others.items())
            return self.made(f"best.{kind}.residual", title, "least_residual", unit, "higher", missing=why)
        name, best = min(
            known.items(), key=lambda pair: (pair[1].details["verdict"] != "honoured", pair[1].estimate or 0.0)
        )
        title = f"{title}: {name}" + (", since no method that starts from the model fits it" if fallback else "")
        head = {"id": f"{self.key}.best.{kind}.residual", "title": title, "measure": "least_residual"}
        return best.model_copy(update={**head, "details": {**best.details, "fallback": fallback}})


def _starts_anew(name: str) -> bool:
    """Whether the method does not start from the checkpoint: it trains again, or serves a model of its own."""
    return name == Retrain.name or unlearner_class(name).own_model


_WORDS = {
    "users": "a request to forget users drawn at random",
    "core-users": "a request to forget the most active users",
    "edge-users": "a request to forget the least active users",
    "part-of-users": "a request to forget half the events of users drawn at random",
    "items": "a request to forget items drawn at random",
    "pairs": "a request to forget events drawn at random",
}


def _row(own: Statistic) -> dict[str, Any]:
    finite = own.kept and np.isfinite(own.power)
    return {
        "name": own.name, "value": own.value, "reference": own.reference, "before": own.before,
        "rho": own.rho if own.kept else None, "rho_interval": list(own.rho_interval) if own.kept else None,
        "power": own.power if finite else None, "kept": own.kept,
    }  # fmt: skip


def by_activity(change: NDArray[np.float64], events: NDArray[np.int64]) -> dict[str, float]:
    """The mean change of the most active twentieth of the users, and of the others (CURE4Rec's groups)."""
    active = np.zeros(len(change), np.bool_)
    active[np.argsort(-events, kind="stable")[: max(1, len(change) // 20)]] = True
    groups = {"most active twentieth": active, "others": ~active}
    return {name: float(change[rows].mean()) for name, rows in groups.items() if rows.any()}


def _error(own: Statistic) -> float:
    """A standard error by which a normal interval is at least Student's, at 95 %."""
    from scipy import stats

    half = (own.rho_interval[1] - own.rho_interval[0]) / 2
    one, two = (float(stats.t.ppf(level, own.retrains - 1)) for level in (0.95, 0.975))
    return half / one * two / 1.959964
