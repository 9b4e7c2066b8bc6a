"""Vision and audio: Time-F1 of videos by both streams or one of them (paper §4.2.3, Fig. 2b)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from omnitrace.trace import Trace
from replay.analyses.variants import Variants
from replay.config import ReplayConfig
from replay.evaluation import Gold

VISION, SOUND = "vision alone", "sound alone"


@dataclass(frozen=True)
class Streams(Variants):
    """Scores of `video` with the chosen units of video, of vision alone, of audio alone."""

    title: ClassVar[str] = "What of a film is a source"


def streams(traces: Iterable[Trace], config: ReplayConfig, golds: Mapping[str, Gold]) -> Streams:
    """`config` as it is, and with one stream of each video as its only source."""
    return Streams.of("video", traces, golds, stream_configs(config))


def stream_configs(config: ReplayConfig) -> dict[str, ReplayConfig]:
    """The variants by name; both streams as chosen, united where only one of them was."""

    def with_video(video: str) -> ReplayConfig:
        return replace(config, units=replace(config.units, video=video))

    chosen = config.units.video
    both = chosen if chosen in ("united", "apart") else "united"
    return {
        f"both, {both}": with_video(both),
        VISION: with_video("vision"),
        SOUND: with_video("sound"),
    }
