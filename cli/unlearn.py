"""`recaudit unlearn`: make a checkpoint forget, or find out whether one has forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import canaries, drawing, shadows
from . import options as opt

if TYPE_CHECKING:
    from ..recommenders.target import Target
    from ..unlearn.request import Request
    from ..unlearn.verify.verdict import Verdict

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Deletion requests: forget, and verify that it was forgotten.

    A request is a CSV or JSON-lines file with a line for each user, item, or pair: columns `user`, `item` (both: that
    pair), or `attribute`, `value`; a column `request` holds several requests apart.""",
)

RequestFile = Annotated[Path, typer.Option("--request", help="What is to be forgotten, .csv or .jsonl.")]
app.command("draw")(drawing.draw)
app.command("plant")(canaries.plant)
app.command("canaries")(canaries.canaries)
app.command("attack")(shadows.attack)

EXIT = {"honoured": 0, "not honoured": 1, "inconclusive": 4}


@app.command("run")
def run(
    model: opt.Checkpoint,
    method: Annotated[str, typer.Option(help="An unlearner, see `recaudit list unlearners`.")],
    request: RequestFile,
    out: Annotated[Path, typer.Option(help="Checkpoint folder to write.")],
    data: opt.Data = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Setting of the unlearner, name=value (repeatable).")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a checkpoint that is there.")] = False,
    seed: opt.Seed = 0,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Make a checkpoint forget; the data in the new one, held-out parts too, hold nothing of the request.

    What is left of the data is always stored in the new one, since no other file holds it. Ids of users who are
    forgotten whole are replaced by tombstones ("forgotten:ROW").

    Several requests of one file are served one after the other. That a method has run does not show that it has worked:
    `recaudit unlearn verify` does.

    Example: `recaudit unlearn run --model ckpt --method retrain --request gone.csv --out ckpt-after`
    """
    from ..datasets.errors import InputError
    from ..recommenders.checkpoint import save_checkpoint
    from ..recommenders.checkpoint_folder import check_destination
    from ..recommenders.checkpoint_record import EVENTS
    from ..recommenders.evaluate import evaluate
    from ..unlearn.base import Served
    from ..unlearn.catalogue import build
    from ..unlearn.reading import read_requests
    from ..unlearn.request import pooled
    from .train import parse_settings

    target: Target = opt.open_target(model, data)
    unlearner = build(method, parse_settings(settings or []))
    split = target.split
    why = unlearner.why_not(target.recipe, split.train)
    if why is not None:
        raise InputError(f"{method} cannot be used on {model}: {why}")
    if unlearner.own_model:
        raise InputError(
            f"{method} serves a model of several parts, which is no checkpoint; `recaudit run --only unlearning` "
            "measures it, and it must be trained that way from the start"
        )
    check_destination(out, overwrite=overwrite)
    held = split.valid.plus(split.test)
    requests = read_requests(request, split.train, held)
    asked = pooled(split.train, requests, request.name)  # refuses what would leave nothing
    after = asked.left_of(split)
    # no method may read held-out events of those who are about to be forgotten, not even those of a later request
    valid = asked.purged(split.train, split.valid)
    left = Served(target.recipe, split.train, target.model, held_out=valid if len(valid) else None)
    left = unlearner.prepare(left, seed)
    for own in requests:
        now = own.of_what_is_left(split.train, left.log)
        if now is not None:
            left = unlearner.forget(left, now, seed)
        if not quiet:
            aside = len(held) - len(own.purged(split.train, held))
            also = f", {aside:,} held-out ones removed" if aside else ""
            typer.echo(f"{own.label}: {0 if now is None else len(now):,} events forgotten by {method}{also}", err=True)
    found = left.trained
    try:
        metrics = evaluate(found, after.test, after.history, cutoffs=(10, 20))
    except InputError:  # no held-out item is left: no reason to keep what was to be forgotten
        metrics = {}
    without = not (model / EVENTS).is_file()
    save_checkpoint(out, found, target.recipe, after, target.seed, metrics, overwrite=overwrite)
    if without and not quiet:
        typer.echo(f"{out}: what is left of the data is stored in it, give no --data with it", err=True)
    reached = f"ndcg@20 {metrics['ndcg@20']:.4f}" if metrics else "saved without metrics, nothing is left to measure by"
    was = target.stored_metrics.get("ndcg@20")
    typer.echo(f"{out}: {reached} (before {'not measured' if was is None else f'{was:.4f}'})")


@app.command("verify")
def verify(
    before: Annotated[Path, typer.Option(help="Checkpoint before, with its data.")],
    after: Annotated[Path, typer.Option(help="Checkpoint that is said to have forgotten.")],
    request: RequestFile,
    retrained: Annotated[
        list[Path] | None,
        typer.Option(
            help="Retrained checkpoint to compare with, beside 4 retrains of ours that it must agree with (repeatable)."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the references, so that a killed run goes on.")] = Path(
        "recaudit-unlearning"
    ),
    data: opt.Data = None,
    retrains: Annotated[int, typer.Option(min=2, help="Trainings without the forget set, unless --retrained.")] = 8,
    refits: Annotated[int, typer.Option(min=2, help="Trainings with it: what nothing-done looks like.")] = 4,
    margin: Annotated[float, typer.Option(min=0.01, help="How much of the trace may be left, as |rho|.")] = 0.3,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of intervals and tests.")] = 0.95,
    seed: opt.Seed = 0,
    jobs: opt.Jobs = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Was a deletion request honoured? Exit code 0 honoured, 1 not honoured, 4 inconclusive.

    Retrains without the forget set are what an honest forgetting looks like, trainings with it what nothing-done looks
    like; rho places the checkpoint between them (0 and 1, negative: over-forgotten). All requests of the file are
    judged together, since a small request alone often has no power; the one that stands out most is named.

    Of a large request a sample is judged, fixed by the checkpoint after and the seed; best is a seed that whoever made
    that checkpoint does not know.

    Example: `recaudit unlearn verify --before ckpt --after ckpt-after --request gone.csv`
    """
    import json

    import numpy as np

    from .. import __version__
    from ..audit.files import write_whole
    from ..audit.store import Store
    from ..datasets.seeding import derive
    from ..unlearn.reading import read_requests
    from ..unlearn.request import pooled
    from ..unlearn.verification import as_json as record
    from ..unlearn.verification import verify as judged
    from ..unlearn.verify.changes import changes, traces
    from ..unlearn.verify.given import OWN
    from ..unlearn.verify.question import sample_of
    from .progress import progress

    (out / "verification.json").unlink(missing_ok=True)  # of an earlier run; if this one fails, none must be read
    target: Target = opt.open_target(before, data)
    held = target.split.valid.plus(target.split.test)
    requests = read_requests(request, target.split.train, held)
    asked = pooled(target.split.train, requests, request.name)
    asked.check_trained()
    requests = [own for own in requests if len(own)]  # of what was only held out, no model can show a trace
    carried = opt.open_second(after, target, asked)
    model = carried.model
    given = _given(retrained or [], target, carried, asked)
    # fixed by the very model that is judged, so no model can be made for it, and the same command finds its cells again
    sample = sample_of(target.split.train, asked, derive(seed, "unlearning", "sample", carried.fingerprint))
    with progress("references", quiet) as step:
        found = judged(
            target, model, asked, Store(out / "cells"), retrains=retrains, refits=refits,
            given=[other.model for other in given], parts=requests, seed=seed, sample=sample, margin=margin,
            confidence=confidence, jobs=jobs, progress=step,
        )  # fmt: skip
    touched = asked.forgotten(target.split.train)
    sides = (np.unique(side).astype(np.int64) for side in (touched.user, touched.item))
    listed = changes(target.model.state(), model.state(), *sides)
    seen = traces(listed)
    still = _carried(carried, asked, target)
    if still:
        seen.append(f"the checkpoint after still carries {still:,} forgotten events in its own data")
        found = found.accused(seen[-1])
    users = np.array(asked.users)
    named = int((carried.split.train.user_ids[users] == target.split.train.user_ids[users]).sum())
    if named:
        seen.append(f"the checkpoint after still carries the ids of {named:,} deleted users")
    if given:
        seen.append(
            f"{len(given)} of the retrained checkpoints were given: they lie where {OWN} retrains of our own lie, and "
            "beyond that they are trusted"
        )
    answer = record(found) | {
        "traces": seen,
        "changed": {c.name: [c.rows, c.of] for c in listed},
        "recaudit": __version__,
        "fingerprints": {
            "before": target.fingerprint, "after": carried.fingerprint, "data": target.split.fingerprint,
            "request": asked.fingerprint, "retrained": [other.fingerprint for other in given],
        },
        "references": {"own": OWN if given else retrains, "given": len(given), "with the forget set": refits},
        "seed": seed,
        "sample": sample or None,
        "confidence": confidence,
    }  # fmt: skip
    text = json.dumps(answer, indent=1)
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "verification.json", text.encode())
    if as_json:
        typer.echo(text)
    else:
        _told(found, seen)
    raise typer.Exit(EXIT[found.outcome])


def _given(paths: list[Path], target: Target, after: Target, asked: Request) -> list[Target]:
    """Retrained checkpoints, refused if they are the ones compared, of another recipe, or trained on the request."""
    from ..datasets.errors import CheckpointError

    seen = {target.fingerprint: "the checkpoint before", after.fingerprint: "the checkpoint after"}
    found = []
    for path in paths:
        other = opt.open_second(path, target, asked)
        why = None
        if other.fingerprint in seen:
            why = f"holds the same weights as {seen[other.fingerprint]}"
        elif (other.recipe.model, other.recipe.config) != (target.recipe.model, target.recipe.config):
            why = "was trained by another recipe"
        elif _carried(other, asked, target):
            why = "was trained on data that hold events of the request"
        if why is not None:
            raise CheckpointError(f"{path}: {why}; give checkpoints retrained by the same recipe on the retain set")
        seen[other.fingerprint] = str(path)
        found.append(other)
    return found


def _carried(other: Target, asked: Request, target: Target) -> int:
    """Events of the request that the data of a checkpoint still hold, held-out parts included."""
    split = other.split
    whole = split.history.plus(split.test)
    return len(whole) - len(asked.purged(target.split.train, whole))


def _told(found: Verdict, seen: list[str]) -> None:
    from ..unlearn.verify.verdict import LIMITS

    typer.echo(f"{found.outcome.upper()}: {found.reason}\n")
    typer.echo(
        f"{'statistic':<64} {'after':>8} {'retrained':>10} {'before':>8} {'rho':>6}  {'interval':<16} {'power':>6}"
    )
    for own in found.statistics:
        rho = (
            f"{own.rho:+6.2f}  [{own.rho_interval[0]:+.2f}, {own.rho_interval[1]:+.2f}]"
            if own.kept
            else "     -  no power"
        )
        typer.echo(
            f"{own.name[:64]:<64} {own.value:8.4f} {own.reference:10.4f} {own.before:8.4f} {rho:<24} {own.power:6.1f}"
        )
    typer.echo("\nas published, beside retrains (nothing is decided by these):")
    for name, (value, mean, low, high) in found.described.items():
        typer.echo(f"  {name:<30} {value:8.4f}   retrains {mean:.4f} ({low:.4f} to {high:.4f})")
    if found.worst is not None:
        typer.echo(f"\nof several, stands out most: {found.worst}")
    for text in seen:
        typer.echo(f"\nseen: {text}")
    if found.needed is not None:
        typer.echo(f"\nAbout {found.needed:,} pairs would settle it ({found.pairs:,} were looked at): pool requests.")
    typer.echo("\nWhat this cannot show:")
    for text in LIMITS:
        typer.echo(f"  - {text}")
