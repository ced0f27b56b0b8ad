"""Words of a catalogue with what they seem to sell, and a climb over titles one word apart."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ...datasets.log import Int64

Value = Callable[[Sequence[str]], NDArray[np.float64]]
"""What each title is worth, higher is better."""

_RARE = 3  # a word of fewer titles says nothing
_SHORTEST = 3  # letters


def lifts(titles: Sequence[str], counts: Int64) -> dict[str, float]:
    """Words by how much more popular the items are that carry them: mean popularity over that of all items.

    Means are drawn towards 1 by three items of average popularity. Words are spelt as they are most often.

    Args:
        titles: of all items.
        counts: int64 [I], popularity.
    """
    spelt: defaultdict[str, Counter[str]] = defaultdict(Counter)
    items: defaultdict[str, list[int]] = defaultdict(list)
    for item, title in enumerate(titles):
        for word in dict.fromkeys(part.strip(".,:;!?()[]'\"") for part in title.split()):
            if len(word) >= _SHORTEST and word.isalpha():
                spelt[word.lower()][word] += 1
                items[word.lower()].append(item)
    mean = max(float(counts.mean()), 1e-9)
    found = {
        spelt[word].most_common(1)[0][0]: (float(counts[own].sum()) / mean + _RARE) / (len(own) + _RARE)
        for word, own in items.items()
        if len(own) >= _RARE
    }
    return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))


def neighbours(title: str, pool: Sequence[str]) -> list[str]:
    """All titles with one word of the pool more, in front or behind, or in place of another word."""
    words = title.split()
    held = {word.lower() for word in words}
    found = []
    for word in pool:
        if word.lower() in held:
            continue
        found += [f"{word} {title}", f"{title} {word}"]
        found += [" ".join([*words[:place], word, *words[place + 1 :]]) for place in range(len(words))]
    return found


def climb(
    title: str,
    pool: Sequence[str],
    value: Value,
    allowed: Callable[[Sequence[str]], NDArray[np.bool_]],
    rng: np.random.Generator,
    *,
    rounds: int,
    tries: int,
) -> str:
    """The best title found by taking the best of some allowed neighbours, as long as it is better.

    Args:
        title: where to start; its own value is asked for first.
        pool: words to put in.
        value: what titles are worth.
        allowed: which titles may be used.
        rng: which neighbours are tried.
        rounds: words changed at most.
        tries: neighbours a round at most.
    """
    best, worth = title, float(value([title])[0])
    for _ in range(rounds):
        near = np.array(neighbours(best, pool), dtype=object)
        near = near[rng.permutation(len(near))[: 4 * tries]]  # of which some are not allowed
        near = near[allowed(near.tolist())][:tries] if len(near) else near
        if not len(near):
            break
        values = value(near.tolist())
        if values.max() <= worth:
            break
        best, worth = str(near[values.argmax()]), float(values.max())
    return best
