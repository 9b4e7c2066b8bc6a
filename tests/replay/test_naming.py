"""`naming = "mass"`: sources are ranked by the masses of all voting steps of a span."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from omnitrace.units import UnitConfig
from replay import PRESETS, CurationConfig, Replayer, attribute
from replay.batch.curation import CurationPlan, curate_many
from replay.batch.vote_table import mass_table
from replay.config import POS_WEIGHTS
from replay.mapping import voting_steps
from tests.build import make_trace

PAPER = PRESETS["paper"]
FLAT = dict.fromkeys(POS_WEIGHTS, 1.0)


def curation(gamma: float, weights: Mapping[str, float], **over: float) -> CurationConfig:
    return CurationConfig(gamma=gamma, pos_weights=weights, pos_other=1.0, **over)


@pytest.mark.parametrize("gamma", [1.0, 2.0])
@pytest.mark.parametrize("weights", [FLAT, POS_WEIGHTS])
@pytest.mark.parametrize("seed", range(3))
def test_shares_are_weighted_masses(gamma: float, weights: Mapping[str, float], seed: int) -> None:
    trace = make_trace(seed=seed)
    config = replace(PAPER, naming="mass", curation=curation(gamma, weights, coverage=1, p_min=0))
    found = attribute(trace, config)
    voting = voting_steps(trace, Replayer(trace).spans(config))
    for span in found.spans:
        steps = [t for t in range(*span.steps) if voting[t]]
        total = [0.0] * len(found.units)
        for t in steps:
            for unit, mass in enumerate(found.mass[t].tolist()):
                total[unit] += weights.get(trace.pos[t], 1.0) * mass**gamma
        shares = np.array(total) / sum(total)
        assert [s.unit for s in span.sources] == np.argsort(-shares, kind="stable").tolist()
        assert np.allclose([s.mass for s in span.sources], np.sort(shares)[::-1])


def test_thresholds_cut_shares_of_mass() -> None:
    trace = make_trace(seed=4)
    every = replace(PAPER, naming="mass", curation=curation(1.0, FLAT, coverage=1, p_min=0))
    few = replace(every, curation=curation(1.0, FLAT, coverage=0.5, p_min=0.1, run_min=1.0))
    for span, all_of in zip(
        attribute(trace, few).spans, attribute(trace, every).spans, strict=True
    ):
        shares = {s.unit: s.mass for s in all_of.sources}
        kept, covered = [], 0.0
        for unit, share in shares.items():
            if covered < 0.5 and share >= 0.1:
                kept.append(unit)
                covered += share
        assert [s.unit for s in span.sources] == kept
        assert {d.unit for d in span.dropped} == {
            u for u, share in shares.items() if u not in kept and share >= 0.01
        }


def test_masses_name_what_votes_do_not() -> None:
    # Unit 1 is second at every step, and so has most of the mass but no vote.
    trace = make_trace()
    dense = np.zeros((trace.T, trace.n + trace.T), np.float32)
    units = trace.units(UnitConfig())
    first = units.ranges[units.offset[:-1], 0]
    for t in range(trace.T):
        dense[t, first[1]] = 0.4
        dense[t, first[2 + t % 3]] = 0.6
    rows = trace.signals["attmean"]
    mask = np.arange(trace.n + trace.T) < (trace.n + np.arange(trace.T))[:, None]
    trace = replace(trace, signals={"attmean": replace(rows, values=dense[mask])})
    by_votes, by_mass = (
        attribute(
            trace, replace(PAPER, chunker="response", naming=naming, curation=curation(1, FLAT))
        )
        for naming in ("votes", "mass")
    )
    assert 1 not in [s.unit for s in by_votes.spans[0].sources]
    assert by_mass.spans[0].sources[0].unit == 1


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("seed", range(5))
def test_the_batch_keeps_the_same_sources_in_the_same_order(name: str, seed: int) -> None:
    replayer = Replayer(make_trace(seed=seed))
    config = replace(PRESETS[name], naming="mass")
    plans = [
        curation(gamma, weights, coverage=cover, p_min=p_min)
        for gamma in (1.0, 2.5)
        for weights in (FLAT, POS_WEIGHTS)
        for cover in (0.4, 0.9)
        for p_min in (0.0, 0.1)
    ]
    trace, units = replayer.trace, replayer.units(config.units)
    pieces = replayer.spans(config)
    table = mass_table(trace, units, replayer.mass(config), config.competition, pieces)
    found = curate_many(table, CurationPlan(plans))
    for number, plan in enumerate(plans):
        spans = replayer.attribute(replace(config, curation=plan)).spans
        for k, span in enumerate(spans):
            kept = [
                unit
                for group in range(table.cells // len(spans))
                for unit in found.sources(number, group * len(spans) + k)
                if not units.unnamed[unit]
            ]
            assert kept == [source.unit for source in span.sources]


def test_infinite_masses_are_curated_alike() -> None:
    replayer = Replayer(make_trace())
    config = replace(PAPER, naming="mass")
    trace, units, pieces = replayer.trace, replayer.units(config.units), replayer.spans(config)
    masses = replayer.mass(config).copy()
    masses[2, 3] = np.inf
    table = mass_table(trace, units, masses, "together", pieces)
    with np.errstate(invalid="ignore"):
        found = curate_many(table, CurationPlan([config.curation]))
    assert found.sources(0, 0) == [3]
