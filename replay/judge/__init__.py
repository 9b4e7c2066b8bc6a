"""Judges: a model behind an OpenAI-compatible server labels what supports each sentence (App. B.1).

`prompts` and `media` say what is asked, `client` asks it, `labelling` checks the answers like any
labels file and keeps them. Knows traces and labels; nothing of attributions. The openai client and
PyAV are imported only where they are needed.
"""

from __future__ import annotations

from replay.judge.config import JudgeConfig
from replay.judge.estimate import Estimate, estimate
from replay.judge.labelling import Labelled, Labeller
from replay.judge.media import MediaFolder

__all__ = [
    "Estimate",
    "JudgeConfig",
    "Labelled",
    "Labeller",
    "MediaFolder",
    "estimate",
]
