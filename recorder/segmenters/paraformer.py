"""Paraformer, through FunASR, with voice activity detection and punctuation as its guide has it.

FunASR is no dependency: it is imported when the segmenter is named. Written against its published
interface (AutoModel, `generate`, `sentence_info`, times in milliseconds).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import funasr
import msgspec

from omnitrace.errors import CommandError, OmniTraceError, SampleError
from omnitrace.text import one_line
from omnitrace.timeline import Segments
from recorder.config import SegmentConfig
from recorder.models.settings import choose_device
from recorder.segmenters import AudioClip
from recorder.segmenters.words import Piece, stretches

USUAL = "paraformer-zh"
_HAN = "\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(rf"[{_HAN}]|[^\W{_HAN}]+(?:['’-][^\W{_HAN}]+)*")


class _Sentence(msgspec.Struct):
    """A stretch up to a comma or full stop; `timestamp` has start and end of each word in it."""

    text: str
    start: float
    end: float
    timestamp: list[tuple[float, float]]


class _Result(msgspec.Struct):
    sentence_info: list[_Sentence]


@dataclass(frozen=True)
class Paraformer:
    """One FunASR model; its weights are loaded for the first clip."""

    model: str
    granularity: str
    device: str
    needs_files: bool = True

    @property
    def name(self) -> str:
        return f"paraformer-{self.granularity}"

    @property
    def about(self) -> dict[str, Any]:
        return {
            "segmenter": "paraformer",
            "model": self.model,
            "granularity": self.granularity,
            "funasr": getattr(funasr, "__version__", ""),
        }

    def segments(self, clip: AudioClip) -> Segments:
        try:
            found = self._model.generate(
                input=clip.samples(), sentence_timestamp=True, disable_pbar=True
            )
            [result] = msgspec.convert(found, list[_Result])
        except OmniTraceError:
            raise
        except Exception as error:  # foreign code, which may fail in any way
            raise SampleError(
                f"{self.model} cannot hear {clip.path}: {one_line(str(error), 200)}."
            ) from error
        if self.granularity == "words":
            return stretches(_words(result.sentence_info), "words")
        return stretches(
            ((s.start / 1000, s.end / 1000, s.text) for s in result.sentence_info), "sentences"
        )

    @cached_property
    def _model(self) -> Any:
        try:
            return funasr.AutoModel(
                model=self.model,
                vad_model="fsmn-vad",
                punc_model="ct-punc",
                device=str(choose_device(self.device)),
                disable_update=True,
            )
        except Exception as error:  # foreign code, which may fail in any way
            raise CommandError(
                f"cannot load '{self.model}' with FunASR: {one_line(str(error), 200)}. Name "
                "another with --model."
            ) from error


def load(config: SegmentConfig) -> Paraformer:
    return Paraformer(config.model or USUAL, config.granularity, config.device)


def _words(sentences: list[_Sentence]) -> Iterator[Piece]:
    """One piece a timed word; SampleError where a sentence has not as many words as times."""
    for sentence in sentences:
        words = _WORD.findall(sentence.text)
        if len(words) != len(sentence.timestamp):
            raise SampleError(
                f"Paraformer timed {len(sentence.timestamp)} words of '{one_line(sentence.text)}', "
                f"which has {len(words)}: take --granularity sentences."
            )
        for word, (start, end) in zip(words, sentence.timestamp, strict=True):
            yield start / 1000, end / 1000, word
