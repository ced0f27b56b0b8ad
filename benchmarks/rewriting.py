"""What rewritten titles do to a model that reads them, on MovieTweetings.

    python benchmarks/rewriting.py --shared ../shared --work DIR [--encoders static,sentence] [--targets 5]

Victims are SASRec with item vectors from titles and genres, 12 epochs at most. Limits are the check's: a fifth of the
length or twelve characters, similarity .8 by static vectors. Intervals are of the gain over targets, 95 % each.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from takeover import asked, victim, with_interval

from recaudit.attacks.rewriting.catalogue import REWRITINGS
from recaudit.attacks.rewriting.check import RewritingConfig, RewritingProbe
from recaudit.datasets.read import read_log
from recaudit.recommenders.base import Recipe


def main() -> None:
    """Ask what was not asked yet and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--encoders", default="static,sentence", help="of the victims, with commas between")
    parser.add_argument("--targets", type=int, default=5, help="target items per stratum")
    parser.add_argument("--jobs", type=int, default=None, help="cells at a time; a core each if not given")
    options = parser.parse_args()
    log = read_log(options.shared / "data" / "movietweetings-100k")
    for encoder in options.encoders.split(","):
        recipe = Recipe("sasrec", {"item_vectors": "text", "encoder": encoder, "max_epochs": 12})
        target = victim(options.work / encoder, recipe, log)
        quality = target.stored_metrics
        print(f"\n{encoder}: NDCG@10 {quality['ndcg@10']:.4f}, HR@20 {quality['hr@20']:.4f}\n")
        config = RewritingConfig(rewritings=tuple(REWRITINGS), per_stratum=options.targets)
        evidence = asked(target, RewritingProbe(config, 0), options)
        print("| rewriting | stratum | HR@20 before | after | gain | rank halves | titles tried |")
        print("|---|---|---:|---:|---|---|---:|")
        for hits, shift in zip(evidence[::2], evidence[1::2], strict=True):
            own = hits.details
            tried = sum(own["tried"].values()) / len(own["tried"])
            head = f"| {own['rewriting']} | {own['stratum']} | {own['before']:.3f} | {own['after']:.3f} "
            print(head + f"| {with_interval(hits, 3)} | {with_interval(shift, 2)} | {tried:.0f} |")
        print("\n| rewriting | title before | title after | log2 rank shift |\n|---|---|---|---:|")
        for shift in evidence[1::2]:
            for item, titles in list(shift.details["titles"].items())[:1]:
                texts = f"{titles['before']} | {titles['after']}"
                print(f"| {shift.details['rewriting']} | {texts} | {shift.details['targets'][item]:+.2f} |")


if __name__ == "__main__":
    main()
