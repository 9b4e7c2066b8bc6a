"""Thinking: the part of a response in which a model reasons before it answers.

Text in, character ranges out. Knows no model, no tokenizer and no trace.
"""

from __future__ import annotations

import re

CONVENTIONS = tuple(
    (re.compile(begin), re.compile(end))
    for begin, end in (
        # Qwen3, QwQ, DeepSeek-R1 and V3.1, SmolLM3, GLM-4.5, Granite 3.3, OLMo 3 and most others
        (r"<think>", r"</think>"),
        # Seed-OSS
        (r"<seed:think>", r"</seed:think>"),
        # EXAONE Deep
        (r"<thought>", r"</thought>"),
        # Magistral
        (r"\[THINK\]", r"\[/THINK\]"),
        # Kimi-VL
        (r"◁think▷", r"◁/think▷"),
        # Command A Reasoning
        (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),
        # Apertus
        (r"<\|inner_prefix\|>", r"<\|inner_suffix\|>"),
        # Gemma 4
        (r"<\|channel>thought\b", r"<channel\|>"),
        # gpt-oss: analysis messages one after another, then the header of the final message
        (
            r"(?:<\|start\|>assistant)?<\|channel\|>analysis<\|message\|>",
            r"<\|end\|>(?!<\|start\|>assistant<\|channel\|>analysis)"
            r"(?:<\|start\|>assistant<\|channel\|>final(?: ?<\|constrain\|>\w+)?<\|message\|>)?",
        ),
    )
)
"""How models mark thinking: the pattern with which it begins, and the one with which it ends."""


def thinking_range(response: str, before: str = "") -> tuple[int, int] | None:
    """The half-open range of characters of `response` that are thinking; None if none are.

    Thinking is what comes before the answer: it begins with the response, either with a marker of
    `CONVENTIONS` or because `before`, the end of the prompt, opened it and did not close it. The
    markers belong to it. Thinking that does not end, as where the length limit was reached, is
    the whole response. A marker anywhere else is text that mentions it.
    """
    at = len(response) - len(response.lstrip())
    for begin, end in CONVENTIONS:
        found = begin.match(response, at)
        if found or _left_open(before, begin, end):
            closed = end.search(response, found.end() if found else 0)
            stop = closed.end() if closed else len(response)
            return (0, stop) if stop else None
    return None


def _left_open(before: str, begin: re.Pattern[str], end: re.Pattern[str]) -> bool:
    """Whether thinking begins in `before` and does not end there."""
    last = max((found.end() for found in begin.finditer(before)), default=-1)
    return last >= 0 and end.search(before, last) is None
