"""The thread from end to end, as a stranger pulls it: the demo, then files of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import omnitrace
import replay
from omnitrace.cli import main
from replay.evaluation import read_truths


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `omnitrace demo` leaves."""
    folder = tmp_path_factory.mktemp("thread") / "demo"
    assert main(["demo", str(folder)]) == 0
    return folder


def test_the_demo_answers_and_its_trace_is_whole(demo: Path) -> None:
    run = omnitrace.open_run(demo / "run")
    truths = read_truths(demo / "truth.jsonl")
    assert set(run) == set(truths)
    for id, trace in run.items():
        scores = trace.scores("attmean")
        assert scores.shape == (trace.T, trace.n + trace.T)
        assert scores.sum(axis=1) == pytest.approx(1, abs=1e-5)
        assert len(replay.attribute(trace).spans) == len(trace.sentences), id


def test_running_the_demo_again_resumes(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", str(demo)]) == 0
    out, err = capsys.readouterr()
    assert "4 there already" in err
    assert "omnitrace browse" in err
    assert out.count("truly because of") == 4


def test_replay_prints_what_python_says(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(demo / "run"), "--json", "--preset", "paper"]) == 0
    document = json.loads(capsys.readouterr().out)
    run = omnitrace.open_run(demo / "run")
    for sample in document["samples"]:
        attribution = replay.attribute(run[sample["id"]], replay.PRESETS["paper"])
        printed = [[source["unit"] for source in span["sources"]] for span in sample["spans"]]
        computed = [[attribution.units.id[s.unit] for s in p.sources] for p in attribution.spans]
        assert printed == computed


def test_the_readme_shows_what_replay_prints(demo: Path) -> None:
    arguments = ["replay", str(demo / "run"), "--sample", "mixed-0"]
    printed = subprocess.run(
        [sys.executable, "-m", "omnitrace", *arguments],
        env={**os.environ, "COLUMNS": "118"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    table = "\n".join(line.rstrip() for line in printed.splitlines())
    assert table in (Path(__file__).parents[1] / "README.md").read_text("utf-8")


def test_a_bad_sample_is_named_and_the_rest_is_recorded(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "noise.wav").write_text("not sound")
    rows = [
        {"id": "bad", "messages": [message("audio", "noise.wav")]},
        {"id": "good", "messages": [{"role": "user", "content": "Where is the lamp?"}]},
    ]
    samples = tmp_path / "samples.jsonl"
    samples.write_text("\n".join(map(json.dumps, rows)))
    assert main(["record", str(samples), str(tmp_path / "run"), "--max-new-tokens", "8"]) == 1
    err = capsys.readouterr().err
    assert "1 recorded, 1 failed" in err
    assert "sample 'bad'" in err
    assert "noise.wav cannot be decoded" in err
    assert list(omnitrace.open_run(tmp_path / "run")) == ["good"]


def test_another_model_does_not_join_a_run(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(demo, tmp_path / "demo")
    arguments = [str(copy / "samples.jsonl"), str(copy / "run"), "--max-new-tokens", "3"]
    assert main(["record", *arguments]) == 1
    assert "max_new_tokens" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["demo", str(tmp_path / "file" / "demo")]) == 2
    assert "cannot write the demo" in capsys.readouterr().err


def message(kind: str, path: str) -> dict[str, object]:
    return {"role": "user", "content": [{"type": kind, kind: path}]}
