"""Runs the cells of an audit: cached, in parallel, resumable by the same command."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ..datasets.errors import RecauditError, UnfinishedError
from ..recommenders.catalogue import why_no_refit
from ..recommenders.target import Target
from .bench import Protocol, compute
from .cell import Cell
from .evidence import CellResult, Failure, Skipped
from .probe import NotApplicable, Probe
from .store import Store

Progress = Callable[[int, int, str], None]
"""Called as cells end: done, total, label of the last one."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What an audit will compute.

    Attributes:
        cells: by key, without repeats; controls and references first.
        skipped: checks that do not apply, with the reason.
        probes: the checks that run.
        done: keys whose cells are already in the store.
    """

    cells: Mapping[str, Cell]
    skipped: Sequence[Skipped]
    probes: Sequence[Probe]
    done: frozenset[str]

    @property
    def missing(self) -> dict[str, Cell]:
        """The cells still to compute."""
        return {key: cell for key, cell in self.cells.items() if key not in self.done}


def make_plan(target: Target, probes: Iterable[Probe], protocol: Protocol, store: Store) -> Plan:
    """Expand checks into cells; equal cells of several checks count once."""
    cells: dict[str, Cell] = {}
    skipped, running = [], []
    why = why_no_refit(target.recipe)
    for probe in probes:
        try:
            wanted = probe.cells(target)
            if why is not None and any(cell.trains for cell in wanted):
                raise NotApplicable(why)
        except NotApplicable as reason:
            skipped.append(Skipped(check=probe.key, reason=str(reason)))
            continue
        running.append(probe)
        for cell in wanted:
            cells.setdefault(cell.key(target, protocol.describe()), cell)
    done = frozenset(key for key, cell in cells.items() if store.read(key, cell.keeps_arrays))
    return Plan(cells, skipped, running, done)


@dataclass(eq=False)
class CellResults:
    """The results of a plan, as probes read them (probe.Results)."""

    target: Target
    protocol: Protocol
    store: Store
    by_key: dict[str, CellResult] = field(default_factory=dict)

    def __contains__(self, cell: object) -> bool:
        """Whether the cell was computed."""
        return isinstance(cell, Cell) and self._key(cell) in self.by_key

    def __getitem__(self, cell: Cell) -> CellResult:
        """The result; KeyError if the cell failed."""
        return self.by_key[self._key(cell)]

    def arrays(self, cell: Cell) -> Mapping[str, NDArray[Any]]:
        """The arrays of a "model" or "reference" cell."""
        return self.store.arrays(self._key(cell))

    def _key(self, cell: Cell) -> str:
        return cell.key(self.target, self.protocol.describe())


def run_plan(
    plan: Plan,
    target: Target,
    protocol: Protocol,
    store: Store,
    *,
    jobs: int | None = None,
    backend: str = "loky",
    progress: Progress | None = None,
) -> tuple[CellResults, list[Failure]]:
    """Compute what is missing, each cell in a single-threaded worker, and read all results back.

    Args:
        plan: from `make_plan`.
        target: what is audited.
        protocol: what is measured.
        store: where cells are kept.
        jobs: number of workers; None means one a core.
        backend: joblib's name of it: "loky" (local processes), "dask", "ray".
        progress: called with (done, total, label) as cells end.

    Raises:
        UnfinishedError: the disk is full; what was computed is kept.
    """
    missing = plan.missing
    failures = []
    done = len(plan.done)
    if progress:
        progress(done, len(plan.cells), "")
    workers = min(jobs or os.cpu_count() or 1, max(len(missing), 1))
    tasks = [joblib.delayed(_work)(cell, target, protocol, store) for cell in missing.values()]
    with _configured(backend, workers):
        # only local processes, threads and dask can hand results back as they come
        stream = "list" if backend == "ray" else "generator_unordered"
        for label, key, error in joblib.Parallel(return_as=stream)(tasks):
            done += 1
            if error:
                failures.append(Failure(cell=key, label=label, error=error))
            if progress:
                progress(done, len(plan.cells), label)
    results = CellResults(target, protocol, store)
    failed = {failure.cell for failure in failures}
    for key, cell in plan.cells.items():
        result = None if key in failed else store.read(key, cell.keeps_arrays)
        if result is not None:
            results.by_key[key] = result
        elif key not in failed:
            raise UnfinishedError(f"cell {key} vanished from {store.folder}; run the same command again")
    return results, sorted(failures, key=lambda failure: failure.cell)


def _configured(backend: str, workers: int) -> Any:
    if backend == "ray":
        from ray.util.joblib import register_ray  # type: ignore[import-not-found]

        register_ray()
    if workers == 1 and backend == "loky":
        return joblib.parallel_config(backend="sequential")
    # other backends refuse the argument; _work limits threads there too
    inner = 1 if backend == "loky" else None
    return joblib.parallel_config(backend=backend, n_jobs=workers, inner_max_num_threads=inner)


def _work(cell: Cell, target: Target, protocol: Protocol, store: Store) -> tuple[str, str, str]:
    """Compute and keep one cell in a worker; errors come back as text so that the others go on."""
    import torch

    key = cell.key(target, protocol.describe())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            computed = compute(cell, target, protocol)
        store.write(computed.result, computed.arrays)
    except UnfinishedError:
        raise
    except RecauditError as error:
        return cell.label, key, str(error)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        name = Path(where.filename).name
        return cell.label, key, f"{type(error).__name__}: {error} ({name}:{where.lineno})"
    finally:
        torch.set_num_threads(threads)
    return cell.label, key, ""
