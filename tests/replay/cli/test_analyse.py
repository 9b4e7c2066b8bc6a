"""`omnitrace analyse`: tables, JSON and figures, and what is said where it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from omnitrace.cli import main
from omnitrace.store.writer import RunWriter
from replay.analyses import ANALYSES
from tests.build import make_trace
from tests.omnitrace.cli.runs import damage_a_segment
from tests.replay.analyses.golds import FACT, PICTURE, TONE, truth_of


@pytest.fixture
def run(tmp_path: Path) -> str:
    """A run of three samples, each in a segment of its own."""
    path = tmp_path / "kitchen"
    with RunWriter.open(path, {"model": "tiny", "signals": ["attmean", "rawatt"]}) as writer:
        for seed in range(3):
            writer.add(make_trace(f"sample-{seed}", seed), f"key-{seed}")
            writer.commit()
    return str(path)


UNAIDED = [name for name, one in ANALYSES.items() if not one.needs_gold]
AIDED = [name for name, one in ANALYSES.items() if one.needs_gold]


@pytest.mark.parametrize("name", AIDED)
def test_with_labels(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    labels = tmp_path / "truth.jsonl"
    truths = [truth_of((FACT,), (PICTURE,), (TONE,), id=f"sample-{s}") for s in range(3)]
    labels.write_bytes(b"\n".join(msgspec.json.encode(truth) for truth in truths))
    assert main(["analyse", run, name, "--labels", str(labels)]) == 0
    assert capsys.readouterr().out
    assert main(["analyse", run, name]) == 2
    assert "give --labels FILE" in capsys.readouterr().err


@pytest.mark.parametrize("name", UNAIDED)
def test_a_table_and_json(run: str, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main(["analyse", run, name]) == 0
    out, err = capsys.readouterr()
    assert out
    assert err == ""
    assert main(["analyse", run, name, "--preset", "release", "--reduce", "mean", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["analysis"]) == ("omnitrace.analysis/1", name)
    assert document["config"]["reduce"] == "mean"
    assert document["config"]["chunker"] == "release"


def test_list(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyse", run, "--list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in ANALYSES)
    assert main(["analyse", run, "--list", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in document["analyses"]] == list(ANALYSES)


def test_a_figure(run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "budget.svg"
    assert main(["analyse", run, "budget", "--figure", str(path)]) == 0
    assert path.read_text("utf-8").startswith("<?xml")
    assert "drawn" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name an analysis: position"),
        (["positions"], "no analysis 'positions': did you mean 'position'?"),
        (["position", "--figure", "f.pdf"], "ends in .svg or .png"),
        (["position", "--signal", "attmeam"], "did you mean 'attmean'?"),
        (["budget", "--units.audio-segments", "words"], "has no segmentation 'words'"),
    ],
)
def test_used_wrongly(
    run: str, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["analyse", run, *arguments]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert out == ""


@pytest.mark.parametrize("name", UNAIDED)
def test_a_damaged_segment_is_named_and_the_rest_goes_on(
    run: str, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    damage_a_segment(Path(run))
    assert main(["analyse", run, name, "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["result"]
    assert "damaged" in err or "sample-" in err


def test_an_empty_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "empty"
    with RunWriter.open(path, {"model": "tiny", "signals": ["attmean"]}):
        pass
    for name in UNAIDED:
        assert main(["analyse", str(path), name]) == 0
        out, err = capsys.readouterr()
        assert out == ""
        assert "nothing in this run speaks to it" in err
