"""Coverage of intervals for a mean over few target items: which method deserves to decide a verdict?

python benchmarks/coverage.py [--samples 4000] [--resamples 9999] [--confidence .95 .99 .997]

Prints, for each population and number of clusters, the share of intervals that hold the true mean, the share that
lies wholly below it (an effect understated: a false pass), and the median width as a multiple of the normal
interval with known variance. "used" is the method of recaudit.audit.statistics.interval.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

from recaudit.audit.statistics import resampling, studentised_reach

Floats = NDArray[np.float64]
Ends = tuple[Floats, Floats]

POPULATIONS: dict[str, tuple[Callable[[np.random.Generator, tuple[int, int]], Floats], float, float]] = {
    # draw, true mean, true standard deviation
    "normal": (lambda g, shape: g.normal(0.0, 1.0, shape), 0.0, 1.0),
    "lognormal s=0.5": (
        lambda g, shape: g.lognormal(0.0, 0.5, shape),
        float(np.exp(0.125)),
        float(np.sqrt(np.expm1(0.25) * np.exp(0.25))),
    ),
    "lognormal s=1": (
        lambda g, shape: g.lognormal(0.0, 1.0, shape),
        float(np.exp(0.5)),
        float(np.sqrt(np.expm1(1.0) * np.e)),
    ),
    "70 % zeros, else lognormal s=1": (
        lambda g, shape: g.lognormal(0.0, 1.0, shape) * (g.random(shape) < 0.3),
        0.3 * float(np.exp(0.5)),
        float(np.sqrt(0.3 * np.exp(2.0) - 0.09 * np.e)),
    ),
}
METHODS = ("percentile", "BCa", "bootstrap-t", "student", "hall", "used")


def intervals(samples: Floats, confidence: float, resamples: int, generator: np.random.Generator) -> dict[str, Ends]:
    """Both ends for every method and every sample; samples float64 [R, K]."""
    count = samples.shape[1]
    tail = (1 - confidence) / 2
    weights = generator.multinomial(count, np.full(count, 1 / count), resamples).astype(np.float64)
    found: dict[str, list[Ends]] = {name: [] for name in METHODS}
    for start in range(0, len(samples), 250):
        part = samples[start : start + 250]
        centre, error = part.mean(1), part.std(1, ddof=1) / np.sqrt(count)
        means = part @ weights.T / count
        found["percentile"].append(tuple(np.quantile(means, [tail, 1 - tail], axis=1)))
        found["BCa"].append(_bca(part, means, tail))
        found["bootstrap-t"].append(_studentised(part, means, weights, tail))
        reach = float(stdtrit(count - 1, 1 - tail))
        found["student"].append((centre - reach * error, centre + reach * error))
        found["hall"].append(_hall(part, reach))
        low, high = studentised_reach(part, part.std(1, ddof=1), confidence, resampling(count, 0))
        found["used"].append((centre - np.maximum(reach, low) * error, centre + np.maximum(reach, high) * error))
    return {name: (np.concatenate([e[0] for e in ends]), np.concatenate([e[1] for e in ends]))
            for name, ends in found.items()}  # fmt: skip


def _bca(samples: Floats, means: Floats, tail: float) -> Ends:
    """Efron's bias-corrected, accelerated interval (Efron, Tibshirani 1993, section 14.3), as scipy computes it."""
    centre = samples.mean(1, keepdims=True)
    resamples = means.shape[1]
    # half weight for ties, as scipy.stats.bootstrap does
    share = ((means < centre).mean(1) + (means <= centre).mean(1)) / 2
    bias = ndtri(np.clip(share, 0.5 / resamples, 1 - 0.5 / resamples))
    off = samples - centre
    squares = (off**2).sum(1)
    pace = np.divide((off**3).sum(1), 6 * squares**1.5, out=np.zeros_like(squares), where=squares > 0)
    ordered = np.sort(means, axis=1)
    ends = []
    for z in ndtri([tail, 1 - tail]):
        level = ndtr(bias + (bias + z) / (1 - pace * (bias + z)))
        place = np.clip((level * resamples).astype(int), 0, resamples - 1)
        ends.append(ordered[np.arange(len(samples)), place])
    return ends[0], ends[1]


def _studentised(samples: Floats, means: Floats, weights: Floats, tail: float) -> Ends:
    """Bootstrap-t (Efron, Tibshirani 1993, section 12.5); a resample without spread studentises to infinity."""
    count, resamples = samples.shape[1], means.shape[1]
    centre = samples.mean(1, keepdims=True)
    error = samples.std(1, ddof=1, keepdims=True) / np.sqrt(count)
    moved = means - centre
    variance = np.maximum(((samples - centre) ** 2) @ weights.T / count - moved**2, 0) / (count - 1)
    spread = np.sqrt(variance)
    flat = spread <= 1e-7 * error
    ratio = np.divide(moved, spread, out=np.copysign(np.full_like(moved, np.inf), moved), where=~flat)
    ratio[flat & (np.abs(moved) <= 1e-12)] = 0
    ordered = np.sort(ratio, axis=1)
    low, high = ordered[:, int(tail * resamples)], ordered[:, int(np.ceil((1 - tail) * resamples)) - 1]
    error, centre = error[:, 0], centre[:, 0]
    with np.errstate(invalid="ignore"):  # a sample without spread: infinity times nothing
        ends = centre - high * error, centre - low * error
    return np.where(error > 0, ends[0], centre), np.where(error > 0, ends[1], centre)


def _hall(samples: Floats, reach: float) -> Ends:
    """Hall's skewness-corrected t alone."""
    count = samples.shape[1]
    centre, spread = samples.mean(1), samples.std(1, ddof=1)
    off = samples - centre[:, None]
    third = (off**3).sum(1) * count / ((count - 1) * (count - 2))
    skew = np.divide(third, spread**3, out=np.zeros_like(spread), where=spread > 0) / np.sqrt(count)
    safe = np.where(np.abs(skew) < 1e-9, 1e-9, skew)
    low, high = (3 / safe * (np.cbrt(1 + safe * (z - safe / 6)) - 1) for z in (-reach, reach))
    error = spread / np.sqrt(count)
    return centre - high * error, centre - low * error


def rows(
    samples: int, resamples: int, confidences: list[float], sizes: list[int]
) -> Iterator[tuple[str, int, float, dict[str, tuple[float, float, float]]]]:
    """Population, K, confidence, and by method: coverage, share wholly below the truth, median relative width."""
    for place, (name, (draw, mean, sd)) in enumerate(POPULATIONS.items()):
        for count in sizes:
            generator = np.random.default_rng([place, count])
            drawn = draw(generator, (samples, count))
            for confidence in confidences:
                ideal = 2 * float(ndtri((1 + confidence) / 2)) * sd / np.sqrt(count)
                result = {}
                for method, (low, high) in intervals(drawn, confidence, resamples, generator).items():
                    held = float(((low <= mean) & (mean <= high)).mean())
                    result[method] = (held, float((high < mean).mean()), float(np.median(high - low) / ideal))
                yield name, count, confidence, result


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--resamples", type=int, default=9999)
    parser.add_argument("--confidence", type=float, nargs="+", default=[0.95, 0.99, 0.997])
    parser.add_argument("--clusters", type=int, nargs="+", default=[5, 8, 10, 15, 30])
    options = parser.parse_args()
    print("coverage / share wholly below the true mean [median width, 1 = known-variance normal]\n")
    print(f"| population | K | nominal | {' | '.join(METHODS)} |")
    print("|---|---|---|" + "---|" * len(METHODS))
    for name, count, confidence, result in rows(
        options.samples, options.resamples, options.confidence, options.clusters
    ):
        cells = [f"{held:.3f} / {below:.3f} [{width:.2f}]" for held, below, width in result.values()]
        print(f"| {name} | {count} | {confidence} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
