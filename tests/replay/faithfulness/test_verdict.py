"""Verdicts: which sources a removal confirms, what configurations make of them, from any masks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitrace.ablations import Ablations, Row
from omnitrace.trace import Trace
from replay import PRESETS, ReplayConfig, Replayer, attribute
from replay.attribution import Attribution
from replay.cli.replay import span_table
from replay.config import CauseStage
from replay.confirm import ranked, units_to_remove
from replay.curate import Dropped, Source
from replay.evaluation.scores import judge as score
from replay.faithfulness import span_log_odds
from replay.faithfulness.verdict import Verdict, judge, removals, verdict_words
from replay.mapping import visible_steps
from replay.sweep.scorer import Scorer
from tests.build import make_trace
from tests.replay.faithfulness.made import every_mask, needing
from tests.replay.sweep.golds import random_gold

PAPER = PRESETS["paper"]
EFFECT = st.one_of(st.just(float("nan")), st.floats(-5, 5))
M = 6


def with_removals(*units: int, mode: str = "mask", full: bool = True) -> Trace:
    """A trace in which the removal of some replay units alone is recorded; unit 1 is needed."""
    trace = make_trace()
    owner = trace.units(PAPER.units).owner_of_tokens(trace.n)
    whole = every_mask(trace, owner, needing(1, weight=6.0))
    count = int(owner.max()) + 1
    kept = np.array([np.arange(count) != unit for unit in ((-1,) if full else ()) + units])
    law = needing(1, weight=6.0)
    odds = np.array([[law(row) + 0.01 * t for t in range(trace.T)] for row in kept], np.float32)
    why = np.full(len(kept), Row.WITHOUT_UNIT, np.uint8)
    why[: int(full)] = Row.FULL
    made = Ablations(
        "any", mode, whole.unit_of, whole.request, kept, why, np.zeros(len(kept), bool), odds
    )
    return replace(trace, ablations={"any": made})


def causes(found: Attribution) -> dict[int, set[str]]:
    """The verdicts of each source unit."""
    said: dict[int, set[str]] = {}
    for span in found.spans:
        for source, verdict in zip(span.sources, span.judged, strict=True):
            said.setdefault(source.unit, set()).add(verdict.cause)
    return said


def test_sources_have_verdicts_where_their_removal_is_recorded() -> None:
    bare = attribute(make_trace(), PAPER)
    sources = {s.unit for span in bare.spans for s in span.sources}
    assert set.union(*causes(bare).values()) == {"untested"}
    assert 1 in sources
    assert len(sources) > 2
    other = min(sources - {1})
    found = attribute(with_removals(1, other), PAPER)
    assert [span.sources for span in found.spans] == [span.sources for span in bare.spans]
    expected = {1: {"caused"}, other: {"not needed"}}
    assert causes(found) == {unit: expected.get(unit, {"untested"}) for unit in sources}


def test_the_effect_is_what_the_log_odds_of_the_span_lose() -> None:
    trace = with_removals(1)
    rows, visible = trace.ablations["any"], visible_steps(trace)
    for span in attribute(trace, PAPER).spans:
        part = np.arange(trace.T)
        own = visible & (part >= span.steps[0]) & (part < span.steps[1])
        full, without = span_log_odds(rows.logprob[:, own])
        assert dict(span.verdicts)[1].effect == pytest.approx(full - without)


@pytest.mark.parametrize(
    "trace",
    [
        with_removals(1, mode="answer-mask"),
        with_removals(1, mode="remove"),
        with_removals(1, full=False),
    ],
    ids=["cheap", "another prompt", "no unmasked row"],
)
def test_rows_that_prove_nothing_give_no_verdict(trace: Trace) -> None:
    assert {cause for each in causes(attribute(trace, PAPER)).values() for cause in each} == {
        "untested"
    }


def test_only_a_mask_of_exactly_the_unit_tests_it() -> None:
    trace = make_trace()
    units = trace.units(PAPER.units)
    owner = units.owner_of_tokens(trace.n)
    every = every_mask(trace, owner, needing(1))
    whole = replace(trace, ablations={"mask": every})
    found = removals(whole, units, visible_steps(trace))
    assert found.tested.tolist() == [True] * (len(units) - 1) + [False]
    merged = replace(every, unit_of=np.where(owner == 1, 0, owner).astype(np.int32))
    coarse = replace(trace, ablations={"mask": merged})
    tested = removals(coarse, units, visible_steps(trace)).tested
    assert not tested[:2].any(), "the mask of two units tests neither"
    assert tested[2:-1].all()
    loose = replace(every, unit_of=np.where(np.arange(trace.n) == np.argmax(owner == 1), -1, owner))
    partial = replace(trace, ablations={"mask": loose})
    assert not removals(partial, units, visible_steps(trace)).tested[1], "a token of it stays"


def test_masks_of_attention_come_before_mean_embeddings() -> None:
    first, second = with_removals(1, mode="mean-embedding"), with_removals(1)
    worse = replace(second.ablations["any"], log_odds=second.ablations["any"].log_odds * 2)
    both = replace(second, ablations={"a": first.ablations["any"], "b": worse})
    units, visible = second.units(PAPER.units), visible_steps(second)
    found = removals(both, units, visible)
    np.testing.assert_array_equal(found.full[1][visible], worse.logprob[0][visible])


def test_what_is_removed_next() -> None:
    trace, tested = make_trace(), with_removals(1)
    found = attribute(trace, PAPER)
    asked = units_to_remove(trace, PAPER, 2)
    best = {unit for span in found.spans for unit in ranked(found, span)[:2]}
    assert asked.removed == tuple(sorted(best))
    assert set(units_to_remove(tested, PAPER, 2).removed) == best - {1}
    assert (
        units_to_remove(tested, replace(PAPER, confirmed="only"), 2).removed
        == units_to_remove(tested, PAPER, 2).removed
    ), "what is tested is chosen by votes"
    order = ranked(found, found.spans[0])
    assert sorted(order) == list(range(len(found.units)))
    assert order[: len(found.spans[0].sources)] == [s.unit for s in found.spans[0].sources]


def test_a_cause_much_smaller_than_the_largest_is_no_source() -> None:
    sources = [Source(unit, 0.5, 0.5, 0.5) for unit in (0, 1)]
    effects = np.array([1.2, 6.0])
    for share, kept in ((0.1, [1, 0]), (0.5, [1])):
        found = judge(sources, (), effects, CauseStage("only", 1.0, share))
        assert [source.unit for source in found.sources] == kept
        assert [drop.rule for drop in found.dropped] == ["cause_share"] * (2 - len(kept))
        assert {verdict.cause for _, verdict in found.verdicts} == {"caused"}


def test_configurations_use_the_verdicts() -> None:
    trace = with_removals(0, 1)
    off = attribute(trace, PAPER)
    rerank = attribute(trace, replace(PAPER, confirmed="rerank"))
    only = attribute(trace, replace(PAPER, confirmed="only"))
    for before, some, sole in zip(off.spans, rerank.spans, only.spans, strict=True):
        assert [source.unit for source in sole.sources] == [1]
        untested = [s.unit for s in before.sources if s.unit not in (0, 1)]
        assert [source.unit for source in some.sources] == [1, *untested]
        rules = {d.unit: d.rule for d in sole.dropped}
        for source in before.sources:
            if source.unit != 1:
                assert rules[source.unit] == ("not needed" if source.unit == 0 else "untested")
    strict = ReplayConfig(**(vars(PAPER) | {"confirmed": "rerank", "cause_nats": 99.0}))
    assert [s.sources for s in attribute(trace, strict).spans] == [s.sources for s in off.spans]


@given(
    effects=st.lists(EFFECT, min_size=M, max_size=M),
    order=st.permutations(range(M)),
    kept=st.integers(0, M),
    confirmed=st.sampled_from(("off", "rerank", "only")),
    nats=st.floats(0, 3),
    share=st.floats(0, 1),
)
def test_judging_loses_no_unit_and_invents_no_verdict(
    effects: list[float], order: list[int], kept: int, confirmed: str, nats: float, share: float
) -> None:
    sources = [Source(unit, 0.1, 0.1, 0.1) for unit in order[:kept]]
    dropped = [Dropped(unit, 0.05, "p_min") for unit in order[kept:]]
    found = judge(sources, dropped, np.array(effects), CauseStage(confirmed, nats, share))
    chosen, lost = [s.unit for s in found.sources], [d.unit for d in found.dropped]
    assert sorted(chosen + lost) == list(range(M))
    verdicts = dict(found.verdicts)
    assert set(verdicts) == {u for u in range(M) if not np.isnan(effects[u])}
    for unit, verdict in verdicts.items():
        assert verdict == Verdict(
            "caused" if effects[unit] >= nats else "not needed", effects[unit]
        )
    top = max((effects[unit] for unit in verdicts), default=0.0)
    caused = {u for u, v in verdicts.items() if v.cause == "caused" and effects[u] >= share * top}
    if confirmed == "off" or not verdicts:
        assert chosen == order[:kept]
    elif confirmed == "only" or caused:
        first = chosen[: len(caused)]
        assert set(first) == caused
        assert [effects[unit] for unit in first] == sorted(
            (effects[u] for u in first), reverse=True
        )
        rest = [u for u in order[:kept] if u not in verdicts] if confirmed == "rerank" else []
        assert chosen[len(caused) :] == rest
    else:
        assert chosen == order[:kept], "nothing that was tested caused it: the votes stay"


@pytest.mark.parametrize("confirmed", ["off", "rerank", "only"])
def test_sweeps_count_what_single_attributions_hold(confirmed: str) -> None:
    trace, gold = with_removals(0, 1), random_gold(0)
    configs = [replace(PAPER, confirmed=confirmed, cause_nats=nats) for nats in (0.5, 99.0)]
    found = Scorer(configs).tallies(Replayer(trace), gold)
    expected = [score(attribute(trace, config), gold).tally for config in configs]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_verdicts_in_words() -> None:
    assert verdict_words(Verdict("caused", 3.24)) == "caused (−3.2 nats)"
    assert verdict_words(Verdict("not needed", -0.5)) == "not needed (+0.5 nats)"
    assert verdict_words(Verdict()) == ""
    found = attribute(with_removals(1), PAPER)
    cells = [str(cell) for cell in span_table(found).columns[1].cells]
    tested = [1 in {source.unit for source in span.sources} for span in found.spans]
    assert any(tested)
    assert [" caused (−" in cell for cell in cells] == tested
