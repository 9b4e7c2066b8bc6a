"""Agreement of two label files (paper, Table 4): symmetric F1 over what both labelled.

Works on the files alone; a run adds which media are meant (`kinds_of`). Knows no
attribution.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from math import ceil, floor

import numpy as np

from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.trace import Trace
from replay.evaluation.labels import EITHER, Labels, Supports
from replay.evaluation.rows import Rows
from replay.evaluation.scores import Judgement, tally_of
from replay.evaluation.space import COLUMNS, MODALITIES

Label = tuple[str, int, int]
"""(modality, medium among its kind, id or bin)."""
_FUZZ = 1e-6


def agreement(
    first: Rows[Labels],
    second: Rows[Labels],
    kinds: Mapping[str, str] | None = None,
    seconds: float = 1.0,
) -> list[Judgement]:
    """A judgement for each sample that both files label, the first's labels as found, the second's
    as true: F1 is the same either way. A modality counts where both label it.

    `kinds`: by sample whether `audio/video_source` means audio or video (`kinds_of`). Raises
    OmniTraceError naming the lines where the files do not label the same sentences.
    """
    return [
        _agree(first, second, id, (kinds or {}).get(id, ""), seconds)
        for id in first.by_id
        if id in second.by_id
    ]


def kinds_of(traces: Mapping[str, Trace], ids: Iterable[str]) -> dict[str, str]:
    """Whether the media of these samples that take time are audio or video; both: left out."""
    kinds = {id: {m.kind for m in traces[id].media} - {"image"} for id in ids}
    return {id: kind.pop() for id, kind in kinds.items() if len(kind) == 1}


def _agree(
    first: Rows[Labels], second: Rows[Labels], id: str, kind: str, seconds: float
) -> Judgement:
    one, other = first.by_id[id], second.by_id[id]
    where = f"{first.where(id)} and {second.where(id)}"
    _check_same(one, other, where)
    labelled = [_labelled(labels, kind, where) for labels in (one, other)]
    scored = np.array([all(name in names for names in labelled) for name in MODALITIES])
    named = {name for name, both in zip(MODALITIES, scored, strict=True) if both}
    counts = [
        _counts(*(_labels_in(supports, kind, seconds, named) for supports in pair))
        for pair in zip(one.labels, other.labels, strict=True)
    ]
    return Judgement(
        id=id,
        task=one.task or other.task,
        modalities="+".join(np.array(MODALITIES)[scored].tolist()),
        tally=tally_of(np.array(counts, np.int64).reshape(-1, len(COLUMNS), 3), scored),
        judged=len(counts),
        wrong=0,
    )


def _check_same(one: Labels, other: Labels, where: str) -> None:
    if len(one.labels) != len(other.labels):
        raise OmniTraceError(
            f"{where}: {len(one.labels)} entries of labels here, {len(other.labels)} there; files "
            "agree only about the same response."
        )
    if one.sentences and other.sentences and one.sentences != other.sentences:
        raise OmniTraceError(f"{where}: the sentences differ; files agree only about the same.")


def _labelled(labels: Labels, kind: str, where: str) -> set[str]:
    """The modalities that are labelled."""
    keys = labels.labels[0].lists if labels.labels else {}
    if EITHER in keys and not kind:
        raise CommandError(
            f"{where}: {EITHER} does not say whether audio or video is meant; name the run."
        )
    return {_modality(key, kind) for key in keys}


def _modality(key: str, kind: str) -> str:
    return kind if key == EITHER else key.removesuffix("_source")


def _labels_in(supports: Supports, kind: str, seconds: float, named: Container[str]) -> set[Label]:
    """The labels of one sentence in the modalities `named`; time in bins, however it is cut."""
    return {
        (_modality(key, kind), *place)
        for key, sources in supports.lists.items()
        if _modality(key, kind) in named
        for source in sources
        for place in (_bins(source, seconds) if isinstance(source, tuple) else [(0, source)])
    }


def _bins(span: tuple[float, ...], seconds: float) -> list[tuple[int, int]]:
    *ordinal, start, end = (0.0, *span)[-3:]
    bins = range(floor(start / seconds + _FUZZ), ceil(end / seconds - _FUZZ))
    return [(int(ordinal[0]), number) for number in bins]


def _counts(mine: set[Label], yours: set[Label]) -> list[list[int]]:
    """(5, 3): labels of both, of the first, of the second, by `COLUMNS`."""
    of = [
        [{label for label in labels if name in (label[0], "all")} for labels in (mine, yours)]
        for name in COLUMNS
    ]
    return [[len(a & b), len(a), len(b)] for a, b in of]
