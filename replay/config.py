"""What can be chosen at replay, and the presets. Data only; knows nothing of how it is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from omnitrace.config import option
from omnitrace.errors import CommandError, nearest
from omnitrace.units import UnitConfig

POS_WEIGHTS = {
    **dict.fromkeys(("NOUN", "PROPN", "NUM"), 1.0),
    "VERB": 0.9,
    "ADJ": 0.8,
    "ADV": 0.5,
    **dict.fromkeys(("AUX", "PRON", "DET", "ADP", "CCONJ", "SCONJ", "PART"), 0.1),
    "PUNCT": 0.0,
}
UPOS = (*POS_WEIGHTS, "INTJ", "SYM", "X", "SPACE")


_LAYER = "[0-9]{1,4}"
_WEIGHT = "(:-?[0-9]*[.]?[0-9]+)?"


def _weighted(name: str) -> str:
    """The pattern of nothing, or of names separated by commas, each with or without a weight."""
    return f"({name}{_WEIGHT}( *, *{name}{_WEIGHT})*)?"


@dataclass(frozen=True)
class CurationConfig:
    """Which of a span's sources are kept (paper, Appendix A.1)."""

    coverage: float = option(
        0.85, "stop once the kept sources hold this share of the votes", bounds=(0.0, 1.0, 0.05)
    )
    p_min: float = option(
        0.07,
        "drop a source with a smaller share, unless its run is strong",
        bounds=(0.0, 1.0, 0.01),
    )
    run_min: float = option(
        0.10, "a run of steps with this share of the votes is strong", bounds=(0.0, 1.0, 0.01)
    )
    alpha: float = option(
        0.8,
        "weight of the share against the longest run in a source's score",
        bounds=(0.0, 1.0, 0.05),
    )
    gamma: float = option(2.0, "power of the confidence in a vote", bounds=(0.0, 8.0, 0.25))
    pos_weights: Mapping[str, float] = option(
        POS_WEIGHTS, "weight of a vote by part of speech (UPOS)", choices=UPOS
    )
    pos_other: float = option(
        0.3, "weight of a part of speech that pos_weights lacks", bounds=(0.0, 1.0, 0.05)
    )


@dataclass(frozen=True)
class ReplayConfig:
    """Everything that turns a trace into an attribution (DESIGN §5)."""

    signal: str = option("attmean", "the recorded signal to read")
    layers: str = option(
        "",
        "the layers to average, with or without weights (20,21 or 20:0.7,21:0.3), of a signal "
        "recorded by layer (attention, gradients); empty: all alike",
        form=(
            _weighted(_LAYER),
            'layers with or without a weight, as in "20,21" or "20:0.7,21:0.3"',
        ),
    )
    heads: str = option(
        "",
        "the heads (layer.head) to average, with or without weights (3.0,3.1 or 3.0:0.7,4.2:0.3), "
        "of signal = attention where level heads or qk was recorded; empty: all",
        form=(
            _weighted(f"{_LAYER}[.]{_LAYER}"),
            'heads as layer.head with or without a weight, as in "3.0,3.1" or "3.0:0.7,4.2:0.3"',
        ),
    )
    first_step: str = option(
        "query",
        "row of the first step: its own query's, or the mean over all prompt queries",
        choices=("query", "prompt-mean"),
    )
    reduce: str = option(
        "sum",
        "a unit's mass from its tokens' scores: their sum, largest or mean; uniform, the sum over "
        "what even attention would give; lift, the sum over the unit's mean sum in this response; "
        "surplus, the sum less that mean, not below 0",
        choices=("sum", "max", "mean", "uniform", "lift", "surplus"),
    )
    indirect: float = option(
        0.0,
        "weight of what reaches a unit by way of earlier steps, following their rows; 0: only "
        "what goes there at once",
        bounds=(0.0, 1.0, 0.1),
    )
    competition: str = option(
        "together",
        "which units compete for a step: all, those of one modality, or as the release has it",
        choices=("together", "per-modality", "release"),
    )
    units: UnitConfig = field(default_factory=UnitConfig)
    tags: str = option(
        "",
        "the tags and sentences to read: those of this name, which `omnitrace tag` added; empty: "
        "those recorded",
    )
    chunker: str = option(
        "sentence",
        "spans: recorded sentences; the release's (cut at newlines, list markers joined); "
        "clauses of sentences, cut at conjunctions and semicolons; windows of so many steps; the "
        "whole response",
        choices=("sentence", "release", "clause", "window", "response"),
    )
    window: int = option(16, "steps a span when chunker = window", bounds=(1, 4096, 1))
    response: str = option(
        "all",
        "the part of the response that is attributed: the answer, the thinking before it, or both",
        choices=("all", "answer", "thinking"),
    )
    curation: CurationConfig = field(default_factory=CurationConfig)


PRESETS: dict[str, ReplayConfig] = {
    "default": ReplayConfig(
        units=UnitConfig(request="unnamed", video="apart", vision_seconds=2.0),
    ),
    "paper": ReplayConfig(reduce="sum"),
    "release": ReplayConfig(
        first_step="prompt-mean",
        reduce="max",
        competition="release",
        units=UnitConfig(text="release", video="apart"),
        chunker="release",
    ),
}
"""`paper`: the article's algorithm; `release`: version 0.1.1 of its code; `default`: our advice."""


def preset(name: str) -> ReplayConfig:
    """The preset of that name; CommandError naming the legal ones otherwise."""
    if name not in PRESETS:
        raise CommandError(f"no preset '{name}': {nearest(name, list(PRESETS))}.")
    return PRESETS[name]
