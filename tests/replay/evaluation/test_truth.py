"""Truth files, and what of a prompt and of an answer they speak of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from omnitrace.errors import OmniTraceError
from omnitrace.units import UnitConfig
from replay.evaluation import gold_of_truth
from replay.evaluation.truth import Evidence, evidence_of, read_truths, true_units
from tests.build import ANSWER, make_trace
from tests.replay.evaluation.truths import FACT, PICTURE, SAID, THE_TRUTH, TONE, truth

RESPONSE = "".join(ANSWER)
SENTENCES = make_trace().sentences.tolist()


def test_stretches_are_matched_by_their_words_if_their_number_differs() -> None:
    assert evidence_of(RESPONSE, SENTENCES, THE_TRUTH) == [(FACT,), (PICTURE,), (TONE,)]
    missing = truth((SAID[0], (FACT,)), (SAID[2], (TONE,)))
    assert evidence_of(RESPONSE, SENTENCES, missing) == [(FACT,), None, (TONE,)]
    whole = [(0, len(RESPONSE))]
    assert evidence_of(RESPONSE, whole, THE_TRUTH) == [(FACT, PICTURE, TONE)]
    assert evidence_of(RESPONSE, whole, missing) == [None]


def test_true_units() -> None:
    trace = make_trace()
    united, apart = trace.units(UnitConfig()), trace.units(UnitConfig(video="apart"))

    def ids(units: Any, *evidence: Evidence) -> set[str]:
        return {units.id[j] for j in true_units(units, trace, evidence)}

    assert ids(united, FACT) == {"text-0"}
    assert ids(united, Evidence(0, text="Anna lives in Oslo."), PICTURE) == {"text-1", "image-0"}
    assert ids(united, TONE) == {"audio-0:1-2"}
    assert ids(united, Evidence(2, start_s=0.5, end_s=1.5)) == {"audio-0:0-1", "audio-0:1-2"}
    assert ids(united, Evidence(3, stream="sound", start_s=0.0, end_s=1.0)) == {"video-0:0-1"}
    assert ids(apart, Evidence(3, stream="sound", start_s=0.0, end_s=1.0)) == {"video-0:0-1:sound"}
    assert ids(apart, Evidence(3, stream="vision")) == {"video-0:0-1", "video-0:1-2"}
    assert ids(trace.units(UnitConfig(text="part")), FACT) == {"text-0"}
    assert ids(trace.units(UnitConfig(image="grid")), PICTURE) == {
        f"image-0:{r},{c}" for r in (0, 1) for c in (0, 1)
    }


def test_evidence_that_the_prompt_lacks() -> None:
    trace = make_trace()
    units = trace.units(UnitConfig())
    with pytest.raises(OmniTraceError, match="names part 9, the prompt has parts 0 to 4"):
        true_units(units, trace, [Evidence(9)])
    for wrong in (Evidence(0, text="Bob lives here."), Evidence(1, text="Anna lives in Oslo.")):
        with pytest.raises(OmniTraceError, match="does not hold the sentence"):
            true_units(units, trace, [wrong])
        with pytest.raises(OmniTraceError, match="does not hold the sentence"):
            gold_of_truth(trace, truth((SAID[0], (wrong,)), (SAID[1], ()), (SAID[2], ())))


LINE = (
    '{"id": "a", "answer": "Yes.", "sentences": [{"text": "Yes.", "evidence": '
    '[{"part": 1, "text": null, "start_s": 0.0, "end_s": 1, "stream": "sound"}]}]}'
)


def test_read_truths(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    other = LINE.replace('"a"', '"b"')
    path.write_text(f"{LINE}\n\n{other}\n", "utf-8")
    truths = read_truths(path)
    assert list(truths) == ["a", "b"]
    assert truths["a"].sentences[0].evidence == (Evidence(1, None, 0.0, 1.0, "sound"),)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: Input data was truncated"),
        (LINE.replace('"part"', '"parts"'), "line 2: Object .* unknown field `parts`"),
        (LINE.replace('"part": 1, ', ""), "line 2: Object missing required field `part`"),
        (LINE.replace('"sound"', '"smell"'), "line 2: Invalid enum value 'smell'"),
        (LINE, "line 2: sample 'a' is there twice"),
        ("\udcff", "line 2: .*"),
    ],
)
def test_read_truths_names_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "truth.jsonl"
    path.write_bytes(f"{LINE}\n{line}\n".encode("utf-8", "surrogateescape"))
    with pytest.raises(OmniTraceError, match=rf"truth\.jsonl, {message}"):
        read_truths(path)


def test_read_truths_of_no_file(tmp_path: Path) -> None:
    with pytest.raises(OmniTraceError, match=r"nope\.jsonl: No such file"):
        read_truths(tmp_path / "nope.jsonl")
