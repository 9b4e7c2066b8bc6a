"""What is computed for the trace view, and the messages in which it arrives. Knows no widget."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message

from omnitrace import OmniTraceError, Trace
from replay import Attribution, ReplayConfig, Replayer
from replay.evaluation import Gold
from tui.labels import Labels
from tui.readings.cause import Cause, cause_of
from tui.trace.marks import Marked, Paper, Reading, mark
from tui.trace.rows import Depth, StepReader


@dataclass(frozen=True)
class Wanted:
    """What the reader wants to see: a sample, under a configuration, beside another, read so."""

    place: int
    config: ReplayConfig
    other: ReplayConfig | None
    grain: str
    strength: float


@dataclass(frozen=True)
class Opened:
    """A sample that was read, with all that is kept of it while it is open."""

    place: int
    replayer: Replayer
    paper: Paper
    reader: StepReader

    @classmethod
    def of(cls, place: int, replayer: Replayer) -> Opened:
        """The `place`-th sample."""
        trace = replayer.trace
        return cls(place, replayer, Paper.of(trace), StepReader(trace))

    @property
    def trace(self) -> Trace:
        return self.replayer.trace


@dataclass
class Read(Message):
    """A sample was read; it is not attributed yet."""

    opened: Opened


@dataclass
class Attributed(Message):
    """What was wanted is there; `other` is what it is compared with, or `amiss` says why not."""

    wanted: Wanted
    opened: Opened
    attribution: Attribution
    other: Attribution | None
    marked: Marked
    gold: Gold | None = None
    amiss: str = ""


@dataclass
class Failed(Message):
    """What was wanted could not be read (`opened` is None) or attributed, and why."""

    wanted: Wanted
    opened: Opened | None
    reason: str


@dataclass
class Deepened(Message):
    """What is known below the units of some steps of an attribution."""

    attribution: Attribution
    depth: Depth


@dataclass
class Weighed(Message):
    """What is said by `method` (None: nobody was asked) to be the cause behind an attribution;
    `cause` is None where no ablations were recorded."""

    attribution: Attribution
    method: str | None
    cause: Cause | None


def weighed(shown: Attributed, method: str | None) -> Weighed:
    """Ask the recorded ablations."""
    attribution = shown.attribution
    cause = cause_of(attribution, shown.opened.replayer, method) if method else None
    return Weighed(attribution, method, cause)


def attributed(wanted: Wanted, opened: Opened, labels: Labels | None) -> Attributed:
    """Attribute an open sample; OmniTraceError if it cannot be done under `wanted.config`."""
    attribution = opened.replayer.attribute(wanted.config)
    other, gold, amiss = None, None, ""
    try:
        gold = labels.gold(opened.trace) if labels else None
        other = opened.replayer.attribute(wanted.other) if wanted.other else None
    except OmniTraceError as error:
        amiss = str(error)
    reading = Reading(wanted.grain, wanted.strength, other)
    marked = mark(opened.paper, attribution, reading)
    return Attributed(wanted, opened, attribution, other, marked, gold, amiss)
