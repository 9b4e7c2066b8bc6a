"""The budget against a plain loop over every step and token."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from omnitrace.timeline import Modality
from omnitrace.trace import Trace, pack_rows
from replay import PRESETS, attribute
from replay.analyses.budget import DECILES, budget
from replay.analyses.kinds import KINDS
from tests.build import make_trace


def kind_of(trace: Trace, token: int) -> str:
    if token >= trace.n:
        return "generated"
    if trace.timeline.modality[token] == Modality.SPECIAL:
        return "special"
    medium = trace.timeline.medium[token]
    return "text" if medium < 0 else trace.media[medium].kind


def test_shares_are_those_of_a_plain_loop() -> None:
    traces = [make_trace(f"sample-{seed}", seed) for seed in range(3)]
    result = budget((trace, attribute(trace, PRESETS["paper"])) for trace in traces)
    for kind in KINDS:
        shares = []
        for trace in traces:
            scores = trace.scores("attmean")
            steps = [
                sum(row[i] for i in range(len(row)) if kind_of(trace, i) == kind) / row.sum()
                for row in scores
            ]
            shares.append(np.mean(steps))
        assert result.mass[kind].value == pytest.approx(np.mean(shares), rel=1e-5)
    first = np.mean([np.mean(t.scores("attmean")[:, 0]) for t in traces])
    assert result.first_token.value == pytest.approx(first, rel=1e-5)
    assert result.samples == 3


def test_everything_is_spent_once() -> None:
    trace = make_trace()
    result = budget([(trace, attribute(trace, PRESETS["paper"]))])
    for column in (result.tokens, result.mass, result.votes, result.sources):
        assert sum(share.value for share in column.values()) == pytest.approx(1)
    # Special tokens are the template's, all else of this prompt is in a unit.
    outside = result.mass["special"].value + result.mass["generated"].value
    assert result.on_units.value == pytest.approx(1 - outside, abs=1e-6)
    assert result.over_answer.sum(axis=1) == pytest.approx(np.ones(DECILES))


def test_a_films_sound_is_the_films() -> None:
    trace = make_trace()
    scores = np.zeros((trace.T, trace.n + trace.T), np.float32)
    film = np.flatnonzero(trace.timeline.medium == 2)
    scores[:, film[trace.timeline.modality[film] == Modality.AUDIO]] = 1
    rows = replace(trace.signals["attmean"], values=pack_rows(scores, trace.n))
    heard = replace(trace, signals={"attmean": rows})
    result = budget([(heard, attribute(heard, PRESETS["paper"]))])
    assert (result.mass["video"].value, result.mass["audio"].value) == (1, 0)
    assert (result.votes["video"].value, result.sources["video"].value) == (1, 1)


def test_rows_without_mass_are_counted_and_left_out() -> None:
    trace = make_trace()
    scores = trace.scores("attmean")
    scores[:2] = 0
    rows = replace(trace.signals["attmean"], values=pack_rows(scores, trace.n))
    quiet = replace(trace, signals={"attmean": rows})
    result = budget([(quiet, attribute(quiet, PRESETS["paper"]))])
    assert result.silent == 2
    assert sum(share.value for share in result.mass.values()) == pytest.approx(1)
    none = replace(rows, values=np.zeros_like(rows.values))
    mute = replace(trace, signals={"attmean": none})
    assert budget([(mute, attribute(mute, PRESETS["paper"]))]).empty
    assert budget([]).empty
