"""The values of a configuration, and how one key press changes each. Knows no widget.

Nothing is listed by hand: help, bounds and choices come from the fields of the dataclasses. Only
the legal names (of a signal, a segmentation, tags) are looked up in the trace that is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from omnitrace import CommandError, Trace
from omnitrace.config import Leaf, build, leaves
from replay import ReplayConfig

_WEIGHT = (0.0, 1.0, 0.05)


@dataclass(frozen=True)
class Option:
    """One value of a configuration: its place, help, and bounds (min, max, step) or choices.

    `path`: its key with its tables, as `("curation", "pos_weights", "NOUN")`.
    """

    path: tuple[str, ...]
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
    """Every value of a configuration, table by table; names are those that `trace` has."""
    names = _names(trace) if trace else {}
    options = [option for leaf in leaves(config) for option in _options(leaf, names)]
    groups = [*dict.fromkeys(option.group for option in options)]
    return sorted(options, key=lambda option: groups.index(option.group))


def _options(leaf: Leaf, names: Mapping[str, tuple[str, ...]]) -> Iterator[Option]:
    """The option of a value, or of each weight in a table of weights."""
    known, path = leaf.field.metadata, tuple(leaf.path.split("."))
    if isinstance(leaf.value, Mapping):
        help = known["help"]
        yield from (Option((*path, key), f"{help}: {key}", _WEIGHT) for key in known["choices"])
    elif isinstance(leaf.value, bool):
        yield Option(path, known["help"], choices=(False, True))
    else:
        choices = known["choices"] or names.get(leaf.path, ())
        yield Option(path, known["help"], known["bounds"], choices)


def _names(trace: Trace) -> dict[str, tuple[str, ...]]:
    """The names that a trace offers, by the value that is one of them."""
    return {
        "signal": tuple(trace.signals),
        "tags": ("", *trace.taggings),
        "units.audio_segments": ("", *trace.segmentations),
    }
