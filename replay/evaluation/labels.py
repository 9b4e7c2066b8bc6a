"""Labels: which sources support each sentence of a response, by a judge or a person (App. B.1).

The format, its checks against a trace, and the way to and from the judging space (docs/
evaluation.md). A baseline's predictions and a judge's labels are files of one format. Knows no
score.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from omnitrace.arrays import Bool
from omnitrace.errors import SampleError
from omnitrace.text import one_line
from omnitrace.trace import Trace
from replay.evaluation.gold import Gold, steps_of_sentences
from replay.evaluation.rows import Rows, read_rows, write_rows
from replay.evaluation.space import MODALITIES, Space, duration_of, judging_space

Span = tuple[float, ...]
"""[start, end] in seconds, or [ordinal, start, end] where the prompt has several such media."""
EITHER = "audio/video_source"
_FUZZ = 1e-6


class Supports(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What supports one sentence: an absent key means not labelled, an empty list: nothing.

    Ids from 0, ascending, each once: of the prompt's text sentences, of its images in order.
    Spans in seconds, in order, not overlapping.
    """

    text_source: tuple[int, ...] | msgspec.UnsetType = msgspec.UNSET
    image_source: tuple[int, ...] | msgspec.UnsetType = msgspec.UNSET
    audio_source: tuple[Span, ...] | msgspec.UnsetType = msgspec.UNSET
    video_source: tuple[Span, ...] | msgspec.UnsetType = msgspec.UNSET
    either_source: tuple[Span, ...] | msgspec.UnsetType = msgspec.field(
        default=msgspec.UNSET, name=EITHER
    )

    @property
    def lists(self) -> dict[str, tuple[Any, ...]]:
        """The lists that are present, by their key in the file."""
        every = {field.encode_name: getattr(self, field.name) for field in FIELDS}
        return {name: value for name, value in every.items() if value is not msgspec.UNSET}


FIELDS = msgspec.structs.fields(Supports)
KEYS = tuple(field.encode_name for field in FIELDS)
TIMED = KEYS[2:]


class Labels(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One sample's labels, one entry of `labels` a recorded sentence of its response.

    `sentences` are those sentences, checked if given; `answer`: the reference answer, `correct`:
    whether the response is right, for analyses.
    """

    id: str
    labels: tuple[Supports, ...]
    sentences: tuple[str, ...] | None = None
    labeller: str = ""
    task: str = ""
    answer: str | None = None
    correct: bool | None = None


def read_labels(path: Path) -> Rows[Labels]:
    """The labels of a file of JSON lines; errors as of `read_rows`. Not yet held against a run."""
    return read_rows(path, Labels)


def write_labels(path: Path, labels: Iterable[Labels]) -> None:
    """Write a labels file, whole or not at all."""
    write_rows(path, labels)


def gold_of_labels(trace: Trace, labels: Labels, seconds: float = 1.0) -> Gold:
    """The gold of the labels; SampleError naming what does not fit the trace."""
    space = judging_space(trace, seconds)
    check_labels(trace, space, labels)
    rows = [_true(trace, space, supports) for supports in labels.labels]
    return Gold(
        id=trace.id,
        space=space,
        sentences=trace.sentences,
        steps=steps_of_sentences(trace),
        true=np.array(rows, np.bool_).reshape(len(rows), len(space)),
        judged=np.ones(len(rows), np.bool_),
        scored=space.present & _labelled(labels),
        task=labels.task,
    )


def labels_of(trace: Trace, space: Space, found: Bool, scored: Bool) -> tuple[Supports, ...]:
    """The labels that claim what `found` (K, L) does, in the modalities `scored` (4,): the inverse
    of `gold_of_labels`. Neighbouring bins become one span."""
    named = [name for name, is_scored in zip(MODALITIES, scored, strict=True) if is_scored]
    return tuple(
        Supports(**{f"{name}_source": _listed(trace, space, row, name) for name in named})
        for row in found
    )


def sentences_of(trace: Trace) -> tuple[str, ...]:
    """The words of the recorded sentences of the response."""
    return tuple(trace.response[start:end] for start, end in trace.sentences.tolist())


def check_labels(trace: Trace, space: Space, labels: Labels) -> None:
    """SampleError naming what is wrong with the labels of this trace, if anything is."""
    wanted = len(trace.sentences)
    if len(labels.labels) != wanted:
        raise SampleError(
            f"there are {len(labels.labels)} entries of labels; the response has {wanted} "
            "sentences, and each needs one"
        )
    _check_sentences(trace, labels)
    images = len(media_of(trace, "image_source"))
    keys = list(labels.labels[0].lists) if labels.labels else []
    for number, supports in enumerate(labels.labels):
        try:
            _check_keys(keys, supports)
            _check_ids("text_source", supports.lists, space.texts)
            _check_ids("image_source", supports.lists, images)
            for name in TIMED:
                _check_spans(trace, name, supports.lists.get(name, ()))
        except ValueError as error:
            raise SampleError(f"labels of sentence {number}: {error}") from error


def media_of(trace: Trace, key: str) -> list[int]:
    """The indices of the media that a key of the format names, in order."""
    kinds = key.removesuffix("_source").split("/")
    return [index for index, medium in enumerate(trace.media) if medium.kind in kinds]


def last_second(trace: Trace, medium: int) -> int:
    """Where the spans of a medium must end: the whole second that its last one ends in."""
    return max(1, ceil(duration_of(trace, medium) - _FUZZ))


def _check_sentences(trace: Trace, labels: Labels) -> None:
    recorded = sentences_of(trace)
    if labels.sentences is None or labels.sentences == recorded:
        return
    if len(labels.sentences) != len(recorded):
        raise SampleError(
            f"there are {len(labels.sentences)} sentences; the response has {len(recorded)}"
        )
    pairs = zip(labels.sentences, recorded, strict=True)
    number = next(index for index, (one, other) in enumerate(pairs) if one != other)
    raise SampleError(
        f"sentence {number} is '{one_line(labels.sentences[number])}'; the run says "
        f"'{one_line(recorded[number])}'"
    )


def _check_keys(keys: Sequence[str], supports: Supports) -> None:
    """ValueError unless the keys are those of the first sentence, and legal together."""
    if not supports.lists:
        raise ValueError(f"it has none of the keys {', '.join(KEYS)}")
    if list(supports.lists) != list(keys):
        raise ValueError(
            f"its keys are {', '.join(supports.lists)}, those of sentence 0 {', '.join(keys)}; "
            "they must be the same in all sentences of a response"
        )
    if EITHER in keys and {"audio_source", "video_source"} & {*keys}:
        raise ValueError(f"{EITHER} stands beside audio_source or video_source")


def _check_ids(name: str, given: Mapping[str, tuple[int, ...]], legal: int) -> None:
    """ValueError unless the ids of that name are of 0 … legal - 1, ascending, each once."""
    ids = given.get(name, ())
    for id in ids:
        if not 0 <= id < legal:
            known = f"ids go from 0 to {legal - 1}" if legal else "the prompt has no such source"
            raise ValueError(f"{name} has the id {id}; {known}")
    if list(ids) != sorted({*ids}):
        raise ValueError(f"{name} is {list(ids)}; ids must ascend, each once")


def _check_spans(trace: Trace, name: str, spans: Sequence[Span]) -> None:
    """ValueError unless each span names its medium as it must, lies within it, and is in order."""
    media = media_of(trace, name)
    if spans and len({trace.media[index].kind for index in media}) > 1:
        raise ValueError(
            f"{name} does not say which is meant: the prompt has audio and video; use audio_source "
            "and video_source"
        )
    placed = [_placed(name, span, media) for span in spans]
    for ordinal, start, end in placed:
        last = last_second(trace, media[ordinal])
        if not 0 <= start < end <= last:
            raise ValueError(
                f"{name} has the span from {start:g} to {end:g} s; spans must have "
                f"0 <= start < end <= {last}"
            )
    for (one, _, before), (two, after, _) in pairwise(placed):
        if (one, before) > (two, after):
            raise ValueError(f"{name} is {_written(spans)}; spans must be in order and apart")


def _written(spans: Sequence[Span]) -> str:
    return str([[float(f"{number:g}") for number in span] for span in spans])


def _placed(name: str, span: Span, media: Sequence[int]) -> tuple[int, float, float]:
    """(ordinal, start, end) of a span; ValueError if it has not the form that it must have."""
    if not media:
        raise ValueError(f"{name} has a span; the prompt has no such source")
    if len(media) == 1:
        if len(span) != 2:
            raise ValueError(f"{name} has {_written([span])[1:-1]}; a span is [start, end]")
        return 0, span[0], span[1]
    if len(span) != 3 or span[0] not in range(len(media)):
        raise ValueError(
            f"{name} has {_written([span])[1:-1]}; a span is [ordinal, start, end], the ordinal "
            f"from 0 to {len(media) - 1}, as the prompt has {len(media)} such media"
        )
    return int(span[0]), span[1], span[2]


def _labelled(labels: Labels) -> Bool:
    """(4,): the modalities that are labelled."""
    keys = " ".join(labels.labels[0].lists) if labels.labels else ""
    return np.array([name in keys for name in MODALITIES])


def _true(trace: Trace, space: Space, supports: Supports) -> Bool:
    """(L,): what checked labels claim."""
    true = np.zeros(len(space), np.bool_)
    given, images = supports.lists, media_of(trace, "image_source")
    true[list(given.get("text_source", ()))] = True
    for id in given.get("image_source", ()):
        true |= space.stretch(images[id])
    for name in TIMED:
        media = media_of(trace, name)
        for span in given.get(name, ()):
            ordinal, start, end = _placed(name, span, media)
            true |= space.stretch(media[ordinal], start, end)
    return true


def _listed(trace: Trace, space: Space, found: Bool, name: str) -> tuple[Any, ...]:
    """The ids or spans of one modality among the labels `found` (L,)."""
    if name == "text":
        return tuple(np.flatnonzero(found[: space.texts]).tolist())
    media = media_of(trace, f"{name}_source")
    if name == "image":
        return tuple(i for i, m in enumerate(media) if found[space.medium == m].any())
    return tuple(
        (ordinal, *span) if len(media) > 1 else span
        for ordinal, medium in enumerate(media)
        for span in _merged(space, found & (space.medium == medium), last_second(trace, medium))
    )


def _merged(space: Space, bins: Bool, last: int) -> Iterator[tuple[float, float]]:
    """The spans of neighbouring bins, none beyond `last` seconds."""
    edges = np.flatnonzero(np.diff(bins, prepend=False, append=False)).reshape(-1, 2)
    for first, after in edges.tolist():
        yield float(space.start_s[first]), min(float(space.end_s[after - 1]), float(last))
