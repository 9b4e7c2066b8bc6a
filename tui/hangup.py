"""What to do when the terminal vanishes: a window closed, a connection cut. Knows no widget."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Sequence
from threading import Thread

_STREAMS = (0, 1, 2)


def on_hangup(leave: Callable[[], None]) -> None:
    """Call `leave` from a thread of its own once the terminal is gone, wherever that can be seen.

    No signal need have come. Textual would read its end for ever, and wait for ever to write.
    """
    terminals = [stream for stream in _STREAMS if os.isatty(stream)]
    if terminals and hasattr(select, "poll"):
        Thread(target=_wait, args=(terminals, leave), name="hangup", daemon=True).start()


def _wait(terminals: Sequence[int], leave: Callable[[], None]) -> None:
    terminal = select.poll()
    terminal.register(terminals[0], 0)  # nothing but a hang-up wakes it
    if terminal.poll()[0][1] & select.POLLHUP:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in terminals:
            os.dup2(nowhere, stream)
        leave()
