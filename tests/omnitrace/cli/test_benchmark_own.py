"""`omnitrace benchmark --model`: a user's own model, samples and evidence, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from omnitrace.cli import main
from replay.methods.leaderboard import ENTRIES
from tests.recorder.toys import TOYS

PASSAGE = "The mill burned down in May. Its owner left for Riga.\nWhat happened to the mill?"
SENTENCES = ["The mill burned down.", "The owner left."]
QUOTES = ["The mill burned down in May.", "Its owner left for Riga."]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def samples(folder: Path, *ids: str) -> Path:
    rows = [{"id": id, "messages": [{"role": "user", "content": PASSAGE}]} for id in ids]
    return write(folder / "samples.jsonl", rows)


def truth(id: str) -> dict[str, Any]:
    """Both sentences, each with its quote, of the answer that is given."""
    sentences = [
        {"text": text, "evidence": [{"part": 0, "text": quote}]}
        for text, quote in zip(SENTENCES, QUOTES, strict=True)
    ]
    return {"id": id, "answer": " ".join(SENTENCES), "sentences": sentences}


def responses(folder: Path, *ids: str) -> Path:
    return write(folder / "r.jsonl", [{"id": id, "text": " ".join(SENTENCES)} for id in ids])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama3")
    TOYS["llama3"](folder)
    return folder


def test_the_same_leaderboard_of_a_model_and_samples_of_ones_own(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    read = samples(tmp_path, "a", "b", "c")
    labels = {"id": "b", "task": "fire", "labels": [{"text_source": [0]}, {"text_source": [1]}]}
    short = {"id": "c", "labels": [{"text_source": [0]}]}
    evidence = write(
        tmp_path / "labels.jsonl", [labels | {"id": "a", "task": "mill"}, labels, short]
    )
    recording = tmp_path / "recording.toml"
    recording.write_text('level = "layers"\n')
    command = ["benchmark", str(tmp_path / "bench"), "--model", str(model), "--samples", str(read)]
    command += ["--evidence", str(evidence), "--recording", str(recording), "--masks", "8"]
    command += ["--responses", str(responses(tmp_path, "a", "b", "c"))]
    assert main([*command, "--json"]) == 1  # one sample's labels do not fit
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["schema"] == "omnitrace.leaderboard/1"
    assert (found["samples"], found["masks"], list(found["failed"])) == (2, 8, ["c"])
    assert "labels.jsonl, line 3: there are 1 entries of labels" in found["failed"]["c"]
    assert "2 samples; 4 of 4 sentences are right and count." in said.err
    rows = {row["method"]: row for row in found["methods"]}
    assert list(rows) == list(ENTRIES)
    assert all(0 <= row["f1_text"]["value"] <= 1 and not row["failed"] for row in rows.values())
    assert rows["loo"]["drop-1"]["spans"] == 4
    assert rows["loo"]["calls"] > rows["default"]["calls"] == 0
    assert list(rows["length"]["f1_by_task"]) == ["mill", "fire"]
    assert "f1_image" not in rows["length"]
    # Again: nothing is recorded anew, and a table is shown.
    assert main([*command, "--method", "length", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["methods"][0]["seconds"] is None
    assert main([*command, "--method", "length"]) == 1
    assert "F1 by task" in capsys.readouterr().out


def test_truths_are_found_in_the_answers(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    read, evidence = samples(tmp_path, "a"), write(tmp_path / "truth.jsonl", [truth("a")])
    command = ["benchmark", "--model", str(model), "--samples", str(read), "--masks", "8"]
    command += ["--evidence", str(evidence), "--method", "length", "--json"]
    assert main([*command, "--responses", str(responses(tmp_path, "a"))]) == 0
    said = capsys.readouterr()
    assert "1 samples; 2 of 2 sentences are right and count." in said.err
    [row] = json.loads(said.out)["methods"]
    # Both passages are named for both sentences: the longer one, and what has half its tokens.
    assert row["f1_text"]["value"] == pytest.approx(2 / 3)


def test_an_evidence_file_of_the_gate_is_taken_too(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = zip(SENTENCES, QUOTES, strict=True)
    row = {"id": "a", "sentences": [{"text": t, "evidence": [quote]} for t, quote in pairs]}
    absent = {"id": "b", "sentences": [{"text": "It rains.", "evidence": [QUOTES[0]]}]}
    evidence = write(tmp_path / "evidence.jsonl", [row, absent])
    command = ["benchmark", "--model", str(model), "--samples", str(samples(tmp_path, "a", "b"))]
    command += ["--evidence", str(evidence), "--method", "length", "--json", "--masks", "8"]
    assert main([*command, "--responses", str(responses(tmp_path, "a", "b"))]) == 1
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["methods"][0]["f1_text"]["value"] == pytest.approx(2 / 3)
    assert found["failed"] == {"b": "sample 'b': its response does not hold 'It rains.'."}
    assert said.err.count("sample 'b': ") == 1


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--samples", "SAMPLES"], "name what is true of the samples: --evidence FILE"),
        (["--evidence", "TRUTH"], "name the samples file: --samples FILE"),
        (["--samples", "4", "--evidence", "TRUTH"], "name the samples file: --samples FILE"),
        (
            ["--samples", "SAMPLES", "--evidence", "FEW"],
            "has no line for 1 of 2 samples, the first",
        ),
        (["--samples", "SAMPLES", "--evidence", "MORE"], "names 'z', which"),
        (["--samples", "SAMPLES", "--evidence", "NONE"], "names no evidence of any sentence"),
        (["--samples", "SAMPLES", "--evidence", "GONE"], "cannot read"),
        (["--samples", "SAMPLES", "--evidence", "TRUTH", "--model", "EMPTY"], "EMPTY"),
        (
            ["--samples", "SAMPLES", "--evidence", "TRUTH", "--axis", "units"],
            "--axis is of planted",
        ),
        (["--samples", "SAMPLES", "--evidence", "TRUTH", "--split", "confirm"], "--split is of"),
        (["--samples", "SAMPLES", "--evidence", "TRUTH", "--responses", "FEW"], "FEW"),
        (["--samples", "SAMPLES", "--evidence", "TRUTH", "--recording", "FEW"], "FEW"),
        (["--samples", "SAMPLES", "--evidence", "TRUTH", "--method", "lo"], "did you mean 'loo'"),
    ],
)
def test_what_is_wrong_is_one_sentence_before_the_model_is_loaded(
    more: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], model: Path
) -> None:
    samples(tmp_path, "a", "b").rename(tmp_path / "SAMPLES")
    nothing = truth("a") | {"sentences": [{"text": SENTENCES[0], "evidence": []}]}
    write(tmp_path / "TRUTH", [truth("a"), truth("b")])
    write(tmp_path / "FEW", [truth("a")])
    write(tmp_path / "MORE", [truth("a"), truth("b"), truth("z")])
    write(tmp_path / "NONE", [nothing, nothing | {"id": "b"}])
    (tmp_path / "EMPTY").mkdir()
    named = [str(tmp_path / one) if one.isupper() else one for one in more]
    first = [] if "--model" in more else ["--model", str(model)]
    assert main(["benchmark", *first, *named]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert "Loading" not in said
    assert "Traceback" not in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("option", ["--evidence", "--responses", "--recording"])
def test_what_belongs_to_a_model_of_ones_own_needs_one(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["benchmark", option, str(tmp_path)]) == 2
    assert f"{option} is of a model of your own" in capsys.readouterr().err


def test_without_a_model_samples_are_a_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for wrong in (str(samples(tmp_path, "a")), "0", "10001"):
        assert main(["benchmark", "--samples", wrong]) == 2
        assert "without --model it is how many samples" in capsys.readouterr().err
