"""Attribution methods side by side on samples whose causes are known: F1, faithfulness, cost.

F1 is that of each configuration's own units; faithfulness is measured on the same units for all.
Knows methods, golds and metrics; not how the samples were made or recorded.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from omnitrace.errors import OmniTraceError
from omnitrace.trace import Trace
from replay.config import PRESETS, ReplayConfig
from replay.evaluation import COLUMNS, Gold, Judgement, Scores, judge, score
from replay.faithfulness import METRICS
from replay.methods import METHODS, AttributionTask, attribution_of
from replay.methods.measure import Tally, cases_of
from replay.stats import Estimate

FAITHFULNESS = ("lds", "drop-1")


@dataclass(frozen=True)
class Entry:
    """Who competes: a method of the registry under a configuration."""

    method: str = "signal"
    config: ReplayConfig = PRESETS["default"]


SIGNALS = ("attmean", "attgrads")
"""Signals that compete as they are, by their masses; presets rank by what their curation counts."""

CAUSAL = replace(PRESETS["default"], units=replace(PRESETS["default"].units, request="leave-out"))
"""Causal methods take the request for granted, as ContextCite does."""

ENTRIES: dict[str, Entry] = {
    **{name: Entry("votes", config) for name, config in PRESETS.items()},
    **{name: Entry(config=replace(PRESETS["default"], signal=name)) for name in SIGNALS},
    "loo": Entry("loo", CAUSAL),
    "contextcite": Entry("contextcite", CAUSAL),
    "random": Entry("random", CAUSAL),
    "length": Entry("length", CAUSAL),
}


@dataclass
class Standing:
    """What one entry reached: a judgement a sample, tallies a metric, passes and seconds of
    replay a sample; `failed`: id → sentence, and those samples count as nothing found."""

    name: str
    judgements: list[Judgement] = field(default_factory=list)
    tallies: dict[str, Tally] = field(default_factory=lambda: {n: Tally() for n in FAITHFULNESS})
    calls: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def scores(self, draws: int = 1000) -> Scores:
        """F1 by modality, with intervals."""
        return score(self.judgements, draws)

    def by_group(self, group: Mapping[str, str]) -> dict[str, float]:
        """Micro F1 of all labels by the group of each sample id."""
        names = dict.fromkeys(group[one.id] for one in self.judgements)
        return {
            name: score([one for one in self.judgements if group[one.id] == name]).micro["all"].f1
            for name in names
        }

    def metric(self, name: str) -> Estimate:
        """A metric of faithfulness, over spans."""
        return self.tallies[name].mean


def leaderboard(
    traces: Mapping[str, Trace], golds: Mapping[str, Gold], entries: Mapping[str, Entry]
) -> list[Standing]:
    """The standings of the entries on the samples that have a gold, in the order of the entries."""
    standings = [Standing(name) for name in entries]
    for id in golds:
        trace = traces[id]
        for standing in standings:
            entry = entries[standing.name]
            _compete(standing, AttributionTask(trace, entry.config), golds[id], entry)
    return standings


def _compete(standing: Standing, task: AttributionTask, gold: Gold, entry: Entry) -> None:
    how, began = METHODS[entry.method], time.perf_counter()
    try:
        scores = how.scores(task)
        chosen = how.sources(task, scores)
        standing.calls.append(how.calls(task))
    except OmniTraceError as error:
        standing.failed[task.trace.id] = str(error)
        scores = np.zeros((len(task.spans), len(task.units)))
        chosen = np.zeros(scores.shape, bool)
    found = attribution_of(task, scores, chosen)
    standing.seconds.append(time.perf_counter() - began)
    standing.judgements.append(judge(found, gold))
    if task.trace.id not in standing.failed:
        units = replace(entry.config, units=CAUSAL.units)
        _test(standing, replace(task, config=units), entry)


def _test(standing: Standing, task: AttributionTask, entry: Entry) -> None:
    try:
        cases = cases_of(task, METHODS[entry.method])
    except OmniTraceError as error:
        for tally in standing.tallies.values():
            tally.refuse(str(error), len(task.spans))
        return
    for name, tally in standing.tallies.items():
        tally.take(METRICS[name].value, cases)


def to_json(standings: Sequence[Standing], pass_seconds: float) -> list[dict[str, Any]]:
    """Rows of schema `omnitrace.leaderboard/1`; `pass_seconds`: what one masked pass took."""
    return [_json(standing, pass_seconds) for standing in standings]


def _json(standing: Standing, pass_seconds: float) -> dict[str, Any]:
    scores = standing.scores().micro
    calls = float(np.mean(standing.calls)) if standing.calls else None
    replayed = float(np.mean(standing.seconds)) if standing.seconds else 0.0
    row: dict[str, Any] = {"method": standing.name}
    for column in COLUMNS:
        one = scores[column]
        if one.spans:
            low_high = None if one.low is None or one.high is None else [one.low[2], one.high[2]]
            row[f"f1_{column}"] = {"value": one.f1, "ci": low_high}
    for name in FAITHFULNESS:
        mean, tally = standing.metric(name), standing.tallies[name]
        known = not np.isnan(mean.value)
        row[name] = {
            "value": mean.value if known else None,
            "ci": [mean.low, mean.high] if known else None,
            "spans": tally.spans,
        }
    row["calls"] = calls
    row["seconds"] = replayed + (calls or 0.0) * pass_seconds
    row["failed"] = len(standing.failed)
    return row
