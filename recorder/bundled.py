"""Where the bundled models lie. Knows nothing of how they are loaded or what they are for."""

from __future__ import annotations

from pathlib import Path

_DATA = Path(__file__).parent / "data"

TINY_OMNI = _DATA / "tiny_omni"
"""A Qwen2.5-Omni thinker of toy size with its processor, trained by `training/omni.py`."""

TAGGER = _DATA / "tagger"
"""A spaCy pipeline: POS tagger and sentence splitter, trained by `training/`."""
