"""The media of a run, found again by name and checksum, as data for a page. Pillow only here.

A run references its media; a page embeds small copies of images, and audio and video only within
a budget of bytes.
"""

from __future__ import annotations

import base64
import io
import warnings
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from omnitrace.errors import CommandError, extra
from omnitrace.media.folder import MediaFolder
from omnitrace.text import one_line
from omnitrace.timeline import Medium

THUMBNAIL = 512
"""Pixels of the longer side."""
_QUALITY = 82
_NAMED = 5
PLAYABLE = {
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".m4a": "audio/mp4",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".mov": "video/quicktime",
}


@dataclass
class MediaEmbedder:
    """The files under `folder`; `budget`: bytes of audio and video that may still be embedded.

    CommandError if there is no such folder. `missing`: names of the media whose recorded content
    no file under `folder` has; `too_large`: names of those beyond the budget.
    """

    folder: Path | None = None
    budget: int = 0
    missing: set[str] = field(default_factory=set)
    too_large: set[str] = field(default_factory=set)

    def thumbnail(self, medium: Medium) -> str | None:
        """A small copy of an image as a data URI; None if it is not at hand or no image."""
        path = self.find(medium)
        return None if path is None else _thumbnail(path)

    def playable(self, medium: Medium) -> str | None:
        """The whole file as a data URI; None if it is not at hand, unknown, or too large."""
        if not self.budget:
            return None
        path = self.find(medium)
        kind = PLAYABLE.get(PurePosixPath(medium.name).suffix.lower())
        if path is None or kind is None:
            return None
        size = path.stat().st_size
        if size > self.budget:
            self.too_large.add(medium.name)
            return None
        self.budget -= size
        return _data_uri(kind, path.read_bytes())

    def __post_init__(self) -> None:
        if self.folder is not None and not self.folder.is_dir():
            raise CommandError(f"there is no folder {self.folder} with media.")

    @property
    def notes(self) -> list[str]:
        """What the page lacks, a sentence each."""
        notes = []
        if self.missing:
            notes.append(
                f"{len(self.missing)} media are not under {self.folder} with the content that was "
                f"recorded: {_some(self.missing)}."
            )
        if self.too_large:
            notes.append(
                f"{len(self.too_large)} media did not fit into the bytes that may be embedded: "
                f"{_some(self.too_large)}."
            )
        return notes

    def find(self, medium: Medium) -> Path | None:
        """The file of that name with that content; a medium without one is added to `missing`."""
        if self._files is None:
            return None
        try:
            path = self._files.find(medium)
        except OSError:
            path = None
        if path is None:
            self.missing.add(medium.name)
        return path

    @cached_property
    def _files(self) -> MediaFolder | None:
        return None if self.folder is None else MediaFolder(self.folder)


def _some(names: set[str]) -> str:
    first = [one_line(name) for name in sorted(names)[:_NAMED]]
    return ", ".join(first) + (", …" if len(names) > _NAMED else "")


def _thumbnail(path: Path) -> str | None:
    with extra("report", "thumbnails need"):
        from PIL import Image, ImageOps

    written = io.BytesIO()
    try:
        with warnings.catch_warnings(action="error"), Image.open(path) as image:
            small = ImageOps.exif_transpose(image).convert("RGB")
            small.thumbnail((THUMBNAIL, THUMBNAIL))
            small.save(written, "JPEG", quality=_QUALITY, optimize=True)
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError):
        return None
    return _data_uri("image/jpeg", written.getvalue())


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
