"""The calibrator: its loss by hand, what must not matter to it, and what it learns."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from recaudit.datasets.seeding import torch_rng
from recaudit.defenses.lorec.calibrator import Calibrator, calibration_loss
from recaudit.recommenders.network import Dropout

SILENT = Dropout(0.0, None)


def made(text_width: int | None = None) -> Calibrator:
    return Calibrator(8, 6, text_width, torch_rng(0, "init"))


def judged(own: Calibrator, states: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return own.eval().logits(own.summaries(states, valid, SILENT), SILENT)


def test_the_loss_by_hand() -> None:
    logits = torch.tensor([0.0, math.log(3.0)])  # p = 1/2 of an account, 3/4 of a fraudster
    found = calibration_loss(logits, torch.tensor([0.0, 1.0]), 0.5)
    assert float(found) == pytest.approx((math.log(2) + 0.5 * math.log(2) - math.log(0.75)) / 2)
    texts, summaries = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[3.0, 0.0], [1.0, 1.0]])
    aligned = calibration_loss(logits, torch.tensor([0.0, 1.0]), 0.5, 2.0, summaries, texts)
    assert float(found - aligned) == pytest.approx(1 + math.sqrt(0.5), rel=1e-5)


def test_the_entropy_is_of_accounts_of_the_log_alone() -> None:
    logits = torch.tensor([0.3, -0.2])
    fraud = torch.ones(2)
    assert float(calibration_loss(logits, fraud, 0.5)) == float(calibration_loss(logits, fraud, 0.0))
    assert float(calibration_loss(logits, 1 - fraud, 0.5)) > float(calibration_loss(logits, 1 - fraud, 0.0))


def test_order_of_accounts_and_filling_do_not_matter() -> None:
    own = made()
    states = torch.randn(5, 6, 8, generator=torch_rng(1, "states"))
    valid = torch.arange(6) < torch.tensor([6, 3, 1, 4, 2])[:, None]
    found = judged(own, states, valid)
    order = torch.tensor([3, 0, 4, 2, 1])
    assert torch.allclose(judged(own, states[order], valid[order]), found[order], atol=1e-6)
    other = torch.where(valid[..., None], states, torch.tensor(7.0))
    assert torch.allclose(judged(own, other, valid), found, atol=1e-6)
    assert torch.allclose(judged(own, states[2:3, :1], valid[2:3, :1]), found[2:3], atol=1e-6)


def test_first_values_come_from_the_seed_and_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    first, second = made(4), made(4)
    assert torch.equal(before, torch.get_rng_state())
    for one, other in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(one, other) and bool(torch.isfinite(one).all())


def test_it_learns_what_can_be_learnt() -> None:
    own = made().train()
    draw = np.random.default_rng(0)
    optimiser = torch.optim.AdamW(own.parameters(), lr=0.01)
    fraud = torch.from_numpy((np.arange(64) < 16).astype(np.float32))
    states = torch.from_numpy(draw.standard_normal((64, 6, 8)).astype(np.float32))
    states[:16, 2:4, :4] += 2.0  # two places of fraudsters stand out; a shift of all entries would be normalised away
    valid = torch.ones(64, 6, dtype=torch.bool)
    for step in range(40):
        optimiser.zero_grad()
        drop = Dropout(0.1, torch_rng(step, "noise"))
        calibration_loss(own.logits(own.summaries(states, valid, drop), drop), fraud, 0.5).backward()
        optimiser.step()
    found = judged(own, states, valid)
    assert float(found[:16].min()) > float(found[16:].max())


def test_the_last_block_reads_summaries_as_if_it_had_read_every_place() -> None:
    block = made().blocks[1]
    torch.nn.init.normal_(block.query_key_value.bias, generator=torch_rng(2, "bias"))
    seen = torch.arange(6) < torch.tensor([6, 3, 1, 4, 2])[:, None]
    places = torch.randn(int(seen.sum()), 8, generator=torch_rng(3, "places"), requires_grad=True)
    heads = seen.sum(1).cumsum(0) - seen.sum(1)
    short, long = block.summarise(places, seen, SILENT), block.encode(places, seen, SILENT)[heads]
    assert torch.allclose(short, long, atol=1e-6)
    direction = torch.randn(5, 8, generator=torch_rng(4, "direction"))
    (one,), (other,) = (torch.autograd.grad((found * direction).sum(), places) for found in (short, long))
    assert torch.allclose(one, other, atol=1e-5)
