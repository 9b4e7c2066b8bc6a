"""Streams are scored as `evaluate` scores them; a stream that says nothing finds nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from omnitrace.timeline import Modality
from omnitrace.trace import Trace, pack_rows
from replay import PRESETS, attribute
from replay.analyses.streams import SOUND, VISION, stream_configs, streams
from replay.evaluation import evaluate
from replay.evaluation.gold import gold_of_truth
from replay.evaluation.truth import Evidence
from tests.build import make_trace
from tests.replay.analyses.golds import truth_of

CONFIG = PRESETS["paper"]
FILM = (Evidence(3, start_s=1.0, end_s=2.0),)


def hearing(trace: Trace) -> Trace:
    """The trace with all its score on the last second of the film's sound."""
    line = trace.timeline
    sound = (line.medium == 2) & (line.modality == Modality.AUDIO) & (line.start_s == 1)
    scores = np.zeros((trace.T, trace.n + trace.T), np.float32)
    scores[:, np.flatnonzero(sound)] = 1
    rows = replace(trace.signals["attmean"], values=pack_rows(scores, trace.n))
    return replace(trace, signals={"attmean": rows})


def test_what_is_heard_is_found_by_sound_only() -> None:
    trace = hearing(make_trace())
    golds = {trace.id: gold_of_truth(trace, truth_of(FILM, FILM, FILM))}
    result = streams([trace], CONFIG, golds)
    assert result.names == ("both, united", VISION, SOUND)
    assert [one.f1 for one in result.micro] == [1, 0, 1]


@pytest.mark.parametrize("video", ["united", "apart", "vision"])
def test_scores_are_those_of_evaluate(video: str) -> None:
    trace = make_trace()
    golds = {trace.id: gold_of_truth(trace, truth_of(FILM, FILM, FILM))}
    config = replace(CONFIG, units=replace(CONFIG.units, video=video))
    result = streams([trace], config, golds)
    for row, variant in enumerate(stream_configs(config).values()):
        expected = evaluate([attribute(trace, variant)], golds)
        assert result.micro[row].f1 == expected.micro["video"].f1
    assert result.names[0] == f"both, {'united' if video == 'vision' else video}"


def test_no_films() -> None:
    assert streams([], CONFIG, {}).empty
