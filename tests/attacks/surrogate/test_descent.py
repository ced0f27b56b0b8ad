"""Accounts moved along a gradient, within the budget."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recaudit.attacks.goal import Goal, Kind
from recaudit.attacks.scale import RatingScale
from recaudit.attacks.surrogate.audience import Audience
from recaudit.attacks.surrogate.base import Accounts, Factors
from recaudit.attacks.surrogate.descent import Descent, block, draft_of, promotion_loss
from recaudit.attacks.surrogate.wmf import WMF, WMFConfig
from recaudit.datasets.log import InteractionLog, Profiles
from recaudit.datasets.synthetic import generate

KINDS: list[Kind] = ["implicit", "rating"]
TARGET = 7
WORTH = torch.tensor([0.5, -0.4, 0.3, 0.0, -0.1, 0.2, 0.1, 9.0, -0.6, 0.4])


class Worth:
    """Scores of which only the target's depends on the accounts: by how much each event is worth."""

    def __init__(self, users: int, rated: bool) -> None:
        self.users, self.rated, self.fits = users, rated, 0

    def fit(self, accounts: Accounts) -> Factors:
        self.fits += 1
        return self.unrolled(accounts)

    def unrolled(self, accounts: Accounts) -> Factors:
        events = accounts.rating if self.rated else accounts.present
        item = torch.arange(10.0)[:, None] / 10
        pushed = (events @ WORTH).sum() * 0.01 * (torch.arange(10) == TARGET)[:, None]
        return Factors(torch.ones(self.users, 1), item + pushed)


def log() -> InteractionLog:
    """Six users, ten items, nobody has the target."""
    found = generate(users=6, items=10, events=30, seed=2)
    keep = found.item != TARGET
    assert found.value is not None
    return InteractionLog(found.user[keep], found.item[keep], found.user_ids, found.item_ids, found.value[keep])


def start(rating: float = 1.0) -> Accounts:
    """Two accounts with the target and the three items of least worth, and one of the target alone."""
    present = torch.zeros(3, 10)
    present[0, [TARGET, 1, 4, 8]] = 1.0
    present[1, [TARGET, 8, 1, 3]] = 1.0
    present[2, TARGET] = 1.0
    return Accounts(present, present * rating)


def moved(steps: int, rated: bool, scale: RatingScale | None = None) -> tuple[Accounts, list[float], Worth]:
    surrogate = Worth(6, rated)
    audience = Audience.of(log(), Goal((TARGET,), 3, 4))
    descent = Descent(steps, 1.0, 1.0)
    best, losses = descent.run(surrogate, start(3.0 if rated else 1.0), audience, scale, np.random.default_rng(0))
    return best, losses, surrogate


def test_the_worthiest_fillers_come_in() -> None:
    """All fillers are exchanged at once by items 0, 9, 2, the best three; budget and target are kept."""
    best, losses, surrogate = moved(3, rated=False)
    assert surrogate.fits == 1 and len(losses) == 4 and losses[-1] < losses[0]
    assert best.present.sum(1).tolist() == [4, 4, 1]
    for account in range(2):
        assert torch.nonzero(best.present[account])[:, 0].tolist() == [0, 2, TARGET, 9]
    assert torch.nonzero(best.present[2])[:, 0].tolist() == [TARGET]
    assert torch.equal(best.rating, best.present)


def test_without_steps_the_accounts_stay() -> None:
    """Zero steps, one loss."""
    best, losses, _ = moved(0, rated=False)
    assert torch.equal(best.present, start().present) and len(losses) == 1


def test_an_event_comes_with_the_end_of_the_scale_that_serves() -> None:
    """Worthy items at the top, harmful ones at the bottom; what stays moves to its end."""
    scale = RatingScale(np.arange(1, 6, dtype=np.float32))
    best, losses, _ = moved(6, True, scale)
    assert losses[-1] < losses[0]
    inside = best.present > 0
    inside[:, TARGET] = False
    wanted = torch.where(WORTH > 0, 5.0, 1.0).expand(3, -1)
    assert torch.equal(best.rating[inside], wanted[inside])
    assert (best.rating[best.present == 0] == 0).all() and (best.rating[:, TARGET] == 3).all(), "the target stays"


def test_a_surrogate_that_reads_no_ratings_offers_the_top() -> None:
    """Its gradient to ratings is none: what stays keeps its rating, new events get the highest."""
    best, _, _ = moved(3, False, RatingScale(np.arange(1, 6, dtype=np.float32)))
    assert best.rating[0, [0, 2, 9]].tolist() == [5.0, 5.0, 5.0] and best.rating[0, TARGET] == 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_the_best_is_not_above_the_start(kind: Kind) -> None:
    """On a real surrogate: the returned accounts have the lowest loss of all steps."""
    genuine = generate(users=40, items=30, events=500, seed=3)
    rated = kind == "rating"
    goal = Goal((TARGET,), 3, 6, kind)
    rng = np.random.default_rng(0)
    item = np.stack([np.append(rng.permutation(7)[:5], TARGET) for _ in range(3)]).astype(np.int32)
    profiles = Profiles(3, np.repeat(np.arange(3, dtype=np.int32), 6), item.ravel(), np.full(18, 4.0, np.float32))
    first = block(profiles, 30, rated)
    scale = RatingScale(np.arange(1, 6, dtype=np.float32)) if rated else None
    surrogate = WMF(genuine, kind, WMFConfig(dim=4), np.random.default_rng(1))
    best, losses = Descent(5, 0.4, 1.0).run(surrogate, first, Audience.of(genuine, goal), scale, rng)
    assert min(losses) < losses[0]
    assert torch.equal(best.present.sum(1), first.present.sum(1)) and (best.present[:, TARGET] == 1).all()
    assert set(best.present.flatten().tolist()) <= {0.0, 1.0}
    # the loss reported for the best accounts is theirs: nearly the same after a fit from other vectors
    again = WMF(genuine, kind, WMFConfig(dim=4, sweeps=30), np.random.default_rng(2))
    audience = Audience.of(genuine, goal)
    found = []
    for accounts in (first, best):
        again.fit(accounts)
        found.append(promotion_loss(again, accounts, audience, rng, 1.0).item())
    assert found[1] < found[0]


def test_promotion_loss_does_not_see_the_scale_of_scores() -> None:
    """Scores ten times as large give the same loss, except with published rivals."""

    class Large(Worth):
        def unrolled(self, accounts: Accounts) -> Factors:
            small = super().unrolled(accounts)
            return Factors(small.user * 10, small.item)

    audience, rng = Audience.of(log(), Goal((TARGET,), 3, 4)), np.random.default_rng(0)
    losses = [promotion_loss(kind(6, False), start(), audience, rng, 2.0).item() for kind in (Worth, Large)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    plain = [promotion_loss(kind(6, False), start(), audience, rng, 2.0, "published").item() for kind in (Worth, Large)]
    assert abs(plain[0] - plain[1]) > 0.1


def test_block_and_draft() -> None:
    """A block holds what the profiles hold; the draft of it all but the targets."""
    account, item = np.array([0, 0, 1, 1], np.int32), np.array([TARGET, 2, 5, TARGET], np.int32)
    profiles = Profiles(2, account, item, np.array([5, 1, 2, 5], np.float32))
    rated, plain = block(profiles, 10, True), block(profiles, 10, False)
    assert rated.rating[0, 2] == 1 and rated.rating[1, 5] == 2 and rated.present.sum() == 4
    assert torch.equal(plain.rating, plain.present)
    draft = draft_of(rated, Goal((TARGET,), 2, 2, "rating"))
    assert draft.items.tolist() == [[2], [5]] and draft.ratings is not None and draft.ratings.tolist() == [[1], [2]]
    assert draft_of(plain, Goal((TARGET,), 2, 2)).ratings is None
    alone = Profiles(1, account[:1], item[:1])
    assert draft_of(block(alone, 10, False), Goal((TARGET,), 1, 1)).items.shape == (1, 0)
