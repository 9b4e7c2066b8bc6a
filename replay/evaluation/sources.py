"""Where golds come from: a labels file, or a planted truth file; distinguished by their keys."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

import msgspec

from omnitrace.errors import OmniTraceError
from omnitrace.trace import Trace
from replay.evaluation.gold import Gold, gold_of_truth
from replay.evaluation.labels import Labels, gold_of_labels, read_labels
from replay.evaluation.rows import Rows, read_bytes, read_rows
from replay.evaluation.truth import Truth


@dataclass(frozen=True)
class GoldFile:
    """A file of what is true of samples; `gold` compares it with a trace."""

    rows: Rows[Labels] | Rows[Truth]

    def __contains__(self, id: str) -> bool:
        return id in self.rows.by_id

    def __len__(self) -> int:
        return len(self.rows.by_id)

    def check_known(self, samples: Container[str]) -> None:
        """OmniTraceError naming the first labels of a sample that is not in `samples`.

        Truths are made before a run, labels after it: a truth too many is no mistake.
        """
        if any(isinstance(row, Labels) for row in self.rows.by_id.values()):
            self.rows.check_known(samples)

    def gold(self, trace: Trace, seconds: float = 1.0) -> Gold:
        """The gold of this trace; OmniTraceError naming the line that does not fit it."""
        row = self.rows.by_id[trace.id]
        try:
            if isinstance(row, Truth):
                return gold_of_truth(trace, row, seconds)
            return gold_of_labels(trace, row, seconds)
        except OmniTraceError as error:
            message = str(error).rstrip(".")
            raise OmniTraceError(f"{self.rows.where(trace.id)}: {message}.") from error


def read_golds(path: Path) -> GoldFile:
    """A labels file or a truth file; errors as of `read_rows`."""
    return GoldFile(read_rows(path, Truth) if _are_truths(path) else read_labels(path))


def _are_truths(path: Path) -> bool:
    """Whether the first line has a truth's keys; what is neither is read as labels."""
    first = next((line for line in read_bytes(path).splitlines() if line.strip()), b"")
    try:
        keys = msgspec.json.decode(first)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(keys, dict) and "sentences" in keys and "labels" not in keys
