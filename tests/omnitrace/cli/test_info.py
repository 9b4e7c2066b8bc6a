"""`omnitrace info`: which layers attend, of a run of a model in which not all do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omnitrace.cli.keeping.info import info
from omnitrace.store.writer import RunWriter


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    with RunWriter.open(path, {"model": "hybrid", "attention_layers": [3, 7, 11]}):
        pass
    return path


def test_the_attending_layers_are_shown(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert info(run) == 0
    shown = capsys.readouterr().out
    [line] = [line for line in shown.splitlines() if "attending layers" in line]
    assert "3, 7, 11" in line


def test_the_attending_layers_are_in_the_json(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert info(run, json=True) == 0
    assert json.loads(capsys.readouterr().out)["identity"]["attention_layers"] == [3, 7, 11]
