"""What the comparison on released models rests on and needs none of the peers' packages."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.peers import real, scored
from benchmarks.peers.attnlrp import patch
from benchmarks.peers.held import HeldTokenizer, aligned, masses_of_spans, recorded_ids
from benchmarks.peers.scored import Peer, read_scored, score_cases, task_of
from benchmarks.peers.words import bm25_of
from benchmarks.real import WITHOUT_REQUEST, Case, by_scores
from omnitrace.errors import OmniTraceError
from replay.methods import AttributionTask
from replay.methods.chance import random
from tests.benchmarks.test_real import case_of


class Words:
    """A tokenizer of whole words, to which no text gives back all of its ids."""

    eos_token, eos_token_id = "<end>", 9
    words = ("The", " lamp", " is", " red", ".", "\n")

    def decode(self, ids: list[int]) -> str:
        return "".join(self.eos_token if one == 9 else self.words[one] for one in ids)


def test_a_peer_gets_the_recorded_ids_of_a_text() -> None:
    held = HeldTokenizer(Words())
    text = held.hold([0, 1, 2, 3])
    assert text == "The lamp is red"
    assert held(text)["input_ids"] == [0, 1, 2, 3]
    assert held(text + "<end>", return_tensors="pt").input_ids.tolist() == [[0, 1, 2, 3, 9]]
    offsets = held(text, return_offsets_mapping=True)["offset_mapping"]
    assert [text[a:b] for a, b in offsets] == ["The", " lamp", " is", " red"]
    with pytest.raises(OmniTraceError, match="not recorded"):
        held("The lamp")


def test_scores_are_aligned_by_the_ids_of_their_tokens() -> None:
    scores = np.array([[1.0, 2.0], [3.0, 4.0]])
    found = aligned(scores, [5, 7], [5, 2, 7, 2])
    assert found.tolist() == [[1, 2], [0, 0], [3, 4], [0, 0]]
    assert aligned(scores, [5, 5], [5, 5]).tolist() == scores.tolist()
    with pytest.raises(OmniTraceError, match="not the recorded ones"):
        aligned(scores, [7, 5], [5, 2, 7])


def test_masses_are_sums_over_the_tokens_of_a_unit() -> None:
    task = AttributionTask(case_of(0).trace, WITHOUT_REQUEST)
    scores = np.random.default_rng(0).random((len(task.spans), task.trace.n))
    found = masses_of_spans(task, scores)
    units = task.units
    for unit in range(len(units)):
        ranges = units.ranges[units.offset[unit] : units.offset[unit + 1]].tolist()
        tokens = [token for start, end in ranges for token in range(start, end)]
        np.testing.assert_allclose(found[:, unit], scores[:, tokens].sum(axis=1))
    assert len(recorded_ids(task.trace)) == task.trace.n + task.trace.T


def test_bm25_by_hand() -> None:
    documents = [["a", "lamp", "a"], ["a", "door"], []]
    [found] = bm25_of([["a", "a", "lamp", "sun"]], documents)
    mean = 5 / 3
    rare, common = math.log1p(2.5 / 1.5), math.log1p(1.5 / 2.5)

    def share(count: int, length: int) -> float:
        return count * 2.2 / (count + 1.2 * (0.25 + 0.75 * length / mean))

    first = common * share(2, 3) + rare * share(1, 3)
    assert found == pytest.approx([first, common * share(1, 2), 0.0])
    assert bm25_of([[]], []).shape == (1, 0)


def peer_of(failing: str = "") -> Peer:
    """A peer that says what `random` does, and fails for one sample."""

    def scores(task: AttributionTask) -> Any:
        if task.trace.id == failing:
            raise OmniTraceError("its text has other tokens.")
        return random(task)

    return Peer(scores, lambda task: 3)


def test_what_a_peer_says_is_kept_and_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scored, "REAL", tmp_path)
    cases = [case_of(seed) for seed in range(3)]
    assert read_scored("toy", "one", cases) == {}
    assert score_cases("toy", "one", peer_of("literal-1"), cases, time.monotonic() - 1) == 0
    assert score_cases("toy", "one", peer_of("literal-1"), cases, math.inf) == 3
    kept = read_scored("toy", "one", cases)
    assert list(kept) == [case.trace.id for case in cases]
    assert list(read_scored("toy", "one", cases[:1])) == ["literal-0"]
    first, task = kept["literal-0"], task_of(cases[0])
    np.testing.assert_array_equal(first.of(task), random(task))
    assert (first.passes, kept["literal-1"].passes) == (3, 0)
    failed = kept["literal-1"]
    assert failed.failed == "its text has other tokens."
    assert not failed.of(task_of(cases[1])).any()
    # Of units that are cut otherwise, nothing is known.
    config = replace(WITHOUT_REQUEST, units=replace(WITHOUT_REQUEST.units, text="paragraph"))
    assert not first.fits(replace(task, config=config))
    monkeypatch.setattr(scored, "WITHOUT_REQUEST", config)
    assert read_scored("toy", "one", cases) == {}


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Case]:
    """Four cases of a model, the last of which not all of CORE have scored."""
    monkeypatch.setattr(scored, "REAL", tmp_path)
    cases = [case_of(seed) for seed in range(4)]
    found = {"literal": (cases, None)}
    monkeypatch.setattr(real, "read_cases", lambda model, name: found.get(name, ([], None)))
    for name in real.CORE:
        some = cases if name != "attnlrp" else cases[:3]
        score_cases("toy", name, peer_of("literal-1"), some, math.inf)
    score_cases("toy", "context-cite", peer_of(), cases[:1], math.inf)
    return cases


def test_the_table_has_the_samples_that_all_of_core_have_scored(model: list[Case]) -> None:
    found = real.table_of("toy", [])
    rows = found["methods"]
    assert found["samples"] == 3
    assert {*real.CORE, "context-cite", "default", "BM25", "random"} <= rows.keys()
    assert "loo" not in rows  # nothing was ablated
    assert rows["attnlrp"]["failed"] == 1
    assert rows["attnlrp"]["scores"]["all"]["samples"] == 3
    assert rows["context-cite"]["scores"]["all"]["samples"] == 1
    assert (rows["flashtrace"]["passes"], rows["BM25"]["passes"]) == (2.0, 0.0)
    # What a peer says is used: that of one that says what `random` does is what `random` finds,
    # but for the sample on which it failed.
    good = [case for case in model[:3] if case.trace.id != "literal-1"]
    ours, _ = real.measure(by_scores(random), good)
    hits = sum(one.hit.sum() for one in ours.values())
    sentences = rows["attnlrp"]["scores"]["all"]["sentences"]
    assert rows["attnlrp"]["scores"]["all"]["hit@1"][0] == pytest.approx(hits / sentences, abs=1e-4)
    text = real.markdown({"models": {"toy": found}})
    assert "`toy`, 3 samples that the gate kept" in text
    [line] = [line for line in text.splitlines() if line.startswith("| `context-cite`")]
    assert line.count(" (2) |") == 2  # its own number of sentences, of all and of the set
    json.dumps(found)


def test_scoring_goes_on_from_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scored, "REAL", tmp_path)
    monkeypatch.setattr(real, "PAUSE", 0.01)
    cases = [case_of(seed) for seed in range(3)]
    monkeypatch.setattr(real, "cases_of", lambda model, longest: cases)
    monkeypatch.setattr(real, "PEERS", {"attnlrp": lambda model: peer_of()})
    real.score(["toy"], ["attnlrp"], 0.005, 2)
    real.score(["toy"], ["attnlrp"], 0.005, 3)
    assert list(read_scored("toy", "attnlrp", cases)) == [case.trace.id for case in cases]
    said = capsys.readouterr().out
    assert said == "toy attnlrp: 2 of 2\ntoy attnlrp: 3 of 3\n"


def test_lxt_is_set_up_for_two_families() -> None:
    with pytest.raises(OmniTraceError, match="llama, gemma3_text, not qwen2"):
        patch("qwen2")
