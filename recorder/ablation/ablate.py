"""Record a run's ablations: its own model, its own samples, its own answers, under masks.

Knows the run, the samples file and the model; `masks` chooses the masks. Nothing of what is
recorded changes: ablations are additions (omnitrace/store/additions.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from omnitrace import Run, open_run
from omnitrace.ablations import LEAST_JUDGED, Ablations, Row, log_sigmoid
from omnitrace.arrays import Float32
from omnitrace.errors import CommandError, SampleError, nearest
from omnitrace.progress import Report, no_report
from omnitrace.store.adder import Adder
from omnitrace.store.kinds import ABLATIONS
from omnitrace.text import one_line
from omnitrace.trace import Trace
from recorder.ablation.base import Base
from recorder.ablation.design import Design, masks_needed
from recorder.ablation.masks import AskedMasks, DrawnMasks, Masks
from recorder.ablation.requested import read_requested
from recorder.adding import AddSummary, add_to_run
from recorder.config import AblateConfig
from recorder.identity import RecordedSamples, refuse_unknown_revision, reload_model
from recorder.inputs.samples import Sample
from recorder.models.adapter import Adapter
from recorder.passes.capture import install
from recorder.passes.masked import Masked

BATCH = 16
"""Samples in one file of additions: a row of ablations is larger than a tag."""
MOST_DRIFT = 0.2
"""Nats a token, on average, that the unmasked response may be off what was recorded."""


def ablate_inputs(
    run_path: Path, config: AblateConfig, report: Report = no_report, masks: Masks | None = None
) -> AddSummary:
    """Record ablations of every sample that lacks them; the others are skipped.

    `masks`: how prompts are masked, if not as `config` says. A sample that is not in the samples
    file as it was recorded is named in the summary, and the rest go on. Raises CommandError for
    what is wrong before the first sample: another model than the run's, a redacted run, a mode that
    does not fit the requested masks; OmniTraceError if the run cannot be written.
    """
    run = open_run(run_path)
    masks = masks or masks_of(config)
    samples = RecordedSamples.read(config.samples)
    refuse_run(run)
    ids = ids_of(run, config, masks)
    adapter = reload_model(run.identity, config)
    install(adapter.model, adapter.decoder, run.identity.get("attention", "sdpa"))
    return ablate(run, ids, Maker(adapter, samples, config, masks), report)


def ablate_recorded(
    run: Run,
    adapter: Adapter,
    samples: Sequence[Sample],
    config: AblateConfig,
    report: Report = no_report,
    masks: Masks | None = None,
) -> AddSummary:
    """Record ablations of those `samples` that the run holds, with a model that is loaded."""
    chosen = {sample.id: sample for sample in samples if sample.id in run}
    maker = Maker(adapter, RecordedSamples(chosen), config, masks or masks_of(config))
    return ablate(run, list(chosen), maker, report)


def ablate(run: Run, ids: Sequence[str], maker: Maker, report: Report) -> AddSummary:
    """Record what `maker` makes of the samples `ids` that lack it."""
    name, about = maker.masks.name, maker.masks.about
    with Adder.open(run.path, ABLATIONS, name, about, batch=BATCH) as adder:
        summary = add_to_run(adder, ids, maker.make, report)
    if maker.short:
        summary.notes.append(
            f"ablations '{name}' have too few masks for `omnitrace faithful` to answer everything "
            f"for {len(maker.short)} of {summary.added} samples: lds takes {LEAST_JUDGED} random "
            "masks that are held out, loo and drop-1 each unit alone; "
            f"--masks {max(maker.short.values())} with another --name records enough for all."
        )
    return summary


def masks_of(config: AblateConfig) -> Masks:
    """How `config` says that prompts are masked; CommandError where its options do not fit."""
    if not config.asked:
        return DrawnMasks(config)
    if config.mode == "remove":
        raise CommandError("--asked names single units; mode remove takes whole parts away.")
    return AskedMasks(config, read_requested(Path(config.asked)))


def refuse_run(run: Run) -> None:
    """CommandError for a run whose samples cannot be passed again."""
    refuse_unknown_revision(run, "ablations need")
    if run.identity.get("redact_text"):
        raise CommandError(
            f"the run {run.path} keeps no token ids (--redact-text), and ablations pass the very "
            "tokens again: record the samples into another run without it."
        )


def ids_of(run: Run, config: AblateConfig, masks: Masks) -> list[str]:
    """The samples of the run that `config` names, of these those with requested masks, of these
    the first `limit`; CommandError for an id that the run does not hold."""
    wanted = list(dict.fromkeys(id.strip() for id in config.ids.split(",") if id.strip()))
    for id in wanted:
        if id not in run:
            raise CommandError(
                f"--ids: the run {run.path} has no sample '{one_line(id)}': "
                f"{nearest(id, list(run)[:20])}."
            )
    ids = wanted or list(run)
    if isinstance(masks, AskedMasks):
        ids = [id for id in ids if id in masks.requested.removed]
    return ids[: config.limit or None]


@dataclass(frozen=True)
class Maker:
    """Makes the ablations of a trace. `short`: id → how many masks would have done, of samples
    for which there were too few."""

    adapter: Adapter
    samples: RecordedSamples
    config: AblateConfig
    masks: Masks
    short: dict[str, int] = field(default_factory=dict)

    def make(self, trace: Trace) -> Ablations:
        """SampleError where the sample is not there as it was recorded."""
        base, made = self.masks.rows(trace)
        prepared = self.samples.prepare(self.adapter, trace)
        masked = Masked(self.adapter, prepared)
        if self.config.mode == "remove":
            log_odds = self._removed(trace, base, made, masked)
        else:
            visible = base.visible(made.kept)
            log_odds = masked.log_odds(trace.response_ids, visible, mode=self.config.mode)
        _refuse_drift(trace, made, log_odds)
        drawn = isinstance(self.masks, DrawnMasks) and self.config.mode != "remove"
        if drawn and (needed := masks_needed(base, made, self.config.masks)):
            self.short[trace.id] = needed
        return Ablations(
            self.masks.name,
            self.config.mode,
            base.unit_of,
            base.request,
            made.kept,
            made.why,
            made.held_out,
            log_odds,
        )

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
