"""Decoded media in the sizes used last. Call from a worker thread."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from omnitrace.arrays import Float32, UInt8
from omnitrace.errors import SampleError
from omnitrace.media.folder import MediaFolder
from omnitrace.text import one_line
from omnitrace.timeline import Medium
from tui.media import decode

V = TypeVar("V")
_KEPT = 64


@dataclass
class MediaCache:
    """The media of a folder; SampleError where one is missing or cannot be read."""

    folder: MediaFolder
    _kept: OrderedDict[tuple[object, ...], Any] = field(default_factory=OrderedDict)

    def file(self, medium: Medium) -> Path:
        """The file of a medium; SampleError saying why there is none."""
        name = one_line(medium.name.replace("\\", "/").rpartition("/")[2])
        try:
            path = self.folder.find(medium)
        except OSError as error:
            raise SampleError(f"{name} cannot be read: {error.strerror}.") from error
        if path is not None:
            return path
        if self.folder.named(medium):
            raise SampleError(f"{name} there is another file than was recorded.")
        raise SampleError(f"{name} is not in {self.folder.root}.")

    def image(self, medium: Medium, columns: int, rows: int) -> UInt8:
        """An image in `columns` × `rows` pixels."""
        return self._get(medium, decode.image, columns, rows)

    def frames(self, medium: Medium, times: tuple[float, ...], columns: int, rows: int) -> UInt8:
        """The frames of a video at `times`, side by side; fewer if the video is shorter."""
        found = self._get(medium, decode.frames, times, columns, rows)
        return np.concatenate(found, axis=1) if found else np.zeros((rows, 0, 3), np.uint8)

    def loudness(self, medium: Medium, cells: int) -> Float32:
        """(cells,): the peaks of an audio medium in equal parts of its time."""
        return self._get(medium, decode.loudness, cells)

    def _get(self, medium: Medium, make: Callable[..., V], *arguments: object) -> V:
        path, key = self.file(medium), (make, medium.sha256, *arguments)
        if key not in self._kept:
            self._kept[key] = make(path, *arguments)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        found: V = self._kept[key]
        return found
