"""What each check tries, in fixed words: who acts, what they know and can do, what is measured, what is not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Threat:
    """A check as a method with its threat model.

    Attributes:
        area: what it is about, for a heading.
        question: that it answers.
        actor: who acts.
        knows: what they know.
        can: what they can do.
        measured: what is measured, against what.
        not_shown: what a good result does not show.
    """

    area: str
    question: str
    actor: str
    knows: str
    can: str
    measured: str
    not_shown: str


NOBODY = "Nobody acts; the system is measured as it is."

THREATS: dict[str, Threat] = {
    "quality": Threat(
        "Quality and reproduction", "Is this the model it is said to be, and better than trivial ones?", NOBODY,
        "–", "–",
        "Ranking metrics over the whole catalogue on held-out events, beside references trained on the same data; the "
        "stored figures computed again.",
        "Quality for events of another kind or time than those held out.",
    ),
    "exposure": Threat(
        "Exposure of items", "Who gets shown, and who never?", NOBODY, "–", "–",
        "How often each item stands in the lists of all users, its concentration, and items never shown.",
        "Which distribution would be right.",
    ),
    "groups": Threat(
        "Groups of users and items", "Are groups served alike?", NOBODY, "–", "–",
        "Utility and exposure by group, popularity bias, calibration.",
        "Groups that the data do not name; causes of a difference.",
    ),
    "promotion": Threat(
        "Promotion by fake accounts", "Can fake users push an item?",
        "Somebody who registers accounts.",
        "The public catalogue and, where stated, a share of the genuine profiles; no access to the model unless the "
        "attack is named as one that asks it.",
        "Adds accounts, as many as the attack size says, whose events enter the next training.",
        "How often target items are shown to genuine users and how their rank moves, against the same retraining "
        "without the accounts; targets are drawn before any attack sees anything.",
        "Attackers with other means, budgets or targets.",
    ),
    "demotion": Threat(
        "Burial by fake accounts", "Can fake users bury an item?",
        "Somebody who registers accounts.", "As for promotion.",
        "Adds accounts that crowd out or devalue a target item.",
        "Loss of exposure of target items, against the same retraining without the accounts.",
        "Attackers with other means, budgets or targets.",
    ),
    "takeover": Threat(
        "Hijacked accounts", "What can somebody who takes accounts over make them show?",
        "Somebody who acts in accounts of genuine users.", "The lists of these accounts.",
        "Adds a few events to their histories; nothing is trained again.",
        "How far target items move in the lists of these accounts.",
        "How accounts are taken over, and what the platform notices.",
    ),
    "rewriting": Threat(
        "Rewritten texts", "Can the owner of an item lift it by rewriting its title?",
        "A seller.", "The catalogue; where stated, answers of the model.",
        "Changes the text of an item; nothing is trained again.",
        "Change of the item's exposure among all users.",
        "Texts that nobody tried; what moderation would notice.",
    ),
    "defense": Threat(
        "Mitigation of attacks", "Does a defence help, and at what price?",
        "The same attackers as for promotion and burial.", "They do not know the defence unless it is said.",
        "As for promotion.",
        "What the attack still gains with the defence, false alarms among genuine users, utility without an attack.",
        "Attackers who adapt to the defence, where none is named.",
    ),
    "certificate": Threat(
        "Provable robustness", "What can fake users provably not change?",
        "Anybody who adds up to the stated number of accounts.", "Everything.",
        "Adds accounts of any content.",
        "The share of a bagged recommender's lists that is proved to stay.",
        "Anything about the model as it is: the proof holds for a recommender built to be provable.",
    ),
    "unlearning": Threat(
        "Deletion requests", "Is a request to delete really honoured?",
        "A user who asks for deletion; somebody who tests the model afterwards.",
        "The model before and after, and retrainings as yardsticks.",
        "Asks both models about what was to be forgotten.",
        "What is left of the forgotten events, on a scale from a retraining (0) to doing nothing (1), with the power "
        "of the test first.",
        "Erasure in raw data, logs, backups and other models; traces that no list shows.",
    ),
    "simulate": Threat(
        "Closed loop", "What becomes of an attack over rounds of retraining?",
        "The same attackers as for promotion.", "As for promotion.",
        "Adds accounts once; genuine users, simulated, click on what they are shown.",
        "Exposure of targets over rounds, and what is left after the accounts are removed.",
        "People: the clicks are those of a stated model of users.",
    ),
    "privacy": Threat(
        "Leaks about training data", "Can an outsider tell what the model was trained on?",
        "Somebody who sees lists, ranks or scores, and wants to know whether an event (or a user, where findings say "
        "so) was in the training data.",
        "The recipe, and all training events but those in question: more than most outsiders know.",
        "Trains models by the audited recipe with and without the events in question, and compares what they say.",
        "How much better than chance members are told apart, at few false alarms, in retrainings of which fair coins "
        "decided what they were trained on; the audited model itself beside them; a lower bound on the epsilon of the "
        "training.",
        "That nothing leaks: attacks that were not tried; lists that leave out what users consumed show it by that.",
    ),
    "attributes": Threat(
        "Attributes of users", "What do vectors and lists tell about a user's attributes?",
        "Somebody who sees users' vectors or lists and knows the attribute of other users.",
        "The attribute of a part of the users.",
        "Trains classifiers on vectors or lists of those users.",
        "How well the attribute of the others is told, beside the raw history and beside lists of popular items.",
        "Attributes that the data do not name; classifiers that were not tried.",
    ),
    "extraction": Threat(
        "Copying the model", "Can an outsider copy the model by asking it?",
        "Somebody who may ask for lists.", "The catalogue; no data.",
        "Asks for the lists of invented histories, and trains a copy on them.",
        "How far the copy's lists agree with the model's on real histories, and how good they are, by queries.",
        "Outsiders with data of their own, or with more queries.",
    ),
}  # fmt: skip
"""By the name of a check; checks of outsiders have no entry and are described by their evidence alone."""

ALWAYS = ("quality", "exposure", "groups", "promotion", "demotion", "defense", "unlearning", "privacy")
"""Areas that every report names, tested or not; the others where the audit asked for them."""
