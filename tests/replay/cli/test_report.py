"""`omnitrace report`: every format by its suffix, and what is said where it cannot."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from omnitrace.cli import main
from tests.build import make_trace
from tests.omnitrace.cli.runs import damage_a_segment
from tests.replay.report.pages import write_run


@pytest.fixture
def run(tmp_path: Path) -> str:
    return str(write_run(tmp_path / "kitchen", make_trace("sample-0"), make_trace("sample-1", 1)))


def test_formats(run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for suffix in ("csv", "json", "md", "parquet"):
        out = tmp_path / f"out.{suffix}"
        assert main(["report", run, str(out), "--preset", "release"]) == 0
        printed, said = capsys.readouterr()
        assert printed == ""
        assert "bytes" in said
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        assert {row["sample"] for row in csv.DictReader(file)} == {"sample-0", "sample-1"}
    assert (tmp_path / "out.md").read_text("utf-8").startswith("# kitchen")
    assert main(["replay", run, "--preset", "release", "--json"]) == 0
    printed, _ = capsys.readouterr()
    assert (tmp_path / "out.json").read_text("utf-8") == printed
    assert json.loads(printed)["schema"] == "omnitrace.attribution/1"


def test_a_page(run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, media = tmp_path / "page.html", tmp_path / "media"
    media.mkdir()
    assert main(["report", run, str(out), "--limit", "1", "--media", str(media)]) == 0
    page = out.read_text("utf-8")
    assert page.count("<article") == 1
    assert "are not under" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["out.pdf"], "no format 'pdf'"),
        (["out.html", "--limit", "-1"], "limit"),
        (["out.csv", "--labels", "nowhere.jsonl"], "nowhere.jsonl"),
        (["out.csv", "--signal", "attmeam"], "did you mean 'attmean'?"),
        (["no/such/folder/out.csv"], "cannot write the report"),
    ],
)
def test_used_wrongly(
    run: str, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["report", run, *arguments]) in (1, 2)
    assert message in capsys.readouterr().err


def test_a_damaged_segment_is_named_and_the_rest_is_written(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage_a_segment(Path(run))
    out = tmp_path / "out.csv"
    assert main(["report", run, str(out)]) == 1
    assert out.exists()
    assert "damaged" in capsys.readouterr().err
