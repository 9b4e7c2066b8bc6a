"""`omnitrace evaluate`: labels or truths, attributions or predictions, tables or JSON."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from omnitrace.cli import main
from replay.evaluation.labels import Labels, Supports, write_labels
from tests.omnitrace.cli.runs import damage_a_segment, write_kitchen
from tests.replay.evaluation.truths import SAID, THE_TRUTH

RIGHT = (
    Supports(text_source=(0,), image_source=(), audio_source=(), video_source=()),
    Supports(text_source=(), image_source=(0,), audio_source=(), video_source=()),
    Supports(text_source=(), image_source=(), audio_source=((1.0, 2.0),), video_source=()),
)


@pytest.fixture(scope="module")
def run_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kitchen(tmp_path_factory.mktemp("runs"), 3)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Right labels of two of the samples, one of a named task."""
    path = tmp_path / "labels.jsonl"
    write_labels(path, [Labels("sample-0", RIGHT, task="qa"), Labels("sample-2", RIGHT, SAID)])
    return path


def scored(capsys: pytest.CaptureFixture[str], *argv: object) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["evaluate", *map(str, argv), "--json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_a_table_and_what_was_not_scored(
    run_path: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(run_path), str(labels), "--bootstrap", "50"]) == 0
    out, err = capsys.readouterr()
    assert all(word in out for word in ("text", "image", "audio", "video", "macro F1", "–"))
    assert err == "2 samples scored, 1 without labels.\n"


def test_json(run_path: Path, labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = scored(capsys, run_path, labels, "--by", "task", "--preset", "release")
    assert document["schema"] == "omnitrace.evaluation/1"
    assert document["config"]["reduce"] == "max"
    assert (document["samples"], document["judged"], document["unlabelled"]) == (2, 6, 1)
    assert document["bootstrap"] == {"draws": 1000, "seed": 0, "level": 0.95}
    text = document["micro"]["text"]
    assert text["ci"]["f1"][0] <= text["f1"] <= text["ci"]["f1"][1]
    assert list(document["groups"]) == ["qa", "(no task)"]
    assert document["groups"]["qa"]["macro"]["all"]["spans"] == 3
    assert "ci" not in document["groups"]["qa"]["macro"]["all"]


def test_groups_and_modalities(
    run_path: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    groups = tmp_path / "groups.json"
    groups.write_text('{"sample-2": "summary", "sample-7": "never"}')
    document = scored(capsys, run_path, labels, "--by", "task", "--groups", groups)
    assert list(document["groups"]) == ["qa", "summary"]
    document = scored(capsys, run_path, labels, "--by", "modality")
    assert list(document["groups"]) == ["text+image+audio+video"]
    document = scored(capsys, run_path, labels, "--by", "sample")
    assert list(document["groups"]) == ["sample-0", "sample-2"]
    groups.write_text('{"sample-2": 3}')
    assert main(["evaluate", str(run_path), str(labels), "--groups", str(groups)]) == 1
    assert "expected {sample id: group}" in capsys.readouterr().err


def test_predictions_are_scored_in_the_modalities_that_they_speak_of(
    run_path: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "baseline.jsonl"
    guess = tuple(Supports(text_source=(0,), image_source=(0,)) for _ in SAID)
    write_labels(path, [Labels("sample-0", guess)])
    document = scored(capsys, run_path, labels, "--predictions", path, "--seconds", "0.5")
    assert document["predictions"] == str(path)
    assert document["seconds"] == 0.5
    assert "config" not in document
    assert document["samples"] == 1
    assert list(document["micro"]) == ["text", "image", "all"]
    assert document["micro"]["image"]["precision"] == pytest.approx(1 / 3)
    assert document["micro"]["image"]["recall"] == 1
    assert document["micro"]["all"]["f1"] == pytest.approx(2 * 2 / (6 + 2))
    document = scored(capsys, run_path, labels, "--predictions", labels)
    assert document["micro"]["all"]["f1"] == document["macro"]["all"]["f1"] == 1


def test_truths_are_labels_too(
    run_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "truth.jsonl"
    wrong = msgspec.structs.replace(THE_TRUTH.sentences[0], text="The parcel weighs six kilos.")
    one = msgspec.structs.replace(THE_TRUTH, sentences=(wrong, *THE_TRUTH.sentences[1:]))
    unknown = msgspec.structs.replace(THE_TRUTH, id="another")
    path.write_bytes(b"\n".join(msgspec.json.encode(row) for row in (one, unknown)))
    assert main(["evaluate", str(run_path), str(path)]) == 0
    err = capsys.readouterr().err
    assert "1 samples scored, 2 without labels; 1 sentences say nothing that is known" in err


@pytest.mark.parametrize(
    ("rows", "status", "says"),
    [
        ([Labels("another", ())], 1, "line 1: the run has no sample 'another'"),
        ([Labels("sample-0", RIGHT[:1])], 1, "line 1: there are 1 entries of labels"),
        ([], 1, "0 samples scored, 3 without labels"),
    ],
)
def test_labels_that_do_not_fit_end_it(
    run_path: Path,
    tmp_path: Path,
    rows: list[Labels],
    status: int,
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "labels.jsonl"
    write_labels(path, rows)
    assert main(["evaluate", str(run_path), str(path)]) == status
    assert says in capsys.readouterr().err


def test_used_wrongly(run_path: Path, labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["nope.jsonl"], [str(labels), "--seconds", "0"], [str(labels), "--by", "colour"]):
        assert main(["evaluate", str(run_path), *argv]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1


def test_damaged_samples_are_named_and_the_others_scored(
    run_path: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Path(shutil.copytree(run_path, tmp_path / "broken"))
    damage_a_segment(broken)
    write_labels(labels, [Labels(f"sample-{i}", RIGHT) for i in range(3)])
    assert main(["evaluate", str(broken), str(labels)]) == 1
    assert "2 samples scored, 1 not readable." in capsys.readouterr().err
