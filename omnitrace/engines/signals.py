"""Ctrl-C and SIGTERM while workers are being started."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread


@contextmanager
def held_back() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait for the end of the block: what is half started cannot be ended.

    Whatever handles them within, the handlers are those of before again after it. Processes that
    are started within obey both at once.
    """
    if current_thread() is not main_thread():
        yield
        return
    held: list[int] = []
    stops = (signal.SIGINT, signal.SIGTERM)
    before = {stop: signal.signal(stop, lambda number, _: held.append(number)) for stop in stops}
    try:
        yield
    finally:
        for stop, handler in before.items():
            signal.signal(stop, handler)
    for number in held:
        signal.raise_signal(number)
