"""From which score is a unit a source? The share of a span's largest and the least, on `choose`.

For methods that choose sources by their scores alone: ours (`loo`, `contextcite`), and with
--peers, in their environment, each peer's own, so that none competes with a threshold that suits
another. These seeds are for choosing only; what is reported is measured on others.

    python -m benchmarks.thresholds [--samples 4] [--peers]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.common import save
from omnitrace import Run
from omnitrace.cli.benchmark import PlantedOptions, record_planted
from omnitrace.errors import OmniTraceError
from replay.evaluation import Gold, golds_of_truths, judge, read_truths
from replay.methods import METHODS, AttributionTask, attribution_of, naming
from replay.methods.leaderboard import ENTRIES, Entry

Float64 = npt.NDArray[np.float64]

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
LEASTS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 2.0, 3.0, 5.0)
OURS = ("loo", "contextcite")


def sweep(run: Run, golds: Mapping[str, Gold], entry: Entry) -> Float64:
    """(shares, leasts) F1 of all labels; a sample on which the method fails names nothing."""
    counts = np.zeros((len(SHARES), len(LEASTS), 3))
    for id, gold in golds.items():
        task = AttributionTask(run[id], entry.config)
        try:
            scores = METHODS[entry.method].scores(task)
        except OmniTraceError:
            scores = np.zeros((len(task.spans), len(task.units)))
        for at in np.ndindex(counts.shape[:2]):
            chosen = naming(SHARES[at[0]], LEASTS[at[1]])(task, scores)
            counts[at] += judge(attribution_of(task, scores, chosen), gold).tally[-1, :3]
    right, found, true = np.moveaxis(counts, -1, 0)
    f1: Float64 = 2 * right / np.maximum(found + true, 1)
    return f1


def summary(f1: Float64) -> dict[str, Any]:
    """The best thresholds, of many the middle ones, and all that were tried."""
    best = np.argwhere(f1 >= f1.max() - 1e-9)
    share, least = best[len(best) // 2].tolist()
    return {
        "share": SHARES[share],
        "least": LEASTS[least],
        "f1": round(float(f1.max()), 4),
        "tried": {
            f"{s} {n}": round(float(f1[i, j]), 4)
            for i, s in enumerate(SHARES)
            for j, n in enumerate(LEASTS)
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=4, help="of each modality and axis")
    parser.add_argument("--peers", action="store_true", help="the peers too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run, _ = record_planted(folder, PlantedOptions(samples=options.samples, split="choose"))
        golds = golds_of_truths(run, read_truths(folder / "truth.jsonl"))
        golds_of: dict[str, Mapping[str, Gold]] = dict.fromkeys(OURS, golds)
        if options.peers:
            golds_of |= of_peers(folder, run, golds)
        found = {name: summary(sweep(run, own, ENTRIES[name])) for name, own in golds_of.items()}
    for name, best in found.items():
        print(f"{name:24} share {best['share']} least {best['least']} F1 {best['f1']:.3f}")
    save("thresholds", {"split": "choose", "samples": len(golds), "methods": found})


def of_peers(folder: Path, run: Run, golds: Mapping[str, Gold]) -> dict[str, Mapping[str, Gold]]:
    """Every peer, registered, and the samples that it can take."""
    from benchmarks.peers.entries import TEXT_ONLY, register
    from benchmarks.peers.table import of_text

    texts = {id: golds[id] for id in of_text(run, golds)}
    return {name: texts if name in TEXT_ONLY else golds for name in register(folder)}


if __name__ == "__main__":
    main()
