"""When genuine users act: fakes start and pause as they do, so that a time-aware victim sees nothing odd."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..datasets.log import Int64, InteractionLog

DAY = 86_400  # a pause longer than this, in seconds, begins a new visit
LATEST = 0.1  # fakes start in the latest tenth of the log (attacks.md, section 1, rule 6)


@dataclass(frozen=True, eq=False)
class Rhythm:
    """Times of a log, read-only.

    Attributes:
        first: time of the first event.
        last: time of the last event.
        starts: int64 [S], ascending, when visits of genuine users begin.
        recent: index in `starts` of the first visit in the latest tenth of all events; S if there is none.
        gaps: int64 [G], pauses between consecutive events of a user, at least one value.
    """

    first: int
    last: int
    starts: Int64
    recent: int
    gaps: Int64

    @classmethod
    def of(cls, log: InteractionLog) -> Rhythm | None:
        """The rhythm of a log with at least one event; None if it has no times."""
        if log.time is None:
            return None
        order = log.chronological()
        user, time = log.user[order], log.time[order]
        begins = np.ones(len(time), bool)
        begins[1:] = user[1:] != user[:-1]
        steps = np.diff(time, prepend=time[:1])
        gaps = steps[~begins] if not begins.all() else np.zeros(1, np.int64)
        starts = np.sort(time[begins | (steps > DAY)])
        late = np.sort(time)[int(np.floor(len(time) * (1 - LATEST)))]
        recent = int(np.searchsorted(starts, late))
        for array in (starts, gaps):
            array.flags.writeable = False
        return cls(int(time.min()), int(time.max()), starts, recent, gaps)

    def sample(self, accounts: int, events: int, rng: np.random.Generator) -> Int64:
        """Times of fake accounts, ascending within each, inside first..last.

        Gaps are genuine gaps. An account starts when a genuine visit started in the latest tenth of the log;
        where its gaps leave no room for that, in the latest tenth of the visits that leave room. Gaps that
        exceed the whole log are shrunk in proportion.

        Shapes: int64 [accounts, events].
        """
        gaps = rng.choice(self.gaps, size=(accounts, events - 1))
        room = self.last - self.first
        offsets = np.zeros((accounts, events), np.int64)
        np.cumsum(gaps, axis=1, out=offsets[:, 1:])
        total = offsets[:, -1]
        shrink = np.where(total > room, room / np.maximum(total, 1), 1.0)
        long = shrink < 1
        offsets[long] = np.floor(offsets[long] * shrink[long, None]).astype(np.int64)
        np.minimum(offsets, room, out=offsets)
        fitting = np.searchsorted(self.starts, self.last - offsets[:, -1], side="right")
        low = np.where(fitting > self.recent, self.recent, np.floor(fitting * (1 - LATEST)).astype(np.int64))
        chosen = low + np.floor(rng.random(accounts) * (fitting - low)).astype(np.int64)
        start = np.where(fitting > 0, self.starts[np.minimum(chosen, len(self.starts) - 1)], self.first)
        times: Int64 = start[:, None] + offsets
        return times
