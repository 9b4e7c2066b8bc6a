"""What the comparison with peers rests on and needs none of their packages."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.causal_truth import load, recorded
from benchmarks.peers.table import compete, differences, f1_difference, lds_difference, markdown
from benchmarks.peers.table import rows as rows_of
from benchmarks.peers.text_model import AS_IT_IS, export, log_probabilities, text_model
from benchmarks.peers.tokenshap import SUBSETS, Generating, shapley, similarities, subsets
from benchmarks.thresholds import LEASTS, SHARES, summary
from omnitrace import Run
from recorder.inputs.samples import read_samples
from recorder.models.adapter import Adapter
from recorder.planted.hard import make_hard
from replay.evaluation import Gold, Judgement, golds_of_truths
from replay.methods import AttributionTask
from replay.methods.leaderboard import CAUSAL, ENTRIES, Standing

SEED = 10_913
AXES = ("plain", "units", "near-duplicates", "length", "two", "absent")


@pytest.fixture(scope="module")
def adapter() -> Adapter:
    return load()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("peers")


@pytest.fixture(scope="module")
def made(folder: Path) -> tuple[Run, dict[str, Gold]]:
    """Texts of every axis, and a picture."""
    samples = [make_hard(SEED, "text", axis) for axis in AXES] + [make_hard(SEED, "image", "plain")]
    run, truths = recorded(samples, folder)
    return run, dict(golds_of_truths(run, truths))


def texts(run: Run) -> list[Any]:
    return [trace for trace in run.values() if not trace.media]


# The thinker as a text model.


def test_the_text_model_says_what_the_thinker_says(
    adapter: Adapter, made: tuple[Run, dict[str, Gold]]
) -> None:
    model = text_model(adapter.model)
    for trace in texts(made[0]):
        found = log_probabilities(model, trace.prompt_ids, trace.response_ids)
        ids = torch.from_numpy(np.append(trace.prompt_ids, trace.response_ids).astype(np.int64))
        with torch.inference_mode():
            logits = adapter.model(input_ids=ids[None]).logits[0, trace.n - 1 : -1]
        assert float((found - logits.log_softmax(-1)).abs().max()) <= 1e-4
        own = found[torch.arange(trace.T), trace.response_ids.astype(np.int64)]
        np.testing.assert_allclose(own.numpy(), trace.logprob, atol=1e-4)


def test_it_loads_from_its_folder_and_reads_the_recorded_tokens(
    adapter: Adapter, made: tuple[Run, dict[str, Gold]], tmp_path: Path
) -> None:
    export(adapter, tmp_path)
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path)
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.chat_template = AS_IT_IS
    assert type(model).__name__ == "Qwen2ForCausalLM"
    for trace in texts(made[0]):
        prompt = tokenizer.decode(trace.prompt_ids.tolist())
        asked = [{"role": "user", "content": prompt}]
        assert tokenizer.apply_chat_template(asked, tokenize=False) == prompt
        assert tokenizer.encode(prompt, add_special_tokens=False) == trace.prompt_ids.tolist()
        out = model.generate(torch.tensor([trace.prompt_ids.tolist()]), max_new_tokens=80)
        said = tokenizer.decode(out[0, trace.n :], skip_special_tokens=True)
        assert said == trace.response


# As TokenSHAP.


def test_similarity_is_the_cosine_of_tf_idf() -> None:
    answers = ["The lamp is red.", "The lamp is blue.", "nobody said", "", "The lamp is red."]
    found = similarities(answers[0], answers[1:])
    words = [Counter(a.lower().replace(".", "").split()) for a in answers]
    total = len(answers)
    idf = {
        word: math.log((1 + total) / (1 + sum(word in one for one in words))) + 1
        for word in set().union(*words)
    }
    vectors = [np.array([one[word] * idf[word] for word in sorted(idf)]) for one in words]
    for cosine, vector in zip(found, vectors[1:], strict=True):
        size = np.linalg.norm(vector) * np.linalg.norm(vectors[0])
        assert cosine == pytest.approx(vector @ vectors[0] / size if size else 0.0)
    assert similarities("…", ["a"]).tolist() == [0.0]


@settings(deadline=None, max_examples=40)
@given(units=st.integers(0, 12), most=st.integers(1, 80), seed=st.integers(0, 1000))
def test_subsets_leave_out_each_unit_and_are_all_different(
    units: int, most: int, seed: int
) -> None:
    kept = subsets(units, most, seed)
    assert len({row.tobytes() for row in kept}) == len(kept)
    assert not kept.all(axis=1).any()
    if units > 1:
        assert kept.any(axis=1).all()
        assert {tuple(row) for row in (~np.eye(units, dtype=bool)).tolist()} <= {*map(tuple, kept)}
        assert len(kept) == max(units, min(most, 2**units - 2))
    else:
        assert not len(kept)


@settings(deadline=None, max_examples=40)
@given(units=st.integers(1, 7), rows=st.integers(0, 20), seed=st.integers(0, 1000))
def test_a_score_is_the_mean_with_less_the_mean_without(units: int, rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    kept, value = rng.random((rows, units)) < 0.5, rng.random(rows)
    for unit, score in enumerate(shapley(kept, value)):
        there = [v for v, row in zip(value, kept, strict=True) if row[unit]]
        gone = [v for v, row in zip(value, kept, strict=True) if not row[unit]]
        assert score == pytest.approx(
            sum(there) / max(len(there), 1) - sum(gone) / max(len(gone), 1)
        )


def test_generating_anew_finds_what_the_answer_needs(
    adapter: Adapter, folder: Path, made: tuple[Run, dict[str, Gold]]
) -> None:
    generating = Generating(adapter, read_samples(folder / "samples.jsonl"))
    for modality in ("text", "image"):
        task = AttributionTask(made[0][f"{modality}-plain-{SEED}"], CAUSAL)
        scores = generating.scores(task)
        m = len(task.units)
        assert scores.shape == (len(task.spans), m)
        assert generating.calls(task) == min(SUBSETS, 2**m - 2)
        words = task.trace.response.strip(" .").split()[-1]
        if modality == "text":
            assert words in str(task.units.text[int(scores[0].argmax())])


# Tables.


def test_who_takes_text_alone_has_no_number_of_other_prompts(
    made: tuple[Run, dict[str, Gold]],
) -> None:
    run, golds = made
    entries = {name: ENTRIES[name] for name in ("random", "default", "length")}
    wide, narrow, whole = compete(run, golds, entries, ("default",))
    assert narrow.all is None
    assert wide.all is not None
    assert whole.all is not None
    assert [one.id for one in wide.all.judgements] == list(golds)
    assert len(narrow.text.judgements) == len(texts(run))
    pairs = [wide, narrow, whole]
    data = rows_of(pairs, {})
    assert data[1]["cannot"] == ["image", "audio", "video"]
    assert data[1]["all"] is None
    found = differences(wide, [narrow, whole])
    assert [row["all"] is None for row in found] == [True, False]
    assert all(row["text"]["f1"]["ci"] for row in found)
    counts = {"samples": len(golds), "texts": len(texts(run)), "masks": 0}
    tables = markdown({**counts, "methods": data, "differences": found})
    lines = [line for line in tables.splitlines() if line.startswith("| `default` | ")]
    cannot, can, _ = lines  # on all prompts, on texts, the pair
    assert set(cannot.split("|")[2:-1]) == {" — "}
    assert "—" not in can.split("|")[2]


def standing(name: str, lds: list[float], f1: list[tuple[int, int, int]]) -> Standing:
    made = Standing(name)
    for right, found, true in f1:
        tally = np.zeros((5, 7))
        tally[-1, :3] = right, found, true
        made.judgements.append(Judgement("a", "", "", tally, 1, 0))
    made.tallies["lds"].sums, made.tallies["lds"].counts = lds, [1] * len(lds)
    return made


def test_pairs_are_drawn_together() -> None:
    a = standing("a", [0.5, 0.1, 0.9], [(1, 1, 1), (0, 1, 1), (1, 2, 1)])
    b = standing("b", [0.4, 0.0, 0.8], [(1, 1, 1), (0, 1, 1), (1, 2, 1)])
    lds, f1 = lds_difference(a, b), f1_difference(a, b)
    assert (lds.value, lds.low, lds.high) == pytest.approx((0.1, 0.1, 0.1))
    assert (f1.value, f1.low, f1.high) == (0.0, 0.0, 0.0)
    worse = standing("c", [0.4, 0.0], [(0, 1, 1), (0, 1, 1), (1, 2, 1)])
    assert f1_difference(a, worse).value == pytest.approx(4 / 7 - 2 / 7)
    with pytest.raises(ValueError, match="same spans"):
        lds_difference(a, worse)


def test_of_many_best_thresholds_the_middle_one_is_taken() -> None:
    f1 = np.zeros((len(SHARES), len(LEASTS)))
    f1[2:5, 3] = 0.8
    found = summary(f1)
    assert (found["share"], found["least"], found["f1"]) == (SHARES[3], LEASTS[3], 0.8)
    assert len(found["tried"]) == f1.size
