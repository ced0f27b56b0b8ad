"""SASRec on Amazon Beauty (5-core of 2014: 22,363 users, 12,101 items, 198,502 events): quality and cost.

    python benchmarks/sasrec_beauty.py --data PATH --log FILE [--set dropout=0.5 ...] [--epochs N] [--seed S]

Leave-one-out, full ranking: the last item of every user is the test item, the one before it the validation item;
the model is fitted on the rest, reads all of a user's events but the test item, and ranks the whole catalogue less
those events. Hyper-parameters in CONFIG were chosen on the validation part. Training runs on one thread; its CPU
seconds exclude validation. Every epoch is written to FILE as a line of JSON, the answer as the last one; a second run
with the printed `--epochs` gives the same weights without validating.

Published full-ranking numbers of SASRec on this data set, leave-one-out:

| source | loss | HR@5 | HR@10 | HR@20 | NDCG@5 | NDCG@10 | NDCG@20 |
|---|---|---:|---:|---:|---:|---:|---:|
| S3-Rec authors, repository aHuiWang/CIKM2020-S3Rec, table all_rank.PNG | BCE, 1 negative | .0387 | .0605 | .0902 | .0249 | .0318 | .0394 |
| DuoRec (Qiu et al., WSDM 2022) as quoted in RUCAIBox/RecBole issue 1290 | one negative | | .0627 | | | .0281 | |
| RecBole's SASRec, RUCAIBox/RecBole issue 1290 | CE | | .0830 | | | .0416 | |
| RecBole's SASRec in DuoRec's code, RuihongQiu/DuoRec issue 3 | CE | .0555 | .0830 | .1191 | .0326 | .0415 | .0506 |
| RecBole's SASRec on LETTER's copy, HonghuiBao2000/LETTER issue 20 | CE | .0543 | .0821 | | .0315 | .0405 | |

Measured with CONFIG, seed 0, one thread of a shared machine (2 cores, AVX-512): 62 CPU s for 28 epochs; HR .0630 .0878
.1192, NDCG .0437 .0517 .0595 at 5, 10, 20. A popularity list gives HR@10 .0115 under this protocol.

The first table also has GRU4Rec (.0164 .0283 .0479 .0099 .0137 .0187) and popularity (.0080 .0152 .0217 .0044 .0068
.0084).
"""  # noqa: E501 - the table

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
import yaml

from recaudit.datasets.read import read_log
from recaudit.datasets.split import leave_last_out
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import build
from recaudit.recommenders.evaluate import evaluate

CONFIG = {"dropout": 0.5, "every": 2, "patience": 8}
METRICS = tuple(f"{name}@{k}" for name in ("hr", "ndcg") for k in (5, 10, 20))


def main() -> None:
    """Fit, evaluate, print a Markdown row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder amazon-beauty-seq")
    parser.add_argument("--log", type=Path, required=True, help="lines of JSON are appended to it")
    parser.add_argument("--model", choices=("sasrec", "gru4rec", "fmlp-rec"), default="sasrec")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="over CONFIG")
    parser.add_argument("--epochs", type=int, help="exactly so many, without validation")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    split = leave_last_out(read_log(options.data).log)
    config = CONFIG | {key: yaml.safe_load(value) for key, value in (pair.split("=", 1) for pair in options.set)}
    model = build(Recipe(options.model, config))

    with options.log.open("a") as file:

        def write(line: dict[str, object]) -> None:
            file.write(json.dumps(line) + "\n")
            file.flush()

        write({"model": options.model, "config": model.config.model_dump(), "seed": options.seed})
        began = time.process_time()
        model.fit(
            split.train,
            options.seed,
            valid=None if options.epochs else split,
            epochs=options.epochs,
            report=lambda epoch, _, text: write({"epoch": epoch, "cpu_s": time.process_time() - began, "text": text}),
        )
        kept = model.epochs
        seconds = time.process_time() - began
        if options.epochs is None:  # the cost of the training alone, as a refit pays it: again, without validation
            again = build(Recipe(options.model, config))
            began = time.process_time()
            again.fit(split.train, options.seed, epochs=kept)
            seconds = time.process_time() - began
            if any(not torch.equal(value, again.state()[name]) for name, value in model.state().items()):
                raise SystemExit("a repeat with the kept number of epochs gave other weights")
        began = time.process_time()
        found = evaluate(model, split.test, split.history, (5, 10, 20))
        evaluating = time.process_time() - began
        write({"epochs": kept, "train_cpu_s": seconds, "evaluate_cpu_s": evaluating} | found)
    print("| model | CPU s | epochs | " + " | ".join(name.upper() for name in METRICS) + " | evaluation, CPU s |")
    print("|---" * (len(METRICS) + 4) + "|")
    values = " | ".join(f"{found[name]:.4f}" for name in METRICS)
    print(f"| {options.model} | {seconds:.0f} | {kept} | {values} | {evaluating:.1f} |")


if __name__ == "__main__":
    main()
