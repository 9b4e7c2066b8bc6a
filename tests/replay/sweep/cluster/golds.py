"""Golds at one of which something befalls the worker."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from omnitrace.trace import Trace
from replay.evaluation.gold import Gold
from tests.replay.sweep.golds import Seeded

STRUCK = "17"
"""The sample at which it does."""


@dataclass(frozen=True)
class Striking(Seeded):
    """Golds that send their worker a signal at one sample; once, if there is a file to mark it."""

    number: int = signal.SIGKILL
    mark: Path | None = None

    def gold(self, trace: Trace, seconds: float = 1.0) -> Gold:
        if trace.id == STRUCK and not (self.mark and self.mark.exists()):
            if self.mark:
                self.mark.touch()
            os.kill(os.getpid(), self.number)
            time.sleep(5)
        return super().gold(trace, seconds)


@dataclass(frozen=True)
class Stuck(Seeded):
    """Golds that take for ever at one sample."""

    def gold(self, trace: Trace, seconds: float = 1.0) -> Gold:
        time.sleep(600 if trace.id == STRUCK else 0)
        return super().gold(trace, seconds)
