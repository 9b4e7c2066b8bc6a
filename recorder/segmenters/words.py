"""Words with their times, as they are or joined to sentences. Knows no recogniser."""

from __future__ import annotations

import re
from collections.abc import Iterable

from omnitrace.errors import SampleError
from omnitrace.timeline import Segments

Piece = tuple[float, float, str]
"""Start and end in seconds, and the text with the white space before it, if there is any."""

PAUSE_S = 1.0
"""A silence of this length ends a sentence, also one without a full stop."""

_ENDS = re.compile(r"[.!?…。！？｡][\"'”’」』）)\]]*\s*\Z")


def stretches(words: Iterable[Piece], granularity: str) -> Segments:
    """The stretches of `granularity`: `words`, or `sentences` joined from them.

    SampleError if the recogniser gave times that are none.
    """
    pieces = list(words)
    try:
        return Segments.of(sentences(pieces) if granularity == "sentences" else pieces)
    except ValueError as error:
        raise SampleError(f"the recogniser gave times that are none: {error}.") from error


def sentences(words: Iterable[Piece]) -> list[Piece]:
    """Words joined until one ends with a full stop or the like, or a pause follows."""
    joined: list[Piece] = []
    ended = True
    for start, end, text in words:
        if ended or start - joined[-1][1] >= PAUSE_S:
            joined.append((start, end, text))
        else:
            first, last, before = joined[-1]
            joined[-1] = (first, max(last, end), before + text)
        ended = bool(_ENDS.search(text))
    return joined
