"""CPU seconds and memory of the fairness measures: a large case, a published experiment, the authors' public code.

    python benchmarks/fairness_speed.py [--users 1000000] [--items 1000000] [-k 20] [--reference DIR]

One thread; CPU seconds; memory is how far the process rises above what it held before (Linux: /proc/self). Prints
three Markdown tables:

1. Lists and ten relevant items a user, drawn by Zipf's law without repeats: all forms of the exposure-only measures
   together, then every form of every joint measure by itself.
2. The insertion experiment of Rampisela et al. (SIGIR 2024, notebook 03b): 1,000 users, 10,000 items, k 10, eleven
   columns. Their log gives 2,700 s for a column.
3. With --reference: the same measures by the authors' classes on the same numbers, in this process, and whether the
   values agree. DIR holds checkouts of theresiavr/individual-item-fairness-measures-recsys (6c594f2) and
   theresiavr/relevance-aware-item-fairness-measures-recsys (a3517f3). Their files are loaded as they are, without
   RecBole, of which they use one base class (in the first checkout) and one enumeration (an empty stand-in here). They
   were written for numpy 1: NUMPY_1 gives them what numpy 2 lacks, and the distance that they hand to scipy's cdist
   gets numbers, not arrays of one (which is quicker). Their HD depends on how numpy happens to order ties: it gets a
   stable sort, as the reference values have it. In place of their file of precomputed IFD× maxima, which is not there,
   they read our exact ones; the cost of these counts on our side only, as does the check of the input.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from scipy import sparse
from scipy.spatial.distance import cdist
from threadpoolctl import threadpool_limits

from recaudit.datasets.log import Int32, Int64
from recaudit.datasets.seeding import rng
from recaudit.fairness import ifd_mul
from recaudit.fairness.catalogue import ALL, BY_SLUG, EXPOSURE, JOINT
from recaudit.fairness.measure import Formula
from recaudit.fairness.recommendations import Recommendations

P = ParamSpec("P")
T = TypeVar("T")

RELEVANT = 10
LOGGED = 2_700  # seconds for a column of the insertion experiment, the authors' log
FOLDERS = ("individual-item-fairness-measures-recsys", "relevance-aware-item-fairness-measures-recsys")
GROUPS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "exposure only": (
        ("FairWORel", "IID_AID"),
        {
            "qf": "QF", "gini": "Gini", "jain": "Jain", "entropy": "Ent", "gini_w": "Gini-w", "fsat": "FSat",
            "vocd": "VoCD", "ai_d": "AI-D", "ii_d": "II-D",
        },
    ),
    "IAA": (("IAA", "FixedIAA"), {"iaa": "IAA"}),
    "MME, II-F, AI-F": (("MME_IIF_AIF", "FixedIIF"), {"mme": "MME", "ii_f": "II-F", "ai_f": "AI-F"}),
    "IBO, IWO": (("IBO_IWO",), {"ibo": "IBO", "iwo": "IWO"}),
    "IFD÷, IFD×": (("IFD", "FixedIFD"), {"ifd_div": "IFD_div", "ifd_mul": "IFD_mul"}),
    "HD": (("HD",), {"hd": "HD"}),
}  # fmt: skip
"""Measures that the public code computes together: its classes, and our slug for each of its names."""

NUMPY_1: dict[str, Callable[..., Any]] = {
    "in1d": lambda a, b, **options: np.isin(np.asarray(a).ravel(), b, **options),
    "nan_to_num": lambda x, **options: np.nan_to_num(np.asarray(x), **options),
    "argsort": partial(np.argsort, kind="stable"),
}


def memory(field: str) -> float:
    """A line of /proc/self/status in GB: VmRSS is held now, VmHWM was the most."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[field].split()[0]) * 1024 / 1e9


def cost(job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[T, float, float]:
    """The result, CPU seconds, and GB by which the process rose above what it held before."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew
    held, start = memory("VmRSS"), time.process_time()
    result = job(*args, **kwargs)
    return result, time.process_time() - start, memory("VmHWM") - held


def zipf(users: int, items: int, k: int, purpose: str) -> Int32:
    """Rows of k different items, weight 1 / rank, ids in random order: int32 [users, k]."""
    source = rng(0, "benchmark", purpose)
    ids = rng(0, "benchmark", "ids").permutation(items).astype(np.int32)
    edges = np.cumsum(1 / np.arange(1, items + 1))
    edges /= edges[-1]
    found = np.empty((users, k), np.int32)
    for start in range(0, users, 100_000):
        block = found[start : start + 100_000]
        block[:] = np.searchsorted(edges, source.random(block.shape), "right")
        repeated = np.arange(len(block))
        while len(repeated):
            rows = np.sort(block[repeated], axis=1)
            twice = np.zeros(rows.shape, bool)
            twice[:, 1:] = rows[:, 1:] == rows[:, :-1]
            rows[twice] = np.searchsorted(edges, source.random(int(twice.sum())), "right")
            block[repeated] = rows
            repeated = repeated[twice.any(axis=1)]
        block[:] = ids[source.permuted(block, axis=1)]
    return found


def relevance(rows: Int32, items: int) -> sparse.csr_matrix:
    """Rows of relevant items int32 [m, R] as a matrix [m, n]."""
    indptr = np.arange(0, rows.size + 1, rows.shape[1])
    return sparse.csr_matrix(
        (np.ones(rows.size, np.float32), np.sort(rows, axis=1).ravel(), indptr), shape=(len(rows), items)
    )


def computed(formulas: Mapping[str, Formula], data: Recommendations) -> dict[str, float | None]:
    return {name: formula(data).value for name, formula in formulas.items()}


def text(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def large(users: int, items: int, k: int) -> None:
    """The first table."""
    print(f"\n{users:,} users x {items:,} items x {k}, {RELEVANT} relevant items a user\n")
    print("| step | CPU s | GB | target | value |\n|---|---:|---:|---|---|")

    def row(step: str, seconds: float, grown: float, target: str = "", value: str = "") -> None:
        print(f"| {step} | {seconds:.2f} | {grown:.2f} | {target} | {value} |", flush=True)

    lists = zipf(users, items, k, "lists")
    alone, seconds, grown = cost(Recommendations.of, lists, items)
    row("check of the lists", seconds, grown)
    formulas = {name: formula for measure in EXPOSURE for name, formula in measure.forms.items()}
    values, seconds, grown = cost(computed, formulas, alone)
    shown = ", ".join(f"{measure.slug} {text(values[measure.slug])}" for measure in EXPOSURE)
    row(f"counting and all {len(EXPOSURE)} exposure-only measures", seconds, grown, "2 s, 2 GB", shown)

    relevant = relevance(zipf(users, items, RELEVANT, "relevance"), items)
    data, seconds, grown = cost(Recommendations.of, lists, items, relevant)
    row("check of lists and relevance, hits", seconds, grown)
    data = replace(data, counted=alone.exposure)
    del relevant, alone
    for measure in JOINT:
        for name, formula in measure.forms.items():
            value, seconds, grown = cost(formula, data)
            row(name, seconds, grown, "15 s" if measure.slug == "mme" else "", text(value.value))


def insertion(m: int = 1_000, n: int = 10_000, k: int = 10) -> None:
    """The second table: ever more of the catalogue is shown evenly in place of ten popular items."""
    own = np.arange(n, dtype=np.int32).reshape(m, k)
    relevant = relevance(own, n)
    formulas = {name: formula for measure in ALL for name, formula in measure.forms.items()}
    spent = []
    for column in range(k + 1):
        missing, place = k - column, np.arange(k)
        lists = np.where(place < missing, place, own).astype(np.int32)
        ranks = np.tile(np.where(place < missing, n - missing + 1 + place, place + 1), (m, 1))
        ranks[0] = place + 1  # the first user likes the popular items
        data, checked, _ = cost(Recommendations.of, lists, n, relevant, ranks.ravel())
        _, seconds, _ = cost(computed, formulas, data)
        spent.append(checked + seconds)
    print(f"\nInsertion experiment, {m:,} users x {n:,} items x {k}, all {len(ALL)} measures, all forms\n")
    print("| | CPU s a column, mean | slowest | authors' log | ratio to the slowest |\n|---|---:|---:|---:|---:|")
    print(
        f"| {k + 1} columns | {np.mean(spent):.3f} | {max(spent):.3f} | {LOGGED:,} s (their machine) "
        f"| {LOGGED / max(spent):,.0f} |",
        flush=True,
    )


def module(name: str, path: Path) -> ModuleType:
    """A Python file as a module, unchanged."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} cannot be loaded")
    found = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def public_code(folder: Path, maxima: dict[int, dict[str, float]]) -> dict[str, Any]:
    """The authors' classes by name."""
    for name in ("recbole", "recbole.evaluator", "recbole.utils"):
        sys.modules[name] = ModuleType(name)
    sys.modules["recbole.utils"].EvaluatorType = SimpleNamespace(RANKING=1, VALUE=2)  # type: ignore[attr-defined]
    alone, joint = (folder / name / "RecBole" / "recbole" / "evaluator" for name in FOLDERS)
    module("recbole.evaluator.base_metric", alone / "base_metric.py")
    first, second = module("fair_without_relevance", alone / "metrics.py"), module("joint", joint / "metrics.py")
    vars(second)["np"] = SimpleNamespace(**vars(np) | NUMPY_1)
    vars(second)["cdist"] = lambda a, b, distance: cdist(a, b, lambda u, v: distance(u[0], v[0]))
    vars(second)["read_pickle"] = lambda path: maxima
    # both files have a FairWORel; that of the first is the paper's
    return vars(second) | vars(first)


def dense(lists: Int32, wanted: Int32, n: int) -> tuple[torch.Tensor, Int64]:
    """Scores float64 [m, n] that put these lists in front, and the full ranks of the relevant items, in id order."""
    m, k = lists.shape
    scores = rng(0, "benchmark", "scores").random((m, n))
    np.put_along_axis(scores, lists, 1.0 + np.arange(k, 0, -1.0), axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")
    rank = np.empty((m, n), np.int64)
    np.put_along_axis(rank, order, np.arange(1, n + 1), axis=1)
    return torch.from_numpy(scores), np.take_along_axis(rank, np.sort(wanted, axis=1), axis=1).ravel()


def against(folder: Path, size: int, k: int) -> None:
    """The third table: both on `size` users and as many items."""
    lists, wanted = zipf(size, size, k, "lists"), zipf(size, size, RELEVANT, "relevance")
    relevant = relevance(wanted, size)
    scores, ranks = dense(lists, wanted, size)
    _, hits = Recommendations.of(lists, size, relevant).judged
    positive = np.empty(size, object)
    positive[:] = list(np.sort(wanted, axis=1).astype(np.int64) + 1)
    given = {
        "rec.items": torch.from_numpy(lists.astype(np.int64) + 1),
        "rec.score": torch.cat([torch.zeros(size, 1), scores], dim=1),
        "rec.topk": torch.from_numpy(hits.astype(np.int64)),
        "data.num_items": size + 1,
        "data.pos_items": positive,
        "data.name": "benchmark",
    }
    classes = public_code(folder, {RELEVANT: {"score": ifd_mul.extremes(RELEVANT, k, size)[1]}})
    ifd_mul.extremes.cache_clear()

    def ours(slugs: dict[str, str]) -> dict[str, float | None]:
        joint = () if "qf" in slugs else (relevant, ranks)
        data = Recommendations.of(lists, size, *joint)
        forms = {f"{slug} original": BY_SLUG[slug].original for slug in slugs}
        forms |= {slug: form for slug in slugs if (form := BY_SLUG[slug].corrected) is not None}
        return computed(forms, data)

    def theirs(names: tuple[str, ...]) -> dict[str, float]:
        found: dict[str, float] = {}
        for name in names:
            found |= classes[name]({"topk": [k], "metric_decimal_place": 15}).calculate_metric(given)
        return found

    print(f"\nThe authors' public code, {size:,} users x {size:,} items x {k}, {RELEVANT} relevant items a user\n")
    print("| measures | public code, CPU s | recaudit, CPU s | ratio | values compared | largest difference |")
    print("|---|---:|---:|---:|---:|---:|")
    total = np.zeros(2)
    for group, (names, slugs) in GROUPS.items():
        reference, slow, _ = cost(theirs, names)
        values, fast, _ = cost(ours, slugs)
        total += slow, fast
        gaps = compared(reference, values, slugs, k)
        if max(gaps) > 1e-9:
            raise SystemExit(f"{group}: the values differ: {reference} and {values}")
        print(f"| {group} | {slow:.2f} | {fast:.4f} | {slow / fast:,.0f} | {len(gaps)} | {max(gaps):.1e} |", flush=True)
    print(f"| all | {total[0]:.2f} | {total[1]:.4f} | {total[0] / total[1]:,.0f} | | |")


def compared(
    reference: dict[str, float], values: dict[str, float | None], slugs: dict[str, str], k: int
) -> list[float]:
    """How far values are apart, inf if only one of them is defined."""
    gaps = []
    for slug, symbol in slugs.items():
        pairs = [(f"{slug} original", f"{symbol}{end}@{k}") for end in ("_ori", "_true_ori", "")]
        for name, key in [*pairs, (slug, f"{symbol}_our@{k}")]:
            if key in reference and name in values:
                value = values[name]
                undefined = bool(np.isnan(reference[key]))
                if value is None or undefined:
                    gaps.append(0.0 if value is None and undefined else np.inf)
                else:
                    gaps.append(abs(value - float(reference[key])))
    return gaps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("-k", type=int, default=20)
    parser.add_argument("--reference", type=Path, help="the folder with both checkouts of the public code")
    parser.add_argument("--reference-size", type=int, default=2_000, help="users, and items, of the third table")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        large(options.users, options.items, options.k)
        insertion()
        if options.reference:
            against(options.reference, options.reference_size, options.k)


if __name__ == "__main__":
    main()
