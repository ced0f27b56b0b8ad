"""`recaudit measure`: fairness measures of any system's lists; no model, no torch."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options as opt

if TYPE_CHECKING:
    from ..fairness.measure import Measure
    from ..fairness.recommendations import Recommendations


def measure(
    recommendations: Annotated[
        Path, typer.Option(help="CSV or Parquet with columns user, item, rank (1 = best), as `recommend` writes it.")
    ],
    catalogue: Annotated[
        str, typer.Option(help="File of all item ids, or a number N for the ids 0..N-1. Items never shown count too.")
    ],
    relevance: Annotated[
        Path | None,
        typer.Option(help="CSV or Parquet with columns user, item: what was relevant (held-out events)."),
    ] = None,
    consumed: Annotated[
        Path | None,
        typer.Option(
            help="CSV or Parquet with columns user, item: what users have consumed and cannot be shown. With it and "
            "relevance, also the distance to the Pareto frontier of NDCG and entropy (dpfr)."
        ),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(help="Another system's recommendations for the same users: differences with paired intervals."),
    ] = None,
    measures: Annotated[
        str, typer.Option(help='Glob on the names that `recaudit list measures` prints: "gini*".')
    ] = "*",
    cutoff: Annotated[
        int | None, typer.Option("--cutoff", "-k", min=1, help="Look at the first K places only.")
    ] = None,
    resamples: Annotated[
        int, typer.Option(min=0, help="Draws of users for the standard errors; 0 for none (JSON gives none then).")
    ] = 200,
    seed: opt.Seed = 0,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Individual item fairness of recommendation lists, alone and with relevance.

    Undefined values are null, with the reason beside them; lists that are too short for K leave the corrected forms
    undefined.

    Example: `recaudit measure --recommendations top20.csv --catalogue items.csv --relevance test.csv --json`
    """
    import json

    from ..datasets.errors import InputError
    from .lists import read_recommendations

    chosen = _chosen(measures, relevance is not None)
    if consumed is not None and relevance is None:
        raise InputError(
            f"{consumed}: consumed items matter with relevance only; give --relevance too, or leave it out"
        )
    data, users = read_recommendations(recommendations, catalogue, relevance, consumed, cutoff)
    other = None
    if baseline is not None:
        found, theirs = read_recommendations(baseline, catalogue, None, None, data.k)
        _check_same(recommendations, users, data.k, baseline, theirs, found.k)
        other = data.with_lists(found.lists)
    answer = _answer(chosen, data, other, seed, resamples, quiet)
    if as_json:
        typer.echo(json.dumps(answer))
    else:
        _print(chosen, answer)


def _chosen(pattern: str, relevance: bool) -> list[Measure]:
    from ..datasets.errors import unknown_name
    from ..fairness.catalogue import ALL, BY_SLUG

    found = [m for m in ALL if fnmatch.fnmatchcase(m.slug, pattern)]
    if not found:
        raise unknown_name("measure", pattern, BY_SLUG)
    return [m for m in found if m.needs == "lists" or relevance]


def _check_same(first: Path, users: Any, k: int, second: Path, others: Any, other_k: int) -> None:
    from ..datasets.errors import InputError

    if not users.equals(others):
        raise InputError(f"{second}: its users are not those of {first}; a comparison needs lists for the same users")
    if k != other_k:
        raise InputError(f"{second}: its lists hold {other_k} items, those of {first} {k}; compare equal lengths by -k")


def _answer(
    chosen: list[Measure],
    data: Recommendations,
    other: Recommendations | None,
    seed: int,
    resamples: int,
    quiet: bool,
) -> dict[str, Any]:
    from ..fairness.resample import paired_errors, standard_errors

    forms = {name: formula for m in chosen for name, formula in m.forms.items()}
    found = {name: formula(data) for name, formula in forms.items()}
    answer: dict[str, Any] = {
        "users": data.n_users,
        "items": data.n_items,
        "k": data.k,
        "values": {name: value.value for name, value in found.items()},
        "reasons": {name: value.note for name, value in found.items() if value.value is None},
        "ranges": {
            list(m.forms)[-1 if m.corrected is not None else 0]: m.ends(data.n_users, data.n_items, data.k)
            for m in chosen
            if m.ends is not None
        },
        "notes": {m.slug: m.caution for m in chosen if m.caution}
        | {name: value.note for name, value in found.items() if value.value is not None and value.note},
        "users_counted": {name: value.users for name, value in found.items() if value.users is not None},
    }
    defined = {name: formula for name, formula in forms.items() if found[name].value is not None}
    if resamples and not quiet and len(data.lists) > 50_000:
        typer.echo(f"drawing {data.n_users:,} users {resamples} times for the standard errors ...", err=True)
    if resamples:
        answer["standard_errors"] = _finite(standard_errors(data, defined, seed, resamples))
    if other is not None:
        theirs = {name: formula(other).value for name, formula in forms.items()}
        answer["baseline"] = theirs
        answer["differences"] = {
            name: value.value - there
            for name, value in found.items()
            if value.value is not None and (there := theirs[name]) is not None
        }
        if resamples:
            answer["difference_errors"] = _finite(paired_errors(data, other, defined, seed, resamples))
    return answer


def _finite(errors: dict[str, float]) -> dict[str, float | None]:
    return {name: None if error != error else error for name, error in errors.items()}


def _print(chosen: list[Measure], answer: dict[str, Any]) -> None:
    typer.echo(f"{answer['users']:,} users, {answer['items']:,} items, lists of {answer['k']}")
    errors, differences = answer.get("standard_errors", {}), answer.get("differences", {})
    directions = {name: m.direction for m in chosen for name in m.forms}
    for name in answer["values"]:
        value = answer["values"][name]
        if value is None:
            typer.echo(f"{name:<18} undefined  {answer['reasons'][name]}")
            continue
        line = f"{name:<18} {value:<10.4g}"
        if errors.get(name) is not None:
            line += f" ±{1.96 * errors[name]:<9.2g}"
        line += "higher is fairer" if directions.get(name) == "up" else "lower is fairer"
        if name in differences:
            spread = answer.get("difference_errors", {}).get(name)
            line += f"; against baseline {differences[name]:+.4g}" + (f" ±{1.96 * spread:.2g}" if spread else "")
        typer.echo(line)
        if answer["notes"].get(name):
            typer.echo(f"{'':<18} {answer['notes'][name]}")
