"""What the trace view shows, and how it is computed: plain data and pure functions.

A `Request` says what the user wants to see, an `Answer` is what was computed for it, a `StepView`
the part of it at one step. May read the disk: call `Opened.of` and `answer_for` from a worker
thread. Knows no widget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from omnitrace import OmniTraceError, Trace
from replay import Attribution, ReplayConfig, Replayer
from replay.evaluation import Gold
from tui.compare import span_at
from tui.labels import Labels
from tui.session import Session
from tui.trace.response import ResponseLayout, StyledResponse, StyleOptions, style_response
from tui.trace.step_detail import StepReader


@dataclass(frozen=True)
class Request:
    """A sample, by its place in the list, and how to attribute, compare and style it."""

    place: int
    config: ReplayConfig
    other: ReplayConfig | None
    grain: str
    strength: float


@dataclass(frozen=True, eq=False)
class Opened:
    """A sample that was read, with what is kept of it while it is on the screen."""

    place: int
    replayer: Replayer
    layout: ResponseLayout
    reader: StepReader

    @classmethod
    def of(cls, place: int, replayer: Replayer) -> Opened:
        """Lay out the `place`-th sample."""
        trace = replayer.trace
        return cls(place, replayer, ResponseLayout.of(trace), StepReader(trace))

    @property
    def trace(self) -> Trace:
        return self.replayer.trace


@dataclass(frozen=True, eq=False)
class Answer:
    """A sample attributed for a request. `other`: the attribution to compare with; `gold`: its
    labels; `error`: why one of these is missing."""

    request: Request
    opened: Opened
    attribution: Attribution
    other: Attribution | None
    response: StyledResponse
    gold: Gold | None = None
    error: str = ""

    @property
    def trace(self) -> Trace:
        """The trace with the tags that the configuration names."""
        return self.opened.replayer.tagged(self.attribution.config.tags)


def answer_for(request: Request, opened: Opened, labels: Labels | None) -> Answer:
    """Attribute an open sample; OmniTraceError if `request.config` cannot be applied to it."""
    attribution = opened.replayer.attribute(request.config)
    other, gold, error = None, None, ""
    try:
        gold = labels.gold(opened.trace) if labels else None
        other = opened.replayer.attribute(request.other) if request.other else None
    except OmniTraceError as failure:
        error = str(failure)
    options = StyleOptions(request.grain, request.strength, other)
    response = style_response(opened.layout, attribution, options)
    return Answer(request, opened, attribution, other, response, gold, error)


def difference(answer: Answer, names: tuple[str, str]) -> str:
    """How many spans have other sources in `other`, in words; `names` of A and B."""
    disputed, spans = answer.response.disputed, answer.attribution.spans
    count = sum(bool(disputed[span.steps[0]]) for span in spans)
    return (
        f"A {names[0]}, B {names[1]}: {count} of {len(spans)} spans have other sources "
        "(≠ in the margin, d lights them)"
    )


@dataclass(frozen=True, eq=False)
class StepView:
    """The steps that are read together, half-open; the `unit` that they are traced to, -1 for
    none; the `span` that holds them, and the one of `other`, the attribution to compare with."""

    trace: Trace
    attribution: Attribution
    steps: tuple[int, int]
    unit: int
    span: int | None
    other: Attribution | None = None
    other_span: int | None = None


def step_view(answer: Answer, step: int) -> StepView:
    """The view of a step, with the steps of its group."""
    response, span, other = answer.response, int(answer.response.span[step]), answer.other
    return StepView(
        answer.trace,
        answer.attribution,
        response.group_of(step),
        int(response.unit[step]),
        span if span >= 0 else None,
        other,
        span_at(other, step) if other is not None else None,
    )


@dataclass
class TraceState:
    """The sample of `ids` at `place`: `opened` once it is read, `answer` once it is attributed;
    `pinned`: the step that the panes stay on."""

    session: Session
    ids: Sequence[str]
    place: int
    opened: Opened | None = None
    answer: Answer | None = None
    pinned: int | None = None

    def go_to(self, place: int) -> None:
        """Go to another sample, of which nothing is known yet."""
        self.place, self.opened, self.answer, self.pinned = place, None, None, None

    @property
    def id(self) -> str:
        return self.ids[self.place]

    @property
    def request(self) -> Request:
        """What the user wants to see now."""
        session, look = self.session, self.session.look
        return Request(self.place, session.config, session.other, look.grain, look.strength)
