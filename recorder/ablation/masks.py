"""The masks of a sample, by each of three ways: drawn, requested by a file, or single units.

Each way has the `name` that its ablations are stored by, what they are `about` (JSON data, equal
for all samples of one name), and a function from a trace to base units and rows. No model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from omnitrace.ablations import Row, SingleUnits
from omnitrace.arrays import Float64
from omnitrace.config import to_dict
from omnitrace.trace import Trace
from recorder.ablation.base import Base, base_units
from recorder.ablation.design import Design, design
from recorder.ablation.requested import RequestedMasks
from recorder.config import AblateConfig

Choose = Callable[[Trace], SingleUnits]
"""The units of a trace that are to be removed one at a time."""


class Masks(Protocol):
    """A way to mask samples."""

    @property
    def name(self) -> str: ...

    @property
    def about(self) -> dict[str, Any]: ...

    def rows(self, trace: Trace) -> tuple[Base, Design]: ...


@dataclass(frozen=True)
class DrawnMasks:
    """Parts and units alone, and draws; in mode `remove`, parts alone."""

    config: AblateConfig

    @property
    def name(self) -> str:
        return self.config.name or self.config.mode

    @property
    def about(self) -> dict[str, Any]:
        config = self.config
        drawn = {"masks": config.masks, "seed": config.seed, "units": to_dict(config.units)}
        return {"mode": config.mode, **({} if config.mode == "remove" else drawn)}

    def rows(self, trace: Trace) -> tuple[Base, Design]:
        """SampleError as `base_units`."""
        base = base_units(trace, self.config.units)
        if self.config.mode == "remove":
            return base, parts_alone(base)
        return base, design(base, self.config.masks, self.config.seed, _weight(trace, base))


@dataclass(frozen=True)
class AskedMasks:
    """The masks of a file, over the base units of the ablations that it names."""

    config: AblateConfig
    requested: RequestedMasks

    @property
    def name(self) -> str:
        return self.config.name or "asked"

    @property
    def about(self) -> dict[str, Any]:
        return {
            "mode": self.config.mode,
            "asked": self.requested.sha256,
            "of": self.requested.of,
        }

    def rows(self, trace: Trace) -> tuple[Base, Design]:
        """SampleError where the ablations are not there, or have other units."""
        there = trace.ablation(self.requested.of)
        none = np.zeros(len(there.request), np.int32)
        kept = self.requested.kept(trace.id, len(there.request))
        why = np.full(len(kept), Row.ASKED, np.uint8)
        base = Base(there.unit_of, none, none, there.request)
        return base, Design(kept, why, np.zeros(len(kept), bool))


@dataclass(frozen=True)
class SingleMasks:
    """Nothing removed, then each of the units that `choose` names of a sample alone.

    `chosen_by`: how it chooses (JSON data).
    """

    config: AblateConfig
    choose: Choose
    chosen_by: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def about(self) -> dict[str, Any]:
        return {"mode": self.config.mode, **self.chosen_by}

    def rows(self, trace: Trace) -> tuple[Base, Design]:
        """OmniTraceError as `choose`."""
        chosen = self.choose(trace)
        numbers = np.arange(len(chosen.request))
        kept = np.array([numbers != unit for unit in (-1, *chosen.removed)])
        why = np.array([Row.FULL, *[Row.WITHOUT_UNIT] * len(chosen.removed)], np.uint8)
        none = np.zeros(len(numbers), np.int32)
        base = Base(chosen.unit_of, none, none, chosen.request)
        return base, Design(kept, why, np.zeros(len(kept), bool))


def parts_alone(base: Base) -> Design:
    """Nothing removed, then each content part but those of the request alone."""
    parts = np.unique(base.part[~base.request])
    kept = np.stack([base.part != part for part in (-1, *parts)])
    why = np.array([Row.FULL, *[Row.WITHOUT_PART] * len(parts)], np.uint8)
    return Design(kept, why, np.zeros(len(kept), bool))


def _weight(trace: Trace, base: Base) -> Float64:
    """(U,) how much of the first recorded signal falls on each unit: which are likely to count."""
    if not trace.signals or not trace.T:
        return np.zeros(len(base))
    signal = "attmean" if "attmean" in trace.signals else min(trace.signals)
    a_token = trace.scores(signal)[:, : trace.n].sum(axis=0, dtype=np.float64)
    own = base.unit_of >= 0
    return np.bincount(base.unit_of[own], a_token[own], len(base)).astype(np.float64)
