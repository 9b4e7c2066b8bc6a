"""What leaves the browser: files, the clipboard, links, the look that is kept."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from textual.app import App

from omnitrace import CommandError, Run
from replay import PRESETS, attribute
from replay.output import to_json
from tests.tui.drive import browsing, press, text
from tests.tui.samples import HOSTILE, planted_trace, with_response
from tui.draw.colours import palette_of
from tui.export import View, export_view
from tui.look import Look, load_look, save_look
from tui.trace.response import ResponseLayout, StyleOptions, style_response


def hostile_view() -> View:
    trace = with_response([*HOSTILE, "<script>x</script>", "."], "\x1b]52;c;x\x07<b>&")
    attribution = attribute(trace, PRESETS["paper"])
    response = style_response(ResponseLayout.of(trace), attribution, StyleOptions())
    return View(attribution, response, palette_of(App()), lambda: "<svg/>")


@pytest.mark.parametrize("name", ["a.html", "a.txt", "A.TXT"])
def test_exports_are_safe(name: str) -> None:
    written = export_view(hostile_view(), name)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", written)
    if name.endswith("html"):
        assert "<script" not in written
        assert "&lt;script&gt;" in written
        assert "http" not in written


def test_exported_data_is_what_replay_prints() -> None:
    view = hostile_view()
    data = json.loads(export_view(view, "x.json"))
    assert data == json.loads(json.dumps(to_json([view.attribution], view.attribution.config)))


@pytest.mark.parametrize(
    ("name", "marked"), [("a.txt", "\n1. thinking: The parcel"), ("a.html", "<small>1 thinking ↳")]
)
def test_a_span_of_thinking_says_so(name: str, marked: str) -> None:
    trace = replace(planted_trace(), meta={"thinking": [0, 30]})
    attribution = attribute(trace, PRESETS["paper"])
    view = View(
        attribution,
        style_response(ResponseLayout.of(trace), attribution, StyleOptions()),
        palette_of(App()),
        str,
    )
    written = export_view(view, name)
    assert marked in written
    assert written.count("thinking") == 1


def test_a_name_says_what_it_becomes() -> None:
    with pytest.raises(CommandError, match=r"\.svg, \.html, \.json, \.txt"):
        export_view(hostile_view(), "attribution.pdf")


@pytest.mark.parametrize("ending", ["svg", "html", "json", "txt"])
async def test_the_view_is_exported(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.chdir(tmp_path)
    async with browsing(run, "kitchen-0") as pilot:
        await press(pilot, "x", "ctrl+u", *f"out.{ending}", "enter")
        assert f"written to out.{ending}" in text(pilot, "#status")
        written = (tmp_path / f"out.{ending}").read_text("utf-8")
        assert "circle" in written
        assert f"out.{ending}" not in written  # the question is no part of the view


async def test_a_span_and_a_link_are_copied(run: Run) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        await press(pilot, "s", "y")
        assert pilot.app.clipboard.startswith("2. A red circle is shown.\n   ✓ ")
        await press(pilot, "Y")
        assert pilot.app.clipboard == f"omnitrace browse {run.path} --sample kitchen-0 --step 8"


async def test_commands_are_the_bindings(run: Run) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        commands = {c.title for c in pilot.app.get_system_commands(pilot.app.screen)}
        assert {"Next span", "By source", "Export", "Compare", "Theme"} <= commands
        await press(pilot, "ctrl+p", *"by source", "enter")
        await press(pilot)
        assert pilot.app.screen.has_class("-by-source")


def test_a_look_is_kept_and_recalled(tmp_path: Path) -> None:
    look = Look(theme="nord", grain="span", strength=1.4, captions=False)
    save_look(look, tmp_path / "deep" / "look.json")
    assert load_look(tmp_path / "deep" / "look.json") == look


@pytest.mark.parametrize("data", [b"", b"{", b'{"grain": "page"}', b'{"strength": 99}', b"[]"])
def test_a_damaged_look_is_the_first_one(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "look.json").write_bytes(data)
    assert load_look(tmp_path / "look.json") == Look()


def test_a_look_that_cannot_be_kept_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    save_look(Look(), tmp_path / "file" / "look.json")


async def test_the_browser_looks_as_it_was_left(run: Run) -> None:
    look = Look(theme="textual-light", grain="word", letters=True, options=True)
    async with browsing(run, "kitchen-0", look=look) as pilot:
        assert pilot.app.theme == "textual-light"
        assert pilot.app.screen.query_one("#options").display
        await press(pilot, "z", "m", "c", "plus")
        assert (look.grain, look.letters, look.captions) == ("span", False, False)
        assert look.strength == 1.4


async def test_a_theme_that_is_gone_is_no_error(run: Run) -> None:
    async with browsing(run, look=Look(theme="gone")) as pilot:
        assert pilot.app.theme == "textual-dark"
