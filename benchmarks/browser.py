"""Is the browser instant? A run of 10,000 samples; a trace of 100,000 prompt tokens, 4,000 steps.

Beside it, in the same terminal of no screen, a widget for every token. Times are from the request
until it is drawn: of a cursor move, the tokens, the masses of all units and the step; what is
read from disk for the step (single tokens, layers, heat) is drawn after that, unless it was read
ahead, and measured too.

python -m benchmarks.browser [--quick] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from textual.app import App, ComposeResult
from textual.containers import VerticalScroll
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Static

from benchmarks.common import Claim, print_claims, save
from omnitrace import Run, SignalRows, Trace, open_run
from omnitrace.store.writer import RunWriter
from omnitrace.timeline import Medium, Modality, Part, Timeline
from replay import PRESETS, ReplayConfig
from tui.app import BrowseApp, Start
from tui.trace.inspector import Inspector
from tui.trace.screen import TraceScreen
from tui.trace.tokens import TokenView

SIZE = (160, 50)
SAMPLES, PROMPT, STEPS = 10_000, 100_000, 4_000
QUICK_PROMPT, QUICK_STEPS, QUICK_WIDGETS = 20_000, 1_000, 500
QUIET_S = 0.15
_WORDS = 12  # tokens of a sentence of the prompt

# A child opens a run in a terminal of no screen: seconds to the first rows, and its peak memory.
_CHILD = """
import asyncio, sys, time
began = time.perf_counter()
from omnitrace import open_run
from tui.app import BrowseApp
from tui.runs.samples import SampleList

async def first_paint():
    app = BrowseApp(open_run(sys.argv[1]))
    async with app.run_test(size=(160, 50)) as pilot:
        while not app.screen.query(SampleList):
            await pilot.pause(0)
        drawn = app.screen.query_one(SampleList)
        while "sample-0" not in drawn.render_line(0).text:
            await pilot.pause(0)
        print(time.perf_counter() - began)
        for key in ("end", "home", "pagedown", "slash", "9", "9", "enter"):
            await pilot.press(key)
            await app.workers.wait_for_complete()

asyncio.run(first_paint())
from benchmarks.common import peak_bytes
print(peak_bytes() / 2**20)
"""


def make_trace(id: str, prompt: int, steps: int, seed: int = 0) -> Trace:
    """A prompt of sentences, an image and minutes of sound; an answer in spans of 20 tokens."""
    rng = np.random.default_rng(seed)
    text = prompt * 9 // 10
    words = [f"word{i % 97} " for i in range(text)]
    words[_WORDS - 1 :: _WORDS] = ["end. "] * len(words[_WORDS - 1 :: _WORDS])
    edges = np.cumsum([0, *map(len, words)]).astype(np.int32)
    timeline = Timeline.blank(prompt)
    timeline.modality[:text], timeline.modality[text:] = Modality.TEXT, Modality.AUDIO
    timeline.part[:text], timeline.part[text:] = 0, 1
    timeline.medium[text:] = 0
    timeline.chars[:text] = np.stack([edges[:-1], edges[1:]], axis=1)
    timeline.start_s[text:] = np.arange(prompt - text) * 0.04
    timeline.end_s[text:] = timeline.start_s[text:] + 0.04
    seconds = (prompt - text) * 0.04
    said = ["." if t % 20 == 19 else " " + "x" * int(rng.integers(1, 9)) for t in range(steps)]
    ends = np.cumsum(list(map(len, said))).astype(np.int32)
    chars = np.stack([ends - [len(s) for s in said], ends], axis=1).astype(np.int32)
    stops = [*ends[19::20].tolist(), *([int(ends[-1])] if steps % 20 else [])]
    prompt_stops = [*edges[_WORDS::_WORDS].tolist(), int(edges[-1])]
    return Trace(
        id=id,
        prompt_text="".join(words),
        response="".join(said),
        prompt_ids=np.arange(prompt, dtype=np.int32),
        response_ids=np.arange(steps, dtype=np.int32),
        chars=chars,
        logprob=-rng.random(steps, np.float32),
        entropy=rng.random(steps, np.float32),
        pos=tuple(rng.choice(["NOUN", "VERB", "DET", "PUNCT"], steps).tolist()),
        sentences=_between(stops),
        prompt_sentences=_between(sorted(set(prompt_stops))),
        timeline=timeline,
        parts=(Part("user", "text"), Part("user", "audio", 0)),
        media=(Medium("audio", "talk.wav", "0" * 64, duration_s=seconds),),
        signals={"attmean": _rows(rng, prompt, steps)},
    )


def _between(stops: list[int]) -> Any:
    return np.stack([[0, *stops[:-1]], stops], axis=1).astype(np.int32)


def _rows(rng: np.random.Generator, prompt: int, steps: int) -> SignalRows:
    """Scores like attention's: a few tokens of each row have most of it."""
    count = steps * prompt + steps * (steps - 1) // 2
    noise = rng.random(2**20, np.float32) ** 8 / prompt
    return SignalRows(np.resize(noise, count))


def write_many(folder: Path, count: int, segment: int | None = None) -> None:
    """A run of `count` small samples, `segment` of them in each segment, or as many as fit."""
    kinds = [make_trace("", 60, 20 + 20 * k, seed=k) for k in range(8)]
    with RunWriter.open(folder, {"model": "benchmark"}) as writer:
        for i in range(count):
            writer.add(replace(kinds[i % 8], id=f"sample-{i}"), f"{i:064x}")
            if segment and (i + 1) % segment == 0:
                writer.commit()


def open_many(folder: Path, rounds: int) -> dict[str, float]:
    """First paint and peak memory of a browser in a process of its own."""
    seen = []
    for _ in range(rounds):
        child = [sys.executable, "-c", _CHILD, str(folder)]
        done = subprocess.run(child, capture_output=True, text=True, check=True)
        seen.append([float(line) for line in done.stdout.split()])
    paint, memory = (statistics.median(column) for column in zip(*seen, strict=True))
    return {"first paint, s": paint, "peak memory, MiB": memory}


class Watched(App[None]):
    """An app that remembers when it drew; the harness itself looks only every 20 ms."""

    drawn: tuple[tuple[float, object], ...] = ()  # when, and what the probe said
    probe: Callable[[], object] | None = None

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        said = self.probe() if self.probe else time.perf_counter()
        super()._display(screen, renderable)
        self.drawn = (*self.drawn[-50:], (time.perf_counter(), said))


class WatchedBrowser(Watched, BrowseApp):
    """The browser, watched."""


async def timed(pilot: Pilot[Any], act: Callable[[], object], times: int) -> tuple[float, float]:
    """Median milliseconds from an action until what the app's probe looks at is drawn anew, and
    until all is."""
    app, first, last = pilot.app, [], []
    assert isinstance(app, Watched)
    for _ in range(times):
        before, begun = app.probe() if app.probe else None, time.perf_counter()
        act()
        while not (anew := [at for at, said in app.drawn if at > begun and said != before]):
            await asyncio.sleep(0.001)
        await quiet(app)
        first.append((anew[0] - begun) * 1e3)
        last.append((app.drawn[-1][0] - begun) * 1e3)
    return statistics.median(first), statistics.median(last)


async def quiet(app: Watched) -> None:
    """Wait until nothing was drawn for a while. The pilot's own pauses would make work."""
    while time.perf_counter() - app.drawn[-1][0] < QUIET_S:
        await asyncio.sleep(QUIET_S / 10)


async def shown(pilot: Pilot[Any], ready: Callable[[], bool]) -> float:
    """Milliseconds until something is so."""
    begun = time.perf_counter()
    while not ready():
        await pilot.pause(0.001)
    return (time.perf_counter() - begun) * 1e3


async def measure_trace(run: Run, rounds: int) -> dict[str, float]:
    """Opening the long trace, moving in it, and curating it anew, milliseconds."""
    app, found = WatchedBrowser(run, Start(config=PRESETS["paper"])), {}
    async with app.run_test(size=SIZE) as pilot:
        begun = time.perf_counter()
        screen = await _traced(app, pilot)
        await shown(pilot, lambda: screen.attribution is not None)
        found["attributed for the first time, ms"] = (time.perf_counter() - begun) * 1e3
        await app.workers.wait_for_complete()
        screen, found["open, ms"] = await reopen(app, pilot)
        view, inspector = screen.query_one(TokenView), screen.query_one(Inspector)
        response = view.response
        found["mount, ms"] = (await timed(pilot, lambda: _remount(view, response), 5))[1]
        for what, by in (("cursor move", 1), ("jump", 373)):
            app.probe = lambda: inspector.view and inspector.view.steps
            first, last = await timed(pilot, partial(_go, view, by), rounds)
            found |= {f"{what}, ms": first, f"{what}, read from disk too, ms": last}
        app.probe = lambda: id(screen.attribution)
        found["re-curation, ms"] = await recurate(screen, pilot, rounds)
    return found


async def reopen(app: BrowseApp, pilot: Pilot[Any]) -> tuple[TraceScreen, float]:
    """Back to the list and into the trace again: milliseconds until its response can be read."""
    await pilot.press("escape")
    await pilot.pause()
    begun = time.perf_counter()
    await pilot._wait_for_screen()
    app.screen.read(0)  # type: ignore[attr-defined]
    screen = await _traced(app, pilot)
    while not screen.query(TokenView) or not len(screen.query_one(TokenView).response):
        await pilot.pause(0.001)
    opened = (time.perf_counter() - begun) * 1e3
    await shown(pilot, lambda: screen.attribution is not None)
    await app.workers.wait_for_complete()
    await pilot.pause()
    return screen, opened


async def _traced(app: BrowseApp, pilot: Pilot[Any]) -> TraceScreen:
    while not isinstance(app.screen, TraceScreen):
        await pilot.pause(0.001)
    return app.screen


def _go(view: TokenView, by: int) -> None:
    view.move_to((view.cursor + by) % len(view.response))


def _remount(view: TokenView, response: Any) -> None:
    """Show a response as if it were another one, so that its rows are wrapped again."""
    view.show_response(replace(response, shown=replace(response.shown)), 0)


async def recurate(screen: TraceScreen, pilot: Pilot[Any], rounds: int) -> float:
    """From another p_min until its spans are on the screen, median milliseconds."""
    taken = []
    for i in range(rounds):
        config = screen.session.config
        curation = replace(config.curation, p_min=0.01 * (i % 20 + 1))
        changed = replace(config, curation=curation)
        if changed != config:
            taken.append((await timed(pilot, partial(_curate, screen, changed), 1))[0])
    return statistics.median(taken)


def _curate(screen: TraceScreen, config: ReplayConfig) -> None:
    screen.session.history.change(config)
    screen.recompute()


class WidgetPerToken(Watched):
    """The obvious way: a widget for every token."""

    CSS = "VerticalScroll { layout: grid; grid-size: 12; grid-rows: 1; } Static { height: 1; }"

    def __init__(self, words: list[str]) -> None:
        super().__init__()
        self.words = words

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield from (Static(word, markup=False) for word in self.words)


async def measure_widgets(trace: Trace, count: int) -> dict[str, float]:
    """The same words, or the first `count` of them, as widgets."""
    words = [trace.response[a:b] for a, b in trace.chars[:count].tolist()]
    app = WidgetPerToken(words)
    begun = time.perf_counter()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        mounted = (time.perf_counter() - begun) * 1e3
        tokens = [*app.query(Static)]

        def move() -> None:
            move.at += 1  # type: ignore[attr-defined]
            tokens[move.at - 1].styles.background = None  # type: ignore[attr-defined]
            tokens[move.at].styles.background = "red"  # type: ignore[attr-defined]

        move.at = 0  # type: ignore[attr-defined]
        moved = (await timed(pilot, move, 10))[1]
    return {"tokens": float(count), "mount, ms": mounted, "cursor move, ms": moved}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    prompt, steps = (QUICK_PROMPT, QUICK_STEPS) if given.quick else (PROMPT, STEPS)
    found: dict[str, Any] = {"prompt tokens": prompt, "steps": steps, "samples": SAMPLES}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_many(folder / "many", SAMPLES)
        found["a run"] = open_many(folder / "many", 1 if given.quick else 5)
        with RunWriter.open(folder / "long", {"model": "benchmark"}) as writer:
            writer.add(make_trace("long", prompt, steps), "0" * 64)
        gc.collect()
        run = open_run(folder / "long")
        found["a trace"] = asyncio.run(measure_trace(run, 20))
        widgets = QUICK_WIDGETS if given.quick else steps
        found["a widget a token"] = asyncio.run(measure_widgets(run["long"], widgets))
    for part, values in found.items():
        print(part, values)
    if not given.quick:
        save("browser", found)
    if given.json:
        print_claims(claims(found))


def claims(found: dict[str, Any]) -> list[Claim]:
    """What the issue asks for, beside what was measured."""
    run, trace = found["a run"], found["a trace"]
    return [
        Claim("first paint of 10,000 samples, s", run["first paint, s"], 1.0, "lower"),
        Claim("peak memory of 10,000 samples, MiB", run["peak memory, MiB"], 286.0, "lower"),
        Claim("opening a long trace, ms", trace["open, ms"], 300.0, "lower"),
        Claim("mount of its tokens, ms", trace["mount, ms"], 300.0, "lower"),
        Claim("cursor move in it, ms", trace["cursor move, ms"], 30.0, "lower"),
        Claim(
            "cursor move in it, with what is read from disk, ms",
            trace["cursor move, read from disk too, ms"],
            30.0,
            "lower",
        ),
        Claim("re-curation of it, ms", trace["re-curation, ms"], 50.0, "lower"),
    ]


if __name__ == "__main__":
    main()
