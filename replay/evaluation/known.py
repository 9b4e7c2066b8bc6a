"""What a user knows of samples: a labels, truth or evidence file, told apart by its first line.

Evidence files are those of `omnitrace gate`. Knows no score and no configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from omnitrace.evidence import read_evidence, truth
from omnitrace.trace import Trace
from replay.evaluation.gold import Gold, gold_of_truth
from replay.evaluation.labels import Labels
from replay.evaluation.rows import read_bytes
from replay.evaluation.sources import read_golds
from replay.evaluation.truth import Truth


@dataclass(frozen=True)
class Known:
    """`ids`: sample id → whether the file names any evidence of it; `gold` compares what it says
    with the trace of such a sample, and raises OmniTraceError where that does not fit."""

    ids: Mapping[str, bool]
    gold: Callable[[Trace], Gold]


def read_known(path: Path) -> Known:
    """A labels, truth or evidence file.

    CommandError if it cannot be read; OmniTraceError naming the line that is not as it must be.
    """
    if not _is_evidence(path):
        golds = read_golds(path)
        return Known({id: _names_any(row) for id, row in golds.rows.by_id.items()}, golds.gold)
    rows = read_evidence(path)

    def gold(trace: Trace) -> Gold:
        return gold_of_truth(trace, msgspec.convert(truth(trace, rows[trace.id]), Truth))

    return Known({id: any(s.evidence for s in row.sentences) for id, row in rows.items()}, gold)


def _is_evidence(path: Path) -> bool:
    """Whether the first line has the keys of an evidence file: sentences, and no answer."""
    first = next((line for line in read_bytes(path).splitlines() if line.strip()), b"")
    try:
        keys = msgspec.json.decode(first)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(keys, dict) and "sentences" in keys and not {"answer", "labels"} & keys.keys()


def _names_any(row: Labels | Truth) -> bool:
    if isinstance(row, Labels):
        return any(any(one.lists.values()) for one in row.labels)
    return any(sentence.evidence for sentence in row.sentences)
