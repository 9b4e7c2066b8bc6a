"""Decoded media, each kept in the size in which it was last wanted. Call from a worker thread."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from omnitrace.timeline import Medium
from tui.media import decode
from tui.media.decode import Loudness, Pixels
from tui.media.find import MediaFolder

V = TypeVar("V")
_KEPT = 64


@dataclass
class Shelf:
    """The media in a folder; OmniTraceError where one is not there or cannot be read."""

    folder: MediaFolder
    _kept: OrderedDict[tuple[object, ...], Any] = field(default_factory=OrderedDict)

    def picture(self, medium: Medium, columns: int, rows: int) -> Pixels:
        """An image in so many pixels."""
        path = self.folder.find(medium)
        return self._get(
            ("picture", medium.sha256, columns, rows), decode.picture, path, columns, rows
        )

    def frames(self, medium: Medium, times: tuple[float, ...], columns: int, rows: int) -> Pixels:
        """The frames of a film at `times`, side by side; fewer if the film is shorter."""
        path = self.folder.find(medium)
        key = ("frames", medium.sha256, times, columns, rows)
        found = self._get(key, decode.frames, path, times, columns, rows)
        return np.concatenate(found, axis=1) if found else np.zeros((rows, 0, 3), np.uint8)

    def loudness(self, medium: Medium, cells: int) -> Loudness:
        """The peaks of a sound in so many stretches."""
        path = self.folder.find(medium)
        return self._get(("loudness", medium.sha256, cells), decode.loudness, path, cells)

    def _get(self, key: tuple[object, ...], make: Callable[..., V], *given: object) -> V:
        if key not in self._kept:
            self._kept[key] = make(*given)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        found: V = self._kept[key]
        return found
