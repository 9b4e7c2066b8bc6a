"""Does any reader of foreign bytes crash, hang or take memory? A million mutated inputs.

What is read and how it is judged: tests/fuzzed.py, tests/fuzzing.py.

python -m benchmarks.fuzz [--executions 1000000] [--seed 0] [--only NAME] [--quick] [--json]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.common import Claim, print_claims, save
from tests.fuzzed import readers
from tests.fuzzing import fuzz

MEMORY = Path("/dev/shm")
EXECUTIONS, QUICK_EXECUTIONS = 1_000_000, 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executions", type=int, default=EXECUTIONS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    total = QUICK_EXECUTIONS if given.quick else given.executions
    kept = Path(tempfile.mkdtemp(prefix="fuzz-", dir=MEMORY if MEMORY.is_dir() else None))
    made = [r for r in readers(kept) if given.only in r.name]
    share = sum(reader.share for reader in made)
    found: dict[str, Any] = {}
    for reader in made:
        began = time.monotonic()
        outcome = fuzz(reader, -int(-total * reader.share // share), given.seed, kept)
        found[reader.name] = vars(outcome) | {"seconds": round(time.monotonic() - began, 1)}
        print(
            reader.name, outcome.executions, outcome.accepted, f"{found[reader.name]['seconds']} s"
        )
        for failure in outcome.failures:
            print(failure)
    failures = sum(len(one["failures"]) for one in found.values())
    executions = sum(one["executions"] for one in found.values())
    if not given.quick and not given.only:
        save("fuzz", {"seed": given.seed, "executions": executions, "readers": found})
    if given.json:
        print_claims([
            Claim("failures", failures, 0, "lower"),
            Claim("executions", executions, total, "higher"),
        ])  # fmt: skip


if __name__ == "__main__":
    main()
