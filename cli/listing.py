"""`recaudit list` and `recaudit explain`: what there is, and what one thing means."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from . import options as opt

KINDS = ("attacks", "models", "measures", "checks")


def catalogue() -> dict[str, dict[str, Any]]:
    """Everything that has a name: kind -> name -> the class or descriptor behind it."""
    from ..attacks.catalogue import attack_class
    from ..attacks.catalogue import names as attack_names
    from ..fairness.catalogue import ALL
    from ..recommenders.catalogue import model_class
    from ..recommenders.catalogue import names as model_names
    from .checks import check_classes

    return {
        "attacks": {name: attack_class(name) for name in attack_names()},
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
    debug: opt.Debug = False,
) -> None:
    """Explain one attack, model, measure or check: what it is, its source, settings and limits.

    Example: `recaudit explain gini`
    """
    from ..datasets.errors import unknown_name

    entries = {name: (kind, entry) for kind, found in catalogue().items() for name, entry in found.items()}
    if name not in entries:
        raise unknown_name("name", name, entries)
    kind, entry = entries[name]
    typer.echo(f"{name} ({kind[:-1]}): {entry.title}")
    for label in ("meaning", "direction", "limits", "family"):
        if getattr(entry, label, None):
            typer.echo(f"{label}: {getattr(entry, label)}")
    if isinstance(entry, type) and entry.__doc__:
        typer.echo("\n" + "\n".join(line.strip() for line in entry.__doc__.strip().splitlines()))
    typer.echo(f"\nsource: {reference(entry)}")
    config = getattr(entry, "config_type", None)
    if config is not None and config.model_fields:
        typer.echo("settings:")
        for field, info in config.model_fields.items():
            typer.echo(f"  {field} = {info.get_default(call_default_factory=True)!r}")
