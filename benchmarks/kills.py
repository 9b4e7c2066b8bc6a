"""Is anything lost when writers are killed? 500 seeded SIGKILLs over 4 concurrent writers of a run.

How it is judged: tests/omnitrace/store/killing.py.

python -m benchmarks.kills [--kills 500] [--seed 0] [--quick] [--json]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from benchmarks.common import Claim, print_claims, save
from tests.omnitrace.store.killing import WRITERS, kill_writers

KILLS, QUICK_KILLS, ROUND = 500, 20, 25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", help="where the runs are made and removed")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    kills = QUICK_KILLS if given.quick else given.kills
    found: Counter[str] = Counter()
    for number in range(-(-kills // ROUND)):  # a run each: one of 100,000 commits opens slowly
        with tempfile.TemporaryDirectory(dir=given.folder) as name:
            one = kill_writers(Path(name), min(ROUND, kills - number * ROUND), given.seed + number)
        found.update(one)
        print(found["kills"], "kills", json.dumps(one), flush=True)
    if not given.quick:
        save("kills", {"seed": given.seed, "concurrent writers": WRITERS, **found})
    if given.json:
        print_claims(claims(found))


def claims(found: Mapping[str, int]) -> list[Claim]:
    """All of these must be zero."""
    none = (
        "committed samples lost",
        "half samples visible",
        "wrong values",
        "orphans left",
        "missing after resuming",
    )
    return [Claim(name, found[name], 0, "lower") for name in none]


if __name__ == "__main__":
    main()
