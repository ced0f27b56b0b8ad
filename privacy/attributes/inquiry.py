"""What the checkpoint's user vectors and lists tell about one column of the user table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ...audit.cell import Answer
from ...datasets.log import Int64, InteractionLog
from ...datasets.seeding import rng
from ...recommenders.base import Recipe, Recommender
from ...recommenders.catalogue import fit
from ...recommenders.consumed import consumed
from ...recommenders.ranking import rank
from ...recommenders.target import Target
from .inference import (
    Features,
    Labels,
    bag_of_lists,
    class_names,
    folds,
    infer,
    labels_of,
    most_frequent,
    standardised,
    tf_idf,
)

VERSION = 2
"""Raise it when features, classifiers or what is measured of them change."""

ASKED = ("embeddings", "lists")
BESIDE = ("history", "popular")
"""Views of a user: what the model keeps and shows; the raw history, and lists of popular unseen items."""


@dataclass(frozen=True)
class AttributeInquiry:
    """Attribute inference of one column (audit.cell.Inquiry).

    Attributes:
        column: of the user table.
        ages: lower bounds of age groups; none if the column holds no ages.
        cutoff: K of the lists.
        items: most frequent items of the raw history.
        smallest: users that a class needs.
        users: users at most.
    """

    column: str
    ages: tuple[int, ...]
    cutoff: int
    items: int
    smallest: int
    users: int
    keeps_arrays: ClassVar[bool] = False
    trainings: ClassVar[float] = 0.0

    def describe(self) -> dict[str, Any]:
        """Everything that determines the answer beside target and seed, as JSON."""
        return {"inquiry": "attributes", "version": VERSION} | asdict(self) | {"ages": list(self.ages)}

    def labels(self, target: Target, seed: int) -> Labels | str:
        """The users that are asked about and their classes, or in words why nobody is.

        Users with events whose value is known; where they are too many, some are drawn.
        """
        table = target.split.train.users
        if table is None or self.column not in table.columns:
            return f"the user table has no column {self.column!r}"
        names = class_names(table[self.column], self.ages)
        history = target.split.history
        limit = min(target.model.n_users, history.n_users)
        users = np.flatnonzero(pd.notna(names[:limit]) & (history.user_counts[:limit] > 0))
        if len(users) > self.users:
            users = np.sort(rng(seed, "attributes", self.column, "users").permutation(users)[: self.users])
        return labels_of(names, users, self.smallest)

    def answer(self, target: Target, seed: int) -> Answer:
        """Of each view `VIEW/auc`, `/standard_error`, `/balanced_accuracy`, `/class/C/auc` and `/mlp/...`.

        Of embeddings and lists also `/shuffled/auc`, and `/minus/VIEW` with its standard error, against raw history
        and popular lists on the same users and folds. Models without vectors have no `embeddings/...`.
        """
        labels = self.labels(target, seed)
        if isinstance(labels, str):
            return Answer({}, texts={"missing": labels})
        seen = views(target, labels.users, self.cutoff, self.items)
        fold = folds(labels.code, rng(seed, "attributes", self.column, "folds"))
        draw = rng(seed, "attributes", self.column, "shuffle")
        mixed = draw.permutation(labels.code)
        mixed_fold = folds(mixed, draw)
        values: dict[str, float | None] = {}
        told = {name: infer(features, labels.code, fold, "logistic", draw) for name, features in seen.items()}
        for name, features in seen.items():
            found = told[name]
            values[f"{name}/auc"] = found.auc
            values[f"{name}/standard_error"] = found.standard_error
            values[f"{name}/balanced_accuracy"] = found.balanced_accuracy
            values |= {f"{name}/class/{place}/auc": float(auc) for place, auc in enumerate(found.by_class)}
            start = rng(seed, "attributes", self.column, "network", name)
            deep = infer(features, labels.code, fold, "mlp", start)
            values[f"{name}/mlp/auc"] = deep.auc
            values[f"{name}/mlp/balanced_accuracy"] = deep.balanced_accuracy
            if name in ASKED:
                values[f"{name}/shuffled/auc"] = infer(features, mixed, mixed_fold, "logistic", draw).auc
                for other in BESIDE:
                    values[f"{name}/minus/{other}"], values[f"{name}/minus/{other}/standard_error"] = found.minus(
                        told[other]
                    )
        return Answer(values)


def views(target: Target, users: Int64, cutoff: int, items: int) -> dict[str, Features]:
    """What is known of these users, by view: embeddings (if the model has any), lists, history, popular.

    Args:
        target: the checkpoint and its data.
        users: int64 [n].
        cutoff: K of the lists; the history is never listed.
        items: most frequent items of the raw history that are looked at.
    """
    history = target.split.history
    found: dict[str, Features] = {}
    lists = _lists(target.model, users, history, cutoff)  # first: ranking refuses vectors that are not finite
    embeddings = getattr(target.model, "embeddings", None)
    if embeddings is not None:
        found["embeddings"] = standardised(embeddings()[0][users])
    found["lists"] = lists
    found["history"] = tf_idf(most_frequent(consumed(history)[users], items))
    found["popular"] = _lists(fit(Recipe("popularity", {}), target.split.train, 0), users, history, cutoff)
    return found


def _lists(model: Recommender, users: Int64, history: InteractionLog, cutoff: int) -> Features:
    return tf_idf(bag_of_lists(rank(model, users, history, cutoff).slate.items, history.n_items))
