"""The media of a trace as parts of a chat message: found by name and sha256, encoded in base64.

An image goes as it is; audio as WAV, 16 kHz, one channel; a video as images with their seconds, and
its audio. Knows no server; decoding is in replay.judge.decode.
"""

from __future__ import annotations

import base64
import mimetypes
from pathlib import Path
from typing import Any

from omnitrace.errors import CommandError, SampleError
from omnitrace.media.folder import MediaFolder
from omnitrace.text import one_line
from omnitrace.timeline import Medium
from omnitrace.trace import Trace
from replay.judge.decode import frames_of, wav_of

Part = dict[str, Any]


def media_folder(root: Path) -> MediaFolder:
    """The folder of `--media`; CommandError if it is none."""
    if not root.is_dir():
        raise CommandError(f"--media: {root} is not a folder.")
    return MediaFolder(root)


def shown(trace: Trace, folder: MediaFolder, frames: int) -> dict[int, list[Part]]:
    """The parts that show each medium, by its index; SampleError naming one that cannot be."""
    return {
        index: _parts(medium, _file_of(medium, folder), frames)
        for index, medium in enumerate(trace.media)
    }


def _file_of(medium: Medium, folder: MediaFolder) -> Path:
    """The file that was recorded; SampleError if no file of that name has its content."""
    try:
        path = folder.find(medium)
    except OSError as error:
        raise SampleError(f"cannot read {error.filename}: {error.strerror}") from error
    if path is not None:
        return path
    other = bool(folder.named(medium))
    why = "has other bytes than when it was recorded" if other else "is not there"
    raise SampleError(f"{medium.kind} '{one_line(medium.name)}' {why}, below {folder.root}")


def _parts(medium: Medium, path: Path, frames: int) -> list[Part]:
    if medium.kind == "image":
        kind = mimetypes.guess_type(path.name)[0] or ""
        if not kind.startswith("image/"):
            raise SampleError(f"{path} has no picture's name; .png, .jpg, .webp and .gif have")
        return [_image_part(path.read_bytes(), kind)]
    if medium.kind == "audio":
        audio = wav_of(path)
        if audio is None:
            raise SampleError(f"{path} has no sound")
        return [_audio_part(audio)]
    parts: list[Part] = []
    for second, image in frames_of(path, frames):
        parts += [{"type": "text", "text": f"at {second:.1f} s:"}, _image_part(image, "image/jpeg")]
    audio = wav_of(path)
    if audio is not None:
        parts += [{"type": "text", "text": "its sound:"}, _audio_part(audio)]
    return parts


def _image_part(data: bytes, kind: str) -> Part:
    return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{_base64(data)}"}}


def _audio_part(wav: bytes) -> Part:
    return {"type": "input_audio", "input_audio": {"data": _base64(wav), "format": "wav"}}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
