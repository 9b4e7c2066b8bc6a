"""Truth files: which parts, sentences and seconds of the prompt caused each sentence of an answer.

Read strictly; `evidence_of` gives what caused each stretch of a response, `true_units` the source
units of a trace that hold it. Knows no score.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from omnitrace.arrays import Bool
from omnitrace.errors import SampleError
from omnitrace.timeline import Modality, Part
from omnitrace.trace import Trace
from omnitrace.units import Units
from replay.evaluation.rows import read_rows


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing in the prompt: content part `part` (counted over all messages), or in it an exact
    sentence (`text`), or seconds [start_s, end_s), for a video of its `vision` or `sound`."""

    part: int
    text: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    stream: Literal["vision", "sound"] | None = None


class TrueSentence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sentence of the right answer and all that causes it."""

    text: str
    evidence: tuple[Evidence, ...]


class Truth(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The right answer of one sample."""

    id: str
    answer: str
    sentences: tuple[TrueSentence, ...]


def read_truths(path: Path) -> dict[str, Truth]:
    """The truths of a JSON-lines file by sample id; errors as of `read_rows`."""
    return read_rows(path, Truth).by_id


def evidence_of(
    response: str, stretches: Sequence[Sequence[int]], truth: Truth
) -> list[tuple[Evidence, ...] | None]:
    """What causes each stretch (start, end) of a response, None if it is not true.

    As many stretches as true sentences: one by one, and the texts must be equal. Otherwise the
    true sentences are looked up in the response, in order; a stretch that they fill has the
    evidence of all that it overlaps.
    """
    if len(stretches) == len(truth.sentences):
        return [
            sentence.evidence if response[start:end] == sentence.text else None
            for (start, end), sentence in zip(stretches, truth.sentences, strict=True)
        ]
    found = _locate(response, truth.sentences)
    return [_evidence_within(response, start, end, found) for start, end in stretches]


def _locate(response: str, sentences: Sequence[TrueSentence]) -> list[tuple[int, TrueSentence]]:
    """Where the true sentences that the response contains begin."""
    found, after = [], 0
    for sentence in sentences:
        start = response.find(sentence.text, after)
        if start >= 0:
            found.append((start, sentence))
            after = start + len(sentence.text)
    return found


def _evidence_within(
    response: str, start: int, end: int, found: Sequence[tuple[int, TrueSentence]]
) -> tuple[Evidence, ...] | None:
    filled = list(response[start:end])
    evidence: list[Evidence] = []
    for at, sentence in found:
        low, high = max(at, start), min(at + len(sentence.text), end)
        if low < high:
            filled[low - start : high - start] = " " * (high - low)
            evidence += sentence.evidence
    return None if "".join(filled).strip() else tuple(evidence)


def true_units(units: Units, trace: Trace, evidence: Sequence[Evidence]) -> set[int]:
    """The units that hold any of the evidence: by words, by seconds, or by whole parts.

    SampleError if the evidence names a part or a sentence that the prompt lacks.
    """
    owner = units.owner_of_tokens(trace.n)
    return {
        unit
        for one in evidence
        for unit in np.unique(owner[tokens_of(trace, one)]).tolist()
        if unit >= 0 and _overlaps(units, unit, one)
    }


def part_of(trace: Trace, one: Evidence) -> Part:
    """The content part that the evidence names; SampleError if the prompt lacks it."""
    if not 0 <= one.part < len(trace.parts):
        raise SampleError(
            f"sample '{trace.id}': the truth names part {one.part}, the prompt has parts 0 to "
            f"{len(trace.parts) - 1}."
        )
    return trace.parts[one.part]


def tokens_of(trace: Trace, one: Evidence) -> Bool:
    """(n,) bool: which prompt tokens hold the evidence, its seconds aside.

    SampleError if the evidence names a part or a sentence that the prompt lacks.
    """
    part_of(trace, one)
    line = trace.timeline
    held: Bool = line.part == one.part
    if one.stream is not None:
        held &= line.modality == (Modality.VIDEO if one.stream == "vision" else Modality.AUDIO)
    return held if one.text is None else _quoting(trace, held, one)


def _quoting(trace: Trace, part: Bool, one: Evidence) -> Bool:
    """(n,): which tokens of `part` overlap the sentence that the evidence quotes."""
    line, quoted = trace.timeline, one.text or ""
    words = part & (line.modality == Modality.TEXT)
    first = int(line.chars[words, 0].min()) if words.any() else 0
    start = trace.prompt_text.find(quoted, first)
    overlapping: Bool = (
        words & (line.chars[:, 0] < start + len(quoted)) & (line.chars[:, 1] > start)
    )
    if start < 0 or not overlapping.any():
        raise SampleError(
            f"sample '{trace.id}': part {one.part} does not hold the sentence '{quoted}'."
        )
    return overlapping


def _overlaps(units: Units, unit: int, one: Evidence) -> bool:
    if one.start_s is None or one.end_s is None or np.isnan(units.start_s[unit]):
        return True
    return bool(units.start_s[unit] < one.end_s and one.start_s < units.end_s[unit])
