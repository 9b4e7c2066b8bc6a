"""The user's choices on every screen: the configuration with its history, the preset to compare
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
from tui.look import Look
from tui.media.cache import MediaCache
from tui.media.play import Player

EDITED = "edited"

CAUSAL_METHODS = ("loo", "contextcite", None)
"""The methods of replay that compute causes from ablations; None: no causes are shown."""


@dataclass(frozen=True)
class Choice:
    """A configuration and its name: a preset's, or `edited`."""

    name: str
    config: ReplayConfig


@dataclass
class History:
    """The current configuration, and those before it."""

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
        """The named configuration that the current one was changed from."""
        named = (c for c in (self.now, *reversed(self.past)) if c.name in self.presets)
        return next(named, self.now).config

    def change(self, config: ReplayConfig) -> bool:
        """Use another configuration; False if it is the current one."""
        if config == self.now.config:
            return False
        known = (name for name, preset in self.presets.items() if preset == config)
        self._take(Choice(next(known, EDITED), config))
        return True

    def next_preset(self) -> None:
        """Use the preset after the current one; after an edited configuration, the first."""
        names = [*self.presets]
        place = names.index(self.now.name) + 1 if self.now.name in names else 0
        name = names[place % len(names)]
        self._take(Choice(name, self.presets[name]))

    def undo(self) -> bool:
        """Use the configuration before; False at the first."""
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
    """The choices for a run. `baseline`: the preset that A is compared with as B, if any;
    `causal_method`: one of `CAUSAL_METHODS`, for samples with recorded ablations."""

    run: Run
    history: History
    look: Look
    labels: Labels | None = None
    media: MediaCache | None = None
    cache: MassCache | None = None
    baseline: str | None = None
    causal_method: str | None = CAUSAL_METHODS[0]
    player: Player = field(default_factory=Player)

    def replayer(self, id: str) -> Replayer:
        """A sample to attribute under any configuration; OmniTraceError if it cannot be read."""
        return Replayer(self.run[id], self.cache, self.run.vouched(id))

    def play(self, trace: Trace, units: Units, unit: int) -> str:
        """Play a unit, and return a message that says so; OmniTraceError if it cannot be played."""
        medium = int(units.medium[unit]) if unit >= 0 else -1
        if medium < 0 or trace.media[medium].kind == "image":
            raise CommandError("Nothing can be heard in this source: go to one of audio or video.")
        if self.media is None:
            raise CommandError("Start with --media FOLDER to hear the media.")
        start, end = float(units.start_s[unit]), float(units.end_s[unit])
        timed = not np.isnan(start)
        path = self.media.file(trace.media[medium])
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
        """The configuration to measure disagreement against without a baseline: the first preset
        that differs."""
        configs = self.history.presets.values()
        return next((config for config in configs if config != self.config), self.config)

    def next_baseline(self) -> None:
        """Compare with the next preset that differs; after the last, with none."""
        names: list[str | None] = [
            name for name, config in self.history.presets.items() if config != self.config
        ]
        order = [None, *names]
        place = order.index(self.baseline) if self.baseline in order else 0
        self.baseline = order[(place + 1) % len(order)]

    def next_causal_method(self) -> None:
        """Compute causes by the next method; after the last, by none."""
        place = CAUSAL_METHODS.index(self.causal_method) + 1
        self.causal_method = CAUSAL_METHODS[place % len(CAUSAL_METHODS)]
