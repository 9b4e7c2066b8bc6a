"""A replayer keeps results by stage: whatever option changes, it answers as a fresh one does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitrace.ablations import Ablations, Row
from omnitrace.config import Leaf, build, leaves, nested
from omnitrace.errors import OmniTraceError
from omnitrace.timeline import Segmentation, Segments
from omnitrace.trace import Tagging, Trace
from omnitrace.units import UnitConfig
from replay import PRESETS, CurationConfig, ReplayConfig, Replayer
from replay.config import TokenConfig
from replay.words import sinks_warning
from tests.build import make_trace
from tests.replay.test_rows import with_queries

PAPER = PRESETS["paper"]
UNIT_FILE = json.dumps({"id": "sample-0", "units": [{"label": "it", "part": 1}]})
PRIOR_FILE = json.dumps(
    {
        "schema": "omnitrace.prior/1",
        "signal": "attmean",
        "samples": {"other": {"text": [k / 8 for k in range(32)], "audio": [None, *[2] * 31]}},
    }
)
CALIBRATION_FILE = json.dumps(
    {"schema": "omnitrace.calibration/1", "intercept": -1, "weights": {"top": 1, "nameable": 1}}
)
FILES = {
    "units.file": UNIT_FILE,
    "tokens.prior": PRIOR_FILE,
    "reliability.calibration": CALIBRATION_FILE,
}
OTHERS: dict[str, list[Any]] = {
    "signal": ["rawatt"],
    "layers": ["1", "0:0.7,2:0.3"],
    "heads": ["0.1", "1.0:0.7,0.0:-0.2"],
    "tags": ["loud"],
    "units.audio_segments": ["halves"],
    "units.file": [UNIT_FILE],
    "tokens.prior": [PRIOR_FILE],
    "reliability.calibration": [CALIBRATION_FILE],
    "tokens.outliers": [1.5],
    "tokens.activation": [2.0],
}
"""Other values of options that do not name their legal ones; a file's is what it holds."""


def others(leaf: Leaf) -> list[Any]:
    """Values of an option other than that of the presets."""
    if leaf.path in OTHERS:
        return OTHERS[leaf.path]
    if isinstance(leaf.value, dict):
        return [dict.fromkeys(leaf.value, 0.7)]
    if leaf.field.metadata["choices"]:
        return [choice for choice in leaf.field.metadata["choices"] if choice != leaf.value]
    low, high, step = leaf.field.metadata["bounds"]
    near = [low, leaf.value - step, leaf.value + step, high]
    return [type(leaf.value)(value) for value in near if low <= value <= high]


def single_removals(trace: Trace) -> Ablations:
    """Nothing removed, then each unit of the paper's alone, with log-odds that are drawn."""
    owner = trace.units(PAPER.units).owner_of_tokens(trace.n)
    count = int(owner.max()) + 1
    kept = np.array([np.arange(count) != unit for unit in range(-1, count)])
    why = np.full(len(kept), Row.WITHOUT_UNIT, np.uint8)
    why[0] = Row.FULL
    none = np.zeros(count, bool)
    odds = np.random.default_rng(0).normal(size=(len(kept), trace.T)).astype(np.float32)
    return Ablations("any", "mask", owner, none, kept, why, np.zeros(len(kept), bool), odds)


def rich_trace() -> Trace:
    """A trace of which every option reads another part."""
    trace = make_trace(layers=3, meta={"thinking": [0, 27]})
    tagging = Tagging("loud", ("NOUN",) * trace.T, trace.sentences[:1], trace.prompt_sentences[:1])
    halves = {
        index: Segments.of([(0.0, 0.5, "a"), (0.5, 9.0, "b")])
        for index, medium in enumerate(trace.media)
        if medium.kind in ("audio", "video")
    }
    # One token is without a letter, one a marker.
    text = trace.prompt_text.replace("lives ", "----- ").replace("Anna ", "<ab> ")
    return replace(
        trace,
        prompt_text=text,
        taggings={"loud": tagging},
        segmentations={"halves": Segmentation("halves", halves)},
        ablations={"any": single_removals(trace)},
        arrays={**with_queries().arrays, "activation": np.arange(trace.n, dtype=np.float32) / 8},
    )


FROM_FILES = {
    "prior": ("tokens.prior", PRIOR_FILE),
    "calibrated": ("reliability.calibration", CALIBRATION_FILE),
}
"""Bases that read a file: the option, and what the file holds."""
LEAVES = {leaf.path: leaf for leaf in leaves(PAPER)}
CHANGES = [(leaf.path, value) for leaf in LEAVES.values() for value in others(leaf)]


def changed(config: ReplayConfig, path: str, value: Any, folder: Path) -> ReplayConfig:
    """`config` with another value; what a file holds is written to it."""
    if path in FILES:
        value = str(folder / path)
        Path(value).write_text(FILES[path], "utf-8")
    return build(config, nested({path: value}), path)


def outcome(replayer: Replayer, config: ReplayConfig) -> object:
    """All that an attribution holds, or the sentence that says why there is none."""
    try:
        found = replayer.attribute(config)
    except OmniTraceError as error:
        return str(error)
    units = [array.tobytes() for array in (found.units.ranges, found.units.offset)]
    scores = found.mass, found.unit, found.confidence, found.vote, found.places, found.dropped
    arrays = [a.tobytes() for a in scores]
    words = sinks_warning(found)
    return found.config, found.units.id, found.units.text, units, arrays, found.spans, words


BASES = {
    **PRESETS,
    "grid": replace(PAPER, units=UnitConfig(image="grid", video="apart", vision_seconds=1.0)),
    "sinks": replace(PAPER, tokens=TokenConfig(heaviest=3, baseline="usual")),
    "windows": replace(PAPER, chunker="window"),
    "heads": replace(PAPER, signal="attention", heads="0.0"),
    "confirmed": replace(PAPER, confirmed="only", cause_nats=0.0),
    "strict": replace(
        PAPER, curation=CurationConfig(1.0, p_min=0.5, run_min=0.4, pos_weights={"NOUN": 0.5})
    ),
}


def base_of(name: str, folder: Path) -> ReplayConfig:
    """A base by name."""
    return changed(PAPER, *FROM_FILES[name], folder) if name in FROM_FILES else BASES[name]


def test_every_option_is_changed() -> None:
    assert {path for path, _ in CHANGES} == {*LEAVES}


@given(base=st.sampled_from([*FROM_FILES, *sorted(BASES)]), change=st.sampled_from(CHANGES))
def test_a_replayer_forgets_no_option(
    tmp_path_factory: pytest.TempPathFactory, base: str, change: tuple[str, Any]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    trace, first = rich_trace(), base_of(base, folder)
    second = changed(first, *change, folder)
    replayer = Replayer(trace)
    for config in (first, second, first):
        assert outcome(replayer, config) == outcome(Replayer(trace), config)


def test_every_option_changes_an_attribution(tmp_path: Path) -> None:
    # All pairs of the property above, which could not fail for an option that changes nothing.
    trace, silent = rich_trace(), {*LEAVES}
    for base in (base_of(name, tmp_path) for name in (*FROM_FILES, *BASES)):
        replayer = Replayer(trace)
        before = outcome(replayer, base)
        for path, value in CHANGES:
            config = changed(base, path, value, tmp_path)
            found = outcome(replayer, config)
            assert found == outcome(Replayer(trace), config)
            if isinstance(before, tuple) and isinstance(found, tuple) and found[1:] != before[1:]:
                silent.discard(path)
    assert silent == set()
