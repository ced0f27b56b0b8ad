"""The Typer application: one file a command, errors as one line with the exit code of the contract."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

import typer
from typer.core import TyperGroup

from ..datasets.errors import INTERRUPTED, RecauditError, UnfinishedError
from . import (
    attack,
    comparing,
    demo,
    detect,
    evaluate,
    gating,
    importing,
    integrity,
    listing,
    measure,
    policy,
    privacy,
    records,
    reproducing,
    run,
    tracking,
    train,
    unlearn,
)  # fmt: skip


class Commands(TyperGroup):
    """Shows errors a user can mend as one line on stderr; a traceback only with --debug."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; RecauditError ends with its exit code, Ctrl-C with 130."""
        try:
            return super().invoke(ctx)
        except RecauditError as error:
            if ctx.find_root().meta.get("debug"):
                raise
            message = " ".join(str(error).split())
            typer.echo(f"recaudit: {message}", err=True)
            raise typer.Exit(error.exit_code) from None
        except BrokenPipeError:  # who read the answer has read enough; nothing more can be written there
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except OSError as error:  # a full disk, a folder without permission; named by the error itself
            if ctx.find_root().meta.get("debug"):
                raise
            typer.echo(f"recaudit: {error}; mend that and give the same command again", err=True)
            raise typer.Exit(UnfinishedError.exit_code) from None
        except KeyboardInterrupt:
            typer.echo("recaudit: interrupted; the same command goes on where it stopped", err=True)
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""Audit a trained recommender before it is deployed: can fake users push or bury an item?
    does it beat trivial baselines? which items are never shown? The answer is an exit code and a report.

    Try: `recaudit demo`, then `recaudit train --help` and `recaudit run --model CHECKPOINT`.""",
    epilog="Exit codes: 0 pass, 1 gate failed, 2 wrong use or unreadable input, 3 could not finish, "
    "4 inconclusive (strict policies), 130 interrupted.",
)
app.command("run")(run.run)
app.command("plan")(run.plan)
app.command("demo")(demo.demo)
app.command("init")(policy.init)
app.command("train")(train.train)
app.command("import")(importing.import_)
app.command("evaluate")(evaluate.evaluate)
app.command("recommend")(evaluate.recommend)
app.command("attack")(attack.attack)
app.command("detect")(detect.detect)
app.command("measure")(measure.measure)
app.add_typer(unlearn.app, name="unlearn")
app.add_typer(privacy.app, name="privacy")
app.command("compare")(comparing.compare)
app.command("card")(tracking.card)
app.command("log")(tracking.log)
app.command("list")(listing.list_)
app.command("explain")(listing.explain)
app.command("report")(records.report)
app.command("gate")(gating.gate)
app.command("reproduce")(reproducing.reproduce)
app.command("verify")(integrity.verify)
app.command("sign")(integrity.sign)
app.command("keygen")(integrity.keygen)


def _version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(f"recaudit {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    pass


def main() -> None:
    """The console script."""
    try:
        app()
    except BrokenPipeError:
        sys.exit(0)  # the reader of our output has seen enough
    except Exception as error:  # a mistake of ours, or --debug; Python would end with 1, which says that a gate failed
        traceback.print_exc()
        sys.exit(error.exit_code if isinstance(error, RecauditError) else UnfinishedError.exit_code)
