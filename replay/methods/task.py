"""An attribution task: one recorded sample, its units and its spans, for a method to score.

Reads what is expensive only when a method needs it. Knows no method.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from omnitrace.arrays import Bool
from omnitrace.trace import Trace
from omnitrace.units import Units
from replay.attribution import Attribution, Replayer
from replay.chunk import Chunk
from replay.config import ReplayConfig
from replay.faithfulness.recorded import Recorded
from replay.mapping import visible_steps


@dataclass(frozen=True)
class AttributionTask:
    """Which of the m units caused each of the K spans? `ablations`: the name to read them by;
    `shared`: a replayer of the trace whose results other tasks use too."""

    trace: Trace
    config: ReplayConfig
    ablations: str = "mask"
    shared: Replayer | None = field(default=None, repr=False)

    @cached_property
    def replayer(self) -> Replayer:
        """What attributes the trace, under any configuration."""
        return self.shared or Replayer(self.trace)

    @cached_property
    def units(self) -> Units:
        """The m source units."""
        return self.replayer.units(self.config.units, self.config.tags)

    @cached_property
    def spans(self) -> tuple[Chunk, ...]:
        """The K spans."""
        return tuple(self.replayer.spans(self.config))

    @cached_property
    def steps(self) -> Bool:
        """(K, T) bool: the steps of each span that wrote something."""
        numbers = np.arange(self.trace.T)
        bounds = np.array([span.steps for span in self.spans], np.int64).reshape(-1, 2)
        inside = (bounds[:, :1] <= numbers) & (numbers < bounds[:, 1:])
        steps: Bool = inside & visible_steps(self.trace)
        return steps

    @cached_property
    def recorded(self) -> Recorded:
        """The ablations by the units; SampleError or Unanswerable if there are none."""
        return Recorded.of(self.trace, self.units, self.ablations)

    @cached_property
    def attribution(self) -> Attribution:
        """The attribution of the sample under the configuration."""
        return self.replayer.attribute(self.config)
