"""Transcripts that the user has: SubRip (.srt), WebVTT (.vtt), JSON, also Whisper's own JSON.

Parsed strictly: errors name file and line. Knows files and text.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from omnitrace.errors import CommandError, SampleError
from omnitrace.text import one_line
from omnitrace.timeline import Segments
from recorder.config import SegmentConfig
from recorder.segmenters import AudioClip
from recorder.segmenters.words import Piece

_CLOCK = r"(?:(\d{2,}):)?([0-5]\d):([0-5]\d)[.,](\d{3})"
_TIMING = re.compile(rf"{_CLOCK}[ \t]+-->[ \t]+{_CLOCK}(?:[ \t].*)?")
_TAG = re.compile(r"<[^<>\n]*>")
_NOT_CUES = ("NOTE", "STYLE", "REGION")
_JSON_FIELDS = "a list of {start, end, text} in seconds, or {segments: [...]} as Whisper writes it"


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    start: float
    end: float
    text: str


class _WhisperEntry(msgspec.Struct):
    start: float
    end: float
    text: str


class _WhisperFile(msgspec.Struct):
    segments: list[_WhisperEntry]


@dataclass(frozen=True)
class Transcripts:
    """Transcript files by their name; one is taken for the medium or the sample it is named
    after, the medium's where both are there."""

    files: Mapping[str, Path]
    folder: str
    name: str = "transcript"
    needs_files: bool = False

    @property
    def about(self) -> dict[str, Any]:
        return {"segmenter": "transcript"}

    def segments(self, clip: AudioClip) -> Segments:
        return read_transcript(self._file(clip))

    def _file(self, clip: AudioClip) -> Path:
        stem = Path(clip.medium.name).stem
        for name in (stem, clip.sample):
            found = [self.files[name + end] for end in PARSERS if name + end in self.files]
            if len(found) > 1:
                raise SampleError(f"{found[0]} and {found[1]} are both there: remove one.")
            if found:
                return found[0]
        raise SampleError(
            f"there is no transcript {one_line(stem)}.srt, .vtt or .json of its medium "
            f"'{one_line(clip.medium.name)}' in {self.folder}."
        )


def load(config: SegmentConfig) -> Transcripts:
    """CommandError if `config` names no folder of transcripts."""
    folder = Path(config.transcripts)
    if not config.transcripts or not folder.is_dir():
        raise CommandError(
            f"--transcripts {config.transcripts or '(not given)'} is no folder: name the one that "
            f"holds the files {', '.join(f'STEM{end}' for end in PARSERS)}."
        )
    return Transcripts({path.name: path for path in folder.iterdir()}, config.transcripts)


def read_transcript(path: Path) -> Segments:
    """The stretches of a transcript; SampleError naming file and line if it is not legal."""
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SampleError(f"{path} is not UTF-8 text (byte {error.start}).") from error
    except OSError as error:
        raise SampleError(f"cannot read {path}: {error.strerror}.") from error
    try:
        return Segments.of(PARSERS[path.suffix](text))
    except ValueError as error:
        raise SampleError(f"{path}: {error}.") from error


def _srt(text: str) -> Iterator[Piece]:
    for number, lines in _blocks(text):
        numbered = lines[0].strip().isdigit() and len(lines) > 1
        yield _cue(number + numbered, lines[numbered:])


def _vtt(text: str) -> Iterator[Piece]:
    head, *blocks = list(_blocks(text)) or [(1, [""])]
    if head[0] != 1 or not re.match(r"WEBVTT(?:[ \t].*)?\Z", head[1][0]):
        raise ValueError("line 1 is not WEBVTT")
    for number, lines in blocks:
        if not lines[0].startswith(_NOT_CUES):
            named = "-->" not in lines[0] and len(lines) > 1
            start, end, cue = _cue(number + named, lines[named:])
            yield start, end, html.unescape(cue)


def _blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    """Stretches of lines that are not blank, with the number of the first, from 1."""
    block: list[str] = []
    lines = [*re.split("\r\n|\n|\r", text), ""]
    for number, line in enumerate(lines, 1):
        if line.strip():
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []


def _cue(number: int, lines: list[str]) -> Piece:
    """One cue whose timing is on line `number`, its text below."""
    timing = _TIMING.fullmatch(lines[0].strip())
    if not timing:
        raise ValueError(
            f"line {number}: '{one_line(lines[0])}' is not a timing such as "
            "00:01:02,500 --> 00:01:04,000"
        )
    start, end = _seconds(timing.groups()[:4]), _seconds(timing.groups()[4:])
    if end < start:
        raise ValueError(f"line {number}: it ends before it starts")
    return start, end, _TAG.sub("", " ".join(line.strip() for line in lines[1:]))


def _seconds(clock: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, thousandths = (int(part or 0) for part in clock)
    return 3600 * hours + 60 * minutes + seconds + thousandths / 1000


def _json(text: str) -> Iterator[Piece]:
    try:
        data = json.loads(text)
        kind: Any = list[_Entry] if isinstance(data, list) else _WhisperFile
        found = msgspec.convert(data, kind)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}: invalid JSON: {error.msg}") from error
    except RecursionError as error:
        raise ValueError("invalid JSON: nested too deep") from error
    except UnicodeEncodeError as error:
        raise ValueError("a string holds half a surrogate pair, no text") from error
    except msgspec.ValidationError as error:
        raise ValueError(f"{error}; expected {_JSON_FIELDS}") from error
    entries = found if isinstance(found, list) else found.segments
    for number, entry in enumerate(entries, 1):
        if not 0 <= entry.start <= entry.end:
            raise ValueError(f"entry {number}: from {entry.start:g} to {entry.end:g} s is no time")
        yield entry.start, entry.end, entry.text


PARSERS: Mapping[str, Callable[[str], Iterator[Piece]]] = {
    ".srt": _srt,
    ".vtt": _vtt,
    ".json": _json,
}
