"""What a recording will take, before it is made: tokens, bytes, memory, time.

Every sample is prepared; a few of them, from the shortest to the longest, are recorded for trial
and measured, and the rest is interpolated. Nothing is written.
"""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from omnitrace.errors import OmniTraceError
from omnitrace.progress import Progress, Report, no_report
from omnitrace.samples import sample_sentence
from omnitrace.store.segment import segment_files
from omnitrace.store.writer import SEGMENT_BYTES, SEGMENT_SECONDS, trace_nbytes
from omnitrace.text import one_line
from omnitrace.trace import Trace
from recorder.config import RecordConfig
from recorder.identity import resolve_model
from recorder.inputs.responses import Response
from recorder.inputs.samples import Sample, read_samples
from recorder.passes.batch import batch_limit, fits
from recorder.record import given_responses, select
from recorder.tags import load_tagger
from recorder.tracer import Task, Tracer

TRIALS = 12
MOST_TRIALS = 96
LENGTH_ERROR = 0.08
"""Standard error of the mean answer's length, to that mean, above which more samples are tried."""
MARKER_BYTES = 4_000
"""What a segment has besides its arrays: marker and group."""


@dataclass(frozen=True)
class PlannedSample:
    """One sample: `n` prompt tokens, `T` tokens of answer (expected, or those given)."""

    id: str
    n: int
    T: int
    nbytes: int
    seconds: float


@dataclass(frozen=True)
class Plan:
    """All samples that can be recorded, the others with the reason why not, and what all take.

    `memory` is the peak of the device (of the process, on a CPU) with the longest sample; `trials`
    is the number of samples that were recorded to know; `measured_T` whether T is from these.
    """

    samples: tuple[PlannedSample, ...]
    failed: dict[str, str]
    nbytes: int
    seconds: float
    memory: int
    trials: int
    measured_T: bool
    device: str


@dataclass(frozen=True)
class _Layout:
    """A sample's size before it is answered; `T` if its answer is given."""

    sample: Sample
    given: Response | None
    n: int
    T: int | None
    seconds: float


@dataclass(frozen=True)
class _Trial:
    """What a batch took whose longest prompt has `n` tokens: seconds a sample until its first
    token, seconds a token after it; and the traces that it left."""

    n: int
    prompt_seconds: float
    step_seconds: float
    traces: tuple[Trace, ...]


@dataclass
class _Trials:
    """Trial batches, in the order of `n`."""

    batches: list[_Trial] = field(default_factory=list)

    @property
    def traces(self) -> list[Trace]:
        return [trace for trial in self.batches for trace in trial.traces]

    def length_error(self, count: int) -> float:
        """Standard error of the mean T over all `count` samples, to that mean."""
        lengths = np.array(list({trace.id: trace.T for trace in self.traces}.values()), float)
        untried = max(0.0, 1 - len(lengths) / max(1, count))
        spread = float(lengths.std()) / max(1e-9, float(lengths.mean()))
        return spread * math.sqrt(untried / len(lengths))

    def seconds(self, n: int, steps: int) -> float:
        """Of a sample with n prompt tokens and so many steps, between those that were measured."""
        lengths = [trial.n for trial in self.batches]
        prompt = np.interp(n, lengths, [trial.prompt_seconds for trial in self.batches])
        step = np.interp(n, lengths, [trial.step_seconds for trial in self.batches])
        return float(prompt + steps * step)

    def nearest(self, n: int) -> Trace:
        """The trace whose prompt is about as long; a sample that was tried is its own."""
        return min(self.traces, key=lambda trace: abs(n - trace.n))

    def nbytes(self, n: int, steps: int) -> float:
        """Before compression, scaled from the nearest trace."""
        trace = self.nearest(n)
        cells = max(1, trace.n + trace.T) * max(1, trace.T)
        return trace_nbytes(trace) * (n + steps) * max(1, steps) / cells


def plan(
    samples_path: Path,
    config: RecordConfig,
    report: Report = no_report,
) -> Plan:
    """What `record` would take. Raises what it would raise before the first sample."""
    batch = batch_limit(config.batch_size) or 1
    every = read_samples(samples_path)
    given = given_responses(config, every)
    tagger = load_tagger(config.spacy_model or None)
    tracer = Tracer.load(resolve_model(config), config, tagger)
    failed: dict[str, str] = {}
    chosen = [(sample, given.get(sample.id)) for sample in select(every, config)]
    layouts = _lay_out(tracer, chosen, failed, report)
    if layouts:
        _trial(tracer, layouts[:1])  # the first forward pass of all warms up
    trials = _try(tracer, layouts, batch)
    return _plan(tracer, layouts, trials, failed)


def _lay_out(
    tracer: Tracer,
    chosen: Sequence[tuple[Sample, Response | None]],
    failed: dict[str, str],
    report: Report,
) -> list[_Layout]:
    """Every sample's length, shortest first; those that cannot be recorded go to `failed`."""
    found = []
    for done, (sample, given) in enumerate(chosen):
        report(Progress(done, len(chosen), sample.id))
        began = time.perf_counter()
        try:
            task = tracer.prepare(sample, given)
        except OmniTraceError as error:
            failed[sample.id] = sample_sentence(sample.id, one_line(str(error), 1000))
            continue
        steps = None if task.response is None else len(task.response)
        seconds = time.perf_counter() - began
        found.append(_Layout(sample, given, task.prepared.prompt.n, steps, seconds))
    return sorted(found, key=lambda layout: layout.n)


def _spread(count: int, batch: int, trials: int) -> list[int]:
    """Where some batches of neighbours begin, from the shortest to the longest of `count` samples;
    twice as many trials include the places of half of them."""
    last = max(0, count - batch)
    starts = np.linspace(0, last, min(math.ceil(trials / batch), last) + 1)
    return [int(place) for place in np.unique(starts.round())] if count else []


def _try(tracer: Tracer, layouts: Sequence[_Layout], batch: int) -> _Trials:
    """Record some batches as `record` would, and measure; more of them where the lengths
    of the answers are not given and differ much."""
    trials, tried, wanted = _Trials(), set[int](), TRIALS
    while True:
        for place in _spread(len(layouts), batch, wanted):
            if place not in tried:
                tried.add(place)
                trials.batches.append(_trial(tracer, layouts[place : place + batch]))
        trials.batches.sort(key=lambda trial: trial.n)
        given = all(layout.T is not None for layout in layouts)
        if given or wanted >= MOST_TRIALS or trials.length_error(len(layouts)) <= LENGTH_ERROR:
            return trials
        wanted *= 2


def _trial(tracer: Tracer, layouts: Sequence[_Layout]) -> _Trial:
    tasks = [tracer.prepare(layout.sample, layout.given) for layout in layouts]
    tasks = [t for t in tasks if fits(tasks[-1].prepared.inputs, t.prepared.inputs)]
    prompt, total, traces = _record(tracer, tasks)
    steps = sum(trace.T for trace in traces)
    return _Trial(
        traces[-1].n, prompt / len(tasks), (total - prompt) / max(1, steps), tuple(traces)
    )


def _record(tracer: Tracer, tasks: list[Task]) -> tuple[float, float, list[Trace]]:
    """Seconds until the first token, seconds in all, and the traces."""
    began, first = time.perf_counter(), list[float]()

    def should_continue(step: int) -> bool:
        if step == 1:
            first.append(time.perf_counter() - began)
        return True

    traces = tracer.traces(tasks, should_continue)
    total = time.perf_counter() - began
    return (first or [total])[0], total, traces


def _plan(
    tracer: Tracer, layouts: Sequence[_Layout], trials: _Trials, failed: dict[str, str]
) -> Plan:
    ratio, overhead = _compression(trials.traces)
    samples, raw = [], 0.0
    for layout in layouts:
        count = trials.nearest(layout.n).T if layout.T is None else layout.T
        own = trials.nbytes(layout.n, count)
        raw += own
        seconds = layout.seconds + trials.seconds(layout.n, count)
        samples.append(
            PlannedSample(layout.sample.id, layout.n, count, round(own * ratio), seconds)
        )
    seconds = sum(sample.seconds for sample in samples)
    segments = math.ceil(max(raw / SEGMENT_BYTES, seconds / SEGMENT_SECONDS)) if samples else 0
    nbytes = sum(sample.nbytes for sample in samples) + segments * overhead
    return Plan(
        samples=tuple(samples),
        failed=failed,
        nbytes=nbytes,
        seconds=seconds,
        memory=_peak_memory(tracer),
        trials=len(trials.traces),
        measured_T=any(layout.T is None for layout in layouts),
        device=str(tracer.adapter.model.device),
    )


def _compression(traces: Sequence[Trace]) -> tuple[float, int]:
    """Stored bytes to bytes before compression, and what a segment takes beyond its samples."""
    if not traces:
        return 1.0, 0
    distinct = {trace.id: trace for trace in traces}.values()
    files = [(name, len(data)) for name, data in segment_files([(t, "") for t in distinct])]
    overhead = sum(size for name, size in files if name.endswith("zarr.json"))
    stored = sum(size for _, size in files) - overhead
    return stored / sum(map(trace_nbytes, distinct)), overhead + MARKER_BYTES


def _peak_memory(tracer: Tracer) -> int:
    device = tracer.adapter.model.device
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
