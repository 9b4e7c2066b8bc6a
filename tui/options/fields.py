"""The values of a configuration, and how one key press changes each. Knows no widget.

Nothing is listed by hand: help, bounds and choices come from the fields of the dataclasses. Only
the legal names (of a signal, a segmentation, tags) are looked up in the trace that is read.
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
"""The place of a value: `("curation", "pos_weights", "NOUN")`."""

_WEIGHT = (0.0, 1.0, 0.05)


@dataclass(frozen=True)
class Option:
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
        """Its table, as a TOML file names it; empty for the outermost."""
        return ".".join(self.path[:-1])

    def value(self, config: ReplayConfig) -> Any:
        """The value in a configuration; a weight that its table lacks is the one for others."""
        at: Any = config
        for name in self.path:
            if isinstance(at, Mapping):
                return at.get(name, getattr(config.curation, "pos_other", 0.0))
            at = getattr(at, name)
        return at

    def put(self, config: ReplayConfig, value: Any) -> ReplayConfig:
        """The configuration with another value; CommandError names the legal ones."""
        table: Any = value
        for name in reversed(self.path):
            table = {name: table}
        return build(config, table, "the panel")

    def changed(self, value: Any, by: int) -> Any:
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
        """The position of a number between its bounds, from 0 to 1; None for other values."""
        if self.bounds is None:
            return None
        low, high, _ = self.bounds
        return (value - low) / (high - low) if high > low else 0.0

    def read(self, text: str, value: Any) -> Any:
        """A typed text as a value of the same type; CommandError if it is none."""
        if isinstance(value, str):
            return text.strip()
        try:
            return int(text) if isinstance(value, int) else float(text)
        except ValueError:
            raise CommandError(f"{self.name} is a number; '{text}' is none.") from None


def options_of(config: ReplayConfig, trace: Trace | None = None) -> list[Option]:
    """Every value of a configuration, in order; names are those that `trace` has."""
    return [*_leaves(config, (), _names(trace) if trace else {})]


def _leaves(config: Any, path: Path, names: Mapping[Path, tuple[str, ...]]) -> Iterator[Option]:
    nested: list[tuple[Any, Path]] = []
    for field in dataclasses.fields(config):
        here, value = (*path, field.name), getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            nested.append((value, here))
        elif isinstance(value, Mapping):
            nested.append((field, here))
        else:
            yield _leaf(field, value, here, names.get(here, ()))
    for inner, here in nested:
        if isinstance(inner, dataclasses.Field):
            help = inner.metadata["help"]
            for key in inner.metadata["choices"]:
                yield Option((*here, key), f"{help}: {key}", _WEIGHT)
        else:
            yield from _leaves(inner, here, names)


def _leaf(field: dataclasses.Field[Any], value: Any, path: Path, names: tuple[str, ...]) -> Option:
    known = field.metadata
    if isinstance(value, bool):
        return Option(path, known["help"], choices=(False, True))
    return Option(path, known["help"], known["bounds"], known["choices"] or names)


def _names(trace: Trace) -> dict[Path, tuple[str, ...]]:
    """The names that a trace offers, for the values that are names."""
    return {
        ("signal",): tuple(trace.signals),
        ("tags",): ("", *trace.taggings),
        ("units", "audio_segments"): ("", *trace.segmentations),
    }
