"""`omnitrace learn-heads`: an unreadable sample is left out, and the exit status is then 1."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from omnitrace.cli import main
from omnitrace.store.adder import Adder
from omnitrace.store.kinds import ABLATIONS
from omnitrace.store.writer import RunWriter
from replay.evaluation.labels import Labels, Supports, write_labels
from tests.omnitrace.cli.runs import IDENTITY, damage_a_segment
from tests.replay.faithfulness.made import ablated
from tests.replay.methods.test_learn import with_heads


def test_a_damaged_sample_is_left_out_and_the_status_is_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = tmp_path / "run", tmp_path / "heads.toml"
    made = with_heads(ablated()).trace
    masks = made.ablations["mask"]
    traces = [replace(made, id=id, ablations={}) for id in ("a", "b")]
    with RunWriter.open(run, IDENTITY) as writer:
        for trace in traces:
            writer.add(trace, trace.id)
            writer.commit()
    with Adder.open(run, ABLATIONS, "mask", {"made": "by hand"}) as adder:
        for trace in traces:
            adder.add(trace, masks)
    learn = ["learn-heads", str(run), str(out), "--preset", "paper", "--units.request", "leave-out"]
    assert main(learn) == 0
    assert "of 2 samples" in capsys.readouterr().err
    damage_a_segment(run)
    assert main(learn) == 1
    err = capsys.readouterr().err
    assert "of 1 samples" in err
    assert "is left out:" in err


def test_labels_are_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, out, labels = tmp_path / "run", tmp_path / "heads.toml", tmp_path / "labels.jsonl"
    trace = replace(with_heads(ablated()).trace, ablations={})
    with RunWriter.open(run, IDENTITY) as writer:
        writer.add(trace, "key")
    supports = (Supports(text_source=(0,)),) * len(trace.sentences)
    write_labels(labels, [Labels(trace.id, supports)])
    learn = ["learn-heads", str(run), str(out), "--preset", "paper", "--units.request", "leave-out"]
    assert main([*learn, "--labels", str(labels), "--top", "2"]) == 0
    assert "share of those whose best unit is labelled" in capsys.readouterr().err
    assert out.read_text("utf-8").count(":0.5") == 2
    assert main(["replay", str(run), "--config", str(out), "--json"]) == 0
    assert main([*learn, "--top", "2"]) == 2
    assert "--labels" in capsys.readouterr().err
