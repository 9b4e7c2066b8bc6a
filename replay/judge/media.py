"""The media of a trace as parts of a chat message: found by name and sha256, encoded in base64.

Pictures go as they are; sound as WAV, 16 kHz, one channel; a film as pictures with their seconds,
and its sound. Knows no server; decoding is in replay.judge.decode.
"""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.text import one_line
from omnitrace.timeline import Medium
from omnitrace.trace import Trace
from replay.judge.decode import frames_of, wav_of

Part = dict[str, Any]


@dataclass(frozen=True)
class MediaFolder:
    """A folder in which media lie at any depth, by file name."""

    root: Path
    places: Mapping[str, Sequence[Path]]

    @classmethod
    def of(cls, root: Path) -> MediaFolder:
        """All files below `root`; CommandError if it is no folder."""
        if not root.is_dir():
            raise CommandError(f"--media: {root} is not a folder.")
        places: dict[str, list[Path]] = {}
        for folder, _, names in os.walk(root):
            for name in names:
                places.setdefault(name, []).append(Path(folder) / name)
        return cls(root, places)

    def find(self, medium: Medium) -> Path:
        """The file that was recorded; OmniTraceError if none of that name has its bytes."""
        found = self.places.get(medium.name.replace("\\", "/").rsplit("/", 1)[-1], ())
        for path in found:
            if _sha256(path) == medium.sha256:
                return path
        why = "has other bytes than when it was recorded" if found else "is not there"
        raise OmniTraceError(f"{medium.kind} '{one_line(medium.name)}' {why}, below {self.root}")


def shown(trace: Trace, folder: MediaFolder, frames: int) -> dict[int, list[Part]]:
    """The parts that show each medium, by its index; OmniTraceError naming one that cannot be."""
    return {
        index: _parts(medium, folder.find(medium), frames)
        for index, medium in enumerate(trace.media)
    }


def _parts(medium: Medium, path: Path, frames: int) -> list[Part]:
    if medium.kind == "image":
        kind = mimetypes.guess_type(path.name)[0] or ""
        if not kind.startswith("image/"):
            raise OmniTraceError(f"{path} has no picture's name; .png, .jpg, .webp and .gif have")
        return [_picture(path.read_bytes(), kind)]
    if medium.kind == "audio":
        sound = wav_of(path)
        if sound is None:
            raise OmniTraceError(f"{path} has no sound")
        return [_sound(sound)]
    parts: list[Part] = []
    for second, picture in frames_of(path, frames):
        parts += [{"type": "text", "text": f"at {second:.1f} s:"}, _picture(picture, "image/jpeg")]
    sound = wav_of(path)
    return (
        parts if sound is None else [*parts, {"type": "text", "text": "its sound:"}, _sound(sound)]
    )


def _picture(data: bytes, kind: str) -> Part:
    return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{_base64(data)}"}}


def _sound(wav: bytes) -> Part:
    return {"type": "input_audio", "input_audio": {"data": _base64(wav), "format": "wav"}}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise OmniTraceError(f"cannot read {path}: {error.strerror}") from error
