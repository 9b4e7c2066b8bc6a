"""Who may see what: a trace without its words, and files that only their owner may read.

Of a trace every letter and digit becomes `x`, so that offsets, sentences and units keep their
places; token ids, names of media and the reference answer go. Scores, times, tags, the model's
own measures and the sha256 of media stay.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from omnitrace.trace import Trace

_WORD_CHARACTER = re.compile(r"\w")


def redact(trace: Trace) -> Trace:
    """`trace` with nothing of it in words. Its id stays: it is the user's."""
    return replace(
        trace,
        prompt_text=_hidden(trace.prompt_text),
        response=_hidden(trace.response),
        prompt_ids=np.zeros_like(trace.prompt_ids),
        response_ids=np.zeros_like(trace.response_ids),
        media=tuple(
            replace(medium, name=f"{medium.kind}-{number}")
            for number, medium in enumerate(trace.media)
        ),
        meta={key: value for key, value in trace.meta.items() if key != "answer"},
    )


def _hidden(text: str) -> str:
    return _WORD_CHARACTER.sub("x", text)


@contextmanager
def only_for_owner(private: bool) -> Iterator[None]:
    """What is written inside has mode 0600, folders 0700, if `private`."""
    before = os.umask(0o077) if private else None
    try:
        yield
    finally:
        if before is not None:
            os.umask(before)
