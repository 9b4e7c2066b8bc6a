"""`omnitrace judge`, as a user types it, against a server on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from omnitrace.cli import main
from omnitrace.store.writer import RunWriter
from replay.evaluation.labels import read_labels
from tests.build import make_trace
from tests.replay.evaluation.truths import with_media
from tests.replay.judge.server import Judge, judging, says, sends

GOOD = json.dumps([{"text_source": [0]}, {"text_source": []}, {"text_source": [1, 2]}])


@pytest.fixture(scope="module")
def run_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three samples of text, and one with media."""
    path = tmp_path_factory.mktemp("runs") / "kitchen"
    with RunWriter.open(path, {"model": "tiny", "signals": ["attmean", "rawatt"]}) as writer:
        for letter in "abc":
            trace = with_media(make_trace(letter), 0)
            text = trace.prompt_text.replace("Oslo", f"Osl{letter}")
            writer.add(replace(trace, prompt_text=text), letter)
        writer.add(make_trace("d"), "d")
        writer.commit()
    return path


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Judge]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setattr("replay.judge.client.time.sleep", lambda _: None)
    with judging() as running:
        running.turns = [says(GOOD)]
        yield running


def asking(judge: Judge, run: Path, out: Path, *flags: str) -> int:
    argv = ["judge", str(run), str(out), "--base-url", judge.url, "--model", "judge-1", *flags]
    return main(argv)


def test_estimate_label_and_resume(
    judge: Judge, run_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "labels.jsonl"
    prices = ("--price-prompt", "2.5", "--price-answer", "10")
    assert asking(judge, run_path, out, "--text-only", "--estimate", *prices) == 0
    said, err = capsys.readouterr()
    assert said.startswith("Estimate: 4 requests, ")
    assert "at the prices given" in said
    assert err == ""
    assert not out.exists()
    assert judge.asked == []
    assert asking(judge, run_path, out, "--text-only", "--yes", "--limit", "2") == 0
    said, err = capsys.readouterr()
    assert said == ""
    said = "2 labelled, 2 requests, 200 tokens of prompts, 20 of answers."
    assert said in err
    assert "sk-secret" not in err
    assert asking(judge, run_path, out, "--text-only", "--yes") == 0
    assert "2 labelled, 2 there already, 2 requests" in capsys.readouterr().err
    assert list(read_labels(out).by_id) == ["a", "b", "c", "d"]
    assert asking(judge, run_path, out, "--text-only") == 0
    assert "0 labelled, 4 there already, 0 requests" in capsys.readouterr().err
    assert main(["evaluate", str(run_path), str(out)]) == 0
    assert main(["agree", str(out), str(out), "--run", str(run_path)]) == 0


def test_media_must_be_named_and_spending_agreed_to(
    judge: Judge, run_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "labels.jsonl"
    assert asking(judge, run_path, out, "--yes") == 2
    assert "sample 'd' has the image 'circle.png': say with --media" in capsys.readouterr().err
    assert asking(judge, run_path, out, "--limit", "1") == 2
    assert "say --yes to go on" in capsys.readouterr().err
    assert asking(judge, run_path, out, "--media", str(tmp_path), "--yes") == 1
    err = capsys.readouterr().err
    assert "3 labelled, 1 failed" in err
    assert "sample 'd': image 'circle.png' is not there" in err
    assert list(read_labels(out).by_id) == ["a", "b", "c"]


def test_what_ends_it(
    judge: Judge, run_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "labels.jsonl"
    judge.turns = [sends(b'{"error": {"message": "no such model"}}', 404)]
    assert asking(judge, run_path, out, "--text-only", "--yes") == 2
    assert "says 404 to model 'judge-1'" in capsys.readouterr().err
    out.write_text('{"id": "z", "labels": [], "labeller": "judge-1"}\n')
    assert asking(judge, run_path, out, "--text-only", "--yes") == 1
    assert "line 1: the run has no sample 'z'" in capsys.readouterr().err
    assert asking(judge, run_path, out, "--tries", "0") == 2
    assert "--tries 0 is not legal" in capsys.readouterr().err


def test_the_estimate_needs_no_client() -> None:
    code = "import replay.cli.judge, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"openai", "av", "PIL", "torch", "recorder"} & set(done.stdout.split())
