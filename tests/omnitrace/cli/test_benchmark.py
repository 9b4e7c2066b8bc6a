"""`omnitrace benchmark`, as a user runs it, and the example of the documentation."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from omnitrace.cli import main
from replay import methods
from replay.methods import leaderboard

DOCS = Path(__file__).parents[3] / "docs" / "faithfulness.md"
SMALL = ["--samples", "1", "--modality", "text", "--axis", "units", "--axis", "absent"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


def run(folder: Path, *more: str) -> int:
    return main(["benchmark", str(folder), *SMALL, "--masks", "32", *more])


def test_the_leaderboard_has_every_method(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["samples"]) == ("omnitrace.leaderboard/1", 2)
    rows = {row["method"]: row for row in found["methods"]}
    assert list(rows) == list(leaderboard.ENTRIES)
    assert rows["contextcite"]["f1_all"]["value"] == 1
    assert rows["contextcite"]["calls"] > rows["loo"]["calls"] > rows["default"]["calls"] == 0
    assert rows["random"]["f1_by_axis"]["absent"] == 0
    assert rows["loo"]["f1_by_axis"] == {"units": 1.0, "absent": 1.0}
    assert rows["loo"]["seconds"] > 0


def test_the_example_of_the_documentation_competes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = DOCS.read_text("utf-8")
    [code] = [
        block for block in re.findall("```python\n(.*?)```", text, re.S) if "ENTRIES" in block
    ]
    assert len([line for line in code.splitlines() if line]) <= 20
    space: dict[str, Any] = {}
    try:
        exec(code, space)
        assert run(folder, "--method", "surprise", "--method", "random") == 0
    finally:
        methods.METHODS.pop("surprise")
        leaderboard.ENTRIES.pop("surprise")
    said = capsys.readouterr().out
    assert "surprise" in said
    assert "absent" in said


def test_what_there_is_not_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong, sentence in (
        (["--method", "lo"], "did you mean 'loo'"),
        (["--axis", "unit"], "did you mean 'units'"),
        (["--modality", "sound"], "there is no modality 'sound'"),
    ):
        assert main(["benchmark", str(tmp_path), *wrong]) == 2
        assert sentence in capsys.readouterr().err


def test_heads_are_learned_from_the_run_and_compete(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "learned.toml"
    assert main(["learn-heads", str(folder / "run"), str(out), "--ablations", "masks"]) == 2
    assert "has no ablations 'masks'" in capsys.readouterr().err
    assert main(["learn-heads", str(folder / "run"), str(out)]) == 0
    assert "from 2 spans of 2 samples" in capsys.readouterr().err
    assert main(["replay", str(folder / "run"), "--config", str(out), "--json"]) == 0
    assert '"signal": "attention"' in capsys.readouterr().out
    assert run(folder, "--method", "random", "--config", str(out), "--json") == 0
    rows = json.loads(capsys.readouterr().out)["methods"]
    assert [row["method"] for row in rows] == ["random", "learned"]
    assert rows[1]["calls"] == 0


def test_methods_are_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = str(folder / "run")
    assert main(["compare", place, "signal", "loo", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["summary"]["spans"]) == ("omnitrace.comparison/1", 2)
    assert main(["compare", place, "paper", "contextcite", "--sample", "text-units-20000"]) == 0
    said = capsys.readouterr().out
    assert "only paper" in said
    assert "1 spans: overlap" in said
    assert main(["compare", place, "paper", "contextsite"]) == 2
    assert "did you mean 'contextcite'" in capsys.readouterr().err
