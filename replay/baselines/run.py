"""A baseline over a run: its result for each sample, kept in a file, and the labels of all.

Knows traces and the interfaces of baselines; not how one works.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from omnitrace.baseline import Answerer, BaselineConfig, Comparer
from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.samples import each_sample, sample_sentence
from omnitrace.store.run import Run
from omnitrace.text import one_line
from omnitrace.trace import Trace
from replay.baselines.answers import question
from replay.baselines.methods import METHODS
from replay.baselines.results import Results, open_results
from replay.baselines.similarity import Similarity, Thresholds, chunks_of, similarity
from replay.evaluation.labels import Labels


def results_of(
    run: Run, predictions: Path, method: str, config: BaselineConfig
) -> AbstractContextManager[Results]:
    """The results that belong to the labels file `predictions`, in NAME.kept.jsonl next to it.

    CommandError if `predictions` is a file of something else; and as `open_results`.
    """
    path = predictions.with_suffix(".kept.jsonl")
    if predictions.exists() and not path.exists():
        raise CommandError(f"{predictions} is there already, and is no baseline's: name another.")
    options = {key: getattr(config, key) for key in METHODS[method].depends}
    return open_results(path, {"run": run.store_uuid, "method": method, "config": options})


def compute(
    run: Mapping[str, Trace],
    ids: Iterable[str],
    results: Results,
    result_of: Callable[[Trace], Any],
) -> dict[str, str]:
    """Keep the result (JSON data) of every sample of `ids` that has none yet.

    Returns id → sentence of those that failed; the others go on.
    """
    failed: dict[str, str] = {}
    todo = (id for id in ids if id not in results.rows)
    for id, result in each_sample(run, todo, result_of, failed):
        results.add(id, result)
    return {id: sample_sentence(id, one_line(why, 1000)) for id, why in failed.items()}


def result_of(load: Callable[[], Comparer | Answerer]) -> Callable[[Trace], Any]:
    """From a trace to its result; the method is loaded for the first trace."""
    loaded = cache(load)

    def result(trace: Trace) -> Any:
        method = loaded()
        if isinstance(method, Answerer):
            return method.answer(trace, question(trace))
        return compare(method, trace)

    return result


def predictions_of(
    similarities: Sequence[Similarity], thresholds: Thresholds, labeller: str
) -> Iterator[Labels]:
    """The labels of the samples in which the baseline can compare anything."""
    return (one.labels(thresholds, labeller) for one in similarities if one.compared.any())


def compare(method: Comparer, trace: Trace) -> list[list[float | None]]:
    """(K, L) similarities of one trace as JSON data, None for NaN."""
    values = similarity(trace, method.similarities(trace, chunks_of(trace))).values
    return [[None if np.isnan(value) else value for value in row] for row in values.tolist()]


def kept_similarity(trace: Trace, data: Any) -> Similarity:
    """The result of `compare` from its JSON data; OmniTraceError if it is not of this trace."""
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
