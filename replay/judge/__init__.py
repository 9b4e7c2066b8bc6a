"""Judges: a model behind an OpenAI-compatible server labels what supports each sentence (App. B.1).

`prompts` and `media` make the messages, `client` sends them, `labelling` checks the answers like a
labels file and keeps them. Knows traces and labels; nothing of attributions. The openai client and
PyAV are imported only where they are needed.
"""

from __future__ import annotations

from replay.judge.config import JudgeConfig
from replay.judge.estimate import Estimate, estimate
from replay.judge.labelling import Labeller, LabelSummary
from replay.judge.media import media_folder

__all__ = [
    "Estimate",
    "JudgeConfig",
    "LabelSummary",
    "Labeller",
    "estimate",
    "media_folder",
]
