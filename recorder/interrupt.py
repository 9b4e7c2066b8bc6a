"""Stopping on SIGINT, SIGTERM or SIGUSR1 between two tokens, so that what is finished is kept."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

SIGNAL_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
if hasattr(signal, "SIGUSR1"):  # what clusters send before they take a machine away
    SIGNAL_NAMES[signal.SIGUSR1] = "SIGUSR1"


class Interruption:
    """While inside, the first such signal only asks to stop; the second one interrupts."""

    def __init__(self) -> None:
        self.number = 0
        self._previous: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        return self.number != 0

    @property
    def name(self) -> str:
        """What the user did."""
        return SIGNAL_NAMES[signal.Signals(self.number)]

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._previous = {n: signal.signal(n, self._ask) for n in SIGNAL_NAMES}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.number = number
