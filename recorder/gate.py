"""Measure whether recorded answers are right, stable when forced, and caused by their evidence.

The run's own model passes each answer again, with its evidence visible and hidden. Knows the run,
the samples file, the evidence and the model; `gate_rules` says which samples are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from omnitrace import Run
from omnitrace.ablations import log_sigmoid
from omnitrace.arrays import Bool, Float64
from omnitrace.errors import CommandError
from omnitrace.evidence import EvidenceRow, Supported, is_right, quoted_tokens, steps_of, supported
from omnitrace.progress import Progress, Report
from omnitrace.samples import each_sample, sample_sentence
from omnitrace.text import one_line
from omnitrace.trace import Trace
from recorder import fingerprint
from recorder.gate_rules import GateConfig, Measured
from recorder.identity import RecordedSamples, refuse_unknown_revision, reload_model
from recorder.models.adapter import Adapter
from recorder.passes.capture import install
from recorder.passes.decoder import is_recurrent
from recorder.passes.masked import Masked


def load(run: Run, config: GateConfig) -> Adapter:
    """The run's model, ready; CommandError if `config` names another one, or if it has layers from
    which nothing can be hidden."""
    refuse_unknown_revision(run, "the gate needs")
    adapter = reload_model(run.identity, config)
    if is_recurrent(adapter.model.config):
        raise CommandError(
            "the gate hides tokens from attention, and the model has layers that carry a state "
            "over tokens, from which that does not hide them: its samples cannot be gated."
        )
    install(adapter.model, adapter.decoder, run.identity.get("attention", "sdpa"))
    return adapter


@dataclass(frozen=True)
class Gate:
    """Measures samples of one run. `generated`: whether the model gave the answers itself."""

    adapter: Adapter
    samples: RecordedSamples
    evidence: Mapping[str, EvidenceRow]
    generated: bool

    def measure(self, trace: Trace, key: str) -> Measured:
        """SampleError where evidence or sample do not fit the recording."""
        row = self.evidence[trace.id]
        right = not row.accepted or is_right(trace.response, row.accepted)
        if not right or not trace.T:
            return Measured(trace.id, key, False)
        parts = supported(trace, row)
        hidden = [~quoted_tokens(trace, part.quotes) for part in parts]
        every = np.logical_and.reduce(hidden)
        visible = np.stack([np.ones(trace.n, bool), *hidden])
        masked = Masked(self.adapter, self.samples.prepare(self.adapter, trace))
        logprob = log_sigmoid(masked.log_odds(trace.response_ids, visible).astype(np.float64))
        same, changes = self._again(trace, row, masked, every)
        return Measured(
            id=trace.id,
            key=key,
            right=True,
            drift=float(np.abs(logprob[0] - trace.logprob).mean()),
            logprob=float(logprob[0].mean()),
            falls=tuple(_falls(trace, parts, logprob)),
            same=same,
            changes=changes,
        )

    def _again(
        self, trace: Trace, row: EvidenceRow, masked: Masked, visible: Bool
    ) -> tuple[bool | None, bool | None]:
        """Whether the model gives its answer again, and whether it gives no accepted answer where
        only `visible` (n,) is seen; None for an answer that was given to it."""
        if not self.generated or not row.accepted:
            return None, None
        rows = np.stack([np.ones(trace.n, bool), visible])
        first, other = masked.answers(rows, trace.T)
        decoded = self.adapter.decode(other)
        return first == trace.response_ids.tolist(), not is_right(decoded, row.accepted)


def _falls(trace: Trace, parts: Sequence[Supported], logprob: Float64) -> Iterator[float]:
    """By how many nats a token each part is less likely in its own row than in the first."""
    for part, without in zip(parts, logprob[1:], strict=True):
        steps = steps_of(trace, part)
        yield float((logprob[0] - without)[steps].mean()) if steps.any() else 0.0


def key_of(run: Run, row: EvidenceRow) -> str:
    """What a measurement of a sample holds for: its recording and its line of evidence."""
    return fingerprint.of_json([run.content_id(row.id), msgspec.to_builtins(row)])


def measure_run(
    run: Run,
    gate: Callable[[], Gate],
    evidence: Mapping[str, EvidenceRow],
    known: Mapping[str, Measured],
    failed: MutableMapping[str, str],
    report: Report,
) -> Iterator[tuple[Measured, bool]]:
    """What is measured of every sample of `evidence` that the run holds, and whether it is new.

    What is `known` under the same key is not measured again; `gate` loads the model when it is
    first needed. A sample that cannot be measured goes to `failed` (id → sentence).
    """
    ids = [id for id in evidence if id in run]
    loaded: list[Gate] = []
    for done, id in enumerate(ids):
        report(Progress(done, len(ids), id))
        key = key_of(run, evidence[id])
        if id in known and known[id].key == key:
            yield known[id], False
            continue
        loaded = loaded or [gate()]
        use = _measuring(loaded[0], key)
        why: dict[str, str] = {}
        for _, measured in each_sample(run, [id], use, why):
            yield measured, True
        failed.update({id: sample_sentence(id, one_line(text, 1000)) for id, text in why.items()})
    report(Progress(len(ids), len(ids)))


def _measuring(gate: Gate, key: str) -> Callable[[Trace], Measured]:
    return lambda trace: gate.measure(trace, key)
