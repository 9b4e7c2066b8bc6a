"""The panes around the tokens, each alone in an application without the trace view."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from textual.app import App, ComposeResult

from replay import PRESETS, Replayer
from tests.replay.faithfulness.made import every_mask, needing
from tests.tui.drive import shown
from tests.tui.samples import PLAIN, planted_trace
from tui.draw.lines import Lines
from tui.trace.inspector import Inspector
from tui.trace.sources import SpanSources, StepSources
from tui.trace.state import Opened, Request, answer_for, step_view
from tui.trace.target import Target

TRACE = planted_trace()
ANSWER = answer_for(
    Request(0, PLAIN, PRESETS["release"], "token", 1.0), Opened.of(0, Replayer(TRACE)), None
)


class Alone(App[None]):
    """An application with one pane."""

    def __init__(self, pane: Lines) -> None:
        super().__init__()
        self.pane = pane

    def compose(self) -> ComposeResult:
        yield self.pane


@asynccontextmanager
async def alone(pane: Lines) -> AsyncIterator[None]:
    async with Alone(pane).run_test(size=(80, 12)):
        yield


async def test_the_masses_of_a_step_are_shown_largest_first() -> None:
    pane = StepSources("step-sources")
    async with alone(pane):
        pane.show_step(step_view(ANSWER, 9))
        rows = shown(pane).splitlines()
    assert rows[0].startswith("▸ I")
    assert len(rows) == len(ANSWER.attribution.units)
    assert pane.target(0) == Target(unit=int(ANSWER.attribution.unit[9]))
    assert pane.target(len(rows)) is None


async def test_a_source_that_only_the_other_attribution_has_points_at_no_unit() -> None:
    pane = SpanSources("span-sources")
    async with alone(pane):
        pane.show_step(step_view(ANSWER, 9))
        rows = shown(pane).splitlines()
        targets = [pane.target(row) for row in range(len(rows))]
    assert str(pane.border_title).startswith("span 2 · 1 kept")
    assert [row[0] in "✓✗+-" for row in rows] == [True] * len(rows)
    units = [target.unit if target else None for target in targets]
    span = ANSWER.attribution.spans[1]
    own = [s.unit for s in span.sources] + [s.unit for s in span.dropped]
    assert units == own + [None] * (len(rows) - len(own))


async def test_what_the_removal_of_a_source_did_is_said() -> None:
    pane, units = SpanSources("span-sources"), TRACE.units(PLAIN.units)
    effect = needing(1, weight=4.0)
    made = every_mask(TRACE, units.owner_of_tokens(TRACE.n), effect)
    alone_rows = (~made.kept).sum(axis=1) < 2  # nothing, or one unit, is removed
    rows = {"kept": made.kept, "why": made.why, "held_out": made.held_out}
    few = {name: values[alone_rows] for name, values in rows.items()}
    tested = replace(made, **few, log_odds=made.log_odds[alone_rows])
    replayer = Replayer(replace(TRACE, ablations={"any": tested}))
    request = Request(0, PLAIN, PRESETS["release"], "token", 1.0)
    answer = answer_for(request, Opened.of(0, replayer), None)
    async with alone(pane):
        pane.show_step(step_view(answer, 9))
        rows_shown = shown(pane).splitlines()
    span = answer.attribution.spans[1]
    shown_units = [s.unit for s in span.sources] + [d.unit for d in span.dropped]
    assert "effect of removal" in str(pane.border_title)
    assert len(shown_units) > 1
    for unit, row in zip(shown_units, rows_shown, strict=False):
        if unit == 1:
            assert " caused −" in row
        elif unit == len(units) - 1:
            assert " untested " in row, "the unit that asks is in every mask"
        else:
            assert " not needed " in row


async def test_the_detail_of_another_step_is_not_shown() -> None:
    pane, reader = Inspector("inspector"), ANSWER.opened.reader
    async with alone(pane):
        pane.show_step(step_view(ANSWER, 9))
        pane.show_detail(reader.read(ANSWER.attribution, (3, 4)))
        assert shown(pane).splitlines()[2] == " top"
        pane.show_detail(reader.read(ANSWER.attribution, (9, 10)))
        assert shown(pane).splitlines()[2].startswith(" top I ")
        pane.show_message("")
        pane.show_detail(reader.read(ANSWER.attribution, (9, 10)))
        assert shown(pane) == ""
