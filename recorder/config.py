"""What a recording can be told to do. Data only: no torch is loaded to print the help."""

from __future__ import annotations

from dataclasses import dataclass

from omnitrace.config import knob


@dataclass(frozen=True)
class RecordConfig:
    """How samples are answered and recorded. All but `device` and `limit` is the run's identity."""

    model: str = knob("", "a model folder or hub id; empty: the bundled tiny model")
    max_new_tokens: int = knob(256, "longest answer, in tokens", bounds=(1, 1_000_000, 64))
    temperature: float = knob(0.0, "0 is greedy; above it tokens are drawn", bounds=(0, 10, 0.1))
    top_p: float = knob(1.0, "drawn from the likeliest tokens of this mass", bounds=(0, 1, 0.05))
    seed: int = knob(0, "of the draws, the same for every sample", bounds=(0, 2**63 - 1, 1))
    fps: float = knob(2.0, "frames a second taken from a film", bounds=(0.01, 60, 0.5))
    dtype: str = knob(
        "auto",
        "precision of the weights; auto: as stored",
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    spacy_model: str = knob("", "spaCy pipeline for tags and sentences; empty: the bundled one")
    device: str = knob("auto", "cpu, cuda, cuda:1 …; auto: a GPU if there is one")
    limit: int = knob(0, "record only the first this many samples; 0: all", bounds=(0, 10**12, 1))
