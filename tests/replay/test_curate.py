"""Curation equals the paper's listing, to the last tie."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchmarks.literal_listing import curate_sources_with_conf
from replay import CurationConfig, curate_sources
from replay.curate import Curation, Dropped, Source, curate, votes

Step = tuple[int, str, float]


def columns(steps: list[Step]) -> tuple[list[int], list[str], list[float]]:
    return [s for s, _, _ in steps], [p for _, p, _ in steps], [c for _, _, c in steps]


tags = st.sampled_from(["NOUN", "VERB", "ADJ", "ADV", "DET", "PUNCT", "X", "SPACE", "nonsense"])
few = st.sampled_from([0.0, -1.0, 0.1, 0.2, 0.5, 1.0])
steps = st.lists(st.tuples(st.integers(-1, 6), tags, few | st.floats(-1, 2)), max_size=40)
thresholds = st.sampled_from([0.0, 0.05, 0.07, 0.1, 0.2, 1 / 3, 0.5, 0.85, 1.0])
configs = st.builds(
    CurationConfig,
    coverage=thresholds,
    p_min=thresholds,
    run_min=thresholds,
    alpha=thresholds,
    gamma=st.sampled_from([0.0, 0.5, 1.0, 2.0]),
)


@given(steps, configs)
@example([(1, "NOUN", 1.0), (0, "NOUN", 1.0)], CurationConfig(coverage=0.5))
@example([(s % 10, "NOUN", 0.1) for s in range(30)], CurationConfig(p_min=0.1, run_min=1.0))
@example([(3, "PUNCT", 1.0)], CurationConfig())
@example(
    [(s // 7, "NOUN", 1.0) for s in range(8)],
    CurationConfig(coverage=1.0, p_min=0.2, run_min=0.125),
)
def test_curation_is_the_listing(steps: list[Step], config: CurationConfig) -> None:
    ids, pos, conf = columns(steps)
    assert curate_sources(ids, pos, conf, config) == curate_sources_with_conf(
        ids, pos, conf, config
    )


@given(steps, configs)
def test_every_source_is_kept_or_dropped_by_a_rule_that_holds(
    steps: list[Step], config: CurationConfig
) -> None:
    ids, pos, conf = columns(steps)
    vote = votes(pos, conf, config)
    curation = curate(ids, vote, config)
    if not sum(vote) > 0:
        assert curation == Curation()
        return
    units = [s.unit for s in curation.sources] + [d.unit for d in curation.dropped]
    assert sorted(units) == sorted(set(ids))
    covered = sum(source.mass for source in curation.sources)
    for source in curation.sources:
        assert source.mass >= config.p_min or source.run >= config.run_min
        assert source.run <= source.mass + 1e-12
    for dropped in curation.dropped:
        if dropped.rule == "coverage":
            assert covered >= config.coverage - 1e-12
        else:
            assert dropped.rule == "p_min"
            assert dropped.mass < config.p_min


def test_ties_go_to_the_source_that_came_first() -> None:
    two = (["NOUN"] * 2, [1.0, 1.0])
    assert curate_sources([7, 3], *two, CurationConfig()) == [7, 3]
    assert curate_sources([7, 3], *two, CurationConfig(coverage=0.5)) == [7]


def test_shares_runs_and_rules_by_hand() -> None:
    # Of 8 votes: source 5 has a run of 3.5; 2 and 1 have 2 each, in runs of 1; 6 has 0.5.
    vote = [1.0, 1.0, 1.0, 1.0, 3.5, 0.5]
    ids = [2, 1, 2, 1, 5, 6]
    config = CurationConfig(coverage=0.6, p_min=0.07, run_min=0.1, alpha=0.5)
    curation = curate(ids, vote, config)
    assert curation.sources == (Source(5, 0.4375, 0.4375, 0.4375), Source(2, 0.25, 0.125, 0.1875))
    assert curation.dropped == (Dropped(1, 0.25, "coverage"), Dropped(6, 0.0625, "coverage"))
    config = CurationConfig(coverage=1.0, p_min=0.07, run_min=0.1, alpha=0.5)
    assert curate(ids, vote, config).dropped == (Dropped(6, 0.0625, "p_min"),)


def test_votes_by_hand() -> None:
    config = CurationConfig(pos_other=0.25)
    conf = [0.5, 0.5, -0.5, 0.5, 2.0]
    assert votes(["NOUN", "PUNCT", "NOUN", "SYM", "VERB"], conf, config) == [
        0.25,
        0.0,
        0.0,
        0.0625,
        3.6,
    ]


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="same length"):
        curate_sources([1, 2], ["NOUN"], [1.0], CurationConfig())
