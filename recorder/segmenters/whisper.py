"""Whisper, through transformers' speech recognition pipeline, with a time for each word.

Knows audio and the pipeline; not runs. Any checkpoint with alignment heads does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import transformers

from omnitrace.errors import CommandError, SampleError
from omnitrace.text import one_line
from omnitrace.timeline import Segments
from recorder import fingerprint
from recorder.config import SegmentConfig
from recorder.models.adapter import hub_commit, quiet
from recorder.models.settings import choose_device
from recorder.segmenters import RATE, AudioClip
from recorder.segmenters.words import Piece, stretches

USUAL = "openai/whisper-large-v3"


@dataclass(frozen=True)
class Whisper:
    """One checkpoint; its weights are loaded for the first clip."""

    model: str
    revision: str
    granularity: str
    language: str
    device: str
    needs_files: bool = True

    @property
    def name(self) -> str:
        return f"whisper-{self.granularity}"

    @property
    def about(self) -> dict[str, Any]:
        folder = Path(self.model)
        return {
            "segmenter": "whisper",
            "model": folder.name if folder.is_dir() else self.model,
            "revision": self.revision,
            "granularity": self.granularity,
            "language": self.language,
            "transformers": transformers.__version__,
        }

    def segments(self, clip: AudioClip) -> Segments:
        spoken = {"language": self.language} if self.language else {}
        audio = {"raw": clip.samples(), "sampling_rate": RATE}
        try:
            found = self._pipeline(audio, return_timestamps="word", generate_kwargs=spoken)
        except (ValueError, IndexError, RuntimeError) as error:
            raise SampleError(
                f"{self.model} cannot hear {clip.path}: {one_line(str(error), 200)}."
            ) from error
        return stretches(words_of(found["chunks"], clip.seconds), self.granularity)

    @cached_property
    def _pipeline(self) -> Any:
        try:
            return transformers.pipeline(
                "automatic-speech-recognition",
                model=self.model,
                revision=None if Path(self.model).is_dir() else self.revision,
                device=choose_device(self.device),
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise _unusable(self.model, error) from error


def load(config: SegmentConfig) -> Whisper:
    """CommandError if there is no such checkpoint, or it is not Whisper's."""
    model = config.model or USUAL
    quiet()
    try:
        found = transformers.AutoConfig.from_pretrained(model)
    except (OSError, ValueError, KeyError) as error:
        raise _unusable(model, error) from error
    if found.model_type != "whisper":
        raise CommandError(f"'{model}' is a {found.model_type}, not a Whisper checkpoint.")
    folder = Path(model)
    own = folder.is_dir()
    revision = f"sha256:{fingerprint.of_folder(folder)}" if own else hub_commit(model)
    return Whisper(model, revision, config.granularity, config.language, config.device)


def words_of(chunks: list[dict[str, Any]], seconds: float) -> Iterator[Piece]:
    """(start, end, text) of each word. The last word may have no end, and words are recognised in
    padding too: both end with the audio."""
    for chunk in chunks:
        start, end = chunk["timestamp"]
        if start is not None and start <= seconds:
            yield start, max(start, min(seconds if end is None else end, seconds)), chunk["text"]


def _unusable(model: str, error: Exception) -> CommandError:
    return CommandError(
        f"cannot load Whisper from '{model}': {one_line(str(error), 200)} Name a folder or a model "
        "id of the hub with --model."
    )
