"""A rough estimate of what judging takes, before anything is sent: requests, tokens, money.

Decodes nothing and sends nothing: from lengths of text, and seconds and sizes that the run holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

from omnitrace.trace import Trace
from replay.evaluation.labels import last_second
from replay.judge.config import JudgeConfig
from replay.judge.prompts import characters, messages, modalities_of

CHARACTERS_A_TOKEN = 4
IMAGE_TOKENS = 800
FRAME_TOKENS = 260
AUDIO_TOKENS_A_SECOND = 25
ANSWER_TOKENS_A_SENTENCE = 15
"""For each modality of the prompt."""


@dataclass(frozen=True)
class Estimate:
    """Requests if every answer is legal at once, and tokens of prompts and of answers."""

    requests: int
    prompt_tokens: int
    answer_tokens: int

    def price(self, prompt: float, answer: float) -> float:
        """The cost at so much a million tokens."""
        return (self.prompt_tokens * prompt + self.answer_tokens * answer) / 1e6


def estimate(traces: Iterable[Trace], config: JudgeConfig) -> Estimate:
    """What judging these traces takes."""
    requests = prompt = answer = 0
    for trace in traces:
        names = modalities_of(trace, config.text_only)
        requests += 1
        prompt += ceil(characters(messages(trace, {}, config.text_only)) / CHARACTERS_A_TOKEN)
        prompt += 0 if config.text_only else _media_tokens(trace, config.frames)
        answer += len(trace.sentences) * len(names) * ANSWER_TOKENS_A_SENTENCE
    return Estimate(requests, prompt, answer)


def _media_tokens(trace: Trace, frames: int) -> int:
    tokens = 0
    for index, medium in enumerate(trace.media):
        seconds = 0 if medium.kind == "image" else last_second(trace, index)
        tokens += seconds * AUDIO_TOKENS_A_SECOND
        tokens += IMAGE_TOKENS if medium.kind == "image" else 0
        tokens += FRAME_TOKENS * min(frames, seconds) if medium.kind == "video" else 0
    return tokens
