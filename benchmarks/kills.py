"""Is anything lost when writers are killed? 500 seeded SIGKILLs over 4 concurrent writers of a run.

How it is judged: tests/omnitrace/killing.py.

python -m benchmarks.kills [--kills 500] [--seed 0] [--quick] [--json]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.common import Claim, print_claims, save
from tests.omnitrace.killing import kill_writers

KILLS, QUICK_KILLS = 500, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    kills = QUICK_KILLS if given.quick else given.kills
    with tempfile.TemporaryDirectory() as name:
        found = kill_writers(Path(name), kills, given.seed)
    print(json.dumps(found, indent=1))
    if not given.quick:
        save("kills", found)
    if given.json:
        print_claims(claims(found))


def claims(found: dict[str, Any]) -> list[Claim]:
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
