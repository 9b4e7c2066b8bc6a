"""Source units: labelled subsets of the timeline, cut at replay so one recording serves them all.

Functions from a trace's stored timeline to token ranges; of files they read only the one in which
a user defined units. Knows no signal and no model.
"""

from __future__ import annotations

from omnitrace.units.config import UnitConfig
from omnitrace.units.cut import cut_units
from omnitrace.units.data import Units

__all__ = ["UnitConfig", "Units", "cut_units"]
