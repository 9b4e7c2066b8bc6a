"""The screenshots in README.md and docs/: `python -m tests.tui.screenshots DEMO`.

DEMO is a folder that `omnitrace demo` wrote, its run with ablations by `omnitrace ablate-inputs
DEMO/run --samples DEMO/samples.jsonl`: its run, media and truth are looked at.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omnitrace import Run, open_run
from tests.tui.samples import settle
from tui.app import BrowseApp, Start
from tui.labels import Labels

DOCS = Path(__file__).parents[2] / "docs"


@dataclass(frozen=True)
class Screenshot:
    """A sample, or (without one) the run, after some keys; `labelled`: with the labels."""

    sample: str | None
    keys: str
    size: tuple[int, int] = (124, 38)
    labelled: bool = True


SCREENSHOTS = {
    "browse.svg": Screenshot("mixed-0", "s s right right right right"),
    "browse-run.svg": Screenshot(None, "down down down", (124, 16)),
    "browse-side.svg": Screenshot("mixed-0", "b 3", (124, 32)),
    "browse-cause.svg": Screenshot("mixed-0", "p 3 o" + 10 * " down", (124, 32), labelled=False),
    "browse-configuration.svg": Screenshot(
        "mixed-0", "b e down down down down right s s s", (124, 38)
    ),
}


async def take_screenshot(
    run: Run, start: Start, keys: Sequence[str], size: tuple[int, int]
) -> str:
    """The SVG of the browser after `keys`."""
    app = BrowseApp(run, start)
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        for key in keys:
            await pilot.press(key)
            await settle(pilot)
        await settle(pilot)
        return app.export_screenshot(title="omnitrace browse")


def take_all(demo: Path, docs: Path = DOCS) -> None:
    """Write every one of `SCREENSHOTS`."""
    run, labels = open_run(demo / "run"), Labels.read(demo / "truth.jsonl")
    for name, one in SCREENSHOTS.items():
        start = Start(one.sample, labels=labels if one.labelled else None, media=demo)
        svg = asyncio.run(take_screenshot(run, start, one.keys.split(), one.size))
        (docs / name).write_text(svg, "utf-8")


if __name__ == "__main__":
    take_all(Path(sys.argv[1]))
