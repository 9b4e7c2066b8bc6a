"""The state of the trace view as plain data: requests, answers, views of a step, searches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from omnitrace import CommandError, OmniTraceError, Run, Trace
from replay import PRESETS, ReplayConfig, Replayer, attribute
from replay.evaluation import Gold
from tests.tui.samples import PLAIN, planted_trace
from tui.labels import Labels
from tui.look import Look
from tui.session import History, Session
from tui.trace.search import step_at_place, steps_found
from tui.trace.state import Answer, Opened, Request, TraceState, answer_for, difference, step_view

TRACE = planted_trace()


class NoLabels(Labels):
    """Labels that fit no sample."""

    def __init__(self) -> None:
        super().__init__({})  # type: ignore[arg-type]

    def gold(self, trace: Trace) -> Gold | None:
        raise OmniTraceError("line 1 does not fit.")


def answer(
    config: ReplayConfig = PLAIN,
    other: ReplayConfig | None = None,
    grain: str = "token",
    labels: Labels | None = None,
) -> Answer:
    """The planted trace, attributed."""
    request = Request(0, config, other, grain, strength=1.0)
    return answer_for(request, Opened.of(0, Replayer(TRACE)), labels)


def test_an_answer_holds_the_attribution_and_the_response_in_its_style() -> None:
    found, expected = answer(grain="span"), attribute(TRACE, PLAIN)
    assert found.attribution.unit.tolist() == expected.unit.tolist()
    assert found.other is None
    assert found.gold is None
    assert found.error == ""
    assert found.response.group_of(8) == expected.spans[1].steps
    assert not found.response.disputed.any()


def test_labels_that_do_not_fit_are_an_error_of_the_answer_only() -> None:
    found = answer(other=PRESETS["release"], labels=NoLabels())
    assert found.error == "line 1 does not fit."
    assert len(found.attribution.spans) == 4


def test_a_configuration_that_cannot_be_applied_is_an_error() -> None:
    with pytest.raises(OmniTraceError):
        answer(replace(PLAIN, signal="attgrads"))


def test_a_view_of_a_step_has_its_group_its_unit_and_both_spans() -> None:
    found = answer(other=PRESETS["release"], grain="span")
    view = step_view(found, 9)
    assert view.steps == found.attribution.spans[1].steps
    assert view.unit == found.response.unit[9]
    assert view.span == 1
    assert view.other is found.other
    assert view.other_span is not None


def test_a_step_outside_of_all_spans_has_none() -> None:
    bare = answer()
    bare = replace(bare, response=replace(bare.response, span=bare.response.span * 0 - 1))
    assert step_view(bare, 9).span is None
    assert step_view(bare, 9).other_span is None


def test_the_difference_counts_spans_with_other_sources() -> None:
    same = answer(other=PLAIN)
    assert difference(same, ("one", "two")).startswith("A one, B two: 0 of 4 spans have other")
    first, last = same.attribution.spans[2].steps
    disputed = np.isin(np.arange(TRACE.T), range(first, last))
    one = replace(same, response=replace(same.response, disputed=disputed))
    assert "1 of 4 spans" in difference(one, ("one", "two"))


def test_a_query_selects_steps_and_a_blank_one_none() -> None:
    found = answer()
    square = steps_found(found, "square")
    assert square is not None
    assert np.flatnonzero(square).tolist() == [23]
    assert steps_found(found, "  ") is None
    with pytest.raises(CommandError, match="no field 'mood'"):
        steps_found(found, "mood:bad")


def test_places_are_steps_and_spans() -> None:
    found = answer()
    assert [step_at_place(found, place) for place in ("1", "27", "s1", " S3 ")] == [0, 26, 0, 13]
    for place in ("0", "28", "s0", "s5", "x", ""):
        with pytest.raises(CommandError, match="from 1 to 27, or to a span from s1 to s4"):
            step_at_place(found, place)


def test_another_sample_begins_without_answer_and_pin(run: Run) -> None:
    session = Session(run, History.of(PRESETS), Look(grain="word"))
    state = TraceState(session, [*run], 0, Opened.of(0, Replayer(TRACE)), answer(), pinned=3)
    state.go_to(2)
    assert (state.place, state.opened, state.answer, state.pinned) == (2, None, None, None)
    assert state.id == [*run][2]
    assert state.request == Request(2, PRESETS["default"], None, "word", 1.0)
    session.next_baseline()
    assert state.request.other == PRESETS[session.baseline or ""]
