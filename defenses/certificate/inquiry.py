"""The votes for some audited accounts, counted and turned into certificates: the cell of the check "certificate"."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...audit.cell import Answer
from ...audit.statistics import clopper_pearson, paired_standard_error
from ...datasets.errors import InputError
from ...datasets.log import Int64
from ...datasets.seeding import rng
from ...recommenders.consumed import consumed
from ...recommenders.evaluate import relevance
from ...recommenders.metrics import measure
from ...recommenders.ranking import rank
from ...recommenders.target import Target
from .bagging import Ensemble, blocks, most_voted, tie_order, votes
from .bounds import certified, leak, not_promotable, survival, tolerated

VERSION = 1
"""Raise it when the votes, or what is made of them, change."""

UTILITY_MODELS = 200
"""Base models that list for an account where only utility is measured, about, and at most."""


@dataclass(frozen=True)
class Certificate:
    """What an ensemble of base models provably keeps (audit.cell.Inquiry).

    Attributes:
        ensemble: how it is made.
        n_list: N.
        alpha: the chance that any bound is wrong.
        users: audited accounts, at most.
        fakes: numbers of fake accounts.
        items: item indices that somebody may promote.
        utility_users: accounts on which utility is measured, at most.
    """

    ensemble: Ensemble
    n_list: int
    alpha: float
    users: int
    fakes: tuple[int, ...]
    items: tuple[int, ...]
    utility_users: int
    keeps_arrays: ClassVar[bool] = False
    trainings: ClassVar[float] = 0.5

    def describe(self) -> dict[str, Any]:
        """Everything that determines the answer beside target and seed, as JSON."""
        return {
            "inquiry": "certificate", "version": VERSION, "ensemble": asdict(self.ensemble), "list": self.n_list,
            "alpha": self.alpha, "users": self.users, "fakes": list(self.fakes), "items": list(self.items),
            "utility_users": self.utility_users,
        }  # fmt: skip

    def answer(self, target: Target, seed: int) -> Answer:
        """Shares of lists that stay, by fakes and account; targets that cannot enter; utility; what is tolerated.

        Accounts are counted from 1 in the order they were drawn. Bags are drawn from the training part; lists are made
        for, and leave out, what accounts have in the training and validation part.
        """
        train = target.split.train
        users = self.audited(target, seed)
        tests = 2 * len(users) * train.n_items
        parts = [self.proved(target, users[rows], tests, seed) for rows in blocks(len(users), train.n_items)]
        proofs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        found: dict[str, float | None] = {"audited": float(len(users)), "tests": float(tests)}
        for column, e in enumerate(self.fakes):
            found[f"e{e}/sigma"], found[f"e{e}/delta"] = self.chances(train.n_users, e)
            pairs = zip(proofs["stay"][:, column].tolist(), proofs["listed"].tolist(), strict=True)
            for place, (left, listed) in enumerate(pairs, 1):
                found[f"e{e}/account/{place}/share"] = left / listed if listed else None
        for row, item in enumerate(self.items):
            name, who = str(train.item_ids[item]), proofs["lacking"][:, row]
            found[f"target/{name}/eligible"] = float(who.sum())
            for column, e in enumerate(self.fakes):
                safe = proofs["safe"][who, column, row]
                found[f"e{e}/target/{name}/not_promotable"] = float(safe.mean()) if len(safe) else None
        for name in ("one", "half"):
            found[f"tolerated/{name}"] = float(np.median(proofs[name]))
        return Answer(found | self._utility(target, seed))

    def audited(self, target: Target, seed: int) -> Int64:
        """The audited accounts, int64 [A], drawn among those with events."""
        history = target.split.history
        free = np.flatnonzero(history.user_counts[: target.split.train.n_users] > 0)
        return rng(seed, "certificate", "users").permutation(free)[: self.users]

    def chances(self, n_users: int, e: int) -> tuple[float, float]:
        """Sigma and delta for so many fakes."""
        sample = self.ensemble.sample
        return survival(n_users, sample, e), leak(n_users, sample, e, self.ensemble.only_drawn)

    def proved(self, target: Target, users: Int64, tests: int, seed: int) -> dict[str, NDArray[Any]]:
        """What holds for a block of accounts, B rows each.

        Args:
            target: whose training part is drawn from.
            users: int64 [B].
            tests: bounds among which alpha is shared: both sides of all items of all audited accounts, since the lists
                are chosen by the same votes.
            seed: of the draws.

        Returns:
            "stay" int64 [B, fakes], items that stay; "listed" int64 [B], items listed now; "safe" bool
            [B, fakes, items], what cannot be promoted; "lacking" bool [B, items], who lacks it; "one" and "half"
            int64 [B], the fakes at which one item and half of the list still stay.
        """
        train, profiles = target.split.train, consumed(target.split.history)[users]
        order = tie_order(train.item_ids)
        counts = votes(consumed(train), profiles, users, order, self.ensemble, seed)
        lower, upper = clopper_pearson(counts, self.ensemble.models, self.alpha / tests)
        upper[profiles.toarray() > 0] = -np.inf
        keep = np.zeros(counts.shape, bool)
        lists = most_voted(counts, order, self.n_list)
        row, place = np.nonzero(lists >= 0)
        keep[row, lists[row, place]] = True

        items, names = np.array(self.items, np.int64), self.ensemble.per_model
        chances = [self.chances(train.n_users, e) for e in self.fakes]
        stay = [certified(lower, upper, keep, self.n_list, *pair, names) for pair in chances]
        safe = [not_promotable(lower, upper, items, self.n_list, *pair) for pair in chances]
        one, half = (
            tolerated(
                lower, upper, keep, self.n_list, names, lambda e: self.chances(train.n_users, e), wanted=wanted
            )
            for wanted in (1, (self.n_list + 1) // 2)
        )  # fmt: skip
        return {
            "stay": np.stack(stay, axis=1), "listed": keep.sum(axis=1), "safe": np.stack(safe, axis=1),
            "lacking": np.isfinite(upper[:, items]), "one": one, "half": half,
        }  # fmt: skip

    def _utility(self, target: Target, seed: int) -> dict[str, float | None]:
        """HR@N of the ensemble and of the audited model on the same accounts with held-out events."""
        split, k = target.split, self.n_list
        try:
            users, relevant = relevance(split.test, split.history, split.train.n_users)
        except InputError:  # nothing held out can be listed
            return {}
        chosen = np.sort(rng(seed, "certificate", "utility").permutation(len(users))[: self.utility_users])
        users, relevant = users[chosen], relevant[chosen]
        order = tie_order(split.train.item_ids)
        # an account must be drawn to be listed for in PORE's rule, which takes so many more models
        enough = UTILITY_MODELS * (-(-split.train.n_users // self.ensemble.sample) if self.ensemble.only_drawn else 1)
        fewer = replace(self.ensemble, models=min(self.ensemble.models, enough))
        profiles = consumed(split.history)[users]
        own = [
            most_voted(votes(consumed(split.train), profiles[rows], users[rows], order, fewer, seed), order, k)
            for rows in blocks(len(users), split.train.n_items)
        ]
        lists = {
            "ensemble": np.concatenate(own),
            "model": rank(target.model, users, split.history, k).slate.items,
        }
        hits = {side: measure(items, relevant, (k,))[1][f"hr@{k}"] for side, items in lists.items()}
        found: dict[str, float | None] = {f"{side}/hr@{k}": float(values.mean()) for side, values in hits.items()}
        error = paired_standard_error(hits["ensemble"], hits["model"])
        return found | {"utility_users": float(len(users)), "utility_error": error}
