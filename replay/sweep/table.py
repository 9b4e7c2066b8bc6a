"""What a sweep found as a table: a row a configuration, half of the samples and modality.

CSV or Parquet by the file's suffix (docs/sweeps.md). Knows no terminal.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from omnitrace.atomic import atomic_write
from omnitrace.config import leaves
from omnitrace.errors import CommandError
from replay.config import ReplayConfig
from replay.evaluation.space import COLUMNS
from replay.sweep.sweep import METRICS, Half, Swept

CHOSEN_ON, HELD_OUT = "chosen-on", "held-out"
BLOCK_ROWS = 10_000
"""Rows in memory at a time."""

Row = dict[str, Any]
Rows = Iterator[Row]


def rows(swept: Swept) -> Rows:
    """The rows of a sweep; modalities that no scored sentence has are absent."""
    halves = {CHOSEN_ON: swept.chosen_on, HELD_OUT: swept.held_out}
    if swept.held_out is swept.chosen_on:
        del halves[HELD_OUT]
    values = {name: half.rates.tolist() for name, half in halves.items()}
    for number, config in enumerate(swept.configs):
        settings = {"config": number, **flat(config)}
        for name, half in halves.items():
            for row in _modalities(half, number, values[name][number]):
                yield {**settings, "split": name, **row}


def flat(config: ReplayConfig) -> Row:
    """The configuration's values by dotted key; tables of weights as JSON."""
    return {
        leaf.path: json.dumps(leaf.value) if isinstance(leaf.value, Mapping) else leaf.value
        for leaf in leaves(config)
    }


def _modalities(half: Half, number: int, values: list[list[float]]) -> Rows:
    spans = half.tallies[number, :, 3].astype(int).tolist()
    for column, own, count in zip(COLUMNS, values, spans, strict=True):
        if count:
            scores = dict(zip(METRICS, own, strict=True))
            yield {"modality": column, "samples": half.samples, "sentences": count, **scores}


def check_suffix(path: Path) -> None:
    """CommandError unless the file can be written as what its suffix says, before any work."""
    if path.suffix not in _WRITERS:
        raise CommandError(f"{path}: tables are written as {' or '.join(_WRITERS)}.")
    if not path.parent.is_dir():
        raise CommandError(f"there is no folder {path.parent} to write {path.name} to.")
    if path.suffix == ".parquet":
        _pyarrow()


def write_rows(path: Path, table: Rows) -> None:
    """Write the rows, completely or not at all; CommandError if that cannot be done."""
    with atomic_write(path) as temporary:
        _WRITERS[path.suffix](temporary, table)


def _write_csv(path: Path, table: Rows) -> None:
    with path.open("x", newline="", encoding="utf-8") as file:
        first = next(table)
        writer = csv.DictWriter(file, list(first))
        writer.writeheader()
        writer.writerow(first)
        writer.writerows(table)


def _write_parquet(path: Path, table: Rows) -> None:
    arrow, parquet = _pyarrow()
    block = arrow.Table.from_pylist(list(islice(table, BLOCK_ROWS)))
    with parquet.ParquetWriter(path, block.schema) as writer:
        while block.num_rows:
            writer.write_table(block)
            block = arrow.Table.from_pylist(list(islice(table, BLOCK_ROWS)), schema=block.schema)


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise CommandError(
            "Parquet needs pyarrow: pip install 'omnitrace-replay[report]', or write .csv."
        ) from error
    return pyarrow, pyarrow.parquet


_WRITERS: dict[str, Callable[[Path, Rows], None]] = {
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
