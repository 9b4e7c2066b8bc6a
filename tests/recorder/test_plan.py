"""The plan of a recording says what the recording then takes, and writes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from omnitrace import CommandError, open_run
from omnitrace.cli import main
from recorder import tracer
from recorder.config import LEVELS, RecordConfig
from recorder.models.qwen_omni import QwenOmni
from recorder.plan import plan
from recorder.record import record
from tests.recorder.conftest import user, write_rows
from tests.recorder.test_record import ROWS, bring, texts  # noqa: F401

CONFIG = RecordConfig(max_new_tokens=8)
FILES = Callable[..., Path]


@pytest.fixture(autouse=True)
def loaded_once(adapter: QwenOmni, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracer, "load_adapter", lambda *_: adapter)


@pytest.mark.parametrize("level", LEVELS)
def test_bytes_and_tokens_are_within_a_fifth(level: str, bring: FILES, tmp_path: Path) -> None:  # noqa: F811
    rows = [
        {"id": f"{row['id']} {copy}", "messages": [user(*["It is late."] * copy), *row["messages"]]}
        for copy in (1, 2)
        for row in ROWS
    ]
    samples, config = bring(rows), replace(CONFIG, level=level)
    planned = plan(samples, config)
    assert set(tmp_path.glob("run*")) == set()
    record(samples, tmp_path / "run", config)
    run = open_run(tmp_path / "run")
    assert {s.id: s.n for s in planned.samples} == {id: trace.n for id, trace in run.items()}
    assert [s.n for s in planned.samples] == sorted(s.n for s in planned.samples)
    spoken, expected = sum(t.T for t in run.values()), sum(s.T for s in planned.samples)
    assert expected == pytest.approx(spoken, rel=0.2)
    stored = sum(f.stat().st_size for f in (tmp_path / "run").rglob("*") if f.is_file())
    assert planned.nbytes == pytest.approx(stored, rel=0.2)
    assert planned.memory > 0
    assert planned.seconds > 0


def test_given_answers_have_known_lengths(bring: FILES, tmp_path: Path) -> None:  # noqa: F811
    samples = bring(texts("a", "b", "c"))
    given = [{"id": "a", "token_ids": [5] * 3}, {"id": "b", "token_ids": [5] * 40}]
    path = write_rows(tmp_path, given, "given.jsonl")
    planned = plan(samples, replace(CONFIG, responses=str(path), batch_size="2"))
    assert {s.id: s.T for s in planned.samples} == {"a": 3, "b": 40}
    assert not planned.measured_T
    assert "has no line for it" in planned.failed["c"]


def test_the_command_prints_it(
    bring: FILES,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "words.wav").write_text("These are words.")
    sound = {"id": "words", "messages": [{"role": "user", "content": [
        {"type": "audio", "audio": "words.wav"}]}]}  # fmt: skip
    samples, run = str(bring([*texts("a", "b"), sound])), str(tmp_path / "run")
    command = ["record", samples, run, "--plan", "--max-new-tokens", "4"]
    assert main([*command, "--json"]) == 1
    said, narrated = capsys.readouterr()
    found = json.loads(said)
    assert found["schema"] == "omnitrace.plan/1"
    assert [sample["id"] for sample in found["samples"]] == ["a", "b"]
    assert "sample 'words': " in narrated
    assert main(command) == 1
    said = capsys.readouterr().out
    assert "2 samples: " in said
    assert "answers as long as in 2 trials" in said
    assert not Path(run).exists()


def test_nothing_to_plan(bring: FILES, tmp_path: Path) -> None:  # noqa: F811
    samples = bring(texts("a"))
    given = write_rows(tmp_path, [{"custom_id": "a", "error": "x"}], "given.jsonl")
    planned = plan(samples, replace(CONFIG, responses=str(given)))
    assert (planned.samples, planned.nbytes, planned.trials) == ((), 0, 0)
    with pytest.raises(CommandError, match="--batch-size none"):
        plan(samples, replace(CONFIG, batch_size="none"))
