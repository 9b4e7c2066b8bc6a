"""Segmentation effect: Time-F1 of audio under several segmentations (paper §4.2.2, Fig. 2a)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from omnitrace.trace import Trace
from replay.analyses.variants import Variants
from replay.config import ReplayConfig
from replay.evaluation import Gold

SECONDS = (0.5, 1.0, 2.0, 5.0)
RAW, RAW_SECONDS = "raw tokens", 0.04
"""No token of a known model lasts less."""


@dataclass(frozen=True)
class Segmentation(Variants):
    """Scores of `audio` by segmentation: `raw tokens`, bins of several lengths, those added."""

    title: ClassVar[str] = "Sound cut in several ways"


def segmentation(
    traces: Iterable[Trace],
    config: ReplayConfig,
    golds: Mapping[str, Gold],
    added: Iterable[str] = (),
) -> Segmentation:
    """`config` with the audio cut into single tokens, bins, and the `added` segmentations."""
    return Segmentation.of("audio", traces, golds, segmentations(config, added))


def segmentations(config: ReplayConfig, added: Iterable[str]) -> dict[str, ReplayConfig]:
    """The variants by name; the configuration's own length of a bin is among them."""

    def cut(seconds: float, name: str = "") -> ReplayConfig:
        units = replace(config.units, audio_seconds=seconds, audio_segments=name)
        return replace(config, units=units)

    own = config.units.audio_seconds
    bins = {f"{seconds:g} s bins": cut(seconds) for seconds in sorted({*SECONDS, own})}
    return {RAW: cut(RAW_SECONDS), **bins, **{name: cut(own, name) for name in added}}
