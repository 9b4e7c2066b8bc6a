"""The browser driven by keys and mouse: every binding, and what goes wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from textual.binding import Binding, BindingType
from textual.pilot import Pilot

from omnitrace import CommandError, Run
from replay import PRESETS, ReplayConfig
from tests.tui.samples import PLAIN, planted_trace, settle, with_response, write_run
from tui import BrowseApp, browse
from tui.help import HelpScreen
from tui.lines import Lines
from tui.prompt import PromptScreen
from tui.runs import RunScreen, SampleList
from tui.sources import SpanSources, StepSources
from tui.tokens import TokenView
from tui.trace import TraceScreen


@asynccontextmanager
async def browsing(
    run: Run,
    sample: str | None = None,
    size: tuple[int, int] = (80, 24),
    config: ReplayConfig | None = PLAIN,
) -> AsyncIterator[Pilot[None]]:
    app = BrowseApp(run, sample, config)
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        yield pilot


async def press(pilot: Pilot[None], *keys: str) -> None:
    await pilot.press(*keys)
    await settle(pilot)


def text(pilot: Pilot[None], selector: str) -> str:
    """What a widget shows, row after row."""
    widget = pilot.app.screen.query_one(selector, Lines)
    height = widget.scrollable_content_region.height
    return "\n".join(widget.render_line(y).text.rstrip() for y in range(height)).rstrip()


def tokens(pilot: Pilot[None]) -> TokenView:
    return pilot.app.screen.query_one(TokenView)


def keys_of(bindings: Iterable[BindingType]) -> set[str]:
    made = (b if isinstance(b, Binding) else Binding(*b) for b in bindings)
    return {key for binding in made for key in binding.key.split(",")}


# The run

LIST_KEYS = {
    "down": 6, "j": 6, "up": 4, "k": 4, "pagedown": 26, "pageup": 0, "home": 0, "g": 0,
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
        assert isinstance(pilot.app.screen, TraceScreen)
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, RunScreen)


async def test_a_run_without_samples_says_so(tmp_path: Path) -> None:
    async with browsing(write_run(tmp_path / "run")) as pilot:
        assert "no sample yet" in text(pilot, "#samples")
        await press(pilot, "enter", "down", "end")
        assert isinstance(pilot.app.screen, RunScreen)


# The response

TOKEN_KEYS = {
    "left": 8, "h": 8, "right": 10, "l": 10, "up": 1, "k": 1, "down": 15, "j": 15, "home": 7,
    "end": 12, "pageup": 1, "pagedown": 23, "g": 0, "ctrl+home": 0, "G": 26, "ctrl+end": 26,
}  # fmt: skip


async def test_keys_of_the_response(run: Run) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        moved = {}
        for key in TOKEN_KEYS:
            tokens(pilot).move_to(9)
            await pilot.press(key)
            moved[key] = tokens(pilot).cursor
        assert moved == TOKEN_KEYS


async def test_the_cursor_keeps_its_column_over_short_rows(tmp_path: Path) -> None:
    pieces = ["one", " two", " three", ".", "\n", "four", " five", " six", "."]
    async with browsing(write_run(tmp_path / "run", with_response(pieces))) as pilot:
        tokens(pilot).move_to(2)
        await press(pilot, "down", "down", "up", "up")
        assert tokens(pilot).cursor == 2


async def test_a_click_sets_the_cursor(run: Run) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        row = text(pilot, "#tokens").splitlines()[2]
        await pilot.click(TokenView, offset=(row.index("circle"), 2))
        await settle(pilot)
        assert "“␣circle”" in text(pilot, "#inspector")
        await pilot.click(TokenView, offset=(70, 11))
        assert tokens(pilot).cursor == 9


async def test_the_step_under_the_cursor_is_explained(run: Run) -> None:
    trace = run["kitchen-0"]
    async with browsing(run, "kitchen-0") as pilot:
        tokens(pilot).move_to(9)
        await settle(pilot)
        told = text(pilot, "#inspector")
        assert "step 10 of 27 · id 9 · NOUN · span 2" in told
        assert f"log p {trace.logprob[9]:.2f}" in told
        assert f"entropy {trace.entropy[9]:.2f}" in told
        assert told.endswith("→ I image 1")


async def test_units_are_sorted_by_mass_and_the_mapped_one_is_marked(run: Run) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        tokens(pilot).move_to(9)
        await settle(pilot)
        rows = text(pilot, "#step-sources").splitlines()
        masses = [float(row[2:].split()[1]) for row in rows]
        assert rows[0].startswith("▸ I")
        assert rows[0].endswith("image 1")
        assert masses == sorted(masses, reverse=True)


async def test_curated_and_dropped_sources_of_the_span(run: Run) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        await press(pilot, "n")
        rows = text(pilot, "#span-sources").splitlines()
        assert rows[0].split() == ["mass", "run", "score"]
        assert rows[1].startswith("✓ I")
        assert rows[1].endswith("image 1")
        assert rows[2].startswith("✗ ")
        assert "coverage" in rows[2]


async def test_the_margin_numbers_spans_and_names_their_modalities(run: Run) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        rows = text(pilot, "#tokens").splitlines()
        heads = [row.split()[:2] for row in rows if "↳" not in row]
        assert heads == [["▸1", "T"], ["2", "I"], ["3", "A"], ["4", "V"]]
        assert rows[3].split() == ["↳", "I", "image", "1"]


# The keys of the screen


async def test_keys_of_the_trace(run: Run) -> None:
    async with browsing(run, "kitchen-1") as pilot:
        await press(pilot, "n", "n")
        assert tokens(pilot).cursor == 13
        await press(pilot, "N", "N", "N")
        assert tokens(pilot).cursor == 0
        await press(pilot, "right_square_bracket")
        assert "kitchen-2" in text(pilot, "#heading")
        await press(pilot, "left_square_bracket", "left_square_bracket", "left_square_bracket")
        assert "kitchen-0" in text(pilot, "#heading")
        await press(pilot, "escape")
        assert pilot.app.screen.query_one(SampleList).cursor == 0


async def test_presets_change_at_once_and_keep_the_cursor(run: Run) -> None:
    async with browsing(run, "kitchen-0", config=None) as pilot:
        tokens(pilot).move_to(9)
        seen = []
        await settle(pilot)
        for _ in range(4):
            seen.append((text(pilot, "#heading").split()[-2], text(pilot, "#step-sources")))
            await press(pilot, "p")
            assert tokens(pilot).cursor == 9
        assert [preset for preset, _ in seen] == ["default", "paper", "release", "default"]
        assert seen[0][1] == seen[3][1] != seen[2][1]


async def test_keys_pressed_in_a_hurry_end_where_they_should(run: Run) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        await pilot.press(*["right_square_bracket"] * 5, "p", "p", "left_square_bracket")
        await settle(pilot)
        assert "kitchen-4" in text(pilot, "#heading")
        assert "paper" in text(pilot, "#heading")
        trace = pilot.app.screen
        assert isinstance(trace, TraceScreen)
        assert trace._attribution is not None
        assert trace._attribution.id == "kitchen-4"
        assert trace._attribution.config == PRESETS["paper"]


async def test_a_configuration_of_ones_own_comes_first(run: Run) -> None:
    async with browsing(run, "kitchen-0", config=PRESETS["paper"]) as pilot:
        assert "custom" in text(pilot, "#heading")
        own = text(pilot, "#step-sources")
        await press(pilot, "p", "p")
        assert text(pilot, "#step-sources") == own


async def test_captions_and_letters_can_be_shown_and_hidden(run: Run) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        assert text(pilot, "#tokens").count("↳") == 4
        await press(pilot, "c")
        assert "↳" not in text(pilot, "#tokens")
        await press(pilot, "m")
        assert text(pilot, "#tokens").splitlines()[3].split() == ["A", "I", "I", "T", "I", "A"]


async def test_without_colour_letters_are_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with browsing(run, "kitchen-0") as pilot:
        assert text(pilot, "#tokens").splitlines()[1].split()[0] == "T"


@pytest.mark.parametrize("close", ["escape", "v"])
async def test_the_prompt_is_shown_with_what_it_caused(run: Run, close: str) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        await press(pilot, "n", "right", "v")
        rows = text(pilot, "PromptView").splitlines()
        assert rows[0].split(maxsplit=1) == ["T", "The parcel weighs seven kilos."]
        assert rows[2] == "▸ I image circle.png, 56×56"
        assert rows[3].endswith("audio tone.wav, 3 s")
        await press(pilot, close)
        assert isinstance(pilot.app.screen, TraceScreen)


@pytest.mark.parametrize("close", ["escape", "question_mark"])
async def test_help_lists_every_described_key(run: Run, close: str) -> None:
    async with browsing(run, "kitchen-0", size=(80, 30)) as pilot:
        await press(pilot, "question_mark")
        told = text(pilot, "#keys")
        described = (*TokenView.BINDINGS, *TraceScreen.BINDINGS, *BrowseApp.BINDINGS)
        assert all(b.description in told for b in described if isinstance(b, Binding))
        assert "Strength" in text(pilot, "#legend")
        await press(pilot, close)
        assert isinstance(pilot.app.screen, TraceScreen)


@pytest.mark.parametrize("first", [(), ("enter",), ("enter", "v"), ("question_mark",)])
async def test_q_quits_everywhere(run: Run, first: tuple[str, ...]) -> None:
    async with browsing(run) as pilot:
        await press(pilot, *first, "q")
        assert pilot.app.return_code == 0


async def test_t_changes_the_theme(run: Run) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        before = tokens(pilot).render_line(0)
        await press(pilot, "t", *"textual-light", "enter")
        assert pilot.app.theme == "textual-light"
        after = tokens(pilot).render_line(0)
        assert after.text == before.text
        assert [s.style for s in after] != [s.style for s in before]


def test_every_binding_has_a_test() -> None:
    source = Path(__file__).read_text("utf-8")
    views = (TokenView, TraceScreen, SampleList, BrowseApp, PromptScreen, HelpScreen)
    bound = set().union(*(keys_of(view.BINDINGS) for view in views))
    assert {key for key in bound if f'"{key}"' not in source} == set()


# Sizes, and what goes wrong


@pytest.mark.parametrize("size", [(80, 24), (200, 60), (40, 12), (10, 5)])
async def test_the_browser_works_at_every_size(run: Run, size: tuple[int, int]) -> None:
    async with browsing(run, "kitchen-0", size=size) as pilot:
        await press(pilot, "G", "v", "escape", "question_mark", "escape")
        assert tokens(pilot).cursor == 26
        await pilot.resize_terminal(120, 40)
        await settle(pilot)
        assert "Then a square moves left." in text(pilot, "#tokens")


async def test_a_damaged_sample_shows_its_error_and_the_rest_stays_usable(tmp_path: Path) -> None:
    for name in ("good", "bad", "fine"):
        write_run(tmp_path / "run", planted_trace(name))
    run = write_run(tmp_path / "run")
    bad = [*run].index("bad")
    damage(tmp_path / "run", run, "bad")
    async with browsing(run, "bad") as pilot:
        assert "damaged" in text(pilot, "#tokens")
        await press(pilot, "right", "down", "end", "n", "v", "m", "c", "p")
        assert "damaged" in text(pilot, "#tokens")
        await press(pilot, "right_square_bracket" if bad < 2 else "left_square_bracket")
        assert "The parcel" in text(pilot, "#tokens")


def damage(folder: Path, run: Run, id: str) -> None:
    """Overwrite the middle of every file of the sample's segment."""
    segment = run._index[id][0].marker.segment
    files = [f for f in folder.rglob("*") if f.is_file() and segment in str(f.parent)]
    assert files
    for file in files:
        data = file.read_bytes()
        file.write_bytes(data[: len(data) // 2] + b"damage" + data[len(data) // 2 + 6 :])


async def test_a_damaged_marker_is_told_in_the_list(tmp_path: Path) -> None:
    for name in ("good", "bad"):
        write_run(tmp_path / "run", planted_trace(name))
    marker = sorted((tmp_path / "run" / "commits").iterdir())[0]
    marker.write_bytes(b"{")
    async with browsing(write_run(tmp_path / "run")) as pilot:
        await press(pilot, "escape")
        assert "damaged" in text(pilot, "#damage")


async def test_what_a_preset_needs_and_the_run_lacks_is_said_in_place(tmp_path: Path) -> None:
    trace = with_response(["One", "."], "bare")
    rows = trace.signals["attmean"]
    bare = with_response(["One", "."], "bare", attmean=type(rows)(rows.values))
    async with browsing(write_run(tmp_path / "run", bare)) as pilot:
        while "release" not in text(pilot, "#heading"):
            await press(pilot, "p")
        assert "was not recorded" in text(pilot, "#tokens").replace("\n ", " ")
        await press(pilot, "p")
        assert "One." in text(pilot, "#tokens")


async def test_an_empty_response_says_so(tmp_path: Path) -> None:
    async with browsing(write_run(tmp_path / "run", with_response([]))) as pilot:
        assert "The response is empty" in text(pilot, "#tokens")
        await press(pilot, "right", "down", "home", "pagedown", "n", "m", "p", "v")
        assert "T The parcel weighs seven kilos." in text(pilot, "PromptView")
        await press(pilot, "escape")
        assert "The response is empty" in text(pilot, "#tokens")


async def test_a_long_response_scrolls_with_its_cursor(tmp_path: Path) -> None:
    pieces = [f" w{t}" if t % 9 else "." for t in range(1, 1500)]
    async with browsing(write_run(tmp_path / "run", with_response(pieces))) as pilot:
        await press(pilot, "G")
        assert "w1498" in text(pilot, "#tokens")
        await press(pilot, "g", "pagedown", "pagedown")
        assert "▸" in text(pilot, "#tokens")


def test_browse_names_an_unknown_sample(run: Run) -> None:
    with pytest.raises(CommandError, match="kitchen-99"):
        browse(run, "kitchen-99")


def test_browse_needs_a_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.__stdin__", None)
    with pytest.raises(CommandError, match="needs a terminal"):
        browse(run)


async def test_spans_and_panels_scroll_by_focus(run: Run) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        await press(pilot, "tab")
        assert isinstance(pilot.app.focused, StepSources)
        await press(pilot, "down", "down")
        assert pilot.app.focused.scroll_offset.y > 0
        await press(pilot, "tab")
        assert isinstance(pilot.app.focused, SpanSources)
        assert tokens(pilot).cursor == 0


def test_masses_are_never_rounded_to_nothing() -> None:
    from tui.sources import number

    assert [number(x) for x in (0.0, 0.5, 0.001, 0.0004)] == [
        " 0.000",
        " 0.500",
        " 0.001",
        " 4e-04",
    ]
    assert np.isfinite(float(number(1e-12)))
