"""Sources of models whose layers carry a state are replaced, not hidden, when they are removed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omnitrace import open_run
from omnitrace.cli import main
from tests.recorder.families.models import checkpoint


def test_sources_of_a_recurrent_model_are_replaced_by_the_mean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples, run = tmp_path / "samples.jsonl", tmp_path / "run"
    text = "A red kite flew over the hill. Anna lives in Oslo. Where does Anna live?"
    line = {"id": "one", "messages": [{"role": "user", "content": text}]}
    samples.write_text(json.dumps(line))
    command = ["record", str(samples), str(run), "--model", str(checkpoint("lfm2_vl"))]
    options = ["--signals", "attmean", "--first-step", "query", "--max-new-tokens", "6"]
    assert main([*command, *options, "--confirm", "2"]) == 0, capsys.readouterr().err
    trace = open_run(run)["one"]
    assert trace.ablation("confirm").mode == "mean-embedding"
    capsys.readouterr()
    assert main(["replay", str(run), "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)["samples"]
    causes = [source["cause"] for span in found["spans"] for source in span["sources"]]
    assert causes
    assert set(causes) <= {"caused", "not needed"}
    model = ["--samples", str(samples), "--model", str(checkpoint("lfm2_vl"))]
    assert main(["confirm", str(run), *model, "--preset", "paper"]) == 2
    assert "use --mode mean-embedding" in capsys.readouterr().err
