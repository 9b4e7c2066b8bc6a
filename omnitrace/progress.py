"""How far a loop has come: what loops report and progress bars show. Knows neither."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """`done` of `total` items; `item`: the one that is worked on, at token `step` of its answer.

    `item` is empty before the first and after the last.
    """

    done: int
    total: int
    item: str = ""
    step: int = 0


Report = Callable[[Progress], None]
"""Called as a loop goes on."""


def no_report(_progress: Progress) -> None:
    """A `Report` that shows nothing."""
