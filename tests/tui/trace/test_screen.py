"""One sample read by keys and mouse: tokens, sources, what stands out, what goes wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from omnitrace import Run, UnitConfig
from replay import PRESETS
from tests.tui.drive import browsing, lit, on_screen, press, text, title, tokens
from tests.tui.samples import PLAIN, damage, planted_trace, settle, with_response, write_run
from tui.runs.samples import SampleList
from tui.trace.names import number, token_name
from tui.trace.screen import TraceScreen
from tui.trace.sources import SpanSources, StepSources
from tui.trace.tokens import TokenView

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
        await pilot.click(TokenView, offset=(70, 9))
        assert tokens(pilot).cursor == 9


async def test_the_step_under_the_cursor_is_explained(run: Run) -> None:
    trace = run["kitchen-0"]
    async with browsing(run, "kitchen-0") as pilot:
        tokens(pilot).move_to(9)
        await settle(pilot)
        lines = text(pilot, "#inspector").splitlines()
        assert "step 10 of 27 · id 9 · NOUN · span 2" in lines[0]
        assert f"log p {trace.logprob[9]:.2f}" in lines[1]
        assert f"entropy {trace.entropy[9]:.2f}" in lines[1]
        assert lines[1].endswith("→ I image 1")
        best = int(trace.scores("attmean")[9, : trace.n].argmax())
        assert lines[2].startswith(f" top I {token_name(trace, best)} ")


async def test_where_the_cursor_can_go_next_is_read_ahead(run: Run) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        await press(pilot, "right")
        screen = on_screen(pilot, TraceScreen)
        assert screen.state.opened is not None
        assert screen.attribution is not None
        known = [
            screen.state.opened.reader.cached(screen.attribution, (t, t + 1)) for t in range(4)
        ]
        assert [depth is not None for depth in known] == [True, True, True, False]


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
        await press(pilot, "s")
        rows = text(pilot, "#span-sources").splitlines()
        assert title(pilot, "#span-sources").startswith("span 2 · 1 kept")
        assert rows[0].startswith("✓ I")
        assert rows[0].endswith("image 1")
        assert rows[1].startswith("✗ ")
        assert "coverage" in rows[1]


async def test_the_margin_numbers_spans_and_names_their_modalities(run: Run) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        rows = text(pilot, "#tokens").splitlines()
        heads = [row.split()[:2] for row in rows if "↳" not in row]
        assert heads == [["▸1", "T"], ["2", "I"], ["3", "A"], ["4", "V"]]
        assert rows[3].split() == ["↳", "I", "image", "1"]


# The keys of the screen


async def test_keys_of_the_trace(run: Run) -> None:
    async with browsing(run, "kitchen-1") as pilot:
        await press(pilot, "s", "s")
        assert tokens(pilot).cursor == 13
        await press(pilot, "S", "S", "S")
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
        attribution = on_screen(pilot, TraceScreen).attribution
        assert attribution is not None
        assert attribution.id == "kitchen-4"
        assert attribution.config == PRESETS["paper"]


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
        await press(pilot, "s", "right", "v")
        rows = text(pilot, "PromptView").splitlines()
        assert rows[0].split(maxsplit=1) == ["T", "The parcel weighs seven kilos."]
        assert rows[2] == "▸ I image circle.png, 56×56"
        assert rows[3].endswith("audio tone.wav, 3 s")
        await press(pilot, close)
        assert isinstance(pilot.app.screen, TraceScreen)


# Sizes, and what goes wrong


async def test_a_damaged_sample_shows_its_error_and_the_rest_stays_usable(tmp_path: Path) -> None:
    for name in ("good", "bad", "fine"):
        write_run(tmp_path / "run", planted_trace(name))
    run = write_run(tmp_path / "run")
    bad = [*run].index("bad")
    damage(tmp_path / "run", run, "bad")
    async with browsing(run, "bad") as pilot:
        assert "damaged" in text(pilot, "#tokens")
        await press(pilot, "right", "down", "end", "s", "v", "m", "c", "p")
        assert "damaged" in text(pilot, "#tokens")
        await press(pilot, "right_square_bracket" if bad < 2 else "left_square_bracket")
        assert "The parcel" in text(pilot, "#tokens")


async def test_what_a_preset_needs_and_the_run_lacks_is_said_in_place(tmp_path: Path) -> None:
    trace = with_response(["One", "."], "bare")
    rows = trace.signals["attmean"]
    bare = with_response(["One", "."], "bare", attmean=type(rows)(rows.values))
    async with browsing(write_run(tmp_path / "run", bare)) as pilot:
        while "release" not in text(pilot, "#heading"):
            await press(pilot, "p")
        assert "was not recorded" in text(pilot, "#step-sources").replace("\n ", " ")
        assert "One." in text(pilot, "#tokens")
        await press(pilot, "p")
        assert "One." in text(pilot, "#tokens")


async def test_an_empty_response_says_so(tmp_path: Path) -> None:
    async with browsing(write_run(tmp_path / "run", with_response([]))) as pilot:
        assert "The response is empty" in text(pilot, "#tokens")
        await press(pilot, "right", "down", "home", "pagedown", "s", "m", "p", "v")
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


async def test_spans_and_panels_scroll_by_focus(run: Run) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        await press(pilot, "tab")
        assert isinstance(pilot.app.focused, StepSources)
        await press(pilot, "down", "down")
        assert pilot.app.focused.cursor == 2
        await press(pilot, "tab")
        assert isinstance(pilot.app.focused, SpanSources)
        assert tokens(pilot).cursor == 0


def test_masses_are_never_rounded_to_nothing() -> None:
    assert [number(x) for x in (0.0, 0.5, 0.001, 0.0004)] == [
        " 0.000",
        " 0.500",
        " 0.001",
        " 4e-04",
    ]
    assert np.isfinite(float(number(1e-12)))


# What stands out


async def test_found_steps_stand_out_and_are_walked(run: Run) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        await press(pilot, "slash", *"square", "enter")
        assert tokens(pilot).cursor == 23
        assert "square: 1 of 27 tokens" in text(pilot, "#status")
        await press(pilot, "slash", "ctrl+u", *"pos:NUM", "enter")
        assert lit(pilot) == [3, 19]
        assert tokens(pilot).cursor == 19
        await press(pilot, "N")
        assert tokens(pilot).cursor == 3
        await press(pilot, "n", "n")
        assert tokens(pilot).cursor == 19
        await press(pilot, "escape")
        assert tokens(pilot).highlighted is None
        assert text(pilot, "#status") == ""


async def test_a_query_that_is_none_is_told_and_changes_nothing(run: Run) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        await press(pilot, "slash", *"mood:bad", "enter")
        assert "no field 'mood'" in text(pilot, "#status")
        assert tokens(pilot).highlighted is None


@pytest.mark.parametrize(("place", "step"), [("12", 11), ("s3", 13), ("999", 0), ("x", 0)])
async def test_go_to_a_step_or_a_span(run: Run, place: str, step: int) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        await press(pilot, "colon", *place, "enter")
        assert tokens(pilot).cursor == step
        assert ("from 1 to 27" in text(pilot, "#status")) == (step == 0)


async def test_leaving_a_question_changes_nothing(run: Run) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        await press(pilot, "colon", "9", "escape")
        assert tokens(pilot).cursor == 0
        assert tokens(pilot).has_focus


async def test_a_source_shows_the_tokens_that_it_caused(run: Run) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        await press(pilot, "s", "tab", "down", "up")
        attribution = on_screen(pilot, TraceScreen).attribution
        assert attribution is not None
        unit = int(attribution.unit[7])
        assert lit(pilot) == np.flatnonzero(attribution.unit == unit).tolist()
        assert f"traced to {attribution.units.label[unit]}" in text(pilot, "#status")
        await press(pilot, "enter")
        assert attribution.unit[tokens(pilot).cursor] == unit


async def test_the_next_token_of_the_same_source(run: Run) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        attribution = on_screen(pilot, TraceScreen).attribution
        assert attribution is not None
        same = np.flatnonzero(attribution.unit == attribution.unit[0]).tolist()
        seen = [0]
        for _ in same[1:]:
            await press(pilot, "full_stop")
            seen.append(tokens(pilot).cursor)
        assert seen == same
        await press(pilot, "comma")
        assert tokens(pilot).cursor == same[-2]


async def test_a_pinned_step_stays_in_the_panes(run: Run) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        await press(pilot, "right", "enter", "G")
        assert "step 2 of 27" in text(pilot, "#inspector")
        await press(pilot, "escape")
        assert "step 27 of 27" in text(pilot, "#inspector")
        await press(pilot, "enter", "enter", "left")
        assert "step 26 of 27" in text(pilot, "#inspector")


async def test_tokens_words_and_spans_are_read_together(run: Run) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        tokens(pilot).move_to(4)
        await press(pilot, "z")
        assert "“kilos.”" in text(pilot, "#inspector").replace("␣", "")
        assert "steps 5–7" in text(pilot, "#inspector")
        await press(pilot, "right")
        assert tokens(pilot).cursor == 7
        await press(pilot, "z")
        assert "steps 8–13" in text(pilot, "#inspector")
        assert title(pilot, "#step-sources").startswith("step 8–13")
        await press(pilot, "left")
        assert tokens(pilot).cursor == 0
        await press(pilot, "z")
        assert "step 1 of 27" in text(pilot, "#inspector")


async def test_the_strip_of_the_whole_answer_leads_there(run: Run) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        await pilot.click("#overview", offset=(79, 0))
        await settle(pilot)
        assert tokens(pilot).cursor == 26
        assert text(pilot, "#overview").endswith("┃")


async def test_weak_colours_can_be_lifted(run: Run) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        first = tokens(pilot).response.level
        await press(pilot, "plus")
        assert (tokens(pilot).response.level >= first).all()
        assert tokens(pilot).response.level.sum() > first.sum()
        await press(pilot, "minus", "minus")
        assert tokens(pilot).response.level.sum() < first.sum()


async def test_the_cursor_can_be_centred(tmp_path: Path) -> None:
    pieces = [f" w{t}" if t % 9 else "." for t in range(1, 1500)]
    async with browsing(write_run(tmp_path / "run", with_response(pieces))) as pilot:
        await press(pilot, "colon", *"700", "enter")
        await press(pilot, "f")
        rows = text(pilot, "#tokens").splitlines()
        middle = "".join(rows[len(rows) // 2 - 2 : len(rows) // 2 + 2])
        assert "w700" in middle


# Two configurations


async def test_what_differs_between_two_configurations_is_marked(run: Run) -> None:
    async with browsing(run, "kitchen-0", config=None) as pilot:
        await press(pilot, "d")
        assert "Press b first" in text(pilot, "#status")
        await press(pilot, "b")
        assert "A default  B paper" in text(pilot, "#heading")
        lines = text(pilot, "#status")
        response = tokens(pilot).response
        apart = [k for k, (first, _) in enumerate(response.spans) if response.disputed[first]]
        assert f"{len(apart)} of 4 spans" in lines
        rows = [row for row in text(pilot, "#tokens").splitlines() if "↳" not in row]
        assert [k for k, row in enumerate(rows) if "≠" in row[:12]] == apart
        await press(pilot, "d")
        assert lit(pilot) == np.flatnonzero(response.disputed).tolist()


async def test_a_source_that_only_one_keeps_is_signed(run: Run) -> None:
    async with browsing(run, "kitchen-0", config=PRESETS["default"]) as pilot:
        signs = set()
        for _ in range(2):
            await press(pilot, "b")
            for _ in range(4):
                signs |= {row[:1] for row in text(pilot, "#span-sources").splitlines()}
                await press(pilot, "s")
            await press(pilot, "g")
        assert signs & {"+", "-"}


async def test_presets_are_undone_and_done_again(run: Run) -> None:
    async with browsing(run, "kitchen-0", config=None) as pilot:
        names = []
        for key in ("p", "p", "u", "u", "u", "U"):
            await press(pilot, key)
            names.append(text(pilot, "#heading").split()[-2])
        assert names == ["paper", "release", "paper", "default", "default", "paper"]


async def test_escape_leads_from_a_pane_beside_back_to_the_tokens(run: Run) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        await press(pilot, "e", "escape")
        assert tokens(pilot).has_focus
        await press(pilot, "2", "tab", "escape", "escape", "escape")
        assert not isinstance(pilot.app.screen, TraceScreen)


async def test_what_is_drawn_anew_is_what_a_whole_drawing_shows(run: Run) -> None:
    """Rows that a change of configuration leaves as they were are kept: nothing else may be."""
    coverages = (1.0, 0.05, 1.0)
    curation = replace(PLAIN.curation, p_min=0.0, run_min=0.0)
    configs = [replace(PLAIN, curation=replace(curation, coverage=share)) for share in coverages]
    configs += [replace(PLAIN, reduce=reduce) for reduce in ("max", "mean", "sum")]
    configs += [replace(PLAIN, units=UnitConfig(audio_seconds=3.0)), PRESETS["release"]]
    async with browsing(run, "kitchen-0") as pilot:
        screen, view, seen = pilot.app.screen, tokens(pilot), set()
        assert isinstance(screen, TraceScreen)
        for config in configs:
            screen.session.history.change(config)
            screen.recompute()
            await settle(pilot)
            drawn = [view.render_line(y) for y in range(view.size.height)]
            view.redraw()
            assert drawn == [view.render_line(y) for y in range(view.size.height)]
            seen.add("".join(line.text for line in drawn))
        assert len(seen) == 5
