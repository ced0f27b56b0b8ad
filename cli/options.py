"""Options that several commands share, so that they look and mean the same everywhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer


def _debug(ctx: typer.Context, value: bool) -> bool:
    ctx.find_root().meta["debug"] = value
    return value


def _allow_sending(value: bool) -> bool:
    if value:  # workers are processes of their own and inherit the environment
        os.environ["RECAUDIT_ALLOW_SENDING"] = "1"
    return value


Debug = Annotated[bool, typer.Option("--debug", callback=_debug, help="Show tracebacks.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only results and errors.")]
AllowSending = Annotated[
    bool,
    typer.Option(
        "--allow-sending",
        callback=_allow_sending,
        help="Let texts go to an endpoint that the settings name; what is sent is said first (docs/language.md).",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Answer as JSON on stdout.")]
Seed = Annotated[int, typer.Option(help="Seed of every random choice; the same seed gives the same result.")]
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", "-j", min=1, help="Workers; one single-threaded worker a core if not given."),
]
_MODEL = typer.Option("--model", help="Checkpoint folder, as `recaudit train` writes it, or a .pth file of RecBole.")
Checkpoint = Annotated[Path, _MODEL]
AnyModel = Annotated[Path | None, _MODEL]
RecommendCmd = Annotated[
    str | None,
    typer.Option(
        "--recommend-cmd",
        help="Instead of a model: a command of yours that writes lists. {users}, {history}, {k}, {out}, {model} are "
        "filled in (docs/foreign.md).",
    ),
]
RefitCmd = Annotated[
    str | None,
    typer.Option(
        "--refit-cmd",
        help="With --recommend-cmd: a command that trains again. {train}, {weights}, {seed}, {model} are filled in.",
    ),
]
PythonObject = Annotated[
    str | None,
    typer.Option(
        "--python", help="Instead of a model: module:object with scores(users), perhaps refit(log, weights, seed)."
    ),
]
ListsFile = Annotated[
    Path | None,
    typer.Option("--lists", help="Instead of a model: ranked lists, CSV or Parquet with columns user, item, rank."),
]
EndpointUrl = Annotated[
    str | None,
    typer.Option(
        "--endpoint",
        help='Instead of a model: an address that takes {"users": [...], "k": n} by POST and answers {"lists": [...]}. '
        "User ids are sent to it, which --allow-sending must allow.",
    ),
]
Timeout = Annotated[float, typer.Option(help="Seconds that a command of yours may run.")]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data", help="Data file or folder in any known layout, for checkpoints without data (RecBole's have none)."
    ),
]
PolicyFile = Annotated[
    Path | None,
    typer.Option("--policy", help="Policy file, as `recaudit init` writes it; the preset if not given."),
]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", help="Only the checks that match this glob (repeatable): --only 'promo*'."),
]
Preset = Annotated[str, typer.Option(help="quick, standard or thorough; used when no policy file is given.")]


def open_target(model: Path, data: Path | None) -> Any:
    """Open a checkpoint, with the data it was trained on if they were left out of it.

    A file is read as another program's; how far its ids and split are proved goes to stderr.
    """
    from ..datasets.read import read_log
    from ..recommenders.checkpoint import open_checkpoint
    from ..recommenders.foreign.opening import is_foreign, open_foreign

    loaded = None if data is None else read_log(data)
    if not is_foreign(model):
        return open_checkpoint(model, loaded)
    target = open_foreign(model, loaded)
    if target.origin is not None:
        typer.echo(f"{model}: {target.origin.format}; {target.origin.proof}", err=True)
    return target


def open_any(
    model: Path | None,
    data: Path | None,
    recommend: str | None,
    refit: str | None,
    python: str | None,
    lists: Path | None,
    endpoint: str | None,
    timeout: float,
) -> Any:
    """A checkpoint, or a system that is none: exactly one must be given."""
    from ..datasets.errors import InputError
    from ..datasets.read import read_log
    from ..recommenders.blackbox.opening import open_lists, open_system

    given = [own for own in (model, recommend, python, lists, endpoint) if own is not None]
    if len(given) != 1:
        raise InputError("give one of --model, --recommend-cmd, --python, --lists and --endpoint")
    if refit is not None and recommend is None:
        raise InputError("--refit-cmd goes with --recommend-cmd")
    if model is not None:
        return open_target(model, data)
    if data is None:
        raise InputError("a system that is no checkpoint needs its data: give --data")
    loaded = read_log(data)
    if lists is not None:
        return open_lists(lists, loaded)
    if endpoint is not None:
        return open_system("endpoint", {"url": endpoint, "timeout": min(timeout, 600.0)}, loaded)
    if python is not None:
        return open_system("python", {"target": python}, loaded)
    return open_system("commands", {"recommend": recommend, "refit": refit or "", "timeout": timeout}, loaded)


def open_second(path: Path, target: Any, request: Any) -> Any:
    """A checkpoint that was made from a target by a request: the same items, and its users but for deleted ones."""
    from ..unlearn.alignment import open_after

    return open_after(path, target, request)
