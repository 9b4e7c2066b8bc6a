"""Many spans under many configurations at once keep what the paper's listing keeps, one by one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchmarks.literal_listing import curate_sources_with_conf
from benchmarks.stack import Stack, joined
from omnitrace.units import UnitConfig
from replay import CurationConfig, ReplayConfig, Replayer
from replay.batch.curation import CurationPlan, curate_many, totals
from replay.batch.vote_table import VoteTable, vote_table
from replay.chunk import chunk
from replay.curate import curate, votes
from replay.mapping import voting_steps
from tests.build import make_trace
from tests.replay.test_attribution import thinking_trace
from tests.replay.test_curate import Step, columns, configs, steps

Cells = list[list[Step]]


def table_of(cells: Cells) -> VoteTable:
    """The steps of each cell, their confidences rounded to float32."""
    flat = [step for cell in cells for step in cell]
    tags = tuple(dict.fromkeys(tag for _, tag, _ in flat))
    return VoteTable(
        cells=len(cells),
        cell=np.repeat(np.arange(len(cells), dtype=np.int32), [len(cell) for cell in cells]),
        source=np.array([source for source, _, _ in flat], np.int32),
        tag=np.array([tags.index(tag) for _, tag, _ in flat], np.int32),
        confidence=np.array([c for _, _, c in flat], np.float32),
        tags=tags,
    )


def rounded(cell: list[Step]) -> tuple[list[int], list[str], list[float]]:
    sources, pos, confidence = columns(cell)
    return sources, pos, [float(np.float32(c)) for c in confidence]


cells = st.lists(steps, max_size=5)
several = st.lists(configs, min_size=1, max_size=6)


@given(cells, several)
@example([[(1, "NOUN", 1.0), (0, "NOUN", 1.0)], [], [(2, "NOUN", 0.0)]], [CurationConfig()])
@example([[(s, "NOUN", 0.1) for s in (3, 1, 2, 3, 1, 2, 0)]], [CurationConfig(coverage=1.0)])
def test_sources_are_the_listings_in_its_order(made: Cells, chosen: list[CurationConfig]) -> None:
    found = curate_many(table_of(made), CurationPlan(chosen))
    for g, config in enumerate(chosen):
        for number, cell in enumerate(made):
            assert found.sources(g, number) == curate_sources_with_conf(*rounded(cell), config)


@given(cells, st.lists(configs, min_size=1, max_size=3), st.integers(0, 4))
def test_other_weights_and_gammas_by_the_function(
    made: Cells, chosen: list[CurationConfig], other: int
) -> None:
    varied = [
        replace(c, pos_other=other / 4, pos_weights={"NOUN": i / 3}) for i, c in enumerate(chosen)
    ]
    found = curate_many(table_of(made), CurationPlan(varied))
    for g, config in enumerate(varied):
        for number, (sources, pos, confidence) in enumerate(map(rounded, made)):
            kept = curate(sources, votes(pos, confidence, config), config).sources
            assert found.sources(g, number) == [source.unit for source in kept]


@given(st.lists(cells, max_size=4), configs)
def test_samples_curated_together_are_those_curated_apart(
    samples: list[Cells], config: CurationConfig
) -> None:
    plan = CurationPlan([config])
    together = curate_many(joined([table_of(made) for made in samples]), plan)
    apart = [(curate_many(table_of(made), plan), n) for made in samples for n in range(len(made))]
    assert [together.sources(0, n) for n in range(len(apart))] == [
        alone.sources(0, n) for alone, n in apart
    ]


@pytest.mark.parametrize("gamma", [0.0, 0.25, 0.37, 1.0, 2.0, 2.5, 3.0, 7.9, 8.0])
def test_powers_are_pythons_to_the_last_bit(gamma: float) -> None:
    confidence = np.random.default_rng(0).random(20_000, np.float32)
    cell = [(0, "NOUN", float(c)) for c in confidence]
    got = CurationPlan([CurationConfig(gamma=gamma)]).votes(table_of([cell]))[0]
    assert got.tolist() == [c**gamma for c in confidence.tolist()]


def test_sums_are_added_as_python_adds_them() -> None:
    # 0.1 ten times and thirds: sums whose order and rounding decide who is at the threshold.
    cell = [(i % 3, "NOUN", [0.1, 1 / 3, 0.7][i % 3]) for i in range(31)]
    sources, pos, confidence = rounded(cell)
    gammas = [g / 16 for g in range(1, 120)]
    for gamma in gammas:
        vote = votes(pos, confidence, CurationConfig(gamma=gamma))
        exact = CurationConfig(gamma=gamma, coverage=1.0, run_min=1.0)
        shares = [s.mass for s in curate(sources, vote, replace(exact, p_min=0.0)).sources]
        for share in shares:
            for p_min in (share, math.nextafter(share, 1.0)):
                config = replace(exact, p_min=p_min)
                kept = curate_many(table_of([cell]), CurationPlan([config])).sources(0, 0)
                assert kept == [s.unit for s in curate(sources, vote, config).sources]


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_what_is_not_finite_is_left_to_the_listing(odd: float) -> None:
    cell: list[Step] = [(0, "NOUN", 0.5), (1, "NOUN", odd), (0, "VERB", 0.25), (2, "NOUN", 1.0)]
    found = curate_many(table_of([cell, cell[:1]]), CurationPlan([CurationConfig()]))
    vote = votes(*rounded(cell)[1:], CurationConfig())
    kept = curate([0, 1, 0, 2], vote, CurationConfig()).sources
    assert found.sources(0, 0) == [source.unit for source in kept]
    assert found.sources(0, 1) == [0]


def test_nothing_to_curate() -> None:
    assert curate_many(table_of([]), CurationPlan([CurationConfig()])).kept.shape == (1, 0)
    assert curate_many(table_of([[], []]), CurationPlan([CurationConfig()])).sources(0, 1) == []


def test_totals_are_python_sums_where_those_are_compensated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = table_of([[(0, "NOUN", 0.1)] * 10, [], [(0, "NOUN", 0.3), (1, "VERB", 0.7)]])
    plan = CurationPlan([CurationConfig(gamma=1.0), CurationConfig(gamma=3.0)])
    monkeypatch.setattr("sys.version_info", (3, 12))
    found = totals(plan.votes(made), made)
    expected = [[sum(v[:10]), 0, sum(v[10:])] for v in plan.votes(made).tolist()]
    assert found.tolist() == expected


def test_a_stack_maps_samples_as_one_by_one() -> None:
    parts = []
    for seed, config in enumerate([UnitConfig(), UnitConfig(image="grid"), UnitConfig()]):
        trace = make_trace(seed=seed)
        units, masses = trace.units(config), Replayer(trace).mass(ReplayConfig(units=config))
        pieces = chunk(trace, "sentence")
        table = vote_table(trace, units, masses, "together", pieces)
        parts.append((table, masses[voting_steps(trace, pieces)]))
    expected = joined([table for table, _ in parts])
    got = Stack.of(parts).mapped()
    assert got.source.tolist() == expected.source.tolist()
    assert got.confidence.tolist() == expected.confidence.tolist()
    assert got.cell.tolist() == expected.cell.tolist()


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("part", ["all", "answer", "thinking"])
def test_a_part_of_a_response_is_curated_as_alone(seed: int, part: str) -> None:
    replayer = Replayer(thinking_trace(seed))
    config = ReplayConfig(chunker=["sentence", "window"][seed % 2], window=4, response=part)
    trace, units = replayer.trace, replayer.units(config.units)
    pieces, masses = replayer.spans(config), replayer.mass(config)
    table = vote_table(trace, units, masses, "together", pieces)
    found = curate_many(table, CurationPlan([config.curation]))
    spans = replayer.attribute(config).spans
    assert [found.sources(0, k) for k in range(len(pieces))] == [
        [source.unit for source in span.sources] for span in spans
    ]
    stacked = Stack.of([(table, masses[voting_steps(trace, pieces)])]).mapped()
    for name in ("cell", "source", "confidence"):
        assert np.array_equal(getattr(stacked, name), getattr(table, name))
