"""Labels files: what is legal, what is said of what is not, and the way to the judging space."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitrace import Trace
from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.timeline import Medium
from replay.evaluation import MODALITIES, gold_of_truth
from replay.evaluation.labels import (
    Labels,
    Supports,
    gold_of_labels,
    labels_of,
    read_labels,
    sentences_of,
    write_labels,
)
from replay.evaluation.sources import read_golds
from tests.build import make_trace
from tests.replay.evaluation.truths import SAID, THE_TRUTH, with_media

EVERY: dict[str, Any] = {f"{name}_source": [] for name in MODALITIES}
RIGHT = [
    {**EVERY, "text_source": [0]},
    {**EVERY, "image_source": [0]},
    {**EVERY, "audio_source": [[1, 2]]},
]


def two_tones() -> Trace:
    """The small trace with one more recording, of 2.5 s."""
    trace = make_trace()
    return replace(trace, media=(*trace.media, Medium("audio", "b.wav", "3" * 64, duration_s=2.5)))


def line(labels: Any = RIGHT, **over: Any) -> str:
    return json.dumps({"id": "sample-0", "labels": labels, **over})


def parsed(*labels: dict[str, Any]) -> Labels:
    return msgspec.json.decode(line(list(labels)), type=Labels)


def test_labels_say_what_the_truth_says() -> None:
    ours = gold_of_labels(make_trace(), parsed(*RIGHT))
    theirs = gold_of_truth(make_trace(), THE_TRUTH)
    assert ours.true.tolist() == theirs.true.tolist()
    assert ours.judged.all()
    assert ours.scored.all()
    assert ours.steps.tolist() == theirs.steps.tolist()


def test_a_key_that_is_absent_is_not_scored() -> None:
    gold = gold_of_labels(make_trace(), parsed(*({"text_source": []} for _ in SAID)))
    assert gold.scored.tolist() == [True, False, False, False]
    silent = with_media(make_trace(), 1)
    gold = gold_of_labels(silent, parsed(*({**EVERY} for _ in SAID)))
    assert gold.scored.tolist() == [True, True, False, False]


def test_one_key_for_audio_and_video_means_the_one_that_there_is() -> None:
    rows = [{"audio/video_source": spans} for spans in ([], [], [[0, 1], [2, 3]])]
    gold = gold_of_labels(with_media(make_trace(), 2), parsed(*rows))
    assert gold.scored.tolist() == [False, False, True, False]
    assert gold.space.start_s[gold.true[2]].tolist() == [0, 2]
    with pytest.raises(OmniTraceError, match="the prompt has audio and video"):
        gold_of_labels(make_trace(), parsed(*rows))


def test_several_media_are_named_by_their_place_among_their_kind() -> None:
    rows = [{"audio_source": spans} for spans in ([], [], [[0, 1, 2], [1, 0.5, 3]])]
    gold = gold_of_labels(two_tones(), parsed(*rows))
    true = gold.true[2]
    assert gold.space.medium[true].tolist() == [1, 3, 3, 3]
    assert gold.space.start_s[true].tolist() == [1, 0, 1, 2]


@pytest.mark.parametrize(
    ("third", "says"),
    [
        ({**EVERY, "text_source": [3]}, "text_source has the id 3; ids go from 0 to 2"),
        ({**EVERY, "text_source": [-1]}, "has the id -1"),
        ({**EVERY, "text_source": [1, 0]}, r"text_source is \[1, 0\]; ids must ascend, each once"),
        ({**EVERY, "image_source": [0, 0]}, r"image_source is \[0, 0\]; ids must ascend"),
        ({**EVERY, "image_source": [1]}, "ids go from 0 to 0"),
        ({**EVERY, "audio_source": [[2, 2]]}, "span from 2 to 2 s; spans must have"),
        ({**EVERY, "audio_source": [[2, 1]]}, "span from 2 to 1 s"),
        ({**EVERY, "audio_source": [[-1, 1]]}, "span from -1 to 1 s"),
        ({**EVERY, "audio_source": [[0, 4]]}, "0 <= start < end <= 3"),
        ({**EVERY, "audio_source": [[0, 2], [1, 3]]}, "spans must be in order and apart"),
        ({**EVERY, "audio_source": [[2, 3], [0, 1]]}, "spans must be in order and apart"),
        (
            {**EVERY, "audio_source": [[0, 1, 2]]},
            r"has \[0.0, 1.0, 2.0\]; a span is \[start, end\]",
        ),
        ({**EVERY, "audio_source": [[1]]}, r"has \[1.0\]; a span is \[start, end\]"),
        ({"text_source": []}, "its keys are text_source, those of sentence 0 text_source, image_"),
        ({}, "it has none of the keys text_source, image_source"),
        ({**EVERY, "audio/video_source": []}, "its keys are"),
    ],
)
def test_what_does_not_fit_the_trace(third: dict[str, Any], says: str) -> None:
    with pytest.raises(OmniTraceError, match=rf"^labels of sentence 2: .*{says}"):
        gold_of_labels(make_trace(), parsed(*RIGHT[:2], third))


def test_other_things_that_do_not_fit() -> None:
    with pytest.raises(OmniTraceError, match="2 entries of labels; the response has 3 sentences"):
        gold_of_labels(make_trace(), parsed(*RIGHT[:2]))
    both: dict[str, Any] = {"audio_source": [], "audio/video_source": []}
    with pytest.raises(OmniTraceError, match="audio/video_source stands beside audio_source"):
        gold_of_labels(make_trace(), parsed(both, both, both))
    rows = [{"audio_source": [[0.0, 1.0]]}] * 3
    with pytest.raises(OmniTraceError, match="the prompt has no such source"):
        gold_of_labels(with_media(make_trace(), 1), parsed(*rows))
    with pytest.raises(OmniTraceError, match=r"a span is \[ordinal, start, end\], .* from 0 to 1"):
        gold_of_labels(two_tones(), parsed(*rows))
    rows = [{"audio_source": [[0.5, 0.0, 1.0]]}] * 3
    with pytest.raises(OmniTraceError, match="from 0 to 1"):
        gold_of_labels(two_tones(), parsed(*rows))


def test_sentences_are_checked_if_given() -> None:
    trace = make_trace()
    good = msgspec.json.decode(line(sentences=SAID), type=Labels)
    assert sentences_of(trace) == SAID
    gold_of_labels(trace, good)
    with pytest.raises(OmniTraceError, match="there are 2 sentences; the response has 3"):
        gold_of_labels(trace, msgspec.structs.replace(good, sentences=SAID[:2]))
    with pytest.raises(OmniTraceError, match=r"sentence 1 is 'No\.'; the run says "):
        gold_of_labels(trace, msgspec.structs.replace(good, sentences=(SAID[0], "No.", SAID[2])))


@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 0.5, 2.0, 0.3]), st.booleans())
def test_labels_of_what_was_found_are_read_back(seed: int, seconds: float, several: bool) -> None:
    trace = two_tones() if several else make_trace()
    empty = gold_of_labels(trace, parsed({"text_source": []}, *[{"text_source": []}] * 2), seconds)
    rng = np.random.default_rng(seed)
    found = rng.random(empty.true.shape) < 0.4
    scored = rng.random(4) < 0.8
    scored[0] = True
    found[:, ~scored[empty.space.kind]] = False
    made = labels_of(trace, empty.space, found, scored)
    written = msgspec.json.encode(Labels("sample-0", made))
    back = gold_of_labels(trace, msgspec.json.decode(written, type=Labels), seconds)
    assert back.true.tolist() == found.tolist()
    assert back.scored.tolist() == scored.tolist()


def test_files_are_written_whole_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    rows = [Labels("a", (Supports(text_source=(1,)),), labeller="Ü"), Labels("b", (), correct=True)]
    write_labels(path, rows)
    assert list(read_labels(path).by_id.values()) == rows
    assert json.loads(path.read_bytes().splitlines()[0]) == {
        "id": "a", "labels": [{"text_source": [1]}], "labeller": "Ü",
    }  # fmt: skip

    def failing() -> Any:
        yield rows[0]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_labels(path, failing())
    assert list(read_labels(path).by_id.values()) == rows
    assert [p.name for p in tmp_path.iterdir()] == ["labels.jsonl"]
    with pytest.raises(CommandError, match="cannot write"):
        write_labels(tmp_path / "no" / "labels.jsonl", rows)


@pytest.mark.parametrize(
    ("second", "says"),
    [
        ("{", "Input data was truncated"),
        ('{"id": "b"}', "missing required field `labels`"),
        (line([{"text_source": [1.0]}]), "Expected `int`, got `float`"),
        (line([{"text_source": ["1"]}]), "Expected `int`, got `str`"),
        (line([{"text_source": [True]}]), "Expected `int`, got `bool`"),
        (line([{"audio_source": [["0", 1]]}]), "Expected `float`, got `str`"),
        (line([{"sources": [1]}]), "unknown field `sources`"),
        (line(taks="x"), "unknown field `taks`"),
        ('[[{"text_source": []}]]', "Expected `object`, got `array`"),
        (line(), "sample 'sample-0' is there twice, first on line 1"),
        ("\udcff", ""),
    ],
)
def test_a_line_that_is_not_legal_is_named(tmp_path: Path, second: str, says: str) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_bytes(f"{line()}\n{second}\n".encode("utf-8", "surrogateescape"))
    with pytest.raises(OmniTraceError, match=rf"labels\.jsonl, line 2: .*{says}"):
        read_labels(path)


def test_labels_and_truths_are_told_apart(tmp_path: Path) -> None:
    trace, path = make_trace(), tmp_path / "file.jsonl"
    path.write_bytes(b"\n" + msgspec.json.encode(THE_TRUTH))
    truths = read_golds(path)
    truths.check_known(())
    path.write_text(line(), "utf-8")
    labels = read_golds(path)
    assert labels.gold(trace).true.tolist() == truths.gold(trace).true.tolist()
    assert "sample-0" in labels
    assert len(labels) == len(truths) == 1
    with pytest.raises(OmniTraceError, match=r"line 1: the run has no sample 'sample-0'"):
        labels.check_known(())
    path.write_text("\n" + line(RIGHT[:2]), "utf-8")
    with pytest.raises(OmniTraceError, match=r"file\.jsonl, line 2: there are 2 entries"):
        read_golds(path).gold(trace)
    path.write_text("", "utf-8")
    assert len(read_golds(path)) == 0
    path.write_text("no JSON", "utf-8")
    with pytest.raises(OmniTraceError, match="line 1"):
        read_golds(path)
