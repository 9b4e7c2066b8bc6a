"""The samples of a run: found, sorted, looked into, opened, measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from omnitrace import Run
from tests.tui.drive import LARGE, browsing, on_screen, press, text
from tests.tui.samples import damage, planted_trace, settle, write_run
from tui.look import Look
from tui.runs.samples import SampleList
from tui.runs.screen import RunScreen
from tui.trace.screen import TraceScreen

# The run

LIST_KEYS = {
    "down": 6, "j": 6, "up": 4, "k": 4, "pagedown": 18, "pageup": 0, "home": 0, "g": 0,
    "end": 29, "G": 29,
}  # fmt: skip


async def test_samples_are_listed(run: Run) -> None:
    async with browsing(run) as pilot:
        rows = text(pilot, "#samples").splitlines()
        assert rows[0].split()[:4] == ["▸", "kitchen-0", "TIAV", "30"]
        assert "The parcel weighs" in rows[1]


async def test_keys_of_the_list(run: Run) -> None:
    async with browsing(run) as pilot:
        samples, moved = pilot.app.screen.query_one(SampleList), {}
        for key in LIST_KEYS:
            samples.move_to(5)
            await pilot.press(key)
            moved[key] = samples.cursor
        assert moved == LIST_KEYS


async def test_enter_and_click_read_a_sample(run: Run) -> None:
    async with browsing(run) as pilot:
        await press(pilot, "down", "enter")
        assert "kitchen-1" in text(pilot, "#heading")
        await press(pilot, "escape")
        await pilot.click(SampleList, offset=(5, 3))
        await settle(pilot)
        assert "kitchen-3" in text(pilot, "#heading")


async def test_a_lone_sample_opens_at_once(tmp_path: Path) -> None:
    async with browsing(write_run(tmp_path / "run", planted_trace("only"))) as pilot:
        on_screen(pilot, TraceScreen)
        await press(pilot, "escape")
        on_screen(pilot, RunScreen)


async def test_a_run_without_samples_says_so(tmp_path: Path) -> None:
    async with browsing(write_run(tmp_path / "run")) as pilot:
        assert "no sample yet" in text(pilot, "#samples")
        await press(pilot, "enter", "down", "end")
        assert isinstance(pilot.app.screen, RunScreen)


async def test_a_damaged_marker_is_told_in_the_list(tmp_path: Path) -> None:
    for name in ("good", "bad"):
        write_run(tmp_path / "run", planted_trace(name))
    marker = sorted((tmp_path / "run" / "commits").iterdir())[0]
    marker.write_bytes(b"{")
    async with browsing(write_run(tmp_path / "run")) as pilot:
        await press(pilot, "escape")
        assert "damaged" in text(pilot, "#damage")


# Which samples, in which order


async def test_samples_are_found_as_the_reader_types(run: Run) -> None:
    async with browsing(run) as pilot:
        await press(pilot, "slash", *"kitchen-2")
        assert "11 of 30 samples" in text(pilot, "#columns")
        await press(pilot, *"3", "enter", "enter")
        assert "kitchen-23" in text(pilot, "#heading")
        await press(pilot, "escape")
        assert "1 of 30 samples" in text(pilot, "#columns")
        await press(pilot, "escape")
        assert "30 samples" in text(pilot, "#columns")


async def test_what_is_not_there_is_said(run: Run) -> None:
    async with browsing(run) as pilot:
        await press(pilot, "slash", *"elephant", "enter")
        assert "No sample is like that" in text(pilot, "#samples")
        await press(pilot, "enter", "down", "escape")
        assert "▸ kitchen-0" in text(pilot, "#samples")


async def test_a_query_that_is_none_is_told(run: Run) -> None:
    async with browsing(run) as pilot:
        await press(pilot, "slash", *"steps:9")
        assert "ask for steps as steps<0.5" in text(pilot, "#status")
        await press(pilot, "escape")
        assert "30 samples" in text(pilot, "#columns")


async def test_samples_are_sorted_and_backwards(run: Run) -> None:
    async with browsing(run) as pilot:
        await press(pilot, "s")
        assert "sorted by id" in text(pilot, "#status")
        rows = text(pilot, "#samples").splitlines()
        assert rows[1].split()[0] == "kitchen-1"
        assert rows[2].split()[0] == "kitchen-10"
        await press(pilot, "S", "g")
        assert text(pilot, "#samples").splitlines()[0].split()[1] == "kitchen-9"


async def test_a_sample_opened_from_a_sorted_list_has_its_neighbours(run: Run) -> None:
    async with browsing(run, look=Look(sort="id")) as pilot:
        await press(pilot, "down", "enter", "right_square_bracket")
        assert "kitchen-10" in text(pilot, "#heading")
        await press(pilot, "escape")
        assert pilot.app.screen.query_one(SampleList).here == 10


# One sample, and what must be computed


async def test_a_preview_follows_the_cursor(run: Run) -> None:
    async with browsing(run, size=LARGE) as pilot:
        await press(pilot, "down")
        preview = text(pilot, "#preview")
        assert "image circle.png, 56×56" in preview
        assert "Then a square moves left." in preview.replace("\n ", " ")
        await press(pilot, "v")
        assert not pilot.app.screen.query_one("#preview").display


async def test_samples_are_measured(run: Run) -> None:
    async with browsing(run, size=LARGE, config=None) as pilot:
        await press(pilot, "D")
        screen = on_screen(pilot, RunScreen)
        assert not np.isnan(screen.measures.differs).any()
        assert "A≠B" in text(pilot, "#columns")
        await press(pilot, "slash", *"differs>=0", "enter")
        assert "30 samples" in text(pilot, "#columns")


async def test_a_sample_that_cannot_be_read_is_told_beside_the_others(tmp_path: Path) -> None:
    for name in ("good", "bad", "fine"):
        write_run(tmp_path / "run", planted_trace(name))
    run = write_run(tmp_path / "run")
    damage(tmp_path / "run", run, "bad")
    async with browsing(run, size=LARGE) as pilot:
        await press(pilot, "slash", *"bad", "enter")
        assert "cannot be read" in text(pilot, "#preview")
        await press(pilot, "escape", "D", "slash", *"is:broken", "enter")
        assert "cannot be read" in text(pilot, "#samples")
        assert "1 of 3 samples" in text(pilot, "#columns")
