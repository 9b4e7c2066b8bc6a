"""Does memory grow while hundreds of samples are recorded? 500 planted samples of every kind.

python -m benchmarks.soak [--samples 500] [--quick] [--json]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from benchmarks.common import Claim, print_claims, save
from omnitrace.progress import Progress
from recorder.config import RecordConfig
from recorder.planted.samples import KINDS, SPLITS, make_sample, write_samples
from recorder.record import record

WARM = 50
QUICK_SAMPLES = 80


def resident_bytes() -> int:
    """What the process holds of the machine's memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    count = QUICK_SAMPLES if given.quick else given.samples
    held: list[int] = []

    def watch(progress: Progress) -> None:
        if progress.done == len(held) and progress.done < count:
            held.append(resident_bytes())

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seeds = SPLITS["choose"]
        samples = [make_sample(seeds[i], KINDS[i % len(KINDS)]) for i in range(count)]
        write_samples(samples, folder)
        del samples
        record(folder / "samples.jsonl", folder / "run", RecordConfig(), watch)
    growth = max(held[WARM:]) / max(held[:WARM])
    found = {
        "samples": count,
        "peak of the first 50, bytes": max(held[:WARM]),
        "peak after them, bytes": max(held[WARM:]),
        "every 50th, bytes": held[::50],
    }
    print(found)
    if not given.quick:
        save("soak", found)
    if given.json:
        print_claims([Claim("peak memory after 50 samples to before", growth, 1.02, "lower")])


if __name__ == "__main__":
    main()
