"""Record samples into a run: the loop, batches, resuming and stopping.

Joins samples, tracer and store; knows nothing of how each works. Informs the caller through
`report`, the summary and errors.
"""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from omnitrace.errors import CommandError, OmniTraceError, nearest
from omnitrace.progress import Progress, Report, no_report
from omnitrace.samples import sample_sentence
from omnitrace.store.run import Run, is_run, open_run
from omnitrace.store.writer import RunWriter
from omnitrace.text import one_line
from omnitrace.trace import Trace
from recorder.ablation.ablate import ablate_recorded
from recorder.adding import AddSummary
from recorder.config import AblateConfig, RecordConfig
from recorder.identity import day_of, resolve_model, run_identity, sample_key
from recorder.inputs.responses import Response, read_responses
from recorder.inputs.samples import Sample, check_inside, is_file, read_samples
from recorder.models.adapter import Adapter
from recorder.models.day import prints_day
from recorder.models.settings import Settings
from recorder.passes.batch import batch_limit, fits, is_out_of_memory, tokens_that_fit
from recorder.passes.decoder import is_recurrent
from recorder.privacy import only_for_owner, redact
from recorder.tags import load_tagger
from recorder.tracer import Task, Tracer

SIGNAL_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
if hasattr(signal, "SIGUSR1"):  # what clusters send before they take a machine away
    SIGNAL_NAMES[signal.SIGUSR1] = "SIGUSR1"

MOST = 32
"""Samples at a time where their number is to be found."""
WINDOW = 4
"""Batches that are prepared at once, so that samples of like length can stand together."""


@dataclass
class RecordSummary:
    """What happened to `total` samples: `recorded` now, `skipped` because the run holds them,
    `ablated`: how many got ablations now; `failed` (id → sentence); `notes`: sentences about the
    ablations."""

    total: int
    skipped: int
    recorded: int = 0
    ablated: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def progress(self, item: str = "", step: int = 0) -> Progress:
        done = self.skipped + self.recorded + len(self.failed)
        return Progress(done, self.total, item, step)


def record(
    samples_path: Path,
    run_path: Path,
    config: RecordConfig,
    report: Report = no_report,
    samples: Sequence[Sample] | None = None,
) -> RecordSummary:
    """Answer every sample that the run does not hold yet and record it there.

    `samples`: what the file `samples_path` holds, if it has been read already.

    A sample that cannot be recorded (a corrupt medium, a prompt too long) is named in the summary;
    the rest go on. Raises CommandError for what is wrong before the first sample and, with exit
    code 130 or 143, when stopped by SIGINT or SIGTERM: finished samples are then committed.
    OmniTraceError if the run cannot be written; what was committed before is safe.
    """
    return Recording(samples_path, run_path, config, samples).run(report)


class Recording:
    """A recording of a samples file, run once or block by block: the model is loaded once.

    Raises CommandError for wrong options and samples before any model is loaded.
    """

    def __init__(
        self,
        samples_path: Path,
        run_path: Path,
        config: RecordConfig,
        samples: Sequence[Sample] | None = None,
    ) -> None:
        self.run_path, self._named = run_path, config
        self._limit = batch_limit(config.batch_size)
        every = read_samples(samples_path) if samples is None else samples
        self.samples = select(every, config)
        if config.media_root:
            check_inside(self.samples, Path(config.media_root))
        self._given = given_responses(config, every)
        self._spec = resolve_model(config)
        if config.ablations and is_recurrent(self._spec.config):
            raise CommandError(
                "--ablations hides tokens from attention, and this model has layers that carry a "
                "state instead: record without, then use omnitrace ablate-inputs with "
                "--mode mean-embedding or --mode remove."
            )
        if config.redact_text and (config.ablations or config.confirm):
            raise CommandError(
                "--redact-text keeps no token ids, and --ablations and --confirm pass the very "
                "tokens again: leave one of them out."
            )
        self._tagger = load_tagger(config.spacy_model or None)
        self._prints_day = prints_day(self._spec, Settings.of(config))
        self._join()

    def _join(self) -> None:
        """Settle the day that the chat template is told, by the run if it is there."""
        there = self._there() if self._prints_day else None
        date = day_of(self._named, there) if self._prints_day else ""
        self.config = replace(self._named, date=date)
        self._identity = run_identity(self._spec, self.config, self._tagger.name, there)

    def _there(self) -> dict[str, Any] | None:
        try:
            return open_run(self.run_path).identity
        except OmniTraceError:
            return None  # what is wrong with the path is said when it is opened for writing

    @cached_property
    def tracer(self) -> Tracer:
        """The model, ready to record."""
        return Tracer.load(self._spec, self.config, self._tagger)

    def run(self, report: Report, only: Container[str] | None = None) -> RecordSummary:
        """Record the samples, of these the ids that are in `only`; errors as `record`."""
        samples = [s for s in self.samples if only is None or s.id in only]
        if not is_run(self.run_path):
            _ = self.tracer  # a new run waits for it; an existing one is checked first
        private = only_for_owner(self.config.private)
        with private, self._open() as writer:
            todo = [s for s in samples if not self._is_done(s, writer)]
            summary = RecordSummary(len(samples), len(samples) - len(todo))
            report(summary.progress())
            if todo:
                tracer = self.tracer
                with Interruption() as stop:
                    loop = _Loop(tracer, writer, summary, report, stop, self._identity)
                    loop.run([(s, self._given.get(s.id)) for s in todo], self._limit)
        if todo and stop.requested:
            raise _stopped(stop, summary, self.run_path)
        if self.config.ablations:
            masks = AblateConfig(masks=max(2, self.config.ablations))
            _add(ablate_recorded(*self._recorded(samples), masks, report), summary)
        if self.config.confirm:
            _add(self._confirmed(samples, report), summary)
        report(summary.progress())
        return summary

    def _open(self) -> RunWriter:
        try:
            return RunWriter.open(self.run_path, self._identity)
        except OmniTraceError:
            before = self.config
            self._join()
            if self.config == before:
                raise
        # Another process has made the run since, as of another day.
        if "tracer" in vars(self):
            self.tracer = self.tracer.on(self.config)
        return RunWriter.open(self.run_path, self._identity)

    def _recorded(self, samples: Sequence[Sample]) -> tuple[Run, Adapter, Sequence[Sample]]:
        return open_run(self.run_path), self.tracer.adapter, samples

    def _confirmed(self, samples: Sequence[Sample], report: Report) -> AddSummary:
        """Remove the best sources of the samples' spans; Ctrl-C keeps those that are finished."""
        from omnitrace.confirm import best_alone  # joins this package and replay

        run, adapter, chosen = self._recorded(samples)
        mode = "mean-embedding" if is_recurrent(self._spec.config) else "mask"
        masks = best_alone(run, AblateConfig(mode=mode), self.config.confirm)
        return ablate_recorded(run, adapter, chosen, masks.config, report, masks)

    def _is_done(self, sample: Sample, writer: RunWriter) -> bool:
        key = writer.done.get(sample.id)
        if key is None or not all(map(is_file, sample.paths)):
            return key is not None  # what was recorded of media that are gone since stays
        if key != sample_key(sample, self._identity, self._given.get(sample.id)):
            raise CommandError(
                f"sample '{one_line(sample.id)}', one of its media or its given answer changed "
                "since it was recorded: give the new sample another id, or record into another "
                "path."
            )
        return True


def _add(added: AddSummary, summary: RecordSummary) -> None:
    """Count what was added to what is recorded now."""
    summary.ablated = max(summary.ablated, added.added)
    summary.failed.update(added.failed)
    summary.notes += added.notes


def given_responses(config: RecordConfig, samples: Sequence[Sample]) -> dict[str, Response]:
    """Each sample's given answer, if any are given."""
    if not config.responses:
        return {}
    absent = Response(failure=f"{config.responses} has no line for it")
    found = read_responses(Path(config.responses), [sample.id for sample in samples])
    return {sample.id: found.get(sample.id, absent) for sample in samples}


@dataclass(frozen=True)
class _Loop:
    """Samples in, committed traces out; what fails is noted in `summary` and the rest goes on."""

    tracer: Tracer
    writer: RunWriter
    summary: RecordSummary
    report: Report
    stop: Interruption
    identity: Mapping[str, Any]

    def run(self, todo: Sequence[tuple[Sample, Response | None]], limit: int | None) -> None:
        """Record all in batches of at most `limit` (None: as many as the memory holds)."""
        size = limit or MOST
        tokens = tokens_that_fit(self.tracer.adapter.model) if limit is None else None
        window = WINDOW * size if size > 1 else 1
        for start in range(0, len(todo), window):
            tasks = list(self._prepared(todo[start : start + window]))
            for batch in _batches(tasks, size, tokens):
                self._record(batch)

    def _prepared(self, todo: Sequence[tuple[Sample, Response | None]]) -> Iterator[Task]:
        for sample, given in todo:
            if self.stop.requested:
                return
            self.report(self.summary.progress(sample.id))
            try:
                task = self.tracer.prepare(sample, given)
            except OmniTraceError as error:
                self._fail(sample, str(error))
                continue
            media = [medium.sha256 for medium in task.prepared.prompt.media]
            yield replace(task, key=sample_key(sample, self.identity, given, media))

    def _record(self, tasks: Sequence[Task]) -> None:
        """Record a batch; one that the memory does not hold, in halves."""
        if self.stop.requested:
            return
        traces = self._traces(tasks)
        if traces is None:
            half = len(tasks) // 2
            if half == 0:
                self._fail(tasks[0].sample, TOO_LARGE)
                return
            self._record(tasks[:half])
            self._record(tasks[half:])
            return
        for task, trace in zip(tasks, traces, strict=False):  # none if it was interrupted
            kept = redact(trace) if self.tracer.config.redact_text else trace
            self.writer.add(kept, task.key)
            self.summary.recorded += 1

    def _traces(self, tasks: Sequence[Task]) -> list[Trace] | None:
        """The batch's traces, none if it was interrupted or failed; None if memory ran out."""
        names = ", ".join(task.sample.id for task in tasks)

        def should_continue(step: int) -> bool:
            self.report(self.summary.progress(names, step))
            return not self.stop.requested

        try:
            return self.tracer.traces(tasks, should_continue)
        except OmniTraceError as error:
            if len(tasks) > 1:
                return None  # one of them is too long: alone, each has its own error
            self._fail(tasks[0].sample, str(error))
            return []
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        # Only here, where the error and the tensors that it holds are gone.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return None

    def _fail(self, sample: Sample, why: str) -> None:
        self.summary.failed[sample.id] = sample_sentence(sample.id, one_line(why, 1000))


TOO_LARGE = (
    "the device's memory does not hold it: shorten it, take fewer frames a second, or record it "
    "on a larger device."
)


def _batches(tasks: Sequence[Task], size: int, tokens: int | None) -> Iterator[list[Task]]:
    """Prompts of like length together, the longest first: if any is too much, we learn it soon.

    At most `size` of them, and of `tokens` in all, padding counted.
    """
    batch: list[Task] = []
    for task in sorted(tasks, key=lambda task: task.prepared.prompt.n, reverse=True):
        if batch:
            padded = (len(batch) + 1) * batch[0].prepared.prompt.n
            full = len(batch) == size or (tokens is not None and padded > tokens)
            if full or not fits(batch[0].prepared.inputs, task.prepared.inputs):
                yield batch
                batch = []
        batch.append(task)
    if batch:
        yield batch


def _stopped(stop: Interruption, summary: RecordSummary, run_path: Path) -> CommandError:
    """The error of a recording that was stopped; exit code 130 or 143, as of shells."""
    done = summary.skipped + summary.recorded
    return CommandError(
        f"stopped by {stop.name}: {done} of {summary.total} samples are recorded in {run_path}; "
        "run the same command again to record the rest.",
        exit_code=128 + stop.number,
    )


class Interruption:
    """While inside, the first such signal sets `requested`; the second one interrupts."""

    def __init__(self) -> None:
        self.number = 0
        self._previous: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        return self.number != 0

    @property
    def name(self) -> str:
        """The signal in words: Ctrl-C, SIGTERM."""
        return SIGNAL_NAMES[signal.Signals(self.number)]

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._previous = {n: signal.signal(n, self._request) for n in SIGNAL_NAMES}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.number = number


def select(samples: Sequence[Sample], config: RecordConfig) -> list[Sample]:
    """`config.ids` of them if any are named, of these the shard, of these the first `limit`.

    Raises CommandError for an id that no sample has, and for a shard that is none.
    """
    chosen = _named(samples, config.ids) if config.ids else list(samples)
    if config.shard:
        part, parts = _shard(config.shard)
        chosen = chosen[part - 1 :: parts]
    return chosen[: config.limit or None]


def _named(samples: Sequence[Sample], ids: str) -> list[Sample]:
    wanted = [id.strip() for id in ids.split(",") if id.strip()]
    known = {sample.id: sample for sample in samples}
    for id in wanted:
        if id not in known:
            raise CommandError(
                f"--ids: there is no sample '{id}': {nearest(id, list(known)[:20])}."
            )
    return [known[id] for id in dict.fromkeys(wanted)]


def _shard(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    part, parts = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= part <= parts:
        raise CommandError(f"--shard {text}: write i/N, from 1/N to N/N, such as 2/8.")
    return part, parts
