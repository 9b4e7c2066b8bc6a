"""The readings of an answer; a new one is a file here and a line in `READINGS`."""

from __future__ import annotations

from tui.readings.base import Reading
from tui.readings.by_source import BySource
from tui.readings.side_by_side import SideBySide

READINGS: tuple[type[Reading], ...] = (
    BySource,
    SideBySide,
)
