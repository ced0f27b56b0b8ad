"""ADVTrain, StDenoise and CL4SRec: formulas by hand, neutral settings to the bit, repeats, small logs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from recaudit.datasets.errors import InputError
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.synthetic import generate
from recaudit.defenses.robust.contrastive import CL4SRec, contrast, cropped, masked, reordered
from recaudit.defenses.robust.sequences import ADVTrain, Again, SequenceHardening, StDenoise, agreement
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.network import Dropout
from recaudit.recommenders.trainer import one_thread

from .fake import LOG, NOTHING, RECIPES, Fake, content

DEFENSES: dict[str, type[SequenceHardening]] = {each.name: each for each in (ADVTrain, StDenoise, CL4SRec)}
NEUTRAL: list[tuple[str, dict[str, Any]]] = [
    ("adv-train", {"eps": 0.0}),
    ("adv-train", {"share": 0.0}),
    ("st-denoise", {"weight": 0.0}),
    ("cl4srec", {"weight": 0.0}),
]
RECIPE = RECIPES["sasrec"]
TEXTS = Recipe("gru4rec", {**RECIPES["gru4rec"].config, "item_vectors": "text", "loss": "sampled", "negatives": 16}, 2)
STILL = replace(RECIPE, config={**RECIPE.config, "dropout": 0.0})


def made(name: str, **settings: Any) -> SequenceHardening:
    kind = DEFENSES[name]
    return kind(kind.config_type(**settings))


def defended(name: str, recipe: Recipe = RECIPE, log: InteractionLog = LOG, seed: int = 4, **settings: Any) -> bytes:
    model: Any = made(name, **settings).fit(recipe, log, seed).model
    return b"".join(key.encode() + value.numpy().tobytes() for key, value in sorted(model.state().items()))


def within(name: str, recipe: Recipe = STILL, log: InteractionLog = LOG, **settings: Any) -> tuple[Any, list[Any]]:
    """What the defence makes of the training, with an epoch's batches, and a network that saw one without defence."""
    caught: list[Any] = []

    def harden(training: Any) -> Any:
        own = made(name, **settings).harden(training, log, 1, 1)
        caught.append((own, list(own.batches(np.random.default_rng(0)))))
        return training

    fit(recipe, log, 0, epochs=1, harden=harden)
    own, batches = caught[0]
    own.training.network.zero_grad(set_to_none=True)
    return own, batches


@pytest.mark.parametrize("recipe", [RECIPE, RECIPES["gru4rec"], TEXTS], ids=["sasrec", "gru4rec", "texts"])
def test_neutral_settings_change_no_bit(recipe: Recipe) -> None:
    plain = content(recipe)
    for name, settings in NEUTRAL:
        assert defended(name, recipe, **settings) == plain, name


@pytest.mark.parametrize("recipe", [RECIPE, RECIPES["gru4rec"], TEXTS], ids=["sasrec", "gru4rec", "texts"])
@pytest.mark.parametrize("name", DEFENSES)
def test_same_seed_same_bytes_and_not_those_of_the_undefended(name: str, recipe: Recipe) -> None:
    before = torch.get_rng_state()
    first = defended(name, recipe)
    assert first == defended(name, recipe)
    assert first != content(recipe)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", DEFENSES)
def test_user_of_weight_zero_changes_nothing_and_weights_count(name: str) -> None:
    silent, item = 7, LOG.item.copy()
    own = np.flatnonzero(LOG.user == silent)
    item[own] = np.random.default_rng(0).permutation(LOG.n_items)[: len(own)]

    def scores(log: InteractionLog, weights: np.ndarray) -> bytes:
        model = fit(RECIPE, log, 2, weights=weights, harden=lambda each: made(name).harden(each, log, 3, 3))
        return model.scores(np.arange(6), LOG).tobytes()

    weights = np.linspace(0.1, 1, LOG.n_users).astype(np.float32)
    weights[silent] = 0
    assert scores(LOG, weights) == scores(replace(LOG, item=item), weights)
    assert scores(LOG, weights) != scores(LOG, (weights > 0).astype(np.float32))


@pytest.mark.parametrize("name", DEFENSES)
def test_only_models_that_read_sequences(name: str) -> None:
    assert made(name).why_not(Recipe("sasrec", {}), LOG) is None
    for model in ("mf", "ease"):
        why = made(name).why_not(Recipe(model, {}), LOG)
        assert why is not None and model in why and name in why
    with pytest.raises(InputError, match="sequences"):
        made(name).harden(Fake(), LOG, 0, 1)


@pytest.mark.parametrize("name", DEFENSES)
def test_tiny_logs(name: str) -> None:
    log = generate(30, 12, 150, seed=1)
    one = log.take(log.user == int(np.argmax(log.user_counts)))
    pairs = one.take(np.arange(len(one)) < 2)  # one user, one position
    repeats = replace(one, item=np.zeros(len(one), np.int32))
    for each in (log, one, pairs, repeats):
        state = fit(RECIPE, each, 0, harden=lambda training: made(name).harden(training, log, 0, 3)).state()
        assert all(bool(torch.isfinite(value).all()) for value in state.values())


# ADVTrain


def test_every_batch_comes_again_unless_nothing_is_moved() -> None:
    _, batches = within("adv-train")
    assert [isinstance(batch, Again) for batch in batches] == [False, True] * (len(batches) // 2)
    assert all(second.batch is first for first, second in zip(batches[::2], batches[1::2], strict=True))
    assert not any(isinstance(batch, Again) for batch in within("adv-train", eps=0.0)[1])


@pytest.mark.parametrize("loss", ["full", "sampled", "binary"])
@pytest.mark.parametrize("model", ["sasrec", "sasrec-left", "gru4rec"])
def test_unmoved_inputs_give_the_victims_loss_and_the_gradient_is_that_of_differences(model: str, loss: str) -> None:
    base = RECIPES[model.removesuffix("-left")].config
    recipe = Recipe(model, {**base, "dropout": 0.0, "loss": loss, "negatives": 8}, 1)
    own, batches = within("adv-train", recipe)
    batch = batches[0]
    with one_thread():
        own.training.network.double()
        table = own.training.network.table().detach()
        inputs = table[batch.items.flatten()[batch.places]]
        bias = None if batch.bias is None else batch.bias.double()
        batch = replace(batch, bias=bias)
        assert float(own.at(inputs, table, batch).detach()) == pytest.approx(
            float(own.training.loss(batch, NOTHING).detach())
        )
        gradient = own.gradient(inputs, table, batch)
        assert gradient.shape == inputs.shape and own.training.network.item.grad is None
        for row, column in ((0, 0), (5, 3), (len(inputs) - 2, 7)):
            step = torch.zeros_like(inputs)
            step[row, column] = 1e-5
            with torch.no_grad():
                up, down = own.at(inputs + step, table, batch), own.at(inputs - step, table, batch)
            assert float(gradient[row, column]) == pytest.approx(float(up - down) / 2e-5, rel=1e-4, abs=1e-9)


def test_moves_are_so_long_at_so_many_positions_and_raise_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    own, batches = within("adv-train", eps=0.25, share=0.5)
    batch, read = batches[0], []
    at = own.at

    def keep(inputs: torch.Tensor, *rest: Any) -> torch.Tensor:
        read.append(inputs)
        found: torch.Tensor = at(inputs, *rest)
        return found

    monkeypatch.setattr(own, "at", keep)
    value = own.loss(Again(batch), NOTHING)
    plain, moved = (each.detach() for each in read)
    length = (moved - plain).norm(dim=1)
    far = length > 0
    # a last position of a window may have no part in the loss of another, but each has its own: all have gradients
    assert 0.4 < float(far.float().mean()) < 0.6
    assert length[far].numpy() == pytest.approx(0.25 * float(plain.norm(dim=1).mean()), rel=1e-3)
    assert float(value.detach()) > float(own.training.loss(batch, NOTHING).detach())
    value.backward()
    assert own.training.network.item.grad is not None  # moves are constants, what is moved is learnt


# StDenoise


def test_agreement_by_hand() -> None:
    states = torch.tensor([[1.0, 0.0], [2.0, 0.0], [1.0, 1.0]], requires_grad=True)
    items = torch.tensor([[3.0, 0.0], [-1.0, 0.0], [1.0, -1.0]], requires_grad=True)
    found = agreement(states, items, 1.0)
    assert not found.requires_grad
    assert found.tolist() == pytest.approx([1 / (1 + math.exp(-1)), 1 / (1 + math.e), 0.5])
    assert agreement(states, items, 0.5).tolist() == pytest.approx([(1 + each) / 2 for each in found.tolist()])


def test_denoised_loss_is_the_weighed_mean_over_positions() -> None:
    own, batches = within("st-denoise")
    batch = replace(batches[0], weight=torch.linspace(0.1, 1, len(batches[0].target)))
    vectors, _ = own.training.vectors(batch, NOTHING)
    factor = torch.sigmoid(torch.cosine_similarity(vectors[0], vectors[1], dim=1))
    expected = (own.training.each(vectors, batch) * factor * batch.weight).mean()
    assert float(own.loss(batch, NOTHING).detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


# CL4SRec


def rows(*lengths: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows 0, 1, 2, ... up to each length, filled up with -1."""
    place = torch.arange(max(lengths)).repeat(len(lengths), 1)
    length = torch.tensor(lengths)
    return place.masked_fill(place >= length[:, None], -1), length


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_cropping_keeps_a_run_anywhere() -> None:
    items, length = rows(*[10] * 400, 1, 2, 5)
    found, kept = cropped(items, length, 0.6, seeded())
    assert kept.tolist() == [6] * 400 + [1, 1, 3]
    for row, size in zip(found.tolist(), kept.tolist(), strict=True):
        assert row[:size] == list(range(row[0], row[0] + size)) and -1 not in row[:size]
    assert sorted(set(found[:400, 0].tolist())) == [0, 1, 2, 3, 4]
    assert cropped(items, length, 1.0, seeded())[0].equal(items)


@pytest.mark.parametrize(
    ("share", "hidden"), [(0.3, [3, 0, 1, 30]), (0.0, [0] * 4), (1.0, [10, 1, 5, 100]), (0.29, [2, 0, 1, 29])]
)
def test_masking_hides_exactly_the_share_of_real_items(share: float, hidden: list[int]) -> None:
    items, length = rows(10, 1, 5, 100)
    found = masked(items, length, share, 777, seeded())
    assert (found == 777).sum(1).tolist() == hidden
    assert found[found != 777].equal(items[found != 777]) and (found[items < 0] == -1).all()


def test_reordering_shuffles_one_run() -> None:
    items, length = rows(*[10] * 200, 1, 2, 5)
    found = reordered(items, length, 0.6, seeded())
    assert found.sort(dim=1).values.equal(items.sort(dim=1).values) and (found[items < 0] == -1).all()
    assert not found[:200].equal(items[:200])
    for before, after in zip(items[:200], found[:200], strict=True):
        changed = torch.nonzero(before != after).flatten()
        assert not len(changed) or int(changed[-1] - changed[0]) < 6
    assert set(found[:200, 0].tolist()) > {0} and set(found[:200, 9].tolist()) > {9}  # either end may be shuffled
    assert reordered(items, length, 0.0, seeded()).equal(items)


def test_contrast_by_hand() -> None:
    first, second = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 1.0], [0.0, 2.0]])
    # dot products of the four views a, b, a', b'
    e = math.exp
    each = [
        -math.log(e(1) / (e(1) + e(0) + e(0))),  # a with a', against b and b'
        -math.log(e(2) / (e(2) + e(0) + e(1))),  # b with b', against a and a'
        -math.log(e(1) / (e(1) + e(1) + e(2))),  # a' with a, against b and b'
        -math.log(e(2) / (e(2) + e(0) + e(2))),  # b' with b, against a and a'
    ]
    assert float(contrast(first, second, torch.tensor([4, 9]), None)) == pytest.approx(sum(each) / 4)
    weight = torch.tensor([0.5, 2.0])
    expected = (0.5 * (each[0] + each[2]) + 2 * (each[1] + each[3])) / 4
    assert float(contrast(first, second, torch.tensor([4, 9]), weight)) == pytest.approx(expected)
    # windows of one user are no strangers to each other
    assert float(contrast(first, second, torch.tensor([4, 4]), None)) == 0


def test_contrastive_term_is_added_and_reads_views_of_each_window() -> None:
    own, batches = within("cl4srec", weight=0.1, crop=1.0, mask=0.0, reorder=0.0)
    batch = batches[0]
    # nothing is cropped, masked or reordered, nothing dropped: both views end in the victim's own last state
    length = np.bincount(batch.places.numpy() // batch.items.shape[1])
    table = own.training.network.table()
    states = own.training.network.encode(batch.items, table, Dropout(0.0, None))[np.arange(len(length)), length - 1]
    users = torch.unique_consecutive(batch.user)
    assert len(users) == len(states)  # no user has two windows in this batch
    expected = own.training.loss(batch, NOTHING) + 0.1 * contrast(states, states, users, None)
    assert float(own.loss(batch, NOTHING).detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_contrast_brings_views_of_a_user_together() -> None:
    recipe = replace(RECIPE, config={**RECIPE.config, "learning_rate": 0.01}, epochs=8)
    values = []
    for weight in (0.0, 1.0):
        kept: list[Any] = []

        def harden(training: Any, weight: float = weight, kept: list[Any] = kept) -> Any:
            kept.append(made("cl4srec", weight=weight).harden(training, LOG, 1, 8))
            return kept[0]

        fit(recipe, LOG, 0, harden=harden)
        batches = list(kept[0].batches(np.random.default_rng(0)))
        with torch.no_grad():
            values.append(float(np.mean([float(kept[0].contrast(batch)) for batch in batches])))
    assert values[1] < values[0]
