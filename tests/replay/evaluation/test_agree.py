"""Agreement of two label files: against sets counted by hand, and symmetric."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitrace.errors import CommandError, OmniTraceError
from replay.evaluation import MODALITIES, score
from replay.evaluation.agree import agreement, kinds_of
from replay.evaluation.labels import Labels, Supports, gold_of_labels, labels_of
from replay.evaluation.rows import Rows
from replay.evaluation.scores import judgement
from tests.build import make_trace
from tests.replay.evaluation.truths import with_media


def rows(*labels: Labels, name: str = "a.jsonl") -> Rows[Labels]:
    return Rows(Path(name), {r.id: r for r in labels}, {r.id: i + 1 for i, r in enumerate(labels)})


def of(*supports: dict[str, Any], id: str = "s", **over: Any) -> Labels:
    return msgspec.convert({"id": id, "labels": list(supports), **over}, Labels)


def test_by_hand() -> None:
    judge = of(
        {"text_source": [0, 1], "audio_source": [[0, 2]]},
        {"text_source": [], "audio_source": []},
        task="qa",
    )
    person = of(
        {"text_source": [1], "audio_source": [[1, 2], [2, 3.5]], "image_source": [0]},
        {"text_source": [2], "audio_source": [], "image_source": []},
    )
    (one,) = agreement(rows(judge, of(id="only a")), rows(person, of(id="only b")))
    assert (one.task, one.modalities) == ("qa", "text+audio")
    micro = score([one]).micro
    assert micro["text"].f1 == pytest.approx(2 * 1 / (2 + 2))
    assert micro["audio"].f1 == pytest.approx(2 * 1 / (2 + 3))
    assert micro["all"].f1 == pytest.approx(2 * 2 / (4 + 5))
    assert [micro[name].samples for name in MODALITIES] == [1, 0, 1, 0]
    (half,) = agreement(rows(judge), rows(person), seconds=0.5)
    assert score([half]).micro["audio"].f1 == pytest.approx(2 * 2 / (4 + 5))


@given(st.integers(0, 2**32 - 1))
def test_it_is_symmetric_and_what_evaluation_would_say(seed: int) -> None:
    trace, rng = make_trace(), np.random.default_rng(seed)
    blank = gold_of_labels(trace, of(*[{"text_source": []}] * 3))
    scored = np.ones(4, np.bool_)
    files, golds = [], []
    for _ in range(2):
        found = rng.random(blank.true.shape) < 0.4
        labels = Labels("s", labels_of(trace, blank.space, found, scored))
        files.append(rows(labels))
        golds.append(gold_of_labels(trace, labels))
    a, b = files
    ours, reverse = (score(agreement(*pair)).micro for pair in ((a, b), (b, a)))
    theirs = score([judgement(golds[1], golds[0].true)]).micro
    for column, one in ours.items():
        assert one.f1 == reverse[column].f1 == theirs[column].f1


def test_audio_or_video_needs_the_run() -> None:
    either, audio = (of({name: [[0, 1]]}) for name in ("audio/video_source", "audio_source"))
    with pytest.raises(CommandError, match=r"a\.jsonl, line 1 and b\.jsonl.*name the run"):
        agreement(rows(either), rows(audio, name="b.jsonl"))
    kinds = kinds_of({"s": with_media(make_trace(), 2), "t": make_trace()}, ["s", "t"])
    assert kinds == {"s": "audio"}
    (one,) = agreement(rows(either), rows(audio), kinds)
    assert score([one]).micro["audio"].f1 == 1


def test_files_about_other_responses() -> None:
    short, long = of({"text_source": []}), of({"text_source": []}, {"text_source": []})
    with pytest.raises(OmniTraceError, match="line 1: 1 entries of labels here, 2 there"):
        agreement(rows(short), rows(long))
    said = [Labels("s", (Supports(),), sentences=(text,)) for text in ("Yes.", "No.")]
    with pytest.raises(OmniTraceError, match="the sentences differ"):
        agreement(rows(said[0]), rows(said[1]))
