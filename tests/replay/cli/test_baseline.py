"""`omnitrace baseline` by chance: files, thresholds, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from omnitrace import open_run
from omnitrace.cli import main
from omnitrace.store.writer import RunWriter
from replay.evaluation.sources import read_golds
from tests.build import make_trace
from tests.replay.evaluation.truths import THE_TRUTH

IDS = [f"sample-{number}" for number in range(12)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "run"
    with RunWriter.open(path, {"model": "tiny"}) as writer:
        for id in IDS:
            writer.add(make_trace(id), id)
    return path


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("truth") / "truth.jsonl"
    rows = [msgspec.json.encode(msgspec.structs.replace(THE_TRUTH, id=id)) for id in IDS]
    path.write_bytes(b"\n".join(rows))
    return path


def call(run: Path, out: Path, *flags: str) -> int:
    return main(["baseline", str(run), str(out), "--method", "random", *flags])


def true_labels(run: Path, out: Path) -> list[list[list[bool]]]:
    golds, opened = read_golds(out), open_run(run)
    return [golds.gold(opened[id]).true.tolist() for id in IDS]


def test_predictions_can_be_evaluated(
    run: Path, truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "random.jsonl"
    assert call(run, out) == 0
    assert "12 samples, text from 0.5 on, image from 0.5 on" in capsys.readouterr().err
    flags = ["--predictions", str(out), "--json", "--bootstrap", "0"]
    assert main(["evaluate", str(run), str(truth), *flags]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert set(scores["micro"]) == {"text", "image", "all"}


def test_seeds_and_time_are_other_baselines(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, flags in (("a", []), ("b", []), ("c", ["--seed", "1"]), ("d", ["--time"])):
        assert call(run, tmp_path / f"{name}.jsonl", *flags) == 0
    a, b, c, d = (true_labels(run, tmp_path / f"{name}.jsonl") for name in "abcd")
    assert a == b
    assert a != c
    assert str(d).count("True") > str(a).count("True")
    capsys.readouterr()
    assert call(run, tmp_path / "a.jsonl", "--seed", "1") == 2
    assert "a.kept.jsonl was computed by another baseline" in capsys.readouterr().err


def test_thresholds_are_chosen_and_shown(
    run: Path, truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "random.jsonl"
    flags = ["--labels", str(truth), "--thresholds", "0:1:0.1"]
    assert call(run, out, *flags, "--json") == 0
    made: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert made["schema"] == "omnitrace.thresholds/1"
    assert [row["threshold"] for row in made["thresholds"]] == [n / 10 for n in range(11)]
    best = max(row["micro"]["text"]["f1"] for row in made["thresholds"])
    [chosen] = [r for r in made["thresholds"] if r["threshold"] == made["chosen"]["text"]]
    assert chosen["micro"]["text"]["f1"] == best
    assert made["held_out"]["samples"] + chosen["samples"] == len(IDS)
    kept = true_labels(run, out)
    assert call(run, out, *flags) == 0
    shown = capsys.readouterr()
    assert shown.out.count("← ") == 2
    assert "other half" in shown.out
    assert f"text from {made['chosen']['text']:g} on" in shown.err
    assert kept == true_labels(run, out)


def test_other_files_are_left_alone(
    run: Path, truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "labels.jsonl"
    out.write_text("mine")
    assert call(run, out) == 2
    assert "is there already, and is no baseline's" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["labels.jsonl"]
    assert out.read_text() == "mine"
    assert call(run, tmp_path / "x.jsonl", "--labels", str(truth), "--threshold", "1") == 2
    assert "--labels has nothing to choose" in capsys.readouterr().err
    assert call(run, tmp_path / "gone" / "x.jsonl") == 2
    assert "cannot keep results in" in capsys.readouterr().err


def test_what_is_wrong_with_the_choice_is_said_first(
    run: Path, truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text('{"id": 1}')
    out = tmp_path / "random.jsonl"
    assert call(run, out, "--labels", str(wrong)) == 1
    assert "wrong.jsonl, line 1" in capsys.readouterr().err
    assert call(run, out, "--labels", str(truth), "--thresholds", "some") == 2
    assert "--thresholds some: write FROM:TO:STEP" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.jsonl"]


def test_an_unknown_method_is_named(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["baseline", str(run), str(tmp_path / "x.jsonl"), "--method", "chance"]) == 2
    assert "random" in capsys.readouterr().err


def test_an_empty_run_predicts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with RunWriter.open(tmp_path / "run", {"model": "tiny"}):
        pass
    assert call(tmp_path / "run", tmp_path / "x.jsonl") == 1
    assert "holds no sample" in capsys.readouterr().err
    assert not (tmp_path / "x.jsonl").exists()
