"""Scores against what is true: by hand, and against a literal transcription."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitrace import Trace
from omnitrace.timeline import Modality
from omnitrace.units import UnitConfig
from replay import PRESETS, Attribution, Source, attribute
from replay.evaluation import COLUMNS, Gold, evaluate, gold_of_truth, judge, score, tally
from replay.evaluation.truth import Evidence, Truth
from tests.build import make_trace
from tests.replay.evaluation.truths import FACT, PICTURE, SAID, THE_TRUTH, TONE, truth, with_media


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


def scores(attribution: Attribution, of: Truth = THE_TRUTH, trace: Trace | None = None) -> Any:
    gold = gold_of_truth(trace or make_trace(), of)
    return evaluate([attribution], {gold.id: gold})


def numbers(score: Any) -> list[float]:
    return [score.precision, score.recall, score.f1, score.spans]


def test_all_right() -> None:
    result = scores(claiming(["text-0"], ["image-0"], ["audio-0:1-2"]))
    assert (result.judged, result.wrong) == (3, 0)
    for name in ("text", "image", "audio", "video", "all"):
        assert numbers(result.micro[name]) == numbers(result.macro[name]) == [1, 1, 1, 3]


@pytest.mark.parametrize(
    ("end", "part", "judged"),
    [(30, "all", 3), (30, "answer", 2), (30, "thinking", 1), (40, "answer", 2), (0, "answer", 3)],
)
def test_only_sentences_of_the_attributed_part_are_scored(end: int, part: str, judged: int) -> None:
    trace = make_trace(meta={"thinking": [0, end]} if end else {})
    found = attribute(trace, replace(PRESETS["paper"], response=part))
    gold = gold_of_truth(trace, THE_TRUTH)
    result = judge(found, gold)
    assert (result.judged, result.wrong) == (judged, 0)
    assert result.tally[:, 3].tolist() == [judged] * 5
    whole = attribute(trace, PRESETS["paper"])
    by_sentence = [
        judge(whole, replace(gold, judged=np.arange(3) == k)).tally
        for k in {"thinking": [0], "answer": range(3 - judged, 3)}.get(part, range(3))
    ]
    if end != 40:  # where no sentence lies in both parts
        assert result.tally == pytest.approx(np.sum(by_sentence, axis=0))


def test_a_part_that_is_not_there_has_nothing_to_score() -> None:
    gold = gold_of_truth(make_trace(), THE_TRUTH)
    nothing = judge(attribute(make_trace(), replace(PRESETS["paper"], response="thinking")), gold)
    assert (nothing.judged, nothing.wrong) == (0, 0)
    assert not nothing.tally.any()
    spans = np.array([[0, 3], [4, 9]], np.int32)
    assert gold.within(spans).sentences.tolist() == gold.sentences[:2].tolist()
    assert gold.within(np.array([[0, 16]], np.int32)) is gold


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
    silent = with_media(trace, 1)
    attribution = replace(claiming(["text-0"], ["image-0"], []), units=silent.units(UnitConfig()))
    expected = truth((SAID[0], (FACT,)), (SAID[1], (PICTURE,)), (SAID[2], ()))
    result = scores(attribution, expected, silent)
    assert [result.macro[m].spans for m in ("text", "image", "audio", "video")] == [3, 3, 0, 0]
    assert numbers(result.macro["audio"]) == numbers(result.micro["audio"]) == [1, 1, 1, 0]


def test_samples_without_a_truth_are_passed_over() -> None:
    result = evaluate([claiming([], [], [])], {}, draws=10)
    assert (result.samples, result.judged, result.wrong) == (0, 0, 0)
    assert numbers(result.micro["all"]) == numbers(result.macro["all"]) == [1, 1, 1, 0]


def test_a_span_of_several_sentences_is_judged_by_each_of_them() -> None:
    whole = attribute(make_trace(), replace(PRESETS["paper"], chunker="response"))
    (span,) = whole.spans
    ids = [whole.units.id.index(id) for id in ("text-0", "image-0")]
    span = replace(span, sources=tuple(Source(j, 1.0, 1.0, 1.0) for j in ids))
    result = scores(replace(whole, spans=(span,)))
    # Three sentences; each is said to come from the fact and the picture.
    assert numbers(result.micro["text"]) == pytest.approx([1 / 3, 1, 1 / 2, 3])
    assert numbers(result.micro["audio"]) == [0, 0, 0, 3]
    assert numbers(result.micro["all"]) == pytest.approx([2 / 6, 2 / 3, 4 / 9, 3])


def test_wider_units_claim_all_that_they_overlap() -> None:
    wide = claiming(["text-0"], ["image-0:1,1"], [], units=UnitConfig(text="part", image="grid"))
    result = scores(wide)
    assert numbers(result.micro["text"]) == pytest.approx([1 / 2, 1, 2 / 3, 3])
    assert numbers(result.micro["image"]) == [1, 1, 1, 3]


def test_modalities_that_the_gold_did_not_look_at_do_not_count() -> None:
    gold = gold_of_truth(make_trace(), THE_TRUTH)
    blind = replace(gold, scored=np.array([True, False, True, False]))
    result = evaluate([claiming(["text-0"], [], ["video-0:0-1"])], {gold.id: blind})
    assert [result.micro[name].spans for name in COLUMNS] == [3, 0, 3, 0, 3]
    assert numbers(result.micro["all"]) == pytest.approx([1, 1 / 2, 2 / 3, 3])


@st.composite
def golds(draw: st.DrawFn) -> tuple[Gold, np.ndarray[Any, np.dtype[np.bool_]]]:
    """A gold of random truth over the small prompt's space, and labels found."""
    gold = gold_of_truth(make_trace(), THE_TRUTH)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = gold.true.shape
    true, found = (rng.random(shape) < draw(st.sampled_from([0, 0.1, 0.5, 1])) for _ in range(2))
    some = replace(gold, true=true, judged=rng.random(3) < 0.8, scored=rng.random(4) < 0.8)
    return some, found


def literal(pairs: list[tuple[Gold, Any]], column: str) -> tuple[list[float], list[float]]:
    """Micro and macro P, R, F1 by the definitions, with sets."""
    pooled, own = [0, 0, 0], []
    for gold, found in pairs:
        scored = {Modality[c.upper()] for c, s in zip(COLUMNS, gold.scored, strict=False) if s}
        wanted = scored & ({Modality[column.upper()]} if column != "all" else scored)
        if column != "all" and not wanted:
            continue
        for k in np.flatnonzero(gold.judged):
            f, t = (
                {x for x in range(len(gold.space)) if m[k, x] and gold.space.kind[x] in wanted}
                for m in (found, gold.true)
            )
            counts = [len(f & t), len(f), len(t)]
            pooled = [a + b for a, b in zip(pooled, counts, strict=True)]
            own.append(literal_prf(*counts))
    macro = [sum(values) / len(own) for values in zip(*own, strict=True)] if own else [1.0] * 3
    return literal_prf(*pooled), macro


def literal_prf(right: int, found: int, true: int) -> list[float]:
    if not found and not true:
        return [1.0, 1.0, 1.0]
    p, r = right / found if found else 0.0, right / true if true else 0.0
    return [p, r, 2 * p * r / (p + r) if right else 0.0]


@given(st.lists(golds(), max_size=4))
def test_scores_equal_their_definitions(pairs: list[tuple[Gold, Any]]) -> None:
    judged = [replace_tally(gold, found) for gold, found in pairs]
    result = score(judged)
    for column in COLUMNS:
        micro, macro = literal(pairs, column)
        assert numbers(result.micro[column])[:3] == pytest.approx(micro)
        assert numbers(result.macro[column])[:3] == pytest.approx(macro)


def replace_tally(gold: Gold, found: Any) -> Any:
    return replace(judge(claiming([], [], []), gold), tally=tally(gold, found))


@given(st.lists(golds(), min_size=1, max_size=4), st.integers(0, 9))
def test_intervals_are_those_of_resampled_samples(pairs: list[tuple[Gold, Any]], seed: int) -> None:
    judged = [replace_tally(gold, found) for gold, found in pairs]
    result = score(judged, draws=40, seed=seed)
    weights = np.random.default_rng(seed).multinomial(
        len(pairs), np.full(len(pairs), 1 / len(pairs)), size=40
    )
    for column in ("text", "all"):
        drawn = [
            literal([p for p, times in zip(pairs, row, strict=True) for _ in range(times)], column)
            for row in weights.tolist()
        ]
        for kind, values in zip(("micro", "macro"), zip(*drawn, strict=True), strict=True):
            one = getattr(result, kind)[column]
            assert one.low == pytest.approx(np.percentile(values, 2.5, axis=0).tolist())
            assert one.high == pytest.approx(np.percentile(values, 97.5, axis=0).tolist())


def test_intervals_of_equal_samples_are_points() -> None:
    one = judge(claiming(["text-0", "text-1"], [], []), gold_of_truth(make_trace(), THE_TRUTH))
    text = score([one] * 5, draws=20).micro["text"]
    assert text.low == text.high == pytest.approx((text.precision, text.recall, text.f1))
    assert score([one] * 5).micro["text"].low is None
