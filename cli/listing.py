"""`recaudit list` and `recaudit explain`: what there is, and what one thing means."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options as opt

if TYPE_CHECKING:
    from ..fairness.measure import Measure

KINDS = ("attacks", "rewritings", "defenses", "detectors", "unlearners", "mitigations", "models", "measures", "checks")


def catalogue() -> dict[str, dict[str, Any]]:
    """Everything that has a name: kind -> name -> the class or descriptor behind it."""
    from ..attacks.catalogue import attack_class
    from ..attacks.catalogue import names as attack_names
    from ..attacks.rewriting.catalogue import REWRITINGS
    from ..defenses.base import Detector
    from ..defenses.catalogue import defense_class
    from ..defenses.catalogue import names as defense_names
    from ..fairness.catalogue import ALL
    from ..privacy.mitigations.catalogue import mitigation_class
    from ..privacy.mitigations.catalogue import names as mitigation_names
    from ..recommenders.catalogue import model_class
    from ..recommenders.catalogue import names as model_names
    from ..unlearn.catalogue import names as unlearner_names
    from ..unlearn.catalogue import unlearner_class
    from .checks import check_classes

    defenses = {name: defense_class(name) for name in defense_names()}
    return {
        "attacks": {name: attack_class(name) for name in attack_names()},
        "rewritings": dict(REWRITINGS),
        "defenses": {name: entry for name, entry in defenses.items() if not issubclass(entry, Detector)},
        "detectors": {name: entry for name, entry in defenses.items() if issubclass(entry, Detector)},
        "unlearners": {name: unlearner_class(name) for name in unlearner_names()},
        "mitigations": {name: mitigation_class(name) for name in mitigation_names() if name != "none"},
        "models": {name: model_class(name) for name in model_names()},
        "measures": {measure.slug: measure for measure in ALL},
        "checks": dict(check_classes()),
    }


def reference(entry: Any) -> str:
    """The paper behind an entry."""
    return str(getattr(entry, "reference", None) or getattr(entry, "source", ""))


def list_(
    kind: Annotated[str | None, typer.Argument(help=f"One of {', '.join(KINDS)}; all if not given.")] = None,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """List attacks, models, measures and checks.

    Example: `recaudit list attacks`
    """
    from ..datasets.errors import unknown_name

    if kind is not None and kind not in KINDS:
        raise unknown_name("kind", kind, KINDS)
    found = {k: entries for k, entries in catalogue().items() if kind in (None, k)}
    if as_json:
        rows = {
            k: [{"name": name, "title": entry.title, "reference": reference(entry)} for name, entry in entries.items()]
            for k, entries in found.items()
        }
        typer.echo(json.dumps(rows, indent=1))
        return
    for k, entries in found.items():
        typer.echo(f"{k}:")
        for name, entry in entries.items():
            typer.echo(f"  {name:<20} {entry.title}")


def explain(
    name: Annotated[str, typer.Argument(help="A name from `recaudit list`.")],
    users: Annotated[
        int | None, typer.Option(min=1, help="Of a measure: its reachable range for so many users,")
    ] = None,
    items: Annotated[int | None, typer.Option(min=2, help="so many items,")] = None,
    cutoff: Annotated[int | None, typer.Option("--cutoff", "-k", min=1, help="and lists of this length.")] = None,
    debug: opt.Debug = False,
) -> None:
    """Explain one attack, model, measure or check: what it is, its source, settings and limits.

    Example: `recaudit explain gini --users 6040 --items 3706 -k 20`
    """
    from ..datasets.errors import unknown_name

    entries = {name: (kind, entry) for kind, found in catalogue().items() for name, entry in found.items()}
    if name not in entries:
        raise unknown_name("name", name, entries)
    kind, entry = entries[name]
    typer.echo(f"{name} ({kind[:-1]}): {entry.title}")
    if kind == "measures":
        _measure(entry)
        _ends(entry, users, items, cutoff)
    elif kind == "unlearners":
        typer.echo("exact: a training without the forget set" if entry.exact else "approximate: verify what it leaves")
    elif getattr(entry, "family", None):
        typer.echo(f"family: {entry.family}")
    if isinstance(entry, type) and entry.__doc__:
        typer.echo("\n" + "\n".join(line.strip() for line in entry.__doc__.strip().splitlines()))
    typer.echo(f"\nsource: {reference(entry)}")
    config = getattr(entry, "config_type", None)
    if config is not None and config.model_fields:
        typer.echo("settings:")
        for field, info in config.model_fields.items():
            typer.echo(f"  {field} = {info.get_default(call_default_factory=True)!r}")


def _measure(entry: Measure) -> None:
    typer.echo(f"{entry.symbol}: {entry.meaning}")
    typer.echo(f"{'higher' if entry.direction == 'up' else 'lower'} is fairer; needs {NEEDS[entry.needs]}")
    for form, formula in (("original", entry.original), ("corrected", entry.corrected), ("recaudit's own", entry.own)):
        if formula is not None:
            typer.echo(f"{form}: {' '.join((formula.__doc__ or '').split())}")
    typer.echo("limits:")
    for limit in entry.limits:
        typer.echo(f"  - {limit}")
    if entry.cured:
        typer.echo(f"cured: {entry.cured}")
    if entry.caution:
        typer.echo(f"caution: {entry.caution}")


def _ends(entry: Measure, users: int | None, items: int | None, cutoff: int | None) -> None:
    if entry.ends is None:
        typer.echo("range: of the original form it depends on the relevance")
    elif users and items and cutoff:
        low, high = entry.ends(users, items, cutoff)
        bound = "" if entry.tight else " (bounds, which lists may not reach)"
        size = f"{users:,} users, {items:,} items, k {cutoff}"
        typer.echo(f"range of the original form for {size}: {low:.6g} to {high:.6g}{bound}")
    else:
        typer.echo("range: give --users, --items and -k to see what the original form can reach")


NEEDS = {
    "lists": "lists only",
    "relevance": "lists and relevance",
    "ranks": "lists and relevance; the original form also the full ranks of relevant items",
    "consumed": "lists, relevance and the items that users have consumed",
}
