"""The benchmark on released models: what a hit is, and the numbers of a table."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from benchmarks.real import (
    Case,
    Outcome,
    by_scores,
    measure,
    outcome,
    position_prior,
    recut,
    summary,
    tables,
    word_overlap,
)
from benchmarks.real import methods as rows_of
from benchmarks.real_runs import turns
from omnitrace.evidence import EvidenceRow, QuotedSentence, truth
from recorder.tags import load_tagger
from replay.curate import Source
from replay.evaluation.gold import gold_of_truth
from replay.evaluation.truth import Truth
from replay.methods import AttributionTask
from tests.build import make_trace


def case_of(seed: int, quotes: tuple[int, ...] = (0, 1), name: str = "literal") -> Case:
    """A trace whose sentence k rests on the prompt's sentence `quotes[k]`."""
    trace = make_trace(f"{name}-{seed}", seed)
    sources = [trace.prompt_text[a:b] for a, b in trace.prompt_sentences.tolist()]
    texts = [trace.response[a:b] for a, b in trace.sentences.tolist()]
    rows = [QuotedSentence((sources[q],), text) for q, text in zip(quotes, texts, strict=False)]
    made = truth(trace, EvidenceRow(trace.id, tuple(rows)))
    gold = gold_of_truth(trace, msgspec.convert(made, Truth))
    return Case("toy", name, trace, gold, "report", True)


def test_a_hit_is_the_best_source_over_the_evidence() -> None:
    case = case_of(0)
    task = AttributionTask(case.trace, by_scores(word_overlap)[0])
    found = task.attribution
    units = [found.units.text.index(text) for text in found.units.text if text][:2]
    spans = tuple(
        replace(span, sources=tuple(Source(unit, share, share, share) for unit, share in own))
        for span, own in zip(
            found.spans,
            ([(units[0], 0.8), (units[1], 0.2)], [(units[0], 0.6), (units[1], 0.4)], []),
            strict=True,
        )
    )
    got = outcome(replace(found, spans=spans), case.gold)
    assert got.hit.tolist() == [True, False]
    assert got.confidence.tolist() == [0.8, 0.6]
    assert got.counts.tolist() == [[1, 2, 1], [1, 2, 1]]
    none = tuple(replace(span, sources=()) for span in found.spans)
    got = outcome(replace(found, spans=none), case.gold)
    assert (got.hit.tolist(), got.confidence.tolist()) == ([False, False], [0.0, 0.0])


def test_word_overlap_finds_sentences_with_the_same_words() -> None:
    case = case_of(0)
    config, attribute = by_scores(word_overlap)
    got = outcome(attribute(AttributionTask(case.trace, config)), case.gold)
    assert got.hit[0], "the answer says what the first sentence does"


def test_the_prior_prefers_places_where_evidence_lay() -> None:
    config, attribute = by_scores(position_prior([case_of(1, (1,))] * 5))
    got = attribute(AttributionTask(case_of(0).trace, config))
    best = {got.units.text[span.sources[0].unit] for span in got.spans}
    assert best == {"Anna lives in Oslo."}


def outcome_of(hits: list[bool]) -> Outcome:
    counts = np.array([[hit, 1, 1] for hit in hits], float)
    return Outcome(counts, np.array(hits), np.array([0.9 if hit else 0.3 for hit in hits]))


def test_scores_are_pooled_and_compared_in_pairs() -> None:
    rng = np.random.default_rng(0)
    good = [outcome_of([True, bool(rng.random() < 0.8)]) for _ in range(40)]
    worse = [Outcome(o.counts * [0, 1, 1], ~o.hit, o.confidence) for o in good]
    hits = float(np.mean([o.hit.mean() for o in good]))
    found = summary(good, worse)
    assert (found["samples"], found["sentences"]) == (40, 80)
    assert found["hit@1"][0] == found["f1"][0] == pytest.approx(hits, abs=1e-4)
    assert found["hit@1"][1] < hits < found["hit@1"][2]
    assert found["f1 over default"][0] == pytest.approx(hits, abs=1e-4)
    assert found["hit@1 over default"][0] == pytest.approx(2 * hits - 1, abs=1e-4)
    assert found["auc"][0] == 1.0
    assert summary(good, good)["f1 over default"] == [0, 0, 0]


def test_a_table_has_every_set_every_method_and_all_together() -> None:
    cases = [case_of(0), case_of(1, name="needle-1k"), case_of(2, name="paraphrased")]
    cases[1] = replace(cases[1], set="needle")
    rows = {name: row for name, row in rows_of(cases, []).items() if "attgrads" not in name}
    table = tables(cases, measure(cases, rows))
    assert list(table) == ["literal", "paraphrased", "needle", "needle 1k", "all"]
    assert all(set(own) == set(rows) for own in table.values())
    assert table["all"]["default"]["sentences"] == 6


def test_sets_take_turns_and_short_prompts_come_first() -> None:
    ids = {
        "own": [f"own-a-{n}" for n in range(5)],
        "needle": ["needle-8k-0", "needle-1k-0", "needle-2k-0"],
    }
    given = list(turns(ids))
    assert [name for name, _ in given] == ["own", "needle", "own", "needle", "own", "needle"]
    assert [len(own) for _, own in given] == [2, 1, 2, 1, 1, 1]
    assert [own[0] for name, own in given if name == "needle"] == [
        "needle-1k-0", "needle-2k-0", "needle-8k-0",
    ]  # fmt: skip
    assert sorted(id for name, own in given if name == "own" for id in own) == ids["own"]


def test_recordings_are_cut_as_today() -> None:
    trace = make_trace("a", 0)
    old = replace(trace, sentences=trace.sentences[:1], prompt_sentences=trace.prompt_sentences[:1])
    new = recut(old, load_tagger())
    assert [new.response[a:b] for a, b in new.sentences.tolist()] == [
        trace.response[a:b] for a, b in trace.sentences.tolist()
    ]
    assert len(new.prompt_sentences) >= len(trace.prompt_sentences)
    assert len(new.pos) == trace.T
