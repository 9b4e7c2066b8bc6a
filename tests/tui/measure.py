"""How long a response of 4,000 steps takes to lay out and its cursor to move.

Run `python -m tests.tui.measure`; `idle` is what the harness itself takes.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from textual.pilot import Pilot

from omnitrace import Run, SignalRows
from tests.build import make_trace
from tests.tui.samples import settle, with_response, write_run
from tui.app import BrowseApp
from tui.trace.tokens import TokenView

STEPS = 4_000


def long_run(folder: Path) -> Run:
    """A run of one sample whose response has STEPS steps in spans of 20."""
    rng = np.random.default_rng(0)
    words = [" " + "x" * int(size) for size in rng.integers(1, 9, STEPS)]
    pieces = ["." if t % 20 == 19 else word for t, word in enumerate(words)]
    n = make_trace().n
    values = rng.random(STEPS * n + STEPS * (STEPS - 1) // 2, np.float32)
    rows = SignalRows(values / np.float32(n + STEPS))
    return write_run(folder, with_response(pieces, attmean=rows))


async def measure(run: Run) -> None:
    app = BrowseApp(run)
    async with app.run_test(size=(100, 40)) as pilot:
        await settle(pilot)
        view = app.screen.query_one(TokenView)
        response = view.response
        await report("idle", pilot, lambda: None)
        await report("lay out", pilot, lambda: view.show_response(response, 0))
        await report("next token", pilot, lambda: view.move_to(view.cursor + 1))
        await report("far token", pilot, lambda: view.move_to(view.cursor + 37))


async def report(name: str, pilot: Pilot[Any], act: Callable[[], None]) -> None:
    times = []
    for _ in range(40):
        start = time.perf_counter()
        act()
        await pilot.pause()
        times.append((time.perf_counter() - start) * 1e3)
    print(f"{name:10} median {statistics.median(times):6.1f} ms  worst {max(times):6.1f} ms")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(long_run(Path(folder) / "run")))
