"""A method's metrics over the samples of a run: means with intervals, and what had no answer.

Knows tasks, methods and metrics; no terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from omnitrace.samples import each_sample, sample_sentence
from omnitrace.trace import Trace
from replay.faithfulness import METRICS, Case, Unanswerable, case_of, sensitive
from replay.methods import AttributionTask, Method
from replay.stats import NOTHING, Estimate, pooled


@dataclass
class Tally:
    """One number of every sample: sums and counts over its spans, and why others have none."""

    sums: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    unanswered: dict[str, int] = field(default_factory=dict)

    def take(self, value: Callable[[Case], float], cases: Iterable[Case]) -> None:
        """Add a sample's spans."""
        values = []
        for case in cases:
            try:
                values.append(value(case))
            except Unanswerable as error:
                self.refuse(str(error))
        self.sums.append(float(np.sum(values)))
        self.counts.append(len(values))

    def refuse(self, why: str, spans: int = 1) -> None:
        """Note that some spans have no answer."""
        self.unanswered[why] = self.unanswered.get(why, 0) + spans

    @property
    def spans(self) -> int:
        """How many have an answer."""
        return sum(self.counts)

    @property
    def mean(self) -> Estimate:
        """Over spans; the interval draws samples again, as spans of one are not independent."""
        if not self.spans:
            return NOTHING
        return pooled(np.array(self.sums), np.array(self.counts, np.float64))


@dataclass
class Faithfulness:
    """What came of a run: a tally a metric, those of chance, and the masks that were missing.

    `missing`: sample id → masks, each the base units that it takes away; `failed`: id → sentence.
    """

    tallies: dict[str, Tally]
    chance: dict[str, Tally]
    samples: int = 0
    missing: dict[str, list[list[int]]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def measure(
    run: Mapping[str, Trace],
    ids: Iterable[str],
    task_of: Callable[[Trace], AttributionTask],
    method: Method,
    metrics: Sequence[str],
    only_sensitive: bool = False,
) -> Faithfulness:
    """The metrics of a method on every sample of `ids`; failures as of `each_sample`.

    With `only_sensitive`, tokens that the language alone explains do not count.
    """
    result = Faithfulness(
        {name: Tally() for name in metrics},
        {name: Tally() for name in metrics if METRICS[name].chance},
    )

    def use(trace: Trace) -> tuple[AttributionTask, list[Case]]:
        task = task_of(trace)
        return task, cases_of(task, method, only_sensitive)

    failed: dict[str, str] = {}
    for id, (task, cases) in each_sample(run, ids, use, failed):
        result.samples += 1
        _take(result, cases)
        missing = sorted(task.recorded.missing)
        if missing:
            result.missing[id] = [list(mask) for mask in missing]
    result.failed |= {id: sample_sentence(id, why) for id, why in failed.items()}
    return result


def cases_of(task: AttributionTask, method: Method, only_sensitive: bool = False) -> list[Case]:
    """A case a span, but for those in which no token counts."""
    recorded, scores = task.recorded, method.scores(task)
    steps = task.steps
    if only_sensitive:
        steps = steps & sensitive(recorded)
    named = ~task.units.unnamed
    return [
        case_of(recorded, row, own, named)
        for row, own in zip(scores, steps, strict=True)
        if own.any()
    ]


def _take(result: Faithfulness, cases: Sequence[Case]) -> None:
    for name, tally in result.tallies.items():
        tally.take(METRICS[name].value, cases)
    for name, tally in result.chance.items():
        chance = METRICS[name].chance
        assert chance is not None
        tally.take(chance, cases)


def to_json(result: Faithfulness) -> dict[str, object]:
    """As JSON data, schema `omnitrace.faithfulness/1`, without the head."""
    return {
        "samples": result.samples,
        "metrics": {name: _json(tally) for name, tally in result.tallies.items()},
        "chance": {name: _json(tally) for name, tally in result.chance.items()},
        "failed": dict(result.failed),
    }


def _json(tally: Tally) -> Mapping[str, object]:
    mean = tally.mean
    known = not np.isnan(mean.value)
    return {
        "value": mean.value if known else None,
        "ci": [mean.low, mean.high] if known else None,
        "spans": tally.spans,
        "unanswered": tally.unanswered,
    }
