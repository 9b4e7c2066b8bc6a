"""Attributions as rows, one a (sample, span, candidate source): CSV, or Parquet by pyarrow.

A span of which no source is a candidate has no row. Knows no page.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from omnitrace.errors import extra
from omnitrace.text import safe_text
from omnitrace.timeline import Modality
from omnitrace.trace import Trace
from replay.attribution import Attribution
from replay.evaluation import Gold
from replay.report.marks import marks_of

COLUMNS = {
    "sample": "string",
    "span": "int32",
    "start": "int32",
    "end": "int32",
    "text": "string",
    "unit": "string",
    "modality": "string",
    "label": "string",
    "unit_text": "string",
    "start_s": "float64",
    "end_s": "float64",
    "kept": "bool_",
    "rule": "string",
    "share": "float64",
    "run": "float64",
    "score": "float64",
    "cause": "string",
    "effect": "float64",
    "right": "bool_",
}
"""Name → pyarrow type. `start`, `end`: characters of the response; `start_s`, `end_s`: seconds;
`rule`: what dropped it; `share`: of the span's votes; `run`, `score`: of kept ones; `cause`,
`effect`: what the removal of a kept one did, in nats, null where it was not tested; `right`: does
it hold a true label, null where that is unknown."""

Row = dict[str, Any]


@dataclass(frozen=True)
class _Place:
    """One span of one attribution."""

    attribution: Attribution
    number: int
    right: Mapping[int, bool]


def rows_of_run(
    attributed: Iterable[tuple[Trace, Attribution]], golds: Mapping[str, Gold]
) -> Iterator[list[Row]]:
    """The rows of each sample in turn, best source first, the kept before the dropped."""
    for trace, attribution in attributed:
        gold = golds.get(trace.id)
        marks = marks_of(trace, attribution, gold) if gold else None
        yield [
            row
            for number in range(len(attribution.spans))
            for row in _rows(_Place(attribution, number, marks[number].right if marks else {}))
        ]


def write_csv(samples: Iterable[list[Row]], file: TextIO) -> None:
    """The rows as CSV with a head; what is null is empty."""
    writer = csv.DictWriter(file, list(COLUMNS), lineterminator="\n")
    writer.writeheader()
    for rows in samples:
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)


def write_parquet(samples: Iterable[list[Row]], path: Path) -> None:
    """The rows as Parquet, a row group a sample; CommandError without pyarrow."""
    with extra("report", "Parquet needs"):
        import pyarrow
        import pyarrow.parquet

    schema = pyarrow.schema([(name, getattr(pyarrow, kind)()) for name, kind in COLUMNS.items()])
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for rows in samples:
            if rows:
                writer.write_table(pyarrow.Table.from_pylist(rows, schema))


def _rows(place: _Place) -> Iterator[Row]:
    span = place.attribution.spans[place.number]
    for source, verdict in zip(span.sources, span.judged, strict=True):
        yield _row(place, source.unit) | {
            "kept": True,
            "rule": None,
            "share": source.mass,
            "run": source.run,
            "score": source.score,
            "cause": verdict.cause,
            "effect": verdict.effect,
            "right": place.right.get(source.unit),
        }
    for lost in span.dropped:
        yield _row(place, lost.unit) | {
            "kept": False,
            "rule": lost.rule,
            "share": lost.mass,
            "run": None,
            "score": None,
            "cause": None,
            "effect": None,
            "right": place.right.get(lost.unit),
        }


def _row(place: _Place, unit: int) -> Row:
    span, units = place.attribution.spans[place.number], place.attribution.units
    words = units.text[unit]
    return {
        "sample": safe_text(place.attribution.id),
        "span": place.number,
        "start": span.start,
        "end": span.end,
        "text": safe_text(span.text),
        "unit": units.id[unit],
        "modality": Modality(int(units.modality[unit])).label,
        "label": units.label[unit],
        "unit_text": None if words is None else safe_text(words),
        "start_s": _number(units.start_s[unit]),
        "end_s": _number(units.end_s[unit]),
    }


def _number(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)


def _cell(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value
