"""The revisited adversarial attack on sequential recommenders (Rev-seq): fillers sought through unrolled training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..datasets.log import Int64, InteractionLog
from ..recommenders.network import Dropout, Network
from ..recommenders.sequences import ordered, padded
from .base import Goal
from .surrogate.audience import Audience
from .surrogate.losses import softmax_loss
from .surrogate.sequence import SequenceConfig, SequenceSurrogate
from .surrogate.sequence_attack import SequenceAttack, write

Parameters = Mapping[str, torch.Tensor]

_RECENT = 20  # last events of a genuine sequence in a training step
_COLUMNS = 1024  # up to so many items the training loss is the full softmax
_NEGATIVES = 256  # items beside those of the step, in larger catalogues


class RevSequencesConfig(SequenceConfig):
    """Settings of Rev-seq."""

    candidates: int = Field(default=200, ge=1, description="items, drawn by popularity, that a group may take")
    group: int = Field(default=32, ge=1, description="accounts sought together; memory grows with it")
    steps: int = Field(default=12, ge=1, description="steps of the accounts of a group")
    step: float = Field(default=0.3, gt=0, description="learning rate of those steps (Adam)")
    hot: float = Field(default=1.0, gt=0, description="temperature of the first step")
    cold: float = Field(default=0.1, gt=0, description="temperature of the last step")
    unroll: int = Field(default=3, ge=1, le=20, description="training steps of the surrogate that are differentiated")
    rate: float = Field(
        default=0.01, gt=0, description="length of the first of these steps: root mean square change of a parameter"
    )
    genuine: int = Field(default=32, ge=1, description="genuine sequences in each of these steps")
    users: int = Field(default=128, ge=1, description="genuine users whose scores of the target are the loss")


class RevSequences(SequenceAttack):
    """Sequences sought by differentiating through the training of a surrogate on them.

    Every filler is relaxed to a distribution over candidate items: as input it is their mean embedding, as what is
    to be predicted a soft label. The surrogate takes a few gradient steps on genuine and relaxed sequences; then the
    loss of the target at genuine users is differentiated back through these steps to the distributions, which get
    sharper as the temperature falls. After each step they are rounded, the surrogate takes the same few steps on
    the rounded sequences, and the sequences after which the target does best are kept; the first of them are random.

    Other than in RevAdv: sequences instead of sets, so that the relaxed event is a row of a softmax; candidates
    instead of all items; the surrogate starts from a fit to the visible log and is unrolled for a few steps instead
    of epochs; accounts are sought in groups that do not see each other. LoRec names the kind "Rev" without details.
    """

    name = "rev-sequences"
    title = "Sequences sought through the training of a surrogate on them"
    reference = (
        "After Tang, Wen, Wang 2020, Revisiting Adversarially Learned Injection Attacks Against Recommender Systems, "
        "RecSys, arXiv 2008.04876; the kind 'Rev' of Zhang et al. 2024, LoRec, SIGIR, arXiv 2401.17723"
    )
    config_type: ClassVar[type[SequenceConfig]] = RevSequencesConfig

    def sequences(
        self,
        surrogate: SequenceSurrogate,
        log: InteractionLog,
        goal: Goal,
        slots: Int64,
        allowed: Int64,
        rng: np.random.Generator,
    ) -> Int64:
        """Seek the accounts group by group."""
        config: RevSequencesConfig = self.config
        parts = np.array_split(slots, -(-len(slots) // config.group))
        return np.concatenate([sought(surrogate, log, goal, part, allowed, config, rng) for part in parts])


@dataclass(frozen=True, eq=False)
class Layout:
    """Where a group's accounts have targets and where fillers.

    Attributes:
        fixed: int64 [A, P], targets in their places; anything where a filler goes.
        free: bool [A, P], places of fillers, F in each row.
        candidates: int64 [C], ascending, no target among them.
    """

    fixed: torch.Tensor
    free: torch.Tensor
    candidates: torch.Tensor

    @classmethod
    def of(cls, goal: Goal, slots: Int64, candidates: Int64) -> Layout:
        """The layout of accounts whose targets stand in `slots`, int64 [A, s]."""
        # `write` knows the turns of the targets; -1 marks what it asks for
        rows = write(goal, slots, lambda prefix, rows, target: np.full(len(rows), -1))
        fixed = torch.from_numpy(rows)
        return cls(fixed.clamp(min=0), fixed < 0, torch.from_numpy(candidates))

    def shares(self, rows: torch.Tensor) -> torch.Tensor:
        """Distributions [A, F, C] at their places and zeros at targets: [A, P, C]."""
        shape = (*self.free.shape, rows.shape[-1])
        return rows.new_zeros(shape).masked_scatter(self.free[..., None], rows)

    def embedded(self, shares: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        """Input embeddings of relaxed accounts: [A, P, C], [I, d] -> [A, P, d]."""
        hard = table[self.fixed] * ~self.free[..., None]
        return hard + shares @ table[self.candidates]

    def rounded(self, logits: torch.Tensor) -> Int64:
        """The likeliest candidate of each place that the account does not hold yet: [A, F, C] -> int64 [A, P].

        Once all are held, all are free again.
        """
        accounts, places, width = logits.shape
        picked = torch.empty((accounts, places), dtype=torch.int64)
        left = torch.ones((accounts, width), dtype=torch.bool)
        for place in range(places):
            left |= ~left.any(1, keepdim=True)
            best = logits[:, place].masked_fill(~left, -torch.inf).argmax(1)
            left.scatter_(1, best[:, None], False)
            picked[:, place] = best
        found: Int64 = self.fixed.masked_scatter(self.free, self.candidates[picked]).numpy()
        return found


@dataclass(frozen=True, eq=False)
class Step:
    """The genuine part of one training step, and the items of its softmax.

    Attributes:
        items: int64 [B, L], sequences, filled up on the right.
        valid: bool [B, L].
        columns: int64 [n], ascending; holds the items of these sequences, the candidates and the targets.
    """

    items: torch.Tensor
    valid: torch.Tensor
    columns: torch.Tensor


@dataclass(frozen=True, eq=False)
class Users:
    """Genuine users on whom the target's loss is taken: their last events, what they have consumed, the targets.

    Attributes:
        items: int64 [B, L], filled up on the right.
        last: int64 [B], place of the last event.
        consumed: bool [B, I].
        targets: int64 [T].
    """

    items: torch.Tensor
    last: torch.Tensor
    consumed: torch.Tensor
    targets: torch.Tensor


class _Encoder(torch.nn.Module):
    """`Network.encode` as a module's call, so that its parameters can be exchanged for one call."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, items: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        return self.network.encode(items, table, Dropout(0.0, None))


class Unroll:
    """A surrogate's training on relaxed accounts, differentiable in them."""

    def __init__(self, network: Network, max_length: int, layout: Layout) -> None:
        """Take a fitted network, which stays as it is."""
        self.encoder = _Encoder(network)
        self.max_length = max_length
        self.layout = layout
        self.start = {name: value.detach() for name, value in self.encoder.named_parameters()}
        self.table = "network.item"

    def training_loss(self, parameters: Parameters, shares: torch.Tensor, step: Step) -> torch.Tensor:
        """Cross-entropy of the next event, mean over genuine and relaxed events: accounts [A, P, C] -> scalar.

        Accounts longer than the surrogate reads are cut into windows from their end.
        """
        table = parameters[self.table]
        rows = table[step.columns]
        hidden = self.encode(parameters, step.items[:, :-1])
        kept = step.valid[:, 1:]
        after = torch.searchsorted(step.columns, step.items[:, 1:][kept])
        losses = [functional.cross_entropy(hidden[kept] @ rows.T, after, reduction="none")]
        inputs = self.layout.embedded(shares, table)
        places = torch.searchsorted(step.columns, self.layout.candidates)
        fixed = torch.searchsorted(step.columns, self.layout.fixed.clamp(max=int(step.columns[-1])))
        for stop in range(shares.shape[1] - 1, 0, -self.max_length):
            begin = max(0, stop - self.max_length)
            hidden = self.encode_rows(parameters, inputs[:, begin:stop])
            chances = (hidden @ rows.T).log_softmax(-1)
            ahead = slice(begin + 1, stop + 1)
            soft = -(chances[..., places] * shares[:, ahead]).sum(-1)
            hard = -chances.gather(-1, fixed[:, ahead, None])[..., 0]
            losses.append(torch.where(self.layout.free[:, ahead], soft, hard).flatten())
        return torch.cat(losses).mean()

    def rates(self, shares: torch.Tensor, step: Step, rate: float) -> dict[str, float]:
        """Learning rates by parameter with which the first step changes each by `rate`, root mean square."""
        leaves = {name: value.requires_grad_(True) for name, value in self._copies().items()}
        loss = self.training_loss(leaves, shares.detach(), step)
        slopes = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        return {
            name: 0.0 if slope is None else rate / (float(slope.square().mean().sqrt()) + 1e-12)
            for name, slope in zip(leaves, slopes, strict=True)
        }

    def trained(
        self, shares: torch.Tensor, steps: list[Step], rates: Mapping[str, float], *, graph: bool = True
    ) -> dict[str, torch.Tensor]:
        """The parameters after one gradient step per batch; differentiable in the accounts if `graph`."""
        parameters = {name: value.requires_grad_(True) for name, value in self._copies().items()}
        for step in steps:
            loss = self.training_loss(parameters, shares, step)
            slopes = torch.autograd.grad(loss, list(parameters.values()), create_graph=graph, allow_unused=True)
            moved = {}
            for (name, value), slope in zip(parameters.items(), slopes, strict=True):
                after = value if slope is None else value - rates[name] * slope
                moved[name] = after if graph else after.detach().requires_grad_(True)
            parameters = moved
        return parameters

    def attack_loss(self, parameters: Parameters, users: Users) -> torch.Tensor:
        """`softmax_loss` of the targets after the users' sequences."""
        hidden = self.encode(parameters, users.items)[torch.arange(len(users.items)), users.last]
        return softmax_loss(hidden @ parameters[self.table].T, users.targets, users.consumed)

    def encode(self, parameters: Parameters, items: torch.Tensor, rows: torch.Tensor | None = None) -> torch.Tensor:
        """States after each position: int64 [B, L] -> [B, L, d]; of `rows` [N, d] if given, else of the item table."""
        table = parameters[self.table] if rows is None else rows
        found: torch.Tensor = torch.func.functional_call(self.encoder, dict(parameters), (items, table))
        return found

    def encode_rows(self, parameters: Parameters, embedded: torch.Tensor) -> torch.Tensor:
        """The same from input embeddings: [B, L, d] -> [B, L, d]."""
        shape = embedded.shape[:2]
        return self.encode(parameters, torch.arange(shape.numel()).view(shape), embedded.flatten(0, 1))

    def _copies(self) -> dict[str, torch.Tensor]:
        return {name: value.clone() for name, value in self.start.items()}


def sought(
    surrogate: SequenceSurrogate,
    log: InteractionLog,
    goal: Goal,
    slots: Int64,
    allowed: Int64,
    config: RevSequencesConfig,
    rng: np.random.Generator,
) -> Int64:
    """One group of accounts, int64 [A, P]; `slots` are theirs, int64 [A, s]."""
    by_pool, by_start, by_step, by_user, by_check = rng.spawn(5)
    chances = np.maximum(log.item_counts[allowed], 1) / np.maximum(log.item_counts[allowed], 1).sum()
    pool = np.sort(by_pool.choice(allowed, min(config.candidates, len(allowed)), replace=False, p=chances))
    layout = Layout.of(goal, slots, pool)
    unroll = Unroll(surrogate.network, surrogate.max_length, layout)
    shape = (len(slots), int(layout.free[0].sum()), len(pool))
    logits = torch.from_numpy(by_start.standard_normal(shape)).to(surrogate.table.dtype).requires_grad_(True)
    optimiser = torch.optim.Adam([logits], lr=config.step)
    audience = Audience.of(log, goal)
    needed = np.union1d(pool, goal.targets)
    checks = [genuine_step(log, needed, config.genuine, by_check) for _ in range(config.unroll)]
    judges = sample_users(log, audience, config, by_check)
    kept, best = layout.rounded(logits.detach()), np.inf
    with differentiable_attention():
        rates = unroll.rates(layout.shares(logits.softmax(-1)), checks[0], config.rate)
        for number in range(config.steps + 1):
            rounded = layout.rounded(logits.detach())
            value = judged(unroll, rounded, checks, rates, judges)
            if value < best:
                kept, best = rounded, value
            if number == config.steps:
                break
            heat = config.hot * (config.cold / config.hot) ** (number / max(config.steps - 1, 1))
            shares = layout.shares((logits / heat).softmax(-1))
            steps = [genuine_step(log, needed, config.genuine, by_step) for _ in range(config.unroll)]
            users = sample_users(log, audience, config, by_user)
            loss = unroll.attack_loss(unroll.trained(shares, steps, rates), users)
            (logits.grad,) = torch.autograd.grad(loss, [logits])
            optimiser.step()
    return kept


def judged(unroll: Unroll, rows: Int64, steps: list[Step], rates: Mapping[str, float], users: Users) -> float:
    """The targets' loss after a short training on rounded accounts, int64 [A, P]."""
    layout = unroll.layout
    free = torch.searchsorted(layout.candidates, torch.from_numpy(rows)[layout.free])
    hard = functional.one_hot(free, len(layout.candidates)).to(unroll.start[unroll.table].dtype)
    parameters = unroll.trained(layout.shares(hard), steps, rates, graph=False)
    with torch.no_grad():
        return float(unroll.attack_loss(parameters, users))


def genuine_step(log: InteractionLog, needed: Int64, count: int, rng: np.random.Generator) -> Step:
    """The last events of some users with two or more, and the columns of a step that also needs `needed`."""
    offsets, items = ordered(log)
    users = np.flatnonzero(np.diff(offsets) >= 2)
    users = np.sort(rng.choice(users, min(count, len(users)), replace=False))
    length = np.minimum(np.diff(offsets)[users], _RECENT)
    rows, valid = padded(items, offsets[users + 1] - length, length)
    columns = np.arange(log.n_items)
    if log.n_items > _COLUMNS:
        columns = np.unique(np.concatenate([needed, rows[valid], rng.integers(log.n_items, size=_NEGATIVES)]))
    return Step(torch.from_numpy(rows), torch.from_numpy(valid), torch.from_numpy(columns))


def sample_users(
    log: InteractionLog, audience: Audience, config: RevSequencesConfig, rng: np.random.Generator
) -> Users:
    """Some of the audience, with the events that the surrogate reads."""
    users, consumed = audience.sample(rng, config.users * log.n_items)
    offsets, items = ordered(log)
    own = users.numpy()
    length = np.minimum(np.diff(offsets)[own], config.max_length)
    rows, _ = padded(items, offsets[own + 1] - length, length)
    return Users(torch.from_numpy(rows), torch.from_numpy(length - 1), consumed, audience.targets)


@contextmanager
def differentiable_attention() -> Iterator[None]:
    """Attention by plain products: the fused kernels have no second derivative."""
    with sdpa_kernel(SDPBackend.MATH):
        yield
