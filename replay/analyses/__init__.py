"""Analyses: one file a question about how a run's answers were attributed, one registry.

Each is a pure function to a frozen `Result` of arrays, with a table, a figure and JSON data
(docs/analyses.md). Knows no terminal; matplotlib is loaded only to draw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from omnitrace.errors import CommandError, OmniTraceError, nearest
from omnitrace.trace import NotAdded, Trace
from replay.analyses.budget import budget
from replay.analyses.position import position
from replay.analyses.result import Result, Table
from replay.analyses.stability import stability
from replay.attribution import Attribution, attribute
from replay.config import ReplayConfig

__all__ = ["ANALYSES", "Analysis", "Material", "Result", "Table", "analysis"]


@dataclass(frozen=True)
class Material:
    """What analyses read: `traces` by id under `config`.

    What cannot be read is left out, with a sentence in `damaged`.
    """

    traces: Mapping[str, Trace]
    config: ReplayConfig
    damaged: dict[str, str] = field(default_factory=dict)

    def readable(self) -> Iterator[Trace]:
        """The traces in order."""
        for id in self.traces:
            if id in self.damaged:
                continue
            try:
                yield self.traces[id]
            except OmniTraceError as error:
                self.damaged[id] = str(error)

    def attributed(self) -> Iterator[tuple[Trace, Attribution]]:
        """The traces in order with their attributions; CommandError if `config` fits none."""
        for trace in self.readable():
            try:
                attribution = attribute(trace, self.config)
            except OmniTraceError as error:
                if isinstance(error, CommandError) and not isinstance(error, NotAdded):
                    raise
                self.damaged[trace.id] = str(error)
            else:
                yield trace, attribution


@dataclass(frozen=True)
class Analysis:
    """An entry of the registry: `run` answers the question that `help` asks."""

    help: str
    run: Callable[[Material], Result]


ANALYSES: dict[str, Analysis] = {
    "position": Analysis(
        "where in the prompt the sources lie, against units at random (Fig. 3a)",
        lambda material: position(material.attributed()),
    ),
    "budget": Analysis(
        "the shares of mass and votes that go to each modality, the answer and the first token",
        lambda material: budget(material.attributed()),
    ),
    "stability": Analysis(
        "how far the sources stay the same when one knob of the configuration is turned",
        lambda material: stability(material.readable(), material.config),
    ),
}


def analysis(name: str) -> Analysis:
    """The analysis of that name; CommandError naming the legal ones otherwise."""
    if name not in ANALYSES:
        raise CommandError(f"no analysis '{name}': {nearest(name, list(ANALYSES))}.")
    return ANALYSES[name]
