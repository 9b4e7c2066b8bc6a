"""Scores against the truth, by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omnitrace.errors import OmniTraceError
from omnitrace.units import UnitConfig
from replay import PRESETS, Attribution, Source, attribute
from replay.evaluate import evaluate, match
from replay.truth import Evidence, TrueSentence, Truth, read_truths, true_units
from tests.build import make_trace

FACT = Evidence(0, text="The parcel weighs seven kilos.")
PICTURE = Evidence(1)
TONE = Evidence(2, start_s=1.0, end_s=2.0)
SAID = ("The parcel weighs seven kilos.", "A red circle is shown.", "A tone sounds.")


def truth(*sentences: tuple[str, tuple[Evidence, ...]], id: str = "sample-0") -> Truth:
    made = tuple(TrueSentence(text, evidence) for text, evidence in sentences)
    return Truth(id, " ".join(text for text, _ in sentences), made)


THE_TRUTH = truth(*zip(SAID, [(FACT,), (PICTURE,), (TONE,)], strict=True))


def claiming(*sources: list[str], units: UnitConfig | None = None) -> Attribution:
    """The small answer with each span's sources said by unit id."""
    config = replace(PRESETS["paper"], units=units or UnitConfig())
    attribution = attribute(make_trace(), config)
    index = {id: j for j, id in enumerate(attribution.units.id)}
    spans = [
        replace(span, sources=tuple(Source(index[id], 1.0, 1.0, 1.0) for id in ids), dropped=())
        for span, ids in zip(attribution.spans, sources, strict=True)
    ]
    return replace(attribution, spans=tuple(spans))


def scores(attribution: Attribution, of: Truth = THE_TRUTH) -> Any:
    return evaluate([attribution], {"sample-0": make_trace()}, {of.id: of})


def numbers(score: Any) -> list[float]:
    return [score.precision, score.recall, score.f1, score.spans]


def test_all_right() -> None:
    result = scores(claiming(["text-0"], ["image-0"], ["audio-0:1-2"]))
    assert (result.judged, result.wrong) == (3, 0)
    for name in ("text", "image", "audio", "video", "all"):
        assert numbers(result.micro[name]) == numbers(result.macro[name]) == [1, 1, 1, 3]


def test_counts_by_hand() -> None:
    result = scores(claiming(["text-0", "text-1"], [], ["audio-0:0-1", "video-0:1-2"]))
    # Text: one right of two found, one true. Image: none found, one true. Audio: one wrong
    # second found, one true. Video: one second found, none true.
    assert numbers(result.micro["text"]) == pytest.approx([1 / 2, 1, 2 / 3, 3])
    assert numbers(result.micro["image"]) == [0, 0, 0, 3]
    assert numbers(result.micro["audio"]) == [0, 0, 0, 3]
    assert numbers(result.micro["video"]) == [0, 0, 0, 3]
    assert numbers(result.micro["all"]) == pytest.approx([1 / 4, 1 / 3, 2 / 7, 3])
    # Spans by themselves: text 2/3, 1, 1; image 1, 0, 1; video 1, 1, 0.
    assert result.macro["text"].f1 == pytest.approx((2 / 3 + 1 + 1) / 3)
    assert result.macro["image"].f1 == pytest.approx(2 / 3)
    assert result.macro["video"].f1 == pytest.approx(2 / 3)
    assert result.macro["all"].f1 == pytest.approx((2 / 3 + 0 + 0) / 3)


def test_time_is_judged_by_the_second_whatever_the_units() -> None:
    wide = claiming(["text-0"], ["image-0"], ["audio-0:0-3"], units=UnitConfig(audio_seconds=3.0))
    assert numbers(scores(wide).micro["audio"]) == pytest.approx([1 / 3, 1, 1 / 2, 3])
    fine = claiming(["text-0"], ["image-0"], ["audio-0:1-1.5"], units=UnitConfig(audio_seconds=0.5))
    assert numbers(scores(fine).micro["audio"]) == [1, 1, 1, 3]


def test_vision_and_sound_of_a_film_are_the_same_seconds() -> None:
    heard = Evidence(3, start_s=1.0, end_s=2.0, stream="sound")
    expected = truth((SAID[0], (FACT,)), (SAID[1], (PICTURE,)), (SAID[2], (heard,)))
    apart = UnitConfig(video="apart")
    for found in (["video-0:1-2"], ["video-0:1-2:sound"], ["video-0:1-2", "video-0:1-2:sound"]):
        result = scores(claiming(["text-0"], ["image-0"], found, units=apart), expected)
        assert numbers(result.micro["video"]) == [1, 1, 1, 3]
    whole = truth((SAID[0], (FACT,)), (SAID[1], (PICTURE,)), (SAID[2], (Evidence(3),)))
    result = scores(claiming(["text-0"], ["image-0"], ["video-0:1-2"]), whole)
    assert numbers(result.micro["video"]) == pytest.approx([1, 1 / 2, 2 / 3, 3])


def test_spans_that_the_model_got_wrong_are_counted_and_not_scored() -> None:
    said = ("The parcel weighs six kilos.", *SAID[1:])
    expected = truth(*zip(said, [(FACT,), (PICTURE,), (TONE,)], strict=True))
    result = scores(claiming([], ["image-0"], ["audio-0:1-2"]), expected)
    assert (result.judged, result.wrong) == (2, 1)
    assert numbers(result.micro["all"]) == [1, 1, 1, 2]


def test_modalities_that_a_prompt_lacks_do_not_count() -> None:
    trace = make_trace()
    silent = replace(trace, media=trace.media[:1])
    attribution = claiming(["text-0"], ["image-0"], [])
    expected = truth((SAID[0], (FACT,)), (SAID[1], (PICTURE,)), (SAID[2], ()))
    result = evaluate([attribution], {"sample-0": silent}, {"sample-0": expected})
    assert [result.macro[m].spans for m in ("text", "image", "audio", "video")] == [3, 3, 0, 0]
    assert numbers(result.macro["audio"]) == numbers(result.micro["audio"]) == [1, 1, 1, 0]


def test_samples_without_a_truth_are_passed_over() -> None:
    result = evaluate([claiming([], [], [])], {}, {})
    assert (result.judged, result.wrong) == (0, 0)


def test_spans_are_matched_by_their_words_if_their_number_differs() -> None:
    attribution = claiming([], [], [])
    missing = truth((SAID[0], (FACT,)), (SAID[2], (TONE,)))
    assert [e for _, e in match(attribution, missing)] == [(FACT,), None, (TONE,)]
    config = replace(PRESETS["paper"], chunker="response")
    whole = attribute(make_trace(), config)
    assert [e for _, e in match(whole, THE_TRUTH)] == [(FACT, PICTURE, TONE)]
    assert [e for _, e in match(whole, missing)] == [None]


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
    expected = truth((SAID[0], (FACT,)), (SAID[1], (PICTURE,)), (SAID[2], (replace_part(TONE),)))
    with pytest.raises(OmniTraceError, match="names part 9"):
        scores(claiming([], [], []), expected)


def replace_part(one: Evidence) -> Evidence:
    return Evidence(9, one.text, one.start_s, one.end_s)


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
