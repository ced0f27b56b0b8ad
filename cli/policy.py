"""`recaudit init`: write a commented policy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options as opt


def init(
    preset: opt.Preset = "standard",
    out: Annotated[Path, typer.Option(help="File to write; an existing one is kept.")] = Path("recaudit.yaml"),
    debug: opt.Debug = False,
) -> None:
    """Write a policy with a comment for every field: what is checked, with which bounds and why.

    Example: `recaudit init --preset quick && recaudit run --model ckpt --policy recaudit.yaml`
    """
    from ..audit.policy import preset_text
    from ..audit.store import write_atomically
    from ..datasets.errors import InputError

    text = preset_text(preset)
    if out.exists():
        raise InputError(f"{out} exists; remove it or choose another name with --out")
    write_atomically(out, text.encode())
    typer.echo(f"{out}: the {preset} policy; edit it, then: recaudit run --model CHECKPOINT --policy {out}")
