"""Agreement between configurations, against Python sets."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from replay import PRESETS, attribute
from replay.analyses.stability import neighbours, stability
from tests.build import make_trace

CONFIG = PRESETS["paper"]
OTHERS = {"max": replace(CONFIG, reduce="max"), "rawatt": replace(CONFIG, signal="rawatt")}
TRACES = [make_trace(f"sample-{seed}", seed) for seed in range(3)]


def jaccard(one: set[int], other: set[int]) -> float:
    return len(one & other) / len(one | other) if one | other else 1.0


def test_agreement_is_that_of_sets() -> None:
    result = stability(TRACES, CONFIG, OTHERS)
    names = ("chosen", "max", "rawatt")
    assert result.configs == names
    configs = (CONFIG, *OTHERS.values())
    found = [
        [
            [{s.unit for s in span.sources} for span in attribute(trace, config).spans]
            for config in configs
        ]
        for trace in TRACES
    ]
    every = []
    for a, b in permutations(range(3), 2):
        values = [
            jaccard(one, other)
            for sample in found
            for one, other in zip(sample[a], sample[b], strict=True)
        ]
        assert result.agreement[a, b] == pytest.approx(np.mean(values))
        every += values
    assert result.overall.value == pytest.approx(np.mean(every))
    assert result.with_chosen["max"].value == pytest.approx(result.agreement[0, 1])
    assert np.mean(list(result.samples.values())) == pytest.approx(result.overall.value)
    assert [len(spans) for spans in result.spans.values()] == [3, 3, 3]


def test_the_same_configuration_agrees_with_itself() -> None:
    result = stability(TRACES, CONFIG, {"again": CONFIG})
    assert result.overall.value == 1
    assert stability(TRACES, CONFIG, {}).overall.value == 1


def test_presets_are_compared_on_the_chosen_units_and_spans() -> None:
    result = stability(TRACES, CONFIG, {"release": PRESETS["release"]})
    assert 0 <= result.overall.value < 1


def test_configurations_are_compared_on_the_chosen_part_of_the_response() -> None:
    trace = make_trace(meta={"thinking": [0, 30]})
    answer = replace(CONFIG, response="answer")
    assert stability([trace], answer, {"whole": CONFIG}).overall.value == 1
    assert len(stability([trace], answer, {"whole": CONFIG}).spans[trace.id]) == 2


def test_a_neighbour_changes_one_option_within_its_bounds() -> None:
    found = neighbours(CONFIG, TRACES[0])
    assert found["signal = rawatt"] == replace(CONFIG, signal="rawatt")
    assert found["reduce = max"] == replace(CONFIG, reduce="max")
    curation = replace(CONFIG.curation, coverage=1.0)
    assert found["curation.coverage = 1"] == replace(CONFIG, curation=curation)
    assert CONFIG not in found.values()
    assert {config.units for config in found.values()} == {CONFIG.units}
    assert not any(name.startswith("response") for name in found)
    flat = found["curation.pos_weights = 1"].curation
    assert set(flat.pos_weights.values()) == {1.0}


def test_a_neighbour_that_the_recording_cannot_serve_is_left_out() -> None:
    trace = TRACES[0]
    rows = {name: replace(rows, first_row=None) for name, rows in trace.signals.items()}
    assert "first_step = prompt-mean" in neighbours(CONFIG, trace)
    assert "first_step = prompt-mean" not in neighbours(CONFIG, replace(trace, signals=rows))


def test_options_are_ranked_by_their_worst_change() -> None:
    result = stability(TRACES, CONFIG)
    least: dict[str, float] = {}
    for name, estimate in result.with_chosen.items():
        option = name.split(" = ")[0]
        least[option] = min(least.get(option, 1.0), estimate.value)
    assert result.options == least
    assert list(result.options.values()) == sorted(least.values())
    assert result.to_dict()["knobs"] == least


def test_no_samples() -> None:
    assert stability([], CONFIG).empty
