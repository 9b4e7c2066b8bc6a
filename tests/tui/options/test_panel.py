"""The configuration as controls: generated, turned, typed, undone, saved."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from omnitrace import CommandError, Run
from omnitrace.config import load_toml, to_dict
from replay import PRESETS, ReplayConfig
from tests.tui.drive import LARGE, browsing, on_screen, press, text, title, tokens
from tests.tui.samples import planted_trace
from tui.options.fields import Option, options_of
from tui.options.panel import OptionPanel
from tui.trace.screen import TraceScreen

OPTIONS = {".".join(option.path): option for option in options_of(ReplayConfig(), planted_trace())}


def leaves(config: Any, path: tuple[str, ...] = ()) -> set[str]:
    """Every leaf of a configuration as JSON data has it."""
    found = set()
    for name, value in config.items():
        inner = (*path, name)
        found |= leaves(value, inner) if isinstance(value, dict) else {".".join(inner)}
    return found


def test_every_value_of_the_configuration_has_a_control() -> None:
    assert leaves(to_dict(ReplayConfig())) <= set(OPTIONS)


def test_a_new_field_is_a_new_control() -> None:
    extra = dataclasses.field(
        default=3, metadata={"help": "new", "bounds": (1, 5, 2), "choices": ()}
    )
    more = dataclasses.make_dataclass(
        "More", [("later", int, extra)], bases=(ReplayConfig,), frozen=True
    )
    assert Option(("later",), "new", (1, 5, 2)) in options_of(more())


@pytest.mark.parametrize("name", OPTIONS)
def test_every_control_turns_to_legal_values_only(name: str) -> None:
    option, config = OPTIONS[name], ReplayConfig()
    for by in (1, -1, 10, -10):
        value = option.changed(option.value(config), by)
        changed = option.put(config, value)
        assert option.value(changed) == value
        share = option.share(value)
        assert share is None or 0 <= share <= 1


def test_a_number_stops_at_its_bounds_and_choices_go_round() -> None:
    gamma, reduce = OPTIONS["curation.gamma"], OPTIONS["reduce"]
    assert gamma.changed(8.0, 1) == 8.0
    assert gamma.changed(0.25, -10) == 0.0
    assert reduce.changed(reduce.choices[-1], 1) == reduce.choices[0]


@pytest.mark.parametrize(("name", "typed"), [("curation.gamma", "x"), ("curation.p_min", "2")])
def test_what_is_not_legal_is_said(name: str, typed: str) -> None:
    option = OPTIONS[name]
    with pytest.raises(CommandError):
        option.put(ReplayConfig(), option.read(typed, option.value(ReplayConfig())))


def test_names_are_those_that_the_trace_has() -> None:
    assert OPTIONS["signal"].choices == ("attmean",)
    assert OPTIONS["tags"].choices == ("",)


async def to(pilot: Any, name: str) -> OptionPanel:
    """Open the panel and put its cursor on a value."""
    screen = on_screen(pilot, TraceScreen)
    options = screen.query_one(OptionPanel)
    if not options.has_focus:
        await press(pilot, "e")
    options.move_to(
        next(
            i for i, row in enumerate(options.rows) if not isinstance(row, str) and row.name == name
        )
    )
    return options


async def test_a_key_press_curates_anew(run: Run) -> None:
    async with browsing(run, "kitchen-0", size=LARGE) as pilot:
        await press(pilot, "s", "s", "s")
        before = text(pilot, "#span-sources")
        await to(pilot, "coverage")
        for key, value in (("left", 0.8), ("right", 0.85), ("H", 0.35), ("L", 0.85), ("h", 0.8)):
            await press(pilot, key)
            attribution = on_screen(pilot, TraceScreen).attribution
            assert attribution is not None
            assert attribution.config.curation.coverage == pytest.approx(value)
        await press(pilot, "l", "shift+right")
        assert text(pilot, "#span-sources") != before
        assert "edited" in text(pilot, "#heading")
        await press(pilot, "shift+left", "u", "u", "U", "r")
        assert "custom" in text(pilot, "#heading")


async def test_the_rows_are_made_once_for_a_trace(run: Run) -> None:
    async with browsing(run, "kitchen-0", size=LARGE) as pilot:
        options = await to(pilot, "coverage")
        rows = options.rows
        await press(pilot, "left", "p")
        assert options.rows is rows
        await press(pilot, "right_square_bracket")
        assert options.rows is not rows


async def test_a_value_can_be_typed_and_reset(run: Run) -> None:
    async with browsing(run, "kitchen-0", size=LARGE) as pilot:
        options = await to(pilot, "gamma")
        await press(pilot, "enter", "ctrl+u", *"3.5", "enter")
        assert options.config is not None
        assert options.config.curation.gamma == 3.5
        assert options.has_focus
        await press(pilot, "enter", "ctrl+u", *"99", "enter")
        assert "from 0 to 8" in text(pilot, "#status")
        await press(pilot, "backspace")
        assert options.config.curation.gamma == 2.0


async def test_what_is_not_the_preset_s_is_marked(run: Run) -> None:
    async with browsing(run, "kitchen-0", size=LARGE) as pilot:
        await to(pilot, "p_min")
        assert "•" not in text(pilot, "#options")
        await press(pilot, "right")
        own = next(row for row in text(pilot, "#options").splitlines() if "•" in row)
        assert own.split()[0] == "•p_min"
        assert title(pilot, "#options") == "configuration · edited"


async def test_the_configuration_is_saved_as_replay_takes_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with browsing(run, "kitchen-0", size=LARGE) as pilot:
        await to(pilot, "alpha")
        await press(pilot, "left", "w", "enter")
        assert "omnitrace replay RUN --config omnitrace.toml" in text(pilot, "#status")
        attribution = on_screen(pilot, TraceScreen).attribution
        assert attribution is not None
        assert load_toml(PRESETS["paper"], tmp_path / "omnitrace.toml") == attribution.config
        saved = (tmp_path / "omnitrace.toml").read_bytes()
        await press(pilot, "left", "w", "enter")
        assert "is there already" in text(pilot, "#status")
        assert (tmp_path / "omnitrace.toml").read_bytes() == saved
        await press(pilot, "enter")
        assert (tmp_path / "omnitrace.toml").read_bytes() != saved
        await press(pilot, "w", "ctrl+u", *"no/where.toml", "enter")
        assert "cannot write" in text(pilot, "#status")
        assert [p.name for p in tmp_path.iterdir()] == ["omnitrace.toml"]


async def test_the_panel_is_opened_entered_and_closed_by_one_key(run: Run) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        options = pilot.app.screen.query_one(OptionPanel)
        assert not options.display
        await press(pilot, "e")
        assert options.has_focus
        assert not pilot.app.screen.query_one("#step-sources").display
        await press(pilot, "e")
        assert not options.display
        assert tokens(pilot).has_focus
