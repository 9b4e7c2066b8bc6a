"""Record a run's ablations: its own model, its own samples, its own answers, under masks.

Knows the run, the samples file and the model; `design` chooses the masks. Nothing of what is
recorded changes: ablations are additions (omnitrace/store/additions.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from omnitrace import Run, open_run
from omnitrace.ablations import Ablations, Row, log_sigmoid
from omnitrace.arrays import Float32, Float64
from omnitrace.config import to_dict
from omnitrace.errors import CommandError, SampleError
from omnitrace.progress import Report, no_report
from omnitrace.store.adder import Adder
from omnitrace.store.kinds import ABLATIONS
from omnitrace.trace import Trace
from recorder.ablation.base import Base, base_units
from recorder.ablation.design import Design, design
from recorder.ablation.requested import RequestedMasks, read_requested
from recorder.adding import AddSummary, add_to_run
from recorder.config import AblateConfig
from recorder.identity import RecordedSamples, reload_model
from recorder.inputs.samples import Sample
from recorder.models.adapter import Adapter
from recorder.passes.capture import install
from recorder.passes.masked import Masked

BATCH = 16
"""Samples in one file of additions: a row of ablations is larger than a tag."""
MOST_DRIFT = 0.2
"""Nats a token, on average, that the unmasked response may be off what was recorded."""


def ablate_inputs(run_path: Path, config: AblateConfig, report: Report = no_report) -> AddSummary:
    """Record ablations of every sample that lacks them; the others are skipped.

    A sample that is not in the samples file as it was recorded is named in the summary, and the
    rest go on. Raises CommandError for what is wrong before the first sample: another model than
    the run's, a mode that does not fit the requested masks; OmniTraceError if the run cannot be
    written.
    """
    run = open_run(run_path)
    requested = read_requested(Path(config.asked)) if config.asked else None
    if requested and config.mode == "remove":
        raise CommandError("--asked names single units; mode remove takes whole parts away.")
    samples = RecordedSamples.read(config.samples)
    if "revision" not in run.identity:
        raise CommandError(
            f"the run {run.path} does not say which revision of its model was recorded, and "
            "ablations need the very model: record the samples with omnitrace record."
        )
    adapter = reload_model(run.identity, config)
    install(adapter.model, adapter.decoder, run.identity.get("attention", "sdpa"))
    ids = [id for id in run if requested is None or id in requested.removed]
    return ablate(run, ids, Maker(adapter, samples, config, requested), report)


def ablate_recorded(
    run: Run,
    adapter: Adapter,
    samples: Sequence[Sample],
    config: AblateConfig,
    report: Report = no_report,
) -> AddSummary:
    """Record ablations of those `samples` that the run holds, with a model that is loaded."""
    chosen = {sample.id: sample for sample in samples if sample.id in run}
    return ablate(run, list(chosen), Maker(adapter, RecordedSamples(chosen), config), report)


def ablate(run: Run, ids: Sequence[str], maker: Maker, report: Report) -> AddSummary:
    """Record what `maker` makes of the samples `ids` that lack it."""
    about = _about(maker.config, maker.requested)
    with Adder.open(run.path, ABLATIONS, maker.name, about, batch=BATCH) as adder:
        return add_to_run(adder, ids, maker.make, report)


def _about(config: AblateConfig, requested: RequestedMasks | None) -> dict[str, Any]:
    if requested is not None:
        return {"mode": config.mode, "asked": requested.sha256, "of": requested.of}
    drawn = {"masks": config.masks, "seed": config.seed, "units": to_dict(config.units)}
    return {"mode": config.mode, **({} if config.mode == "remove" else drawn)}


@dataclass(frozen=True)
class Maker:
    """Makes the ablations of a trace."""

    adapter: Adapter
    samples: RecordedSamples
    config: AblateConfig
    requested: RequestedMasks | None = None

    @property
    def name(self) -> str:
        """What the ablations are called."""
        return self.config.name or ("asked" if self.requested else self.config.mode)

    def make(self, trace: Trace) -> Ablations:
        """SampleError where the sample is not there as it was recorded."""
        prepared = self.samples.prepare(self.adapter, trace)
        base = self._base(trace)
        made, masked = self._design(trace, base), Masked(self.adapter, prepared)
        if self.config.mode == "remove":
            log_odds = self._removed(trace, base, made, masked)
        else:
            visible = base.visible(made.kept)
            log_odds = masked.log_odds(trace.response_ids, visible, mode=self.config.mode)
        _refuse_drift(trace, made, log_odds)
        return Ablations(
            self.name,
            self.config.mode,
            base.unit_of,
            base.request,
            made.kept,
            made.why,
            made.held_out,
            log_odds,
        )

    def _base(self, trace: Trace) -> Base:
        if self.requested is None:
            return base_units(trace, self.config.units)
        there = trace.ablation(self.requested.of)
        none = np.zeros(len(there.request), np.int32)
        return Base(there.unit_of, none, none, there.request)

    def _design(self, trace: Trace, base: Base) -> Design:
        if self.requested is not None:
            kept = self.requested.kept(trace.id, len(base))
            count = len(kept)
            return Design(kept, np.full(count, Row.ASKED, np.uint8), np.zeros(count, bool))
        made = design(base, self.config.masks, self.config.seed, _weight(trace, base))
        if self.config.mode != "remove":
            return made
        parts = np.unique(base.part[~base.request])
        kept = np.stack([base.part != part for part in (-1, *parts)])
        why = np.array([Row.FULL, *[Row.WITHOUT_PART] * len(parts)], np.uint8)
        return Design(kept, why, np.zeros(len(kept), bool))

    def _removed(self, trace: Trace, base: Base, made: Design, masked: Masked) -> Float32:
        """(M, T) rows of prompts that are prepared again without one content part."""
        sample = self.samples.by_id[trace.id]
        rows = [masked.log_odds(trace.response_ids, np.ones((1, trace.n), bool))]
        for kept in made.kept[1:]:
            part = int(base.part[~kept][0])
            prepared = self.adapter.prepare(without_part(sample, part))
            every = np.ones((1, prepared.prompt.n), bool)
            rows.append(Masked(self.adapter, prepared).log_odds(trace.response_ids, every))
        return np.concatenate(rows)


def without_part(sample: Sample, part: int) -> Sample:
    """The sample without its content part of that number, counted over all messages."""
    messages, first = [], 0
    for message in sample.messages:
        last = first + len(message.parts)
        rest = tuple(p for i, p in enumerate(message.parts, first) if i != part)
        messages.append(replace(message, parts=rest))
        first = last
    return replace(sample, messages=tuple(m for m in messages if m.parts))


def _weight(trace: Trace, base: Base) -> Float64:
    """(U,) how much of the first recorded signal falls on each unit: which are likely to count."""
    if not trace.signals or not trace.T:
        return np.zeros(len(base))
    signal = "attmean" if "attmean" in trace.signals else min(trace.signals)
    a_token = trace.scores(signal)[:, : trace.n].sum(axis=0, dtype=np.float64)
    own = base.unit_of >= 0
    return np.bincount(base.unit_of[own], a_token[own], len(base)).astype(np.float64)


def _refuse_drift(trace: Trace, made: Design, log_odds: np.ndarray[Any, Any]) -> None:
    """The unmasked response must be as likely as it was when it was recorded."""
    full = np.flatnonzero(made.why == Row.FULL)
    if not len(full) or not trace.T:
        return
    drift = float(np.abs(log_sigmoid(log_odds[full[0]].astype(float)) - trace.logprob).mean())
    if drift > MOST_DRIFT:
        raise SampleError(
            f"without any mask its tokens are {drift:.2f} nats off what was recorded, on average: "
            "the model is not loaded as it was then."
        )
