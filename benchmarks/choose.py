"""Which signal, reduce, competition and units should `default` use? Every combination, on `choose`
seeds, under the paper's own curation.

These seeds are for choosing only; what is reported (benchmarks.planted) is measured on others.

    python -m benchmarks.choose [--samples 120]
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.common import save
from benchmarks.planted import record_split
from omnitrace import UnitConfig
from replay import PRESETS, ReplayConfig, Replayer
from replay.evaluation import COLUMNS
from replay.sweep.scorer import Scorer

SIGNALS = ("attmean", "rawatt", "attnorm", "attgrads", "attgrads-last")
REDUCES = ("sum", "max", "mean", "uniform", "lift", "surplus")
COMPETITIONS = ("together", "per-modality", "release")
REQUESTS = ("keep", "unnamed", "leave-out")
VIDEO = {
    "united": UnitConfig(),
    "united-2s": UnitConfig(video_seconds=2.0),
    "apart": UnitConfig(video="apart"),
    "apart-2s": UnitConfig(video="apart", vision_seconds=2.0),
}
SHOWN, SAVED = 20, 100


def combinations() -> dict[str, ReplayConfig]:
    """Every configuration by name; curation stays the paper's."""
    return {
        " ".join(values): replace(
            PRESETS["paper"],
            signal=values[0],
            reduce=values[1],
            competition=values[2],
            units=replace(VIDEO[values[4]], request=values[3]),
        )
        for values in product(SIGNALS, REDUCES, COMPETITIONS, REQUESTS, VIDEO)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=120)
    options = parser.parse_args()
    configs = combinations()
    with tempfile.TemporaryDirectory() as folder:
        run, golds = record_split("choose", options.samples, Path(folder))
        scorer = Scorer(list(configs.values()))
        total = np.sum(
            [scorer.tallies(Replayer(run[id]), gold) for id, gold in golds.items()], axis=0
        )
    right, found, true = np.moveaxis(total[..., :3], -1, 0)
    f1 = 2 * right / np.maximum(found + true, 1)
    order = np.argsort(-f1[:, -1], kind="stable")
    named = list(configs)
    ranked = {
        named[row]: dict(zip(COLUMNS, f1[row].round(4).tolist(), strict=True)) for row in order
    }
    for name, values in list(ranked.items())[:SHOWN]:
        print(f"{name:50}", *(f"{column} {value:.3f}" for column, value in values.items()))
    best = dict(list(ranked.items())[:SAVED])
    counts = {"samples": options.samples, "configurations": len(ranked)}
    save("choose", {"split": "choose", **counts, f"f1_micro of the best {SAVED}": best})


if __name__ == "__main__":
    main()
