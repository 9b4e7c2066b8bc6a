"""The README's picture: `python -m tests.tui.picture RUN SAMPLE OUT.svg [KEY ...]`.

Opens SAMPLE of RUN in a terminal of 110 × 32 cells, presses the keys and saves what is seen.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from omnitrace import Run, open_run
from tests.tui.samples import settle
from tui import BrowseApp, Start

SIZE = (110, 32)


async def take_picture(run: Run, sample: str, keys: Sequence[str] = ()) -> str:
    """The SVG of the browser at `sample` after `keys`."""
    app = BrowseApp(run, Start(sample))
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        for key in keys:
            await pilot.press(key)
        await settle(pilot)
        return app.export_screenshot(title="omnitrace browse")


if __name__ == "__main__":
    path, sample, out, *keys = sys.argv[1:]
    Path(out).write_text(asyncio.run(take_picture(open_run(path), sample, keys)), "utf-8")
