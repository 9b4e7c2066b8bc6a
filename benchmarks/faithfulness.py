"""Which attributions are faithful? Every method on fresh planted evidence, with what it costs.

Heads are learned on the split `choose`; all numbers are of the split `confirm`, fresh seeds. Every
method answers for the same samples and masks of the bundled model (omnitrace benchmark).

    python -m benchmarks.faithfulness [--samples 6] [--quick] [--json] [--docs]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, Claim, print_claims, put_between, save
from omnitrace.cli import main as omnitrace
from replay.methods.leaderboard import SIGNALS

SINGLE_PASS = ("default", "paper", "release", *SIGNALS)
COLUMNS = {
    "f1_text": "text F1",
    "f1_image": "image F1",
    "f1_audio": "audio Time-F1",
    "f1_video": "video Time-F1",
    "f1_all": "all F1",
    "lds": "LDS",
    "drop-1": "top-1 drop",
}
SHORT = {name: COLUMNS[name] for name in ("f1_all", "lds", "drop-1")}
"""The columns in the README."""
QUICK = ["--modality", "text", "--modality", "image", "--axis", "units", "--axis", "length"]


def run(*command: str) -> str:
    """The standard output of an `omnitrace` command; RuntimeError if it fails."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        status = omnitrace(list(command))
    if status:
        raise RuntimeError(f"omnitrace {' '.join(command)} ended with {status}")
    return printed.getvalue()


def measure(samples: int, only: list[str]) -> dict[str, Any]:
    """The leaderboard of fresh samples, the learned heads in it."""
    size = ["--samples", str(samples), *only, "--json"]
    with tempfile.TemporaryDirectory() as name:
        folder, heads = Path(name), Path(name) / "heads.toml"
        first = ["--method", "random", "--split", "choose"]
        run("benchmark", str(folder / "choose"), *first, *size)
        run(
            "learn-heads",
            str(folder / "choose" / "run"),
            str(heads),
            "--units.request",
            "leave-out",
        )
        fresh = ["--split", "confirm", "--config", str(heads)]
        board: dict[str, Any] = json.loads(run("benchmark", str(folder / "fresh"), *size, *fresh))
    return board


def markdown(board: dict[str, Any], columns: Mapping[str, str] = COLUMNS) -> str:
    """A table of the documentation."""
    note = (
        f"\n*{board['samples']} fresh planted samples, {board['masks']} masks each, bundled model; "
        "in brackets 95 % intervals over samples.*\n"
    )
    return table_of(board["methods"], columns) + note


def table_of(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    """A line a method: its `columns` (name → heading), passes and seconds; — for what it lacks."""
    head = f"| method | {' | '.join(columns.values())} | passes | seconds |\n"
    rule = "|---|" + "--:|" * (len(columns) + 2) + "\n"
    lines = [
        f"| `{row['method']}` | {' | '.join(cell(row.get(name)) for name in columns)} | "
        f"{_plain(row.get('calls'), 0)} | {_plain(row.get('seconds'), 2)} |\n"
        for row in rows
    ]
    return head + rule + "".join(lines)


def cell(value: Mapping[str, Any] | None) -> str:
    """A value and its interval."""
    if value is None or value["value"] is None:
        return "—"
    if value["ci"] is None:
        return f"{value['value']:.2f}"
    return f"{value['value']:.2f} [{value['ci'][0]:.2f}, {value['ci'][1]:.2f}]"


def _plain(value: float | None, digits: int) -> str:
    return "—" if value is None else f"{value:.{digits}f}"


def claims(board: dict[str, Any]) -> list[Claim]:
    """Learned heads against the surrogate, the default against what else takes a single pass."""
    lds = {row["method"]: row["lds"]["value"] or 0.0 for row in board["methods"]}
    best = max(lds[name] for name in SINGLE_PASS)
    return [
        Claim("LDS of learned heads over the surrogate's", lds["heads"] / lds["contextcite"], 0.9,
              "higher"),
        Claim("LDS of default over the best single-pass preset's", lds["default"] / best, 1.0,
              "higher"),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=6, help="of each modality and axis")
    parser.add_argument("--quick", action="store_true", help="a few samples, nothing saved")
    parser.add_argument("--json", action="store_true", help="end with one line of claims")
    parser.add_argument("--docs", action="store_true", help="write README's and docs' tables")
    options = parser.parse_args()
    board = measure(1 if options.quick else options.samples, QUICK if options.quick else [])
    table = markdown(board)
    print(table)
    if not options.quick:
        save("faithfulness", board)
    if options.docs:
        put_between(ROOT / "docs" / "faithfulness.md", "faithfulness", table)
        put_between(ROOT / "README.md", "faithfulness", markdown(board, SHORT))
    if options.json:
        print_claims(claims(board))


if __name__ == "__main__":
    main()
