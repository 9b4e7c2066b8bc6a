"""Faithfulness: is an attribution what caused the answer? From recorded ablations, with no model.

One file a metric, one registry (docs/faithfulness.md). Knows recorded rows and scores of units;
not where the scores come from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from omnitrace.errors import CommandError, nearest
from replay.faithfulness.aopc import comprehensiveness, normalised, sufficiency
from replay.faithfulness.case import Case, case_of, sensitive
from replay.faithfulness.curves import deletion, insertion
from replay.faithfulness.drop import chance, drop
from replay.faithfulness.lds import lds
from replay.faithfulness.recorded import Recorded, Unanswerable, span_log_odds

__all__ = [
    "METRICS",
    "Case",
    "Metric",
    "Recorded",
    "Unanswerable",
    "case_of",
    "metric",
    "sensitive",
    "span_log_odds",
]


@dataclass(frozen=True)
class Metric:
    """An entry of the registry: `value` of a case, `better` is `higher` or `lower`.

    Both `value` and `chance`, what units at random would get, raise Unanswerable.
    """

    help: str
    value: Callable[[Case], float]
    better: str = "higher"
    chance: Callable[[Case], float] | None = None


METRICS: dict[str, Metric] = {
    "lds": Metric("rank correlation with held-out random masks", lds),
    **{
        f"drop-{k}": Metric(
            f"nats lost without the best {k if k > 1 else 'unit'}",
            partial(drop, k=k),
            chance=partial(chance, k=k),
        )
        for k in (1, 3, 5)
    },
    "comprehensiveness": Metric("mean nats lost without the best 1 to 50 %", comprehensiveness),
    "sufficiency": Metric("mean nats lost with only the best 1 to 50 %", sufficiency, "lower"),
    "normalised": Metric("comprehensiveness between the worst ranking and the best", normalised),
    "deletion": Metric("area under the probability as the best units go", deletion, "lower"),
    "insertion": Metric("area under the probability as the best units come", insertion),
}


def metric(name: str) -> Metric:
    """The metric of that name; CommandError naming the legal ones otherwise."""
    if name not in METRICS:
        raise CommandError(f"no metric '{name}': {nearest(name, list(METRICS))}.")
    return METRICS[name]
