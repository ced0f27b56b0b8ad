"""The training loop: early stopping, exact repeats, threads, divergence."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from recaudit.datasets.errors import InputError
from recaudit.recommenders.trainer import Schedule, one_thread, open_device, train

TRUTH = torch.tensor([1.0, -2.0, 0.5])
QUICK = Schedule(learning_rate=0.05, max_epochs=30, patience=4)


class Regression:
    """Least squares with noise in data and loss, so that any slip in the random streams shows."""

    def __init__(self) -> None:
        self.weight = torch.nn.Parameter(torch.zeros(3))
        self.final = torch.zeros(3)
        self.steps = 0

    def parameters(self) -> list[torch.nn.Parameter]:
        return [self.weight]

    def batches(self, rng: np.random.Generator) -> Iterator[torch.Tensor]:
        for _ in range(5):
            yield torch.from_numpy(rng.standard_normal((16, 3)).astype(np.float32))

    def loss(self, batch: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        self.steps += 1
        noise = 0.3 * torch.randn(len(batch), generator=rng)
        return (batch @ self.weight - batch @ TRUTH - noise).square().mean()

    def refresh(self) -> None:
        self.final = self.weight.detach().clone()


def script(values: list[float]) -> Callable[[], float]:
    """A validation that answers with these values in turn."""
    answers = iter(values)
    return lambda: next(answers)


def test_fixed_epochs_run_exactly_so_many_and_learn() -> None:
    model = Regression()
    assert train(model, QUICK, 7, epochs=200) == 200
    assert model.steps == 1000
    assert torch.allclose(model.final, TRUTH, atol=0.1)


@pytest.mark.parametrize("decay", [1.0, 0.9])
@pytest.mark.parametrize("every", [1, 2, 3])
def test_training_that_keeps_epoch_n_equals_training_n_epochs(every: int, decay: float) -> None:
    schedule = replace(QUICK, every=every, decay=decay, clip=1.0, patience=7)
    chosen = Regression()
    kept = train(chosen, schedule, 3, validate=script([0.1, 0.4, 0.3, 0.2, 0.1, 0.1, 0, 0, 0, 0]))
    assert kept == 2 * every
    repeat = Regression()
    assert train(repeat, schedule, 3, epochs=kept) == kept
    assert chosen.final.numpy().tobytes() == repeat.final.numpy().tobytes()
    assert chosen.steps > repeat.steps


def test_stops_when_the_best_epoch_is_patience_old() -> None:
    model = Regression()
    assert train(model, QUICK, 1, validate=script([0.5, 0.6] + [0.6] * 10)) == 2
    assert model.steps == 5 * (2 + QUICK.patience)


def test_last_epoch_is_validated_even_off_the_beat() -> None:
    schedule = Schedule(0.05, max_epochs=5, patience=9, every=3)
    assert train(Regression(), schedule, 1, validate=script([0.1, 0.2])) == 5


def test_given_epochs_never_validate() -> None:
    def refuse() -> float:
        raise AssertionError("validated")

    assert train(Regression(), QUICK, 1, validate=refuse, epochs=2) == 2


def test_without_validation_runs_all_epochs() -> None:
    assert train(Regression(), QUICK, 1) == QUICK.max_epochs


def test_zero_epochs_still_refresh() -> None:
    model = Regression()
    model.final += 5
    assert train(model, QUICK, 1, epochs=0) == 0
    assert not model.final.any()


def test_seed_decides_all_bytes_whatever_the_threads() -> None:
    finals = []
    before = torch.get_num_threads()
    for seed, threads in ((5, 1), (5, 2), (6, 1)):
        torch.set_num_threads(threads)
        model = Regression()
        train(model, QUICK, seed, epochs=5)
        assert torch.get_num_threads() == threads
        finals.append(model.final.numpy().tobytes())
    torch.set_num_threads(before)
    assert finals[0] == finals[1] != finals[2]


def test_one_thread_restores_after_an_error() -> None:
    before = torch.get_num_threads()
    with pytest.raises(KeyError), one_thread():
        assert torch.get_num_threads() == 1
        raise KeyError
    assert torch.get_num_threads() == before


class Diverging(Regression):
    def loss(self, batch: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        scale = math.nan if self.steps >= 12 else 1.0
        return super().loss(batch, rng) * scale


def test_divergence_names_the_epoch_and_the_remedy() -> None:
    with pytest.raises(InputError, match=r"epoch 3.*learning_rate"):
        train(Diverging(), QUICK, 1)


def test_weights_spoiled_by_the_very_last_step_are_noticed() -> None:
    class Late(Regression):
        def loss(self, batch: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
            loss = super().loss(batch, rng)
            if self.steps == 10:
                loss.register_hook(lambda gradient: gradient * math.inf)
            return loss

    with pytest.raises(InputError, match="diverged"):
        train(Late(), QUICK, 1, epochs=2)


def test_report_gets_every_epoch() -> None:
    seen: list[tuple[int, int, str]] = []
    train(Regression(), QUICK, 1, epochs=3, report=lambda step, steps, text: seen.append((step, steps, text)))
    assert [(step, steps) for step, steps, _ in seen] == [(1, 3), (2, 3), (3, 3)]
    assert all(text.startswith("loss ") for _, _, text in seen)


def test_unknown_device_is_refused_with_a_remedy() -> None:
    with pytest.raises(InputError, match="'cpu'"):
        open_device("abacus")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="'cuda'"):
            open_device("cuda")
