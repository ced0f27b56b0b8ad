"""The influence encoder against dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recaudit.recommenders.sampling import Positives
from recaudit.unlearn.approximate.unlearn_rec.encoder import Influence, InfluenceEncoder, dependency

# three users, three items (nodes 3, 4, 5); user 2 and item 2 have nothing to forget
PAIRS = Positives(np.array([0, 0, 1]), np.array([0, 1, 1]), 3, 3)


def dense() -> torch.Tensor:
    """A_delta by hand: degrees 2, 1 of the users and 1, 2 of the items."""
    matrix = torch.zeros(6, 6)
    matrix[0, 3], matrix[0, 4], matrix[1, 4] = 1 / np.sqrt(2), 1 / 2, 1 / np.sqrt(2)
    return matrix + matrix.T


def drawn(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def influence() -> Influence:
    touched = torch.tensor([True, True, False, True, True, False])[:, None]
    return Influence(PAIRS, dependency(PAIRS), drawn(6, 4, seed=2), touched)


def test_dependency_is_normalised_by_the_requests_own_degrees() -> None:
    torch.testing.assert_close(dependency(PAIRS).to_dense(), dense())


def test_a_view_leaves_out_edges_and_scales_the_others() -> None:
    expected = dense() * 1.5
    expected[0, 4] = expected[4, 0] = 0
    torch.testing.assert_close(dependency(PAIRS, np.array([True, False, True])).to_dense(), expected)
    assert dependency(PAIRS, np.zeros(3, np.bool_)).to_dense().abs().sum() == 0


@pytest.mark.parametrize("masked", [True, False])
def test_shift_is_the_formula(masked: bool) -> None:
    request, hidden, trust = influence(), drawn(6, 4, seed=3), drawn(6, 1, seed=4)
    encoder = InfluenceEncoder(hidden, trust, 2, 0.3, 0.5)
    with torch.no_grad():
        for number, part in enumerate(encoder.mix):
            part += 0.1 * drawn(*part.shape, seed=number)
    matrix = dense()
    first = hidden + matrix @ hidden + matrix @ matrix @ hidden - 0.3 * matrix @ matrix @ (trust * request.final)
    for weight, offset in (encoder.mix[:2], encoder.mix[2:]):
        product = first @ weight + offset
        first = torch.where(product < 0, 0.5 * product, product)
    if masked:
        first[[2, 5]] = 0
    torch.testing.assert_close(encoder.shift(request, masked=masked), first)


def test_untrained_without_withdraw_term_shifts_nothing() -> None:
    encoder = InfluenceEncoder(torch.zeros(6, 4), torch.zeros(6, 1), 3, 0.1, 0.99)
    assert torch.equal(encoder.shift(influence(), masked=False), torch.zeros(6, 4))


def test_the_withdraw_term_takes_the_item_out_of_the_user() -> None:
    """One forgotten pair, odd depth: the user's row moves against the item's final vector, and the other way."""
    one = Positives(np.array([0]), np.array([0]), 1, 1)
    final = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    request = Influence(one, dependency(one), final, torch.ones(2, 1, dtype=torch.bool))
    encoder = InfluenceEncoder(torch.zeros(2, 2), torch.ones(2, 1), 3, 0.1, 1.0)
    torch.testing.assert_close(encoder.shift(request, masked=True), -0.1 * final[[1, 0]])


def test_gradient_is_that_of_dense_products() -> None:
    request, pull = influence(), drawn(6, 4, seed=5)
    encoder = InfluenceEncoder(drawn(6, 4), drawn(6, 1), 3, 0.1, 0.99)
    (encoder.shift(request, masked=False) * pull).sum().backward()
    assert encoder.hidden.grad is not None
    assert encoder.withdraw.grad is not None
    hidden, trust = (part.detach().clone().requires_grad_() for part in (encoder.hidden, encoder.withdraw))
    matrix, total, now, back = dense(), hidden, hidden, trust * request.final
    for _ in range(3):
        now, back = matrix @ now, matrix @ back
        total = total + now
    out = total - 0.1 * back
    for _ in range(2):
        out = torch.nn.functional.leaky_relu(out, 0.99)
    (out * pull).sum().backward()
    torch.testing.assert_close(encoder.hidden.grad, hidden.grad)
    torch.testing.assert_close(encoder.withdraw.grad, trust.grad)
