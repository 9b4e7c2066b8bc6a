"""The leaves of a configuration, and how one key press changes each. Knows no widget.

Nothing is listed by hand: help, bounds and choices are what the fields of the dataclasses say.
Only what a name may be (a signal, a segmentation, tags) is looked up in the trace that is read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from omnitrace import CommandError, Trace
from omnitrace.config import build
from replay import ReplayConfig

Path = tuple[str, ...]
"""A leaf's place: `("curation", "pos_weights", "NOUN")`."""

_WEIGHT = (0.0, 1.0, 0.05)


@dataclass(frozen=True)
class Knob:
    """One value of a configuration: its place, help, and bounds (min, max, step) or choices."""

    path: Path
    help: str
    bounds: tuple[float, float, float] | None = None
    choices: tuple[Any, ...] = ()

    @property
    def name(self) -> str:
        return self.path[-1]

    @property
    def group(self) -> str:
        """The table that it stands in, as a TOML file names it; empty for the outermost."""
        return ".".join(self.path[:-1])

    def value(self, config: ReplayConfig) -> Any:
        """What the configuration says; a weight that its table lacks is the one for others."""
        at: Any = config
        for name in self.path:
            if isinstance(at, Mapping):
                return at.get(name, getattr(config.curation, "pos_other", 0.0))
            at = getattr(at, name)
        return at

    def put(self, config: ReplayConfig, value: Any) -> ReplayConfig:
        """The configuration with another value; CommandError saying what is legal."""
        table: Any = value
        for name in reversed(self.path):
            table = {name: table}
        return build(config, table, "the panel")

    def turned(self, value: Any, by: int) -> Any:
        """The value after `by` presses to the right: a step of a number, the next choice."""
        if self.bounds is not None:
            low, high, step = self.bounds
            moved = min(max(value + by * step, low), high)
            return int(moved) if isinstance(value, int) else round(moved, 10)
        if not self.choices:
            return value
        place = self.choices.index(value) if value in self.choices else -(by > 0)
        return self.choices[(place + by) % len(self.choices)]

    def share(self, value: Any) -> float | None:
        """Where a number stands between its bounds, from 0 to 1."""
        if self.bounds is None:
            return None
        low, high, _ = self.bounds
        return (value - low) / (high - low) if high > low else 0.0

    def read(self, text: str, value: Any) -> Any:
        """What the reader typed, as a value of the same kind; CommandError if it is none."""
        if isinstance(value, str):
            return text.strip()
        try:
            return int(text) if isinstance(value, int) else float(text)
        except ValueError:
            raise CommandError(f"{self.name} is a number; '{text}' is none.") from None


def knobs_of(config: ReplayConfig, trace: Trace | None = None) -> list[Knob]:
    """Every value of a configuration, in order; names are those that `trace` has."""
    return [*_leaves(config, (), _offers(trace) if trace else {})]


def _leaves(config: Any, path: Path, offers: Mapping[Path, tuple[str, ...]]) -> Iterator[Knob]:
    nested: list[tuple[Any, Path]] = []
    for field in dataclasses.fields(config):
        here, value = (*path, field.name), getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            nested.append((value, here))
        elif isinstance(value, Mapping):
            nested.append((field, here))
        else:
            yield _leaf(field, value, here, offers.get(here, ()))
    for inner, here in nested:
        if isinstance(inner, dataclasses.Field):
            help = inner.metadata["help"]
            for key in inner.metadata["choices"]:
                yield Knob((*here, key), f"{help}: {key}", _WEIGHT)
        else:
            yield from _leaves(inner, here, offers)


def _leaf(field: dataclasses.Field[Any], value: Any, path: Path, offered: tuple[str, ...]) -> Knob:
    known = field.metadata
    choices = known["choices"] or offered
    if isinstance(value, bool):
        choices = (False, True)
    return Knob(path, known["help"], None if isinstance(value, bool) else known["bounds"], choices)


def _offers(trace: Trace) -> dict[Path, tuple[str, ...]]:
    """What a trace has of the things that a configuration calls by name."""
    return {
        ("signal",): tuple(trace.signals),
        ("tags",): ("", *trace.taggings),
        ("units", "audio_segments"): ("", *trace.segmentations),
    }
