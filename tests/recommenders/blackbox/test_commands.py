"""A system behind two commands, as a user would write them: best-sellers in two scripts."""

from __future__ import annotations

import json
import pickle
import shlex
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from recaudit.audit.bench import Protocol
from recaudit.audit.engine import make_plan, run_plan
from recaudit.audit.store import Store
from recaudit.datasets.errors import DataError, InputError
from recaudit.datasets.read import LoadedLog
from recaudit.quality.check import QualityConfig, QualityProbe
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.blackbox.opening import open_system
from recaudit.recommenders.catalogue import build, fit, why_no_refit
from recaudit.recommenders.ranking import rank

from ...unlearn.conformance import small_log

LOG = small_log(users=40, items=25, events=600)

FIT = """
import collections, csv, json, sys
train, weights, model, seed = sys.argv[1:]
weight = {row["user"]: float(row["weight"]) for row in csv.DictReader(open(weights))}
count = collections.Counter()
for row in csv.DictReader(open(train)):
    count[row["item"]] += weight[row["user"]]
json.dump([[item, n] for item, n in count.most_common()], open(model + "/best.json", "w"))
"""

LISTS = """
import csv, json, sys
users, history, out, k, model = sys.argv[1:]
seen = {}
for row in csv.DictReader(open(history)):
    seen.setdefault(row["user"], set()).add(row["item"])
best = [item for item, _ in json.load(open((model or SERVED) + "/best.json"))]
with open(out, "w") as file:
    file.write("user,item\\n")
    for row in csv.DictReader(open(users)):
        for item in [item for item in best if item not in seen.get(row["user"], ())][: int(k)]:
            file.write(f"{row['user']},{item}\\n")
"""


def commands(folder: Path, lists: str = LISTS, fit_: str = FIT) -> dict[str, str]:
    (folder / "served").mkdir()
    (folder / "fit.py").write_text(fit_)
    (folder / "lists.py").write_text(lists.replace("SERVED", repr(str(folder / "served"))))
    run = shlex.quote(sys.executable)
    return {
        "refit": f"{run} {folder / 'fit.py'} {{train}} {{weights}} {{model}} {{seed}}",
        "recommend": f"{run} {folder / 'lists.py'} {{users}} {{history}} {{out}} {{k}} {{model}}",
    }


def test_a_retraining_gives_lists_of_what_it_was_trained_on(tmp_path: Path) -> None:
    recipe = Recipe("commands", commands(tmp_path))
    weights = np.ones(LOG.n_users, np.float32)
    weights[:10] = 0
    for given in (None, weights):
        model = fit(recipe, LOG, 3, **({} if given is None else {"weights": given}))
        slate = rank(model, None, LOG.take(np.empty(0, np.int64)), 5).slate
        counts = np.bincount(LOG.item, None if given is None else given[LOG.user], minlength=LOG.n_items)
        assert (counts[slate.items[0]] == np.sort(counts)[::-1][:5]).all()
        assert (slate.items == slate.items[0]).all()


def test_the_system_in_service_is_audited_through_its_commands(tmp_path: Path) -> None:
    settings = commands(tmp_path)
    made = build(Recipe("commands", settings))
    made.fit(LOG, 0)
    folder = made._folder  # type: ignore[attr-defined]
    (tmp_path / "served" / "best.json").write_text((Path(folder.name) / "model" / "best.json").read_text())
    target = open_system("commands", settings, LoadedLog(LOG), "ratio:0.7,0.1,0.2")
    assert target.model.name == "lists" and target.recipe.model == "commands"
    probes = [QualityProbe(QualityConfig(references=("popularity",), refits=2), 0)]
    protocol, store = Protocol((5, 20)), Store(tmp_path / "cells")
    plan = make_plan(target, probes, protocol, store)
    assert not plan.skipped
    results, failures = run_plan(plan, target, protocol, store, jobs=1)
    assert not failures, failures
    evidence = {found.id: found for found in probes[0].evidence(target, results)}
    assert evidence["quality.reproduction"].missing and target.origin is not None and target.origin.verified is None
    fidelity = evidence["quality.fidelity.ndcg@20"]
    assert fidelity.n == 2 and fidelity.standard_error == 0  # best-sellers have no seed


def test_without_a_retraining_checks_that_need_one_do_not_run(tmp_path: Path) -> None:
    settings = commands(tmp_path)
    best = [[item, 1] for item in LOG.item_ids.tolist()]
    (tmp_path / "served" / "best.json").write_text(json.dumps(best))
    target = open_system("commands", {"recommend": settings["recommend"]}, LoadedLog(LOG), "ratio:0.7,0.1,0.2")
    assert why_no_refit(target.recipe) == "this system cannot be trained again: it has no --refit-cmd"
    plan = make_plan(target, [QualityProbe(QualityConfig(), 0)], Protocol((5, 20)), Store(tmp_path / "cells"))
    assert not plan.skipped and not any(cell.trains for cell in plan.cells.values())


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        ("raise SystemExit('no\\nmemory')", "exit code 1: no memory"),
        ("", "wrote no {out}"),
        ("import sys; open(sys.argv[3], 'w').write('user,item\\nnobody,x\\n')", "are not in the data"),
        ("import time; time.sleep(60)", "stopped after 1 seconds"),
    ],
)
def test_commands_that_fail_are_named(lists: str, words: str, tmp_path: Path) -> None:
    model = build(Recipe("commands", commands(tmp_path, lists) | {"timeout": 1.0}))
    model.load({}, LOG.n_users, LOG.n_items)
    started = time.monotonic()
    with pytest.raises((InputError, DataError), match=words.replace("{", r"\{")) as caught:
        model.scores(np.array([0]), LOG)
    assert time.monotonic() - started < 20 and "\n" not in str(caught.value)


def test_settings_are_checked_and_workers_get_the_commands_alone(tmp_path: Path) -> None:
    for wrong, words in (({"recommend": "x"}, "names no {out}"), ({"recommend": "x '{out}"}, "split into words")):
        with pytest.raises(InputError, match=words.replace("{", r"\{")):
            build(Recipe("commands", wrong))
    with pytest.raises(InputError, match="cannot be run"):
        fit(Recipe("commands", {"recommend": "x {out}", "refit": "/no/such/program"}), LOG, 0)
    with pytest.raises(InputError, match="names no {weights}".replace("{", r"\{")):
        fit(Recipe("commands", {"recommend": "x {out}", "refit": "true"}), LOG, 0, weights=np.full(40, 0.5, np.float32))
    settings = commands(tmp_path)
    other = pickle.loads(pickle.dumps(build(Recipe("commands", settings))))  # noqa: S301
    assert other.config.refit == settings["refit"]
    model = fit(Recipe("commands", settings), LOG, 0)
    with pytest.raises(TypeError, match="cannot be handed"):
        pickle.dumps(model)
    before = model.code()  # type: ignore[attr-defined]
    (tmp_path / "fit.py").write_text(FIT + "\n# another version")
    assert model.code() != before  # type: ignore[attr-defined]


def test_users_of_weight_zero_are_left_out_where_weights_are_not_taken(tmp_path: Path) -> None:
    settings = commands(tmp_path, fit_=FIT.replace("train, weights, model, seed", "train, model, seed").replace(
        'weight = {row["user"]: float(row["weight"]) for row in csv.DictReader(open(weights))}', ""
    ).replace('weight[row["user"]]', "1"))  # fmt: skip
    settings["refit"] = settings["refit"].replace(" {weights}", "")
    weights = np.ones(LOG.n_users, np.float32)
    weights[:10] = 0
    slate = rank(
        fit(Recipe("commands", settings), LOG, 3, weights=weights), None, LOG.take(np.empty(0, np.int64)), 5
    ).slate
    counts = np.bincount(LOG.item[LOG.user >= 10], minlength=LOG.n_items)
    assert (counts[slate.items[0]] == np.sort(counts)[::-1][:5]).all()


def test_lists_that_are_too_short_and_children_that_stay(tmp_path: Path) -> None:
    model = build(Recipe("commands", commands(tmp_path, LISTS.replace(": int(k)]", ": 3]"))))
    (tmp_path / "served" / "best.json").write_text(json.dumps([[item, 1] for item in LOG.item_ids.tolist()]))
    model.load({}, LOG.n_users, LOG.n_items)
    with pytest.raises(DataError, match="of 40 lists hold fewer than 20 items"):
        model.scores(np.array([0]), LOG.take(np.empty(0, np.int64)))
    started = time.monotonic()
    staying = "import subprocess, sys; subprocess.Popen(['sleep', '60']); raise SystemExit('gone')"
    (tmp_path / "other").mkdir()
    model = build(Recipe("commands", commands(tmp_path / "other", staying) | {"timeout": 30.0}))
    model.load({}, LOG.n_users, LOG.n_items)
    with pytest.raises(InputError, match="exit code 1: gone"):
        model.scores(np.array([0]), LOG)
    assert time.monotonic() - started < 20
