"""Traces in, answers out, on a CPU with no model: mass, mapping, spans, votes, curation.

May import omnitrace and numpy; must not know torch, transformers, spacy, recorder or tui.
"""

from __future__ import annotations

from replay.attribution import Attribution, Replayer, Span, attribute
from replay.config import PRESETS, CurationConfig, ReplayConfig, preset
from replay.curate import Curation, Dropped, Source, curate_sources

__all__ = [
    "PRESETS",
    "Attribution",
    "Curation",
    "CurationConfig",
    "Dropped",
    "ReplayConfig",
    "Replayer",
    "Source",
    "Span",
    "attribute",
    "curate_sources",
    "preset",
]
