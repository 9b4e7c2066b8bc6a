"""OmniTrace: which part of the input made an omni-modal model say this?

What every part shares: the trace, the timeline and its source units, the run store,
configuration, errors and safe text. Knows no model and no screen: torch, transformers, spacy and
textual are never imported from here.
"""

from __future__ import annotations

from omnitrace.ablations import Ablations
from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.store.run import Run, open_run
from omnitrace.timeline import Medium, Modality, Part, Segmentation, Segments, Timeline
from omnitrace.trace import SignalRows, Tagging, Trace
from omnitrace.units import UnitConfig, Units
from omnitrace.version import __version__

__all__ = [
    "Ablations",
    "CommandError",
    "Medium",
    "Modality",
    "OmniTraceError",
    "Part",
    "Run",
    "Segmentation",
    "Segments",
    "SignalRows",
    "Tagging",
    "Timeline",
    "Trace",
    "UnitConfig",
    "Units",
    "__version__",
    "open_run",
]
