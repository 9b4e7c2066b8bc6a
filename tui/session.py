"""What the reader has chosen, on every screen: the configuration with its past, what to compare
with, and how things look. Knows no widget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from omnitrace import CommandError, Run, Trace
from omnitrace.units import Units
from replay import ReplayConfig, Replayer
from replay.cache import MassCache
from tui.labels import Labels
from tui.media.play import Player
from tui.media.shelf import Shelf
from tui.memory import Look

EDITED = "edited"

CAUSES = ("loo", "contextcite", None)
"""The methods of replay that say from ablations what the cause was; None: nobody is asked."""


@dataclass(frozen=True)
class Choice:
    """A configuration and what it is called: a preset, or `edited`."""

    name: str
    config: ReplayConfig


@dataclass
class History:
    """The configuration that is in force, and those before it."""

    presets: Mapping[str, ReplayConfig]
    now: Choice
    past: list[Choice] = field(default_factory=list)
    future: list[Choice] = field(default_factory=list)

    @classmethod
    def of(cls, presets: Mapping[str, ReplayConfig]) -> History:
        """Begin with the first of the presets."""
        return cls(presets, Choice(*next(iter(presets.items()))))

    @property
    def base(self) -> ReplayConfig:
        """The named configuration that the one in force began with."""
        named = (c for c in (self.now, *reversed(self.past)) if c.name in self.presets)
        return next(named, self.now).config

    def change(self, config: ReplayConfig) -> bool:
        """Take a configuration of the reader's own; False if it is the one in force."""
        if config == self.now.config:
            return False
        known = (name for name, preset in self.presets.items() if preset == config)
        self._take(Choice(next(known, EDITED), config))
        return True

    def next_preset(self) -> None:
        """The preset after the current one; the first after a configuration of one's own."""
        names = [*self.presets]
        place = names.index(self.now.name) + 1 if self.now.name in names else 0
        name = names[place % len(names)]
        self._take(Choice(name, self.presets[name]))

    def undo(self) -> bool:
        """Back to the configuration before; False at the first."""
        return self._step(self.past, self.future)

    def redo(self) -> bool:
        """Take back an undo; False if there is none."""
        return self._step(self.future, self.past)

    def _take(self, choice: Choice) -> None:
        self.past.append(self.now)
        self.future.clear()
        self.now = choice

    def _step(self, source: list[Choice], target: list[Choice]) -> bool:
        if not source:
            return False
        target.append(self.now)
        self.now = source.pop()
        return True


@dataclass
class Session:
    """A reader's visit to a run. `baseline`: the preset that A is compared with as B, if any;
    `cause`: the method of `CAUSES` that both are held against where ablations were recorded."""

    run: Run
    history: History
    look: Look
    labels: Labels | None = None
    shelf: Shelf | None = None
    cache: MassCache | None = None
    baseline: str | None = None
    cause: str | None = CAUSES[0]
    player: Player = field(default_factory=Player)

    def replayer(self, id: str) -> Replayer:
        """A sample to attribute again and again; OmniTraceError if it cannot be read."""
        return Replayer(self.run[id], self.cache, self.run.vouched(id))

    def play(self, trace: Trace, units: Units, unit: int) -> str:
        """Play a unit, and say what is played; OmniTraceError saying why it cannot be."""
        medium = int(units.medium[unit]) if unit >= 0 else -1
        if medium < 0 or trace.media[medium].kind == "image":
            raise CommandError("Nothing can be heard in this source: go to one of audio or video.")
        if self.shelf is None:
            raise CommandError("Start with --media FOLDER to hear the media.")
        start, end = float(units.start_s[unit]), float(units.end_s[unit])
        timed = not np.isnan(start)
        path = self.shelf.folder.find(trace.media[medium])
        player = self.player.play(path, start if timed else 0.0, end if timed else None)
        return f"{player} plays {units.label[unit]}"

    @property
    def config(self) -> ReplayConfig:
        return self.history.now.config

    @property
    def other(self) -> ReplayConfig | None:
        """The configuration to compare with."""
        return None if self.baseline is None else self.history.presets[self.baseline]

    @property
    def contrast(self) -> ReplayConfig:
        """What to measure disagreement against where the reader has not said: the first preset
        that says something else."""
        configs = self.history.presets.values()
        return next((config for config in configs if config != self.config), self.config)

    def next_baseline(self) -> None:
        """Compare with the next preset that says something else; after the last, with none."""
        names: list[str | None] = [
            name for name, config in self.history.presets.items() if config != self.config
        ]
        order = [None, *names]
        place = order.index(self.baseline) if self.baseline in order else 0
        self.baseline = order[(place + 1) % len(order)]

    def next_cause(self) -> None:
        """Let the next method say what the cause was; after the last, none."""
        self.cause = CAUSES[(CAUSES.index(self.cause) + 1) % len(CAUSES)]
