"""Record released language models on the sets of `benchmarks.real_sets`, and gate the recordings.

    python -m benchmarks.real_runs [--models smollm2,gemma3] [--minutes 60] [--ablations 0]

Needs the checkpoints that `make real` makes. Leaves in .real/runs/MODEL the run SET (level layers,
attention and gradients) and SET.gate.jsonl (what `omnitrace gate --out` writes). What is there is
kept, so that the same command goes on; the sets take turns, so that it may stop at any time.
With --ablations M, samples that the gate keeps get M masks of their prompts each.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from benchmarks.common import ROOT
from benchmarks.real_sets import SETS, write
from omnitrace import open_run
from omnitrace.evidence import EvidenceRow, read_evidence
from omnitrace.progress import no_report
from recorder.ablation.ablate import ablate_recorded
from recorder.cli.gate import lines_of, read_measured
from recorder.config import AblateConfig, RecordConfig
from recorder.gate import Gate, measure_run
from recorder.gate_rules import GateConfig, funnel
from recorder.identity import RecordedSamples
from recorder.record import Recording
from recorder.tracer import Tracer

REAL = ROOT / ".real"
MODELS = {"smollm2": 8000, "gemma3": 32000}
"""Checkpoints, and the longest prompts that they are given, in tokens."""
TURNS = {"own": 2, "paraphrased": 2, "literal": 2, "several": 1, "dialogue": 1, "needle": 1}
"""How many samples of each set are recorded in turn."""
LONGEST = 24
"""Tokens of an answer that the model gives itself."""


@dataclass(frozen=True)
class Place:
    """Where the samples and the recordings of one model on one set lie."""

    model: str
    set: str

    @property
    def samples(self) -> Path:
        return REAL / "sets" / self.set / "samples.jsonl"

    @property
    def evidence(self) -> Path:
        return self.samples.with_name("evidence.jsonl")

    @property
    def run(self) -> Path:
        return REAL / "runs" / self.model / self.set

    @property
    def gate(self) -> Path:
        return self.run.with_name(f"{self.set}.gate.jsonl")

    @property
    def config(self) -> RecordConfig:
        given = self.samples.with_name("responses.jsonl")
        return RecordConfig(
            model=str(REAL / self.model),
            level="layers",
            max_new_tokens=LONGEST,
            responses=str(given) if given.exists() else "",
        )


def tokens_of(id: str) -> int:
    """About how many tokens a sample has; 0 for a short one."""
    kind, length, *_ = id.split("-")
    return 1000 * int(length.removesuffix("k")) if kind == "needle" else 0


def turns(ids: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, list[str]]]:
    """(set, some of its ids), the sets in turn, until all ids are given out: short prompts first,
    otherwise in the order of their hashes."""
    left = {
        name: sorted(own, key=lambda id: (tokens_of(id), sha256(id.encode()).digest()))
        for name, own in ids.items()
    }
    while any(left.values()):
        for name, own in left.items():
            now, left[name] = own[: TURNS[name]], own[TURNS[name] :]
            if now:
                yield name, now


def ids_of(model: str) -> dict[str, list[str]]:
    """The ids of each set that the model can take."""
    return {
        name: [
            json.loads(line)["id"]
            for line in Place(model, name).samples.read_text("utf-8").splitlines()
            if tokens_of(json.loads(line)["id"]) <= MODELS[model]
        ]
        for name in SETS
    }


def record_some(place: Place, ids: Sequence[str], tracer: Tracer | None) -> Tracer:
    """Record these samples; returns the model, which is loaded once."""
    config = replace(place.config, ids=",".join(ids))
    recording = Recording(place.samples, place.run, config)
    if tracer is not None:
        recording.tracer = tracer.on(config)
    summary = recording.run(no_report)
    for sentence in summary.failed.values():
        print(sentence, flush=True)
    return recording.tracer


def gate_some(place: Place, ids: Sequence[str], tracer: Tracer) -> list[str]:
    """Measure these samples for the gate; returns the ids that it keeps."""
    run, every = open_run(place.run), read_evidence(place.evidence)
    rows: dict[str, EvidenceRow] = {id: every[id] for id in ids}
    samples = RecordedSamples.read(str(place.samples))
    gate = Gate(tracer.adapter, samples, rows, generated=not place.config.responses)
    known, failed, found = read_measured(place.gate), dict[str, str](), []
    with lines_of(place.gate, known) as keep:
        for one, is_new in measure_run(run, lambda: gate, rows, known, failed, no_report):
            found.append(one)
            if is_new:
                keep(one)
    for sentence in failed.values():
        print(sentence, flush=True)
    return list(funnel(found, GateConfig()).kept)


def ablate_some(place: Place, ids: Sequence[str], tracer: Tracer, masks: int) -> None:
    """Record ablations of these samples."""
    chosen = [RecordedSamples.read(str(place.samples)).by_id[id] for id in ids]
    ablate_recorded(open_run(place.run), tracer.adapter, chosen, AblateConfig(masks=masks))


def record_model(model: str, minutes: float, ablations: int) -> None:
    """Record and gate one model on all sets, for so many minutes at most."""
    end, tracer = time.monotonic() + 60 * minutes, None
    for name, ids in turns(ids_of(model)):
        if time.monotonic() > end:
            print(f"{model}: stopped after {minutes:g} minutes; the same command goes on.")
            return
        place = Place(model, name)
        tracer = record_some(place, ids, tracer)
        kept = gate_some(place, ids, tracer)
        if ablations and kept:
            ablate_some(place, kept, tracer, ablations)
        print(f"{model} {name}: {', '.join(ids)}; kept {len(kept)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--minutes", type=float, default=60.0, help="of each model")
    parser.add_argument("--ablations", type=int, default=0, help="masks of each sample kept")
    options = parser.parse_args()
    write(REAL / "sets")
    for model in options.models.split(","):
        record_model(model, options.minutes, options.ablations)


if __name__ == "__main__":
    main()
