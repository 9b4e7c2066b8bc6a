"""Which signal, reduce and competition should `default` use? Every combination, on `choose` seeds.

These seeds are for choosing only; what is reported (benchmarks.planted) is measured on others.

    python -m benchmarks.choose [--samples 120]
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from itertools import product
from pathlib import Path

from benchmarks.common import save
from benchmarks.planted import record_split, score
from omnitrace import UnitConfig
from replay import PRESETS, ReplayConfig
from replay.evaluation import COLUMNS

SIGNALS = ("attmean", "rawatt", "attgrads", "attgrads-last")
REDUCES = ("sum", "max", "mean", "lift")
COMPETITIONS = ("together", "per-modality", "release")
VIDEO = ("united", "apart")


def combinations() -> dict[str, ReplayConfig]:
    """Every configuration by name; curation stays the paper's."""
    return {
        " ".join(values): replace(
            PRESETS["paper"],
            signal=values[0],
            reduce=values[1],
            competition=values[2],
            units=UnitConfig(video=values[3]),
        )
        for values in product(SIGNALS, REDUCES, COMPETITIONS, VIDEO)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=120)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run, golds = record_split("choose", options.samples, Path(folder))
        scores = {name: score(run, golds, config) for name, config in combinations().items()}
    f1 = {name: {c: round(s.micro[c].f1, 4) for c in COLUMNS} for name, s in scores.items()}
    ranked = dict(sorted(f1.items(), key=lambda item: item[1]["all"], reverse=True))
    for name, values in ranked.items():
        print(f"{name:40}", *(f"{column} {value:.3f}" for column, value in values.items()))
    save("choose", {"split": "choose", "samples": options.samples, "f1_micro": ranked})


if __name__ == "__main__":
    main()
