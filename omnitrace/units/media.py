"""Units of images, audio files and videos: whole, by cell, by second, by recorded stretch.

Knows the media tokens of a prompt; no text.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from omnitrace.arrays import Bool, Float64, Int32
from omnitrace.prompt import Prompt
from omnitrace.timeline import Modality, Segments
from omnitrace.units.config import UnitConfig
from omnitrace.units.data import Cut, Kind

_SHORTEST = 0.04
FUZZ = 1e-9
"""Bins are half-open; a boundary is a boundary in spite of floating point."""


def cut_media(cut: Cut, prompt: Prompt, config: UnitConfig, speech: Mapping[int, Segments]) -> None:
    """Cut all media; those in `speech` have these stretches as their units of audio."""
    _cut_images(cut, prompt, config)
    _cut_audio(cut, prompt, config)
    _cut_video(cut, prompt, config)
    for medium, segments in speech.items():
        if not (config.video == "vision" and prompt.media[medium].kind == "video"):
            _cut_speech(cut, prompt, medium, segments)


def speech_of(prompt: Prompt, config: UnitConfig) -> Mapping[int, Segments]:
    """The media whose audio is cut by a segmentation, with their stretches."""
    audio = prompt.timeline.modality == Modality.AUDIO
    if not config.audio_segments or not audio.any():
        return {}
    chosen = prompt.segmentation(config.audio_segments)
    return {medium: segments for medium, segments in chosen.media.items() if len(segments)}


def _cut_images(cut: Cut, prompt: Prompt, config: UnitConfig) -> None:
    line = prompt.timeline
    tokens = line.modality == Modality.IMAGE
    medium, side = line.medium[tokens], side_of(config)
    rows, columns = (size[medium] for size in patches_of(prompt))
    row, column = (np.maximum(position[tokens], 0) for position in (line.row, line.column))
    cut.put(tokens, Kind.IMAGE, medium, (row * side // rows) * side + column * side // columns)


def side_of(config: UnitConfig) -> int:
    return config.grid if config.image == "grid" else 1


def patches_of(prompt: Prompt) -> tuple[Int32, Int32]:
    """Rows and columns of each medium's patch grid, (media,) each, at least 1."""
    line = prompt.timeline
    rows, columns = (np.ones(len(prompt.media), np.int32) for _ in range(2))
    placed = line.medium >= 0
    np.maximum.at(rows, line.medium[placed], line.row[placed] + 1)
    np.maximum.at(columns, line.medium[placed], line.column[placed] + 1)
    return rows, columns


def _cut_audio(cut: Cut, prompt: Prompt, config: UnitConfig) -> None:
    audio = prompt.timeline.modality == Modality.AUDIO
    _cut_bins(cut, prompt, audio & ~_in_video(prompt), Kind.AUDIO, config.audio_seconds)


def _cut_video(cut: Cut, prompt: Prompt, config: UnitConfig) -> None:
    line = prompt.timeline
    vision = line.modality == Modality.VIDEO
    audio = (line.modality == Modality.AUDIO) & _in_video(prompt)
    if config.video == "united":
        _cut_bins(cut, prompt, vision | audio, Kind.VIDEO, config.video_seconds)
    elif config.video == "vision":
        _cut_bins(cut, prompt, vision, Kind.VIDEO, config.video_seconds)
    elif config.video == "sound":
        _cut_bins(cut, prompt, audio, Kind.VIDEO_AUDIO, config.video_seconds)
    elif config.vision_seconds:
        _cut_bins(cut, prompt, vision, Kind.VIDEO, max(config.vision_seconds, _SHORTEST))
        _cut_bins(cut, prompt, audio, Kind.VIDEO_AUDIO, config.audio_seconds)
    else:
        _cut_by_frames(cut, prompt, vision, audio)


def _cut_by_frames(cut: Cut, prompt: Prompt, vision: Bool, audio: Bool) -> None:
    line = prompt.timeline
    cut.put(vision, Kind.VIDEO, line.medium[vision], np.maximum(line.frame[vision], 0))
    cut.start_s[vision], cut.end_s[vision] = line.start_s[vision], line.end_s[vision]
    for medium in np.unique(line.medium[audio]):
        _cut_video_audio(
            cut, prompt, vision & (line.medium == medium), audio & (line.medium == medium)
        )


def _cut_video_audio(cut: Cut, prompt: Prompt, vision: Bool, audio: Bool) -> None:
    """A video's audio in the bins of its groups of frames, as the paper's release has it."""
    line = prompt.timeline
    starts, first = np.unique(line.start_s[vision], return_index=True)
    frame = np.flatnonzero(vision)[first]
    midpoint = (line.start_s[audio] + line.end_s[audio]) / 2
    own = frame[np.maximum(np.searchsorted(starts, midpoint, side="right") - 1, 0)]
    cut.put(audio, Kind.VIDEO_AUDIO, line.medium[audio], np.maximum(line.frame[own], 0))
    cut.start_s[audio], cut.end_s[audio] = line.start_s[own], line.end_s[own]


def _cut_speech(cut: Cut, prompt: Prompt, medium: int, segments: Segments) -> None:
    """Cut a medium's audio again, in its stretches, to the millisecond."""
    line = prompt.timeline
    audio = np.flatnonzero((line.modality == Modality.AUDIO) & (line.medium == medium))
    middle = (line.start_s[audio] + line.end_s[audio]) / 2
    order = np.argsort(middle)
    starts, ends = np.round(segments.start_s, 3), np.round(segments.end_s, 3)
    bounds = np.searchsorted(middle[order], np.stack([starts, ends], axis=1) - FUZZ)
    cell = np.full(len(audio), -1)
    for index, (first, last) in enumerate(bounds.tolist()):
        cell[order[first:last]] = index
    kind = Kind.VIDEO_AUDIO if prompt.media[medium].kind == "video" else Kind.AUDIO
    cut.kind[audio] = np.where(cell < 0, -1, kind)
    cut.item[audio], cut.cell[audio] = medium, cell
    cut.start_s[audio], cut.end_s[audio] = starts[cell], ends[cell]


def _in_video(prompt: Prompt) -> Bool:
    is_video: Bool = np.array([medium.kind == "video" for medium in prompt.media] + [False])
    of_token: Bool = is_video[prompt.timeline.medium]
    return of_token


def _cut_bins(cut: Cut, prompt: Prompt, tokens: Bool, kind: int, seconds: float) -> None:
    line = prompt.timeline
    medium = line.medium[tokens]
    duration = _durations(prompt)[medium]
    midpoint = (line.start_s[tokens] + line.end_s[tokens]) / 2
    last = np.ceil(duration / seconds - FUZZ) - 1
    cell = np.clip(np.floor(midpoint / seconds + FUZZ), 0, np.maximum(last, 0))
    cut.put(tokens, kind, medium, cell.astype(np.int64))
    cut.start_s[tokens] = cell * seconds
    cut.end_s[tokens] = np.minimum((cell + 1) * seconds, duration)


def _durations(prompt: Prompt) -> Float64:
    """Seconds of each medium (media,): as recorded, else until its last token ends."""
    line = prompt.timeline
    last = np.zeros(len(prompt.media))
    timed = (line.medium >= 0) & ~np.isnan(line.end_s)
    np.maximum.at(last, line.medium[timed], line.end_s[timed])
    known = [medium.duration_s for medium in prompt.media]
    return np.array([end if known[i] is None else known[i] for i, end in enumerate(last)], float)
