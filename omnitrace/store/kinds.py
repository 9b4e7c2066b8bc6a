"""The kinds of additions: how each is JSON (docs/format.md), and what is legal for a sample.

Knows no file. A new kind is one entry of `CODECS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from omnitrace.ablations import Ablations, AblationsData, from_data, to_data
from omnitrace.arrays import Int32
from omnitrace.store import commit
from omnitrace.store.commit import Count, Unreadable
from omnitrace.text import safe_text
from omnitrace.timeline import Segmentation, Segments
from omnitrace.trace import Tagging, Trace

SEGMENTATION, TAGS, ABLATIONS = "segmentation", "tags", "ablations"


class MediumData(Struct, frozen=True):
    """The segments of one medium of a sample, in the order of their starts."""

    medium: Count
    start_s: list[float]
    end_s: list[float]
    text: list[str]


class SegmentationData(Struct, frozen=True):
    """The data of a sample in kind `segmentation`."""

    media: list[MediumData]


class TagsData(Struct, frozen=True):
    """The data of a sample in kind `tags`; sentences are pairs of characters."""

    pos: list[str]
    sentences: list[tuple[Count, Count]]
    prompt_sentences: list[tuple[Count, Count]]


def _segmentation_data(segmentation: Segmentation) -> SegmentationData:
    return SegmentationData(
        [
            MediumData(index, found.start_s.tolist(), found.end_s.tolist(), list(found.text))
            for index, found in sorted(segmentation.media.items())
        ]
    )


def _segmentation(name: str, data: SegmentationData, trace: Trace) -> Segmentation:
    media: dict[int, Segments] = {}
    for piece in data.media:
        if not 0 <= piece.medium < len(trace.media) or piece.medium in media:
            raise ValueError(f"medium {piece.medium} is none of the sample's, or named twice")
        start, end = (np.array(times, np.float64) for times in (piece.start_s, piece.end_s))
        segments = Segments(start, end, tuple(safe_text(text) for text in piece.text))
        segments.check()
        media[piece.medium] = segments
    return Segmentation(name, media)


def _tags_data(tags: Tagging) -> TagsData:
    both = (tags.sentences, tags.prompt_sentences)
    return TagsData(list(tags.pos), *([(int(a), int(b)) for a, b in found] for found in both))


def _tagging(name: str, data: TagsData, trace: Trace) -> Tagging:
    if len(data.pos) != trace.T:
        raise ValueError(f"it has {len(data.pos)} POS tags for {trace.T} steps")
    return Tagging(
        name,
        tuple(safe_text(tag) for tag in data.pos),
        _ranges(data.sentences, trace.response),
        _ranges(data.prompt_sentences, trace.prompt_text),
    )


def _ranges(pairs: list[tuple[int, int]], text: str) -> Int32:
    """(K, 2) int32; ValueError unless they ascend, disjoint, within `text`."""
    bounds = np.array(pairs, np.int64).reshape(-1)
    if bounds.size and not (
        bounds[0] >= 0 and bounds[-1] <= len(text) and np.all(np.diff(bounds) >= 0)
    ):
        raise ValueError(f"its sentences leave their text of {len(text)} characters, or overlap")
    return bounds.astype(np.int32).reshape(-1, 2)


def _ablations(name: str, data: AblationsData, trace: Trace) -> Ablations:
    return from_data(name, data, trace.n, trace.T)


@dataclass(frozen=True)
class Codec:
    """One kind: its JSON `document`, made by `encode` of what is added.

    `decode(name, document, trace)` is the inverse; ValueError if it is not legal for the trace.
    """

    document: type[Struct]
    encode: Callable[[Any], Struct]
    decode: Callable[[str, Any, Trace], Any]


CODECS = {
    SEGMENTATION: Codec(SegmentationData, _segmentation_data, _segmentation),
    TAGS: Codec(TagsData, _tags_data, _tagging),
    ABLATIONS: Codec(AblationsData, to_data, _ablations),
}


def encode(kind: str, added: Any, trace: Trace) -> bytes:
    """A Segmentation, Tagging or Ablations of `trace` as JSON; Unreadable if not legal for it."""
    data = commit.json_bytes(msgspec.to_builtins(CODECS[kind].encode(added)))
    decode(kind, added.name, data, trace)
    return data


def decode(kind: str, name: str, data: bytes | msgspec.Raw, trace: Trace) -> Any:
    """What JSON of a kind adds to `trace` under a name; Unreadable if it is not legal for it."""
    codec = CODECS[kind]
    try:
        return codec.decode(name, msgspec.json.decode(data, type=codec.document), trace)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Unreadable(str(error)) from error
