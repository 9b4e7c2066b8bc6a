"""The end of the browser when its terminal hangs up: a closed window, a cut connection."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Sequence
from threading import Thread

_STREAMS = (0, 1, 2)


def on_hangup(leave: Callable[[], None]) -> None:
    """Call `leave` from its own thread once the terminal is gone, where the system can poll.

    A hang-up may send no signal. Textual would then read the end of input and wait to write
    forever.
    """
    terminals = [stream for stream in _STREAMS if os.isatty(stream)]
    if terminals and hasattr(select, "poll"):
        Thread(target=_wait, args=(terminals, leave), name="hangup", daemon=True).start()


def _wait(terminals: Sequence[int], leave: Callable[[], None]) -> None:
    terminal = select.poll()
    terminal.register(terminals[0], 0)  # only a hang-up wakes it
    if terminal.poll()[0][1] & select.POLLHUP:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in terminals:
            os.dup2(nowhere, stream)
        leave()
