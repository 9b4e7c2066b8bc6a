"""What can be chosen at replay, stage by stage, and the presets. Data only.

A stage is a dataclass of the options that one part of a replay may depend on. `ReplayConfig` and
`CurationConfig` are their stages put together, so that every option is declared in exactly one
stage; `stage` takes one out again. What is computed from stages alone has them as its cache key,
and cannot depend on an option that is not in the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TypeVar

from omnitrace.config import option
from omnitrace.errors import CommandError, nearest
from omnitrace.units import UnitConfig
from replay.chunk import CHUNKERS
from replay.reduce import REDUCES, help_text

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
class ThresholdStage:
    """Which of a span's sources are kept, given the votes."""

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


@dataclass(frozen=True)
class VoteStage:
    """What a step's vote weighs."""

    gamma: float = option(2.0, "power of the confidence in a vote", bounds=(0.0, 8.0, 0.25))
    pos_weights: Mapping[str, float] = option(
        POS_WEIGHTS, "weight of a vote by part of speech (UPOS)", choices=UPOS
    )
    pos_other: float = option(
        0.3, "weight of a part of speech that pos_weights lacks", bounds=(0.0, 1.0, 0.05)
    )

    def __hash__(self) -> int:
        return hash((self.gamma, tuple(sorted(self.pos_weights.items())), self.pos_other))


# Dataclasses take the fields of the last base first: stages are listed from the last to the first.
@dataclass(frozen=True)
class CurationConfig(VoteStage, ThresholdStage):
    """Which of a span's sources are kept (paper, Appendix A.1)."""


@dataclass(frozen=True)
class ScoreStage:
    """Which of the recorded scores are read."""

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


@dataclass(frozen=True)
class TokenConfig:
    """Which prompt tokens carry mass, and what is taken off their scores."""

    wordless: str = option(
        "keep",
        "tokens of text that hold no letter or digit: keep them, or drop them, so that they carry "
        "no mass",
        choices=("keep", "drop"),
    )
    markers: str = option(
        "keep",
        "tokens in units that are a marker of a chat template, such as <|im_end|>: keep or drop",
        choices=("keep", "drop"),
    )
    heaviest: int = option(
        0,
        "drop so many of the tokens in units with the largest usual scores, as attention sinks "
        "have, after the filters wordless, markers and activation",
        bounds=(0, 64, 1),
    )
    outliers: float = option(
        0.0,
        "drop the tokens in units whose usual score is more than so many times the median one; "
        "0: none",
        bounds=(0.0, 10000.0, 10.0),
    )
    quantile: float = option(
        0.1,
        "a token's usual score is this quantile of its scores over the steps: low, for a sink has "
        "a large one at every step, evidence at some",
        bounds=(0.0, 1.0, 0.05),
    )
    activation: float = option(
        0.0,
        "drop the prompt tokens whose recorded activation is larger than so many times the "
        "median token's (about 3 finds attention sinks); 0: none",
        bounds=(0.0, 1000.0, 0.5),
    )
    baseline: str = option(
        "none",
        "what is subtracted from each token's score, cut at 0: nothing, its mean over the steps "
        "of the response, or its usual score",
        choices=("none", "mean", "usual"),
    )
    prior: str = option(
        "",
        "a file of what each relative place of a prompt gets in other samples, which `omnitrace "
        "prior` wrote; empty: none",
    )
    prior_use: str = option(
        "subtract",
        "the prior is subtracted from the scores, cut at 0, or divides them",
        choices=("subtract", "divide"),
    )


@dataclass(frozen=True)
class TokenStage:
    """Which tokens of the units carry mass."""

    tokens: TokenConfig = field(default_factory=TokenConfig)


@dataclass(frozen=True)
class MassStage:
    """How scores become the masses of units."""

    reduce: str = option(
        "sum",
        f"a unit's mass from its tokens' scores: {help_text()}",
        choices=tuple(REDUCES),
    )
    indirect: float = option(
        0.0,
        "weight of what reaches a unit by way of earlier steps, following their rows; 0: only "
        "what goes there at once",
        bounds=(0.0, 1.0, 0.1),
    )


@dataclass(frozen=True)
class MappingStage:
    """How masses become votes."""

    competition: str = option(
        "together",
        "which units compete for a step: all, those of one modality, or as the release has it",
        choices=("together", "per-modality", "release"),
    )
    naming: str = option(
        "votes",
        "what a step votes for: the unit that it is traced to (votes), or every unit, by POS "
        "weight × mass^gamma (mass), so that with gamma = 1 sources are ranked by their mass",
        choices=("votes", "mass"),
    )


@dataclass(frozen=True)
class UnitStage:
    """What the source units are."""

    units: UnitConfig = field(default_factory=UnitConfig)
    tags: str = option(
        "",
        "the tags and sentences to read: those of this name, which `omnitrace tag` added; empty: "
        "those recorded",
    )


@dataclass(frozen=True)
class SpanStage:
    """What the spans of the response are."""

    chunker: str = option(
        "sentence",
        f"spans: {'; '.join(chunker.help for chunker in CHUNKERS.values())}",
        choices=tuple(CHUNKERS),
    )
    window: int = option(16, "steps a span when chunker = window", bounds=(1, 4096, 1))
    response: str = option(
        "all",
        "the part of the response that is attributed: the answer, the thinking before it, or both",
        choices=("all", "answer", "thinking"),
    )


@dataclass(frozen=True)
class CurationStage:
    """How the votes of a span become its sources."""

    curation: CurationConfig = field(default_factory=CurationConfig)


@dataclass(frozen=True)
class CauseStage:
    """What recorded removals of single units say of a span's sources."""

    confirmed: str = option(
        "off",
        "use of removals that were recorded (`omnitrace confirm`): off, they are only shown; "
        "rerank, a span's sources are the units that caused it, by effect, then those that were "
        "not tested, and stay as they are where no tested unit caused it; only, the units that "
        "caused it, wherever any was tested",
        choices=("off", "rerank", "only"),
    )
    cause_nats: float = option(
        1.0,
        "a unit caused a span if the span's log-odds fall by so many nats without it",
        bounds=(0.0, 100.0, 0.25),
    )
    cause_share: float = option(
        0.5,
        "of the units that caused a span, `confirmed` keeps those with at least this share of the "
        "largest effect",
        bounds=(0.0, 1.0, 0.05),
    )


@dataclass(frozen=True)
class ReliabilityConfig:
    """How far a span's sources are trusted."""

    calibration: str = option(
        "",
        "what makes a probability of a span's votes: a file that `omnitrace calibrate` wrote, or "
        "bundled; empty: none",
    )
    least: float = option(
        0.0,
        "a span whose best source is right with a smaller probability gets no source: it is not "
        "attributable",
        bounds=(0.0, 1.0, 0.05),
    )
    nameable: float = option(
        0.0,
        "a span of whose scores a smaller share lies on units that can be named gets no source: it "
        "is not attributable",
        bounds=(0.0, 1.0, 0.05),
    )
    sinks: float = option(
        1.0,
        "warn of a sample of whose scores on the prompt more than this share lies on its template, "
        "its first token and tokens that were dropped; 1: never",
        bounds=(0.0, 1.0, 0.05),
    )


@dataclass(frozen=True)
class ReliabilityStage:
    """Which spans keep their sources."""

    reliability: ReliabilityConfig = field(default_factory=ReliabilityConfig)


@dataclass(frozen=True)
class ReplayConfig(
    ReliabilityStage,
    CauseStage,
    CurationStage,
    SpanStage,
    UnitStage,
    MappingStage,
    MassStage,
    TokenStage,
    ScoreStage,
):
    """Everything that turns a trace into an attribution."""


S = TypeVar("S")


def stage(config: S, kind: type[S]) -> S:
    """The options of one stage of `config` (`kind`, one of its bases): hashable, a cache key."""
    names: tuple[str, ...] = kind.__match_args__  # type: ignore[attr-defined]  # of a dataclass
    return kind(*[getattr(config, name) for name in names])


def option_names(*kinds: type) -> tuple[str, ...]:
    """The options of stages, in order."""
    return tuple(field.name for kind in kinds for field in fields(kind))


def with_stages(config: ReplayConfig, base: ReplayConfig, *kinds: type) -> ReplayConfig:
    """`config` with the options of the stages `kinds` as `base` has them."""
    return replace(config, **{name: getattr(base, name) for name in option_names(*kinds)})


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
