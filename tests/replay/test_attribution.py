"""The whole way: trace in, spans with curated sources out, for every preset."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitrace.errors import OmniTraceError
from omnitrace.timeline import Timeline
from omnitrace.trace import SignalRows, Trace, causal_mask, pack_rows
from omnitrace.units import UnitConfig
from replay import (
    PRESETS,
    CurationConfig,
    ReplayConfig,
    Replayer,
    attribute,
    curate_sources,
)
from tests.build import ANSWER, make_rows, make_trace

PAPER = PRESETS["paper"]


def traced_to(targets: list[int], trace: Trace | None = None) -> Trace:
    """A trace whose step t puts 0.9 on prompt token targets[t]; the rest is even."""
    trace = trace or make_trace()
    scores = causal_mask(trace.n, trace.T) * np.float32(0.1 / trace.n)
    scores[np.arange(trace.T), targets] = 0.9
    even = np.full(trace.n, 1 / trace.n, np.float32)
    rows = SignalRows(pack_rows(scores, trace.n), first_row=even)
    return replace(trace, signals={"attmean": rows})


def sources(trace: Trace, config: ReplayConfig) -> list[list[str]]:
    attribution = attribute(trace, config)
    return [[attribution.units.id[s.unit] for s in span.sources] for span in attribution.spans]


@pytest.mark.parametrize("name", ["default", "paper"])
def test_each_sentence_is_traced_to_its_cause(name: str) -> None:
    trace = traced_to([3] * 6 + [11] * 6 + [17] * 4)
    assert sources(trace, PRESETS[name]) == [["text-0"], ["image-0"], ["audio-0:1-2"]]


def test_the_steps_reader_sees_the_mapping_by_hand() -> None:
    attribution = attribute(traced_to([3] * 6 + [11] * 6 + [17] * 4), PAPER)
    trace = make_trace()
    even = 0.1 / trace.n
    assert attribution.unit.tolist() == [0] * 6 + [2] * 6 + [4] * 4
    others = np.repeat([4, 3, 1], [6, 6, 4])
    assert np.allclose(attribution.confidence, 0.9 + others * even)
    noun, punct = trace.pos.index("NOUN"), trace.pos.index("PUNCT")
    assert attribution.vote[noun] == pytest.approx(float(attribution.confidence[noun]) ** 2)
    assert attribution.vote[punct] == 0
    assert attribution.mass.shape == (trace.T, len(attribution.units))
    arrays = (attribution.mass, attribution.confidence, attribution.vote)
    assert {array.dtype.name for array in arrays} == {"float32"}


@given(st.integers(0, 1000), st.sampled_from(["sum", "max", "mean", "lift"]))
def test_together_is_the_papers_algorithm_step_by_step(seed: int, reduce: str) -> None:
    attribution = attribute(make_trace(seed=seed), replace(PAPER, reduce=reduce))
    pos = make_trace().pos
    assert np.array_equal(attribution.unit, attribution.mass.argmax(axis=1))
    for span in attribution.spans:
        steps = slice(*span.steps)
        conf = [float(c) for c in attribution.confidence[steps]]
        expected = curate_sources(
            attribution.unit[steps].tolist(), pos[steps], conf, CurationConfig()
        )
        assert [source.unit for source in span.sources] == expected


def test_an_unnamed_request_takes_its_votes_and_is_dropped() -> None:
    trace = traced_to([3] * 3 + [27] * 3 + [11] * 6 + [27] * 4)
    kept = attribute(trace, PAPER)
    assert [[kept.units.id[s.unit] for s in span.sources] for span in kept.spans] == [
        ["text-0", "text-2"],
        ["image-0"],
        ["text-2"],
    ]
    marked = attribute(trace, replace(PAPER, units=UnitConfig(request="unnamed")))
    assert sources(trace, marked.config) == [["text-0"], ["image-0"], []]
    for before, after in zip(kept.spans, marked.spans, strict=True):
        assert [s for s in before.sources if kept.units.id[s.unit] != "text-2"] == [*after.sources]
    assert [d.rule for d in marked.spans[2].dropped] == ["request"]
    again = attribute(trace, replace(PAPER, units=UnitConfig(request="remap")))
    assert again.spans[:2] == marked.spans[:2]
    assert again.spans[2].sources
    assert again.spans[2].dropped[:1] == marked.spans[2].dropped


@given(st.integers(0, 300), st.sampled_from(["sum", "mean"]))
def test_a_span_of_the_request_alone_has_the_best_of_the_other_units(
    seed: int, reduce: str
) -> None:
    """Literally: the mapping of its steps is repeated among the units that can be named."""
    trace = traced_to([27] * 16) if seed % 3 == 0 else make_trace(seed=seed)
    config = replace(PAPER, reduce=reduce, units=UnitConfig(request="remap"))
    found = attribute(trace, config)
    named = np.flatnonzero(~found.units.unnamed)
    assert len(named) == len(found.units) - 1
    among = found.mass[:, named]
    for span in found.spans:
        steps = slice(*span.steps)
        lost = "request" in [d.rule for d in span.dropped]
        every = [int(unit) for unit in found.unit[steps]]
        own = [float(c) for c in found.confidence[steps]]
        expected = [
            unit
            for unit in curate_sources(every, trace.pos[steps], own, config.curation)
            if not found.units.unnamed[unit]
        ]
        if lost and not expected:
            others = named[among[steps].argmax(axis=1)].tolist()
            best = [float(c) for c in among[steps].max(axis=1)]
            expected = curate_sources(others, trace.pos[steps], best, config.curation)
            assert expected
        assert [source.unit for source in span.sources] == expected


@pytest.mark.parametrize("naming", ["votes", "mass"])
@pytest.mark.parametrize("competition", ["together", "per-modality", "release"])
def test_no_span_loses_all_sources_to_the_request(naming: str, competition: str) -> None:
    trace = traced_to([27] * 16)
    config = replace(
        PAPER, naming=naming, competition=competition, units=UnitConfig(request="remap")
    )
    found = attribute(trace, config)
    for span in found.spans:
        assert span.sources
        assert not any(found.units.unnamed[source.unit] for source in span.sources)


def test_apart_every_modality_has_its_own_sources() -> None:
    trace = traced_to([3] * 6 + [11] * 6 + [17] * 4)
    config = replace(PAPER, competition="per-modality")
    first = sources(trace, config)[0]
    assert {"text-0", "image-0"} < set(first)
    kinds = [unit.split("-")[0] for unit in first]
    assert kinds == sorted(kinds, key=["text", "image", "audio", "video"].index)


def test_the_release_splits_the_votes_of_text_and_image() -> None:
    # Steps 0-2 look at the text, 3-5 at the image: together the text's share is judged against
    # both, apart it is the whole of its own.
    trace = traced_to([3] * 3 + [11] * 3 + [11] * 6 + [11] * 4)
    span = attribute(trace, PRESETS["release"]).spans[0]
    units = attribute(trace, PRESETS["release"]).units
    share = {units.id[s.unit]: s.mass for s in span.sources}
    assert share["text-0"] == pytest.approx(1)
    assert share["image-0"] == pytest.approx(1)
    together = attribute(trace, PAPER).spans[0]
    assert sum(s.mass for s in together.sources) == pytest.approx(1)


def test_the_releases_first_step_reads_the_prompt_mean() -> None:
    trace = traced_to([3] * 16)
    query = attribute(trace, replace(PRESETS["release"], first_step="query"))
    mean = attribute(trace, PRESETS["release"])
    assert not np.array_equal(query.mass[0], mean.mass[0])
    assert np.array_equal(query.mass[1:], mean.mass[1:])


def test_a_step_that_wrote_nothing_does_not_vote() -> None:
    base = make_trace()
    chars = np.concatenate([base.chars, [[len(base.response)] * 2]]).astype(np.int32)
    longer = make_trace(
        response_ids=np.zeros(17, np.int32),
        chars=chars,
        pos=(*base.pos, "X"),
        signals={"attmean": make_rows(np.random.default_rng(0), base.n, 17)},
    )
    trace = traced_to([17] * 16 + [11], longer)
    assert attribute(trace, PAPER).spans[-1].steps == (12, 17)
    assert attribute(trace, PAPER).vote[-1] == 0
    assert sources(trace, replace(PAPER, curation=CurationConfig(coverage=1.0)))[-1] == [
        "audio-0:1-2"
    ]


def empty(n: int, steps: int) -> Trace:
    """n template tokens, the first `steps` words of the answer."""
    base = make_trace()
    return make_trace(
        prompt_ids=np.zeros(n, np.int32),
        timeline=Timeline.blank(n),
        prompt_text="",
        prompt_sentences=np.empty((0, 2), np.int32),
        parts=(),
        media=(),
        response="".join(ANSWER[:steps]),
        response_ids=np.zeros(steps, np.int32),
        chars=base.chars[:steps],
        pos=base.pos[:steps],
        sentences=base.sentences[: 1 if steps else 0],
        signals={"attmean": make_rows(np.random.default_rng(0), n, steps)},
    )


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("steps", [0, 1])
def test_nothing_to_attribute_to(name: str, steps: int) -> None:
    attribution = attribute(empty(3, steps), PRESETS[name])
    assert attribution.unit.tolist() == [-1] * steps
    assert attribution.confidence.tolist() == [0.0] * steps
    assert [(s.sources, s.dropped) for s in attribution.spans] == [((), ())] * steps


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("steps", [0, 1])
def test_the_shortest_answers(name: str, steps: int) -> None:
    base = make_trace()
    trace = make_trace(
        response="The"[: 3 * steps],
        response_ids=base.response_ids[:steps],
        chars=base.chars[:steps],
        pos=base.pos[:steps],
        sentences=np.array([[0, 3]] * steps, np.int32).reshape(-1, 2),
        signals={"attmean": make_rows(np.random.default_rng(0), base.n, steps)},
    )
    attribution = attribute(trace, PRESETS[name])
    assert attribution.mass.shape == (steps, len(attribution.units))
    assert [span.text for span in attribution.spans] == ["The"] * steps
    assert all(span.sources for span in attribution.spans)


def test_a_replayer_answers_as_attribute_does_and_keeps_the_masses() -> None:
    trace = make_trace()
    replayer = Replayer(trace)
    weighed = (
        CurationConfig(gamma=1.0),
        CurationConfig(p_min=0.2),
        CurationConfig(pos_other=0.9),
        CurationConfig(pos_weights={"NOUN": 0.5}),
    )
    changed = (replace(PAPER, curation=curation) for curation in weighed)
    for config in (*PRESETS.values(), PAPER, *changed):
        kept, fresh = replayer.attribute(config), attribute(trace, config)
        assert kept.spans == fresh.spans
        assert np.array_equal(kept.mass, fresh.mass)
        assert np.array_equal(kept.vote, fresh.vote)
    again = replace(PAPER, curation=CurationConfig(coverage=0.5), competition="per-modality")
    assert replayer.attribute(again).mass is replayer.mass(PAPER)
    assert replayer.units(UnitConfig()) is replayer.attribute(PAPER).units


def thinking_trace(seed: int) -> Trace:
    """A small trace with thinking from one random character to another."""
    trace = make_trace(seed=seed)
    start, end = sorted(np.random.default_rng(seed).choice(len(trace.response) + 1, 2, False))
    return replace(trace, meta={"thinking": [int(start), int(end)]})


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("chunker", ["sentence", "release", "clause", "window", "response"])
def test_thinking_and_answer_are_the_spans_of_all(seed: int, chunker: str) -> None:
    trace = thinking_trace(seed)
    start, end = trace.thinking or (0, 0)
    inside = [start <= first < end for first in trace.chars[:, 0].tolist()]
    base = replace(PAPER, chunker=chunker, window=5, indirect=(seed % 3) / 2)
    whole, answer, thought = (
        attribute(trace, replace(base, response=part)) for part in ("all", "answer", "thinking")
    )
    assert answer.spans == tuple(span for span in whole.spans if not span.thinking)
    assert thought.spans == tuple(span for span in whole.spans if span.thinking)
    for span in whole.spans:
        assert {*inside[slice(*span.steps)]} == {span.thinking}
    for part, own in ((answer, ~np.array(inside)), (thought, np.array(inside))):
        assert [t for span in part.spans for t in range(*span.steps)] == np.flatnonzero(
            own
        ).tolist()
        assert np.array_equal(part.vote, np.where(own, whole.vote, 0))
        assert part.vote.dtype == np.float32
        for name in ("mass", "unit", "confidence"):
            assert np.array_equal(getattr(part, name), getattr(whole, name))


@given(st.integers(0, 1000), st.sampled_from(["sentence", "window", "response"]))
def test_a_span_of_thinking_is_curated_by_the_paper(seed: int, chunker: str) -> None:
    trace = thinking_trace(seed)
    attribution = attribute(trace, replace(PAPER, chunker=chunker, window=4))
    for span in attribution.spans:
        steps = slice(*span.steps)
        conf = [float(c) for c in attribution.confidence[steps]]
        ids = attribution.unit[steps].tolist()
        expected = curate_sources(ids, trace.pos[steps], conf, CurationConfig())
        assert [source.unit for source in span.sources] == expected


@pytest.mark.parametrize("name", PRESETS)
def test_without_thinking_the_answer_is_everything(name: str) -> None:
    trace, base = make_trace(), PRESETS[name]
    whole, answer = (attribute(trace, replace(base, response=part)) for part in ("all", "answer"))
    assert answer.spans == whole.spans
    assert np.array_equal(answer.vote, whole.vote)
    nothing = attribute(trace, replace(base, response="thinking"))
    assert nothing.spans == ()
    assert not nothing.vote.any()


def test_all_parts_of_a_response_share_their_masses() -> None:
    replayer = Replayer(thinking_trace(0))
    masses = {id(replayer.mass(replace(PAPER, response=part))) for part in ("all", "answer")}
    assert len(masses) == 1
    whole, answer = (
        replayer.attribute(replace(PAPER, response=part)) for part in ("all", "answer")
    )
    assert len(answer.spans) < len(whole.spans)
    assert attribute(replayer.trace, replace(PAPER, response="answer")).spans == answer.spans


def test_a_signal_that_was_not_recorded() -> None:
    with pytest.raises(OmniTraceError, match="no signal 'attgrads'"):
        attribute(make_trace(), ReplayConfig(signal="attgrads"))
