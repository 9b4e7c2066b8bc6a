"""Record samples into a run: the loop, what identifies a run, resuming and stopping.

Knows how the pieces fit, nothing of how each works; speaks to the user through `report` and errors.
"""

from __future__ import annotations

import platform
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
import transformers

from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.text import one_line
from omnitrace.timeline import Int32, Modality
from omnitrace.trace import Trace
from omnitrace.writer import RunWriter
from recorder import fingerprint
from recorder.adapter import Adapter, ModelSpec, Prepared, describe_model, load_adapter
from recorder.bundled import TINY_OMNI
from recorder.capture import install
from recorder.config import RecordConfig
from recorder.generate import Options, generate
from recorder.gradients import GRADIENT_SIGNALS
from recorder.media import file_sha256
from recorder.samples import Sample, read_samples
from recorder.signals import SIGNALS
from recorder.tags import Tagger, align_pos, load_tagger

SIGNAL_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


@dataclass(frozen=True)
class Progress:
    """`done` of `total` samples are recorded (or failed); `sample` is at token `step`.

    `sample` is empty while the model is loaded and when all is done.
    """

    done: int
    total: int
    sample: str = ""
    step: int = 0


@dataclass
class RecordSummary:
    """What happened to `total` samples: `recorded` now, `skipped` because the run holds them,
    `failed` (id → sentence)."""

    total: int
    skipped: int
    recorded: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def progress(self, sample: str = "", step: int = 0) -> Progress:
        done = self.skipped + self.recorded + len(self.failed)
        return Progress(done, self.total, sample, step)


Report = Callable[[Progress], None]


def record(
    samples_path: Path,
    run_path: Path,
    config: RecordConfig,
    report: Report = lambda progress: None,
) -> RecordSummary:
    """Answer every sample that the run does not hold yet and record it there.

    A sample that cannot be recorded (a corrupt medium, a prompt too long) is named in the summary;
    the rest go on. Raises CommandError for what is wrong before the first sample and, with exit
    code 130 or 143, when stopped by SIGINT or SIGTERM: finished samples are then committed.
    OmniTraceError if the run cannot be written; what was committed before is safe.
    """
    samples = read_samples(samples_path)[: config.limit or None]
    spec = describe_model(config.model or str(TINY_OMNI))
    tagger = load_tagger(config.spacy_model or None)
    identity = run_identity(spec, config, tagger.name)
    with RunWriter.open(run_path, identity) as writer:
        todo = [sample for sample in samples if not _is_done(sample, writer, identity)]
        summary = RecordSummary(len(samples), len(samples) - len(todo))
        report(summary.progress())
        if todo:
            recorder = Recorder.load(spec, config, tagger, identity)
            with Interruption() as stop:
                for sample in todo:
                    _record_one(sample, recorder, writer, summary, report, stop)
                    if stop.requested:
                        break
    if todo and stop.requested:
        raise stop.error(summary, run_path)
    report(summary.progress())
    return summary


def run_identity(spec: ModelSpec, config: RecordConfig, tagger: str) -> dict[str, Any]:
    """What must be equal for samples to stand in one run (JSON data)."""
    folder = Path(spec.path)
    revision = spec.revision or f"sha256:{fingerprint.of_folder(folder)}"
    stored = str(spec.config.dtype).removeprefix("torch.")
    return {
        "model": folder.name if folder.is_dir() else spec.path,
        "model_type": spec.config.model_type,
        "revision": revision,
        "dtype": stored if config.dtype == "auto" else config.dtype,
        "generation": asdict(_options(config)),
        "fps": config.fps,
        "signals": sorted([*SIGNALS, *GRADIENT_SIGNALS]),
        "tagger": tagger,
    }


def sample_key(sample: Sample, identity: Mapping[str, Any]) -> str:
    """Digest of the row, its media and the run's identity; OmniTraceError if a medium is gone."""
    media = [file_sha256(path) for path in sample.paths]
    return fingerprint.of_json([sample.sha256, media, identity])


def _is_done(sample: Sample, writer: RunWriter, identity: Mapping[str, Any]) -> bool:
    key = writer.done.get(sample.id)
    if key is not None and key != sample_key(sample, identity):
        raise CommandError(
            f"sample '{one_line(sample.id)}' or one of its media changed since it was recorded: "
            "give the new sample another id, or record into another path."
        )
    return key is not None


def _record_one(
    sample: Sample,
    recorder: Recorder,
    writer: RunWriter,
    summary: RecordSummary,
    report: Report,
    stop: Interruption,
) -> None:
    """Record one sample, or note why not; one that is interrupted is dropped."""

    def goes_on(step: int) -> bool:
        report(summary.progress(sample.id, step))
        return not stop.requested

    report(summary.progress(sample.id))
    try:
        key = sample_key(sample, recorder.identity)
        trace = recorder.trace(sample, goes_on)
    except (OmniTraceError, torch.OutOfMemoryError) as error:
        summary.failed[sample.id] = _why(sample, error)
        return
    if not stop.requested:
        writer.add(trace, key)
        summary.recorded += 1


def _why(sample: Sample, error: Exception) -> str:
    reason = one_line(str(error), 1000)
    if isinstance(error, torch.OutOfMemoryError):
        reason = (
            "the device's memory does not hold it: shorten it, take fewer frames a second, or "
            "record it on a larger device."
        )
    return f"sample '{one_line(sample.id)}': {reason}"


@dataclass(frozen=True)
class Recorder:
    """A loaded model and tagger, and how to use them."""

    adapter: Adapter
    tagger: Tagger
    options: Options
    identity: Mapping[str, Any]

    @classmethod
    def load(
        cls, spec: ModelSpec, config: RecordConfig, tagger: Tagger, identity: Mapping[str, Any]
    ) -> Recorder:
        """Load the model that `config` names; CommandError if that cannot be done."""
        adapter = load_adapter(spec, config.dtype, config.device, config.fps)
        install(adapter.model, adapter.decoder)
        return cls(adapter, tagger, _options(config), identity)

    def trace(self, sample: Sample, goes_on: Callable[[int], bool] = lambda step: True) -> Trace:
        """Answer and record one sample; OmniTraceError if it cannot be."""
        prepared = self.adapter.prepare(sample)
        answer = generate(self.adapter, prepared, self.options, SIGNALS, GRADIENT_SIGNALS, goes_on)
        tags = self.tagger.tag(answer.text)
        return Trace(
            id=sample.id,
            prompt_text=prepared.prompt_text,
            response=answer.text,
            prompt_ids=prepared.ids,
            response_ids=answer.ids,
            chars=answer.chars,
            logprob=answer.logprob,
            entropy=answer.entropy,
            pos=align_pos(answer.chars, tags),
            sentences=tags.sentences,
            prompt_sentences=prompt_sentences(prepared, self.tagger),
            timeline=prepared.timeline,
            parts=prepared.parts,
            media=prepared.media,
            signals=answer.signals,
            meta=self._meta(sample, answer.finish),
        )

    def _meta(self, sample: Sample, finish: str) -> dict[str, Any]:
        answer = {} if sample.answer is None else {"answer": sample.answer}
        return answer | {
            "finish": finish,
            "generation": asdict(self.options),
            "attention": "sdpa",
            "device": str(self.adapter.model.device),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "platform": platform.platform(),
        }


def prompt_sentences(prepared: Prepared, tagger: Tagger) -> Int32:
    """(P, 2) int32 character ranges in the prompt's text; no sentence spans two content parts."""
    timeline, found = prepared.timeline, [np.zeros((0, 2), np.int32)]
    for part in np.unique(timeline.part[timeline.modality == Modality.TEXT]):
        chars = timeline.chars[(timeline.part == part) & (timeline.modality == Modality.TEXT)]
        start, end = int(chars[:, 0].min()), int(chars[:, 1].max())
        found.append(tagger.tag(prepared.prompt_text[start:end]).sentences + start)
    return np.concatenate(found).astype(np.int32)


def _options(config: RecordConfig) -> Options:
    return Options(config.max_new_tokens, config.temperature, config.top_p, config.seed)


class Interruption:
    """While inside, the first SIGINT or SIGTERM only asks to stop; the second one interrupts."""

    def __init__(self) -> None:
        self.number = 0
        self._previous: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        return self.number != 0

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._previous = {n: signal.signal(n, self._ask) for n in SIGNAL_NAMES}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.number = number

    def error(self, summary: RecordSummary, run_path: Path) -> CommandError:
        """What to tell the user who stopped us; 130 or 143, as shells have it."""
        name = SIGNAL_NAMES[signal.Signals(self.number)]
        done = summary.skipped + summary.recorded
        return CommandError(
            f"stopped by {name}: {done} of {summary.total} samples are recorded in {run_path}; "
            "run the same command again to record the rest.",
            exit_code=128 + self.number,
        )
