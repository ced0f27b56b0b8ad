"""T-CE and R-CE by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from .fake import NOTHING, Fake, epoch, hardened, rows


def test_tce_drops_exactly_the_share_and_takes_the_mean_of_the_rest() -> None:
    fake = Fake([rows([0] * 5, [5.0, 1.0, 4.0, 2.0, 3.0])])
    (found,) = epoch(hardened("t-ce", fake, eps_max=0.4, warm_up=0))
    assert found[0] == pytest.approx((1 + 2 + 3) / 3)
    assert found[1] is not None and (found[1] > 0).tolist() == [False, True, False, True, True]


@pytest.mark.parametrize("share", [0.05, 0.1, 0.29, 0.5])
def test_tce_drops_so_many_of_a_hundred(share: float) -> None:
    losses = np.random.default_rng(0).random(100).tolist()
    ((_, weight),) = epoch(hardened("t-ce", Fake([rows([0] * 100, losses)]), eps_max=share, warm_up=0))
    assert weight is not None and int((weight == 0).sum()) == round(100 * share)
    assert weight.mean() == pytest.approx(1)


def test_tce_share_rises_linearly_over_the_warm_up() -> None:
    training = hardened("t-ce", Fake([rows([0] * 10, [float(n) for n in range(10)])]), eps_max=0.4, warm_up=4)
    dropped = []
    for _ in range(7):
        ((_, weight),) = epoch(training)
        dropped.append(0 if weight is None else int((weight == 0).sum()))
    assert dropped == [0, 1, 2, 3, 4, 4, 4]


def test_tce_keeps_the_weights_of_the_log_and_counts_no_row_of_weight_zero() -> None:
    fake = Fake([rows([0] * 5, [9.0, 1.0, 4.0, 2.0, 3.0], [0.0, 0.5, 1.0, 1.0, 0.5])])
    (found,) = epoch(hardened("t-ce", fake, eps_max=0.25, warm_up=0))
    # of four rows that count, 4.0 is dropped; the undefended mean is over five rows, of which four count
    assert found[0] == pytest.approx((0.5 * 1 + 2 + 0.5 * 3) / 3 * 4 / 5)


def test_rce_weighs_by_the_probability_of_the_positive() -> None:
    fake = Fake([rows([0, 0], [np.log(2.0), np.log(4.0)], [1.0, 0.5])])
    (found,) = epoch(hardened("r-ce", fake, alpha=0.5))
    assert found[1] is not None and found[1].tolist() == pytest.approx([0.5**0.5, 0.5 * 0.25**0.5])


def test_rce_of_bpr_is_the_papers_sigmoid() -> None:
    user, positive, negative = (torch.tensor([[a], [b]]) for a, b in ((1.0, 2.0), (0.5, -1.0), (0.25, 0.5)))
    batch = rows([0, 1], [0.0, 0.0])
    batch = type(batch)((user, positive, negative), batch.user)
    training = hardened("r-ce", Fake(), alpha=0.3)
    training.loss(batch, NOTHING)
    expected = torch.sigmoid((user * (positive - negative)).sum(-1)) ** 0.3
    assert training.training.asked.tolist() == pytest.approx(expected.tolist())
