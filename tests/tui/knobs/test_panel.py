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
from tui.knobs.fields import Knob, knobs_of
from tui.knobs.panel import Knobs
from tui.trace.screen import TraceScreen

KNOBS = {".".join(knob.path): knob for knob in knobs_of(ReplayConfig(), planted_trace())}


def leaves(config: Any, path: tuple[str, ...] = ()) -> set[str]:
    """Every leaf of a configuration as JSON data has it."""
    found = set()
    for name, value in config.items():
        inner = (*path, name)
        found |= leaves(value, inner) if isinstance(value, dict) else {".".join(inner)}
    return found


def test_every_value_of_the_configuration_has_a_control() -> None:
    assert leaves(to_dict(ReplayConfig())) <= set(KNOBS)


def test_a_new_field_is_a_new_control() -> None:
    extra = dataclasses.field(
        default=3, metadata={"help": "new", "bounds": (1, 5, 2), "choices": ()}
    )
    more = dataclasses.make_dataclass(
        "More", [("later", int, extra)], bases=(ReplayConfig,), frozen=True
    )
    assert Knob(("later",), "new", (1, 5, 2)) in knobs_of(more())


@pytest.mark.parametrize("name", KNOBS)
def test_every_control_turns_to_legal_values_only(name: str) -> None:
    knob, config = KNOBS[name], ReplayConfig()
    for by in (1, -1, 10, -10):
        value = knob.turned(knob.value(config), by)
        changed = knob.put(config, value)
        assert knob.value(changed) == value
        share = knob.share(value)
        assert share is None or 0 <= share <= 1


def test_a_number_stops_at_its_bounds_and_choices_go_round() -> None:
    gamma, reduce = KNOBS["curation.gamma"], KNOBS["reduce"]
    assert gamma.turned(8.0, 1) == 8.0
    assert gamma.turned(0.25, -10) == 0.0
    assert reduce.turned(reduce.choices[-1], 1) == reduce.choices[0]


@pytest.mark.parametrize(("name", "typed"), [("curation.gamma", "x"), ("curation.p_min", "2")])
def test_what_is_not_legal_is_said(name: str, typed: str) -> None:
    knob = KNOBS[name]
    with pytest.raises(CommandError):
        knob.put(ReplayConfig(), knob.read(typed, knob.value(ReplayConfig())))


def test_names_are_those_that_the_trace_has() -> None:
    assert KNOBS["signal"].choices == ("attmean",)
    assert KNOBS["tags"].choices == ("",)


async def to(pilot: Any, name: str) -> Knobs:
    """Open the panel and put its cursor on a value."""
    screen = on_screen(pilot, TraceScreen)
    knobs = screen.query_one(Knobs)
    if not knobs.has_focus:
        await press(pilot, "e")
    knobs.move_to(
        next(
            i for i, row in enumerate(knobs._rows) if not isinstance(row, str) and row.name == name
        )
    )
    return knobs


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


async def test_a_value_can_be_typed_and_reset(run: Run) -> None:
    async with browsing(run, "kitchen-0", size=LARGE) as pilot:
        knobs = await to(pilot, "gamma")
        await press(pilot, "enter", "ctrl+u", *"3.5", "enter")
        assert knobs.config is not None
        assert knobs.config.curation.gamma == 3.5
        assert knobs.has_focus
        await press(pilot, "enter", "ctrl+u", *"99", "enter")
        assert "from 0 to 8" in text(pilot, "#told")
        await press(pilot, "backspace")
        assert knobs.config.curation.gamma == 2.0


async def test_what_is_not_the_preset_s_is_marked(run: Run) -> None:
    async with browsing(run, "kitchen-0", size=LARGE) as pilot:
        await to(pilot, "p_min")
        assert "•" not in text(pilot, "#knobs")
        await press(pilot, "right")
        own = next(row for row in text(pilot, "#knobs").splitlines() if "•" in row)
        assert own.split()[0] == "•p_min"
        assert title(pilot, "#knobs") == "configuration · edited"


async def test_the_configuration_is_saved_as_replay_takes_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with browsing(run, "kitchen-0", size=LARGE) as pilot:
        await to(pilot, "alpha")
        await press(pilot, "left", "w", "enter")
        assert "omnitrace replay RUN --config omnitrace.toml" in text(pilot, "#told")
        attribution = on_screen(pilot, TraceScreen).attribution
        assert attribution is not None
        assert load_toml(PRESETS["paper"], tmp_path / "omnitrace.toml") == attribution.config
        saved = (tmp_path / "omnitrace.toml").read_bytes()
        await press(pilot, "left", "w", "enter")
        assert "is there already" in text(pilot, "#told")
        assert (tmp_path / "omnitrace.toml").read_bytes() == saved
        await press(pilot, "enter")
        assert (tmp_path / "omnitrace.toml").read_bytes() != saved
        await press(pilot, "w", "ctrl+u", *"no/where.toml", "enter")
        assert "cannot write" in text(pilot, "#told")
        assert [p.name for p in tmp_path.iterdir()] == ["omnitrace.toml"]


async def test_the_panel_is_opened_entered_and_closed_by_one_key(run: Run) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        knobs = pilot.app.screen.query_one(Knobs)
        assert not knobs.display
        await press(pilot, "e")
        assert knobs.has_focus
        assert not pilot.app.screen.query_one("#step-sources").display
        await press(pilot, "e")
        assert not knobs.display
        assert tokens(pilot).has_focus
