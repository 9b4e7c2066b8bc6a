"""`omnitrace options` and `omnitrace agree`, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omnitrace.cli import main
from replay.evaluation.labels import Labels, Supports, write_labels
from tests.omnitrace.cli.runs import write_kitchen

OPTIONS = '"options": ["The parcel weighs seven kilos.", "Anna lives in Oslo."]'


@pytest.fixture(scope="module")
def run_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kitchen(tmp_path_factory.mktemp("runs"), 2)


def test_options(run_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "options.jsonl"
    path.write_text(f'{{"id": "sample-1", {OPTIONS}, "answer": 1}}\n{{"id": "other", {OPTIONS}}}\n')
    assert main(["options", str(run_path), str(path), "--json"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document["schema"] == "omnitrace.options/1"
    assert document["chance"] == 0.5
    (sample,) = document["samples"]
    assert (sample["id"], sample["chosen"]) == ("sample-1", 0)
    assert sample["consistent"] == (sample["attributed"] == 0)
    assert err.startswith("1 samples with options, 1 options without sample")
    assert main(["options", str(run_path), str(path), "--units.text", "part"]) == 0
    out, err = capsys.readouterr()
    assert "by chance 50.0 %" in out
    assert "in 1 samples options share a source unit: cut text finer." in err


def test_options_that_do_not_fit(
    run_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "options.jsonl"
    path.write_text('{"id": "sample-0", "options": ["Bob", "Eve"]}\n')
    assert main(["options", str(run_path), str(path)]) == 1
    assert "options.jsonl, line 1: sample 'sample-0': its prompt" in capsys.readouterr().err
    path.write_text("")
    assert main(["options", str(run_path), str(path)]) == 1
    assert capsys.readouterr().err == "0 samples with options, 0 options without sample.\n"


def test_agree(run_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    some = tuple(Supports(text_source=(i,), image_source=(0,)) for i in range(3))
    other = tuple(Supports(text_source=(0,), image_source=(0,)) for _ in range(3))
    write_labels(a, [Labels("sample-0", some, task="qa"), Labels("sample-1", some)])
    write_labels(b, [Labels("sample-0", other)])
    assert main(["agree", str(a), str(b)]) == 0
    out, err = capsys.readouterr()
    assert "33.3" in out
    assert "100.0" in out
    assert f"1 samples in both, 1 only in {a}, 0 only in {b}." in err
    argv = ["agree", str(a), str(b), "--run", str(run_path), "--by", "task", "--json"]
    assert main(argv) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "omnitrace.agreement/1"
    assert document["agreement"]["qa"]["text"]["f1"] == pytest.approx(1 / 3)
    write_labels(b, [Labels("sample-0", (Supports(text_source=(9,)),) * 3)])
    assert main(["agree", str(a), str(b), "--run", str(run_path)]) == 1
    assert (
        "b.jsonl, line 1: labels of sentence 0: text_source has the id 9" in capsys.readouterr().err
    )
    write_labels(b, [])
    assert main(["agree", str(a), str(b)]) == 1
