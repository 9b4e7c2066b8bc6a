"""The gate, as a user calls it: what is kept, what is lost where, going on, and what is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnitrace import open_run
from omnitrace.ablations import log_sigmoid
from omnitrace.cli import main
from recorder import gate as gate_module
from recorder.gate_rules import GateConfig, Measured, funnel, lost_at
from recorder.inputs.samples import read_samples
from recorder.models.qwen_omni import QwenOmni
from recorder.passes.masked import Masked
from recorder.planted.samples import make_sample, write_samples

SEEDS = (20_500, 20_510, 20_520)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Samples, a run of them, and their evidence by sentences and by accepted answers."""
    folder = tmp_path_factory.mktemp("gated")
    planted = [make_sample(seed, "text") for seed in SEEDS]
    write_samples(planted, folder)
    command = ["record", str(folder / "samples.jsonl"), str(folder / "run")]
    assert main([*command, "--signals", "attmean", "--first-step", "query"]) == 0
    run = open_run(folder / "run")
    rows, first = [], []
    for sample in planted:
        assert run[sample.id].response == sample.answer, "the bundled model answers rightly"
        sentences = [(s.text, [str(e.text) for e in s.evidence]) for s in sample.sentences]
        sentences = [pair for pair in sentences if pair[1]]
        rows.append({"id": sample.id, "sentences": [_given(*pair) for pair in sentences]})
        text, quotes = sentences[0]
        own = {"accepted": ["nothing", text.upper()], "sentences": [{"evidence": quotes}]}
        first.append({"id": sample.id, **own})
    write(folder / "evidence.jsonl", rows)
    write(folder / "own.jsonl", first)
    return folder


def _given(text: str, quotes: list[str]) -> dict[str, Any]:
    return {"text": text, "evidence": quotes}


@pytest.fixture
def folder(recorded: Path, tmp_path: Path) -> Path:
    """A copy of it, to change."""
    return Path(shutil.copytree(recorded, tmp_path / "copy"))


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def call(folder: Path, *more: str, evidence: str = "evidence.jsonl") -> int:
    files = ["--evidence", str(folder / evidence), "--samples", str(folder / "samples.jsonl")]
    return main(["gate", str(folder / "run"), *files, *more])


def document(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    *more: str,
    evidence: str = "evidence.jsonl",
) -> dict[str, Any]:
    capsys.readouterr()
    call(folder, "--json", *more, evidence=evidence)
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_what_its_evidence_causes_is_kept(
    folder: Path, adapter: QwenOmni, capsys: pytest.CaptureFixture[str]
) -> None:
    found = document(folder, capsys)
    assert found["schema"] == "omnitrace.gate/1"
    run, rows = open_run(folder / "run"), read(folder / "evidence.jsonl")
    assert found["samples"] == found["right"] == found["stable"] == len(rows)
    assert found["kept"] == [row["id"] for row in rows]
    samples = {sample.id: sample for sample in read_samples(folder / "samples.jsonl")}
    for row, measured in zip(rows, found["measured"], strict=True):
        trace = run[row["id"]]
        assert measured["logprob"] == pytest.approx(float(trace.logprob.mean()), abs=1e-4)
        assert measured["same"] is None  # sentences are named, so nothing is accepted
        masked = Masked(adapter, adapter.prepare(samples[trace.id]))
        for sentence, fall in zip(row["sentences"], measured["falls"], strict=True):
            seen = np.ones((2, trace.n), bool)
            for quote in sentence["evidence"]:
                start = trace.prompt_text.index(quote)
                chars = trace.timeline.chars
                seen[1] &= (chars[:, 1] <= start) | (chars[:, 0] >= start + len(quote))
            assert 0 < (~seen[1]).sum() < trace.n / 2
            logprob = log_sigmoid(masked.log_odds(trace.response_ids, seen).astype(float))
            start = trace.response.index(sentence["text"])
            own = (trace.chars[:, 0] < start + len(sentence["text"])) & (trace.chars[:, 1] > start)
            assert fall == pytest.approx(float((logprob[0] - logprob[1])[own].mean()), abs=1e-3)


def test_evidence_of_something_else_is_no_cause(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = read(folder / "evidence.jsonl")
    first, second = rows[0]["sentences"][:2]
    rows[0]["sentences"][0] = {**first, "evidence": second["evidence"]}
    write(folder / "evidence.jsonl", rows)
    found = document(folder, capsys)
    assert found["lost"] == {rows[0]["id"]: "caused"}
    assert (found["right"], found["stable"], found["caused"]) == (3, 3, 2)


def test_own_answers_are_right_given_again_and_change(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = document(folder, capsys, evidence="own.jsonl")
    assert len(found["kept"]) == 3
    assert [(m["same"], m["changes"]) for m in found["measured"]] == [(True, True)] * 3
    rows = read(folder / "own.jsonl")
    rows[1]["accepted"] = ["The violin belongs to nobody."]
    write(folder / "own.jsonl", rows)
    found = document(folder, capsys, evidence="own.jsonl")
    assert found["lost"] == {rows[1]["id"]: "right"}


def test_the_same_command_goes_on_and_thresholds_need_no_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "gate.jsonl"
    assert call(folder, "--out", str(out)) == 0
    whole = out.read_bytes()
    lines = whole.splitlines(keepends=True)
    out.write_bytes(lines[0] + lines[1] + lines[2][:20])  # killed while it wrote
    assert call(folder, "--out", str(out)) == 0
    assert out.read_bytes() == whole

    def refuse(*_: object) -> None:
        raise AssertionError("the model is loaded")

    monkeypatch.setattr(gate_module, "load", refuse)
    found = document(folder, capsys, "--out", str(out), "--least-fall", "99")
    assert found["kept"] == []
    assert set(found["lost"].values()) == {"caused"}
    rows = read(folder / "evidence.jsonl")
    rows[2]["sentences"] = rows[2]["sentences"][:1]  # what changed is measured again
    write(folder / "evidence.jsonl", rows)
    with pytest.raises(AssertionError, match="the model is loaded"):
        call(folder, "--out", str(out))


def test_ids_and_truths_of_what_is_kept_go_to_evaluate(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids, truth = folder / "ids.txt", folder / "truth.jsonl"
    rows = read(folder / "own.jsonl")
    rows[0]["accepted"] = ["something else"]
    write(folder / "own.jsonl", rows)
    assert call(folder, "--ids", str(ids), "--truth", str(truth), evidence="own.jsonl") == 0
    kept = [row["id"] for row in rows[1:]]
    assert ids.read_text().split() == kept
    assert [row["id"] for row in read(truth)] == kept
    assert all(len(row["sentences"]) == 1 for row in read(truth))
    capsys.readouterr()
    assert main(["evaluate", str(folder / "run"), str(truth), "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["samples"] == 2
    assert scores["micro"]["text"]["f1"] > 0.5


def test_one_bad_sample_costs_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = read(folder / "evidence.jsonl")
    rows[0]["sentences"][0]["evidence"] = ["The moon is made of cheese."]
    write(folder / "evidence.jsonl", rows)
    assert call(folder) == 1
    shown = capsys.readouterr()
    assert "holds the evidence 'The moon is made of cheese.' 0 times, not once" in shown.err
    assert "caused" in shown.out
    assert document(folder, capsys)["kept"] == [row["id"] for row in rows[1:]]


def test_wrong_use_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder / "other.jsonl", [{"id": "nobody", "sentences": []}])
    assert call(folder, evidence="other.jsonl") == 2
    assert "has evidence of none of the samples" in capsys.readouterr().err
    assert call(folder, evidence="absent.jsonl") == 2
    assert "cannot read the evidence" in capsys.readouterr().err
    write(folder / "other.jsonl", [{"id": "text", "evidence": []}])
    assert call(folder, evidence="other.jsonl") == 1
    assert "line 1:" in capsys.readouterr().err
    note = folder / "note.txt"
    note.write_text("a note\n")
    assert call(folder, "--out", str(note)) == 2
    assert note.read_text() == "a note\n"
    evidence = ["--evidence", str(folder / "evidence.jsonl")]
    assert main(["gate", str(folder / "run"), *evidence]) == 2
    assert "--samples" in capsys.readouterr().err


def test_a_model_with_a_state_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gate_module, "is_recurrent", lambda config: True)
    assert call(folder) == 2
    assert "layers that carry a state" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("measured", "stage"),
    [
        (Measured("a", "", True, 0.01, -1.0, (0.5, 0.2)), ""),
        (Measured("a", "", False), "right"),
        (Measured("a", "", True, 0.2, -1.0, (0.5,)), "stable"),
        (Measured("a", "", True, 0.01, -9.0, (0.5,)), "stable"),
        (Measured("a", "", True, 0.01, -1.0, (0.5,), False, True), "stable"),
        (Measured("a", "", True, 0.01, -1.0, (0.5, 0.0)), "caused"),
        (Measured("a", "", True, 0.01, -1.0, ()), "caused"),
        (Measured("a", "", True, 0.01, -1.0, (0.5,), True, False), "caused"),
    ],
)
def test_the_stage_at_which_a_sample_is_lost(measured: Measured, stage: str) -> None:
    assert lost_at(measured, GateConfig()) == stage
    found = funnel([measured], GateConfig())
    assert found.lost == ({"a": stage} if stage else {})
    assert sum(found.passed.values()) == ["right", "stable", "caused", ""].index(stage)
