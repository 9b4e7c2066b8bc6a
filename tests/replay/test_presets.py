"""The presets `paper` and `release` select what literal transcriptions do, in the same order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from omnitrace.timeline import Medium
from omnitrace.trace import SignalRows, Trace
from omnitrace.units import UnitConfig
from replay import PRESETS, ReplayConfig, attribute
from replay.batch.curation import CurationPlan, curate_many
from replay.batch.vote_table import vote_table
from replay.chunk import chunk
from replay.config import UPOS
from tests.build import make_trace
from tests.replay import literal

LITERAL: dict[str, Callable[..., list[list[int]]]] = {
    "paper": literal.paper,
    "release": literal.release,
}


def random_trace(seed: int, grain: int, kept: frozenset[str]) -> Trace:
    """The small prompt with random scores, tags and sentences.

    Scores are multiples of 1/1024 up to grain/1024: sums are exact, and with a coarse grain ties
    abound. In half of the traces each step has one high score, so that sources vary. Media of
    kinds not in `kept` are called otherwise, as if the prompt had none.
    """
    rng, base = np.random.default_rng(seed), make_trace()
    n, steps = base.n, base.T
    count = steps * n + steps * (steps - 1) // 2
    values = (rng.integers(0, grain + 1, count) / 1024).astype(np.float32)
    begins = np.arange(steps) * n + np.arange(steps) * (np.arange(steps) - 1) // 2
    values[begins + rng.integers(0, n, steps)] += rng.choice([0, 8])
    first = (rng.integers(0, grain + 1, n) / 1024).astype(np.float32)
    breaks = np.flatnonzero(rng.random(steps) < rng.choice([0, 0.25]))
    starts = np.unique([0, *base.chars[breaks, 0].tolist()])
    ends = [*starts[1:].tolist(), len(base.response)]
    return replace(
        base,
        pos=tuple(rng.choice([*UPOS, "other"], steps).tolist()),
        sentences=np.stack([starts, ends], axis=1).astype(np.int32),
        signals={"attmean": SignalRows(values, first_row=first)},
        media=tuple(m if m.kind in kept else Medium("none", "", "") for m in base.media),
    )


seeds, grains = st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 7, 1000])
kinds = st.frozensets(st.sampled_from(["image", "audio", "video"]))
EVERY = frozenset({"image", "audio", "video"})


@given(seeds, grains, kinds, st.sampled_from(sorted(LITERAL)))
@example(0, 1, EVERY, "paper")
@example(0, 1, EVERY, "release")
def test_presets_select_what_the_literal_ones_do(
    seed: int, grain: int, kept: frozenset[str], name: str
) -> None:
    trace, config = random_trace(seed, grain, kept), PRESETS[name]
    attribution = attribute(trace, config)
    spans = [span.steps for span in attribution.spans]
    selected = [[source.unit for source in span.sources] for span in attribution.spans]
    assert selected == LITERAL[name](trace, attribution.units, spans)
    assert selected == at_once(trace, config)


def at_once(trace: Trace, config: ReplayConfig) -> list[list[int]]:
    """The sources of each span as a sweep finds them, among other configurations."""
    found = attribute(trace, config)
    pieces = chunk(trace, config.chunker)
    table = vote_table(trace, found.units, found.mass, config.competition, pieces)
    others = [replace(config.curation, gamma=1.0), replace(config.curation, coverage=0.3)]
    curations = curate_many(table, CurationPlan([others[0], config.curation, others[1]]))
    groups = table.cells // max(1, len(pieces))
    return [
        [unit for h in range(groups) for unit in curations.sources(1, h * len(pieces) + s)]
        for s in range(len(pieces))
    ]


def test_ties_and_every_rule_come_up() -> None:
    # What the property above compares: not only spans of one source.
    several, dropped = set(), set()
    for seed in range(60):
        found = attribute(random_trace(seed, 7, EVERY), PRESETS["paper"])
        several |= {len(span.sources) for span in found.spans}
        dropped |= {one.rule for span in found.spans for one in span.dropped}
    assert len(several) > 2
    assert dropped == {"coverage", "p_min"}


def test_the_literal_paper_by_hand() -> None:
    trace = make_trace()
    units = trace.units(UnitConfig())
    scores = np.zeros((trace.T, trace.n))
    scores[:, 11] = 0.5
    packed = np.concatenate([[*row, *[0.0] * t] for t, row in enumerate(scores)])
    traced = replace(trace, signals={"attmean": SignalRows(packed.astype(np.float32))})
    image = units.id.index("image-0")
    assert literal.paper(traced, units, [(0, 6), (6, trace.T)]) == [[image], [image]]
