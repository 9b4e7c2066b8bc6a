"""A method's metrics over the samples of a run: means with intervals, and what had no answer.

Knows questions, methods and metrics; no terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from omnitrace.errors import CommandError, OmniTraceError, SampleError
from omnitrace.text import one_line
from replay.faithfulness import METRICS, Case, Unanswerable, case, sensitive
from replay.methods import Method, Question
from replay.stats import NOTHING, Estimate, pooled


@dataclass
class Tally:
    """One number of every sample: sums and counts over its spans, and why others have none."""

    sums: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    unanswered: dict[str, int] = field(default_factory=dict)

    def take(self, ask: Callable[[Case], float], cases: Iterable[Case]) -> None:
        """Add a sample's spans."""
        values = []
        for each in cases:
            try:
                values.append(ask(each))
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
    questions: Iterable[Question],
    method: Method,
    metrics: Sequence[str],
    only_sensitive: bool = False,
) -> Faithfulness:
    """The metrics of a method on every sample; one that cannot be read is named, the rest go on.

    With `only_sensitive`, tokens that the language alone explains do not count. CommandError for
    what is wrong with all samples, as a signal that was not recorded.
    """
    found = Faithfulness(
        {name: Tally() for name in metrics},
        {name: Tally() for name in metrics if METRICS[name].chance},
    )
    for question in questions:
        try:
            cases = cases_of(question, method, only_sensitive)
        except OmniTraceError as error:
            if isinstance(error, CommandError) and not isinstance(error, SampleError):
                raise
            name = f"sample '{one_line(question.trace.id)}'"
            found.failed[question.trace.id] = f"{name}: {str(error).removeprefix(f'{name}: ')}"
            continue
        found.samples += 1
        _take(found, cases)
        missing = sorted(question.recorded.missing)
        if missing:
            found.missing[question.trace.id] = [list(mask) for mask in missing]
    return found


def cases_of(question: Question, method: Method, only_sensitive: bool = False) -> list[Case]:
    """A case a span, but for those in which no token counts."""
    recorded, scores = question.recorded, method.scores(question)
    steps = question.steps
    if only_sensitive:
        steps = steps & sensitive(recorded)
    named = ~question.units.unnamed
    return [
        case(recorded, row, own, named) for row, own in zip(scores, steps, strict=True) if own.any()
    ]


def _take(found: Faithfulness, cases: Sequence[Case]) -> None:
    for name, tally in found.tallies.items():
        tally.take(METRICS[name].value, cases)
    for name, tally in found.chance.items():
        ask = METRICS[name].chance
        assert ask is not None
        tally.take(ask, cases)


def to_json(found: Faithfulness) -> dict[str, object]:
    """As JSON data, schema `omnitrace.faithfulness/1`, without the head."""
    return {
        "samples": found.samples,
        "metrics": {name: _json(tally) for name, tally in found.tallies.items()},
        "chance": {name: _json(tally) for name, tally in found.chance.items()},
        "failed": dict(found.failed),
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
