"""Going through a run with a baseline: what is kept of each sample, and labels of all.

Knows traces and what a baseline is asked for; not how it answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import numpy as np

from omnitrace.arrays import Float64
from omnitrace.chunks import Chunks
from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.text import one_line
from omnitrace.trace import Trace
from replay.baselines.kept import Kept
from replay.baselines.similarity import Similarity, chunks_of, similarity


class Compares(Protocol):
    """A baseline that compares chunks."""

    def similarities(self, trace: Trace, chunks: Chunks) -> Float64:
        """(K, L) float64, NaN for pairs that it cannot compare; OmniTraceError for the sample."""


def compute(
    run: Mapping[str, Trace],
    ids: Iterable[str],
    kept: Kept,
    make: Callable[[Trace], Any],
) -> dict[str, str]:
    """Keep what `make` makes of every sample of `ids` that is not kept yet.

    Returns id → sentence of those that failed; the others go on.
    """
    failed = {}
    for id in ids:
        if id in kept.rows:
            continue
        try:
            kept.add(id, make(run[id]))
        except CommandError:
            raise
        except OmniTraceError as error:
            failed[id] = f"sample '{one_line(id)}': {one_line(str(error), 1000)}"
    return failed


def compare(method: Compares, trace: Trace) -> list[list[float | None]]:
    """The similarities of one trace as JSON data, None for NaN."""
    values = similarity(trace, method.similarities(trace, chunks_of(trace))).values
    return [[None if np.isnan(value) else value for value in row] for row in values.tolist()]


def kept_similarity(trace: Trace, data: Any) -> Similarity:
    """What `compare` made; OmniTraceError if it is not of this trace."""
    chunks = chunks_of(trace)
    shape = len(chunks.sentences), chunks.sources
    try:
        values = np.array(data, np.float64).reshape(shape)
    except (ValueError, TypeError) as error:
        raise OmniTraceError(
            f"sample '{one_line(trace.id)}': what is kept of it is not {shape[0]} by {shape[1]} "
            "similarities: remove the file of kept results."
        ) from error
    return similarity(trace, values)
