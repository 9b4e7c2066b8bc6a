"""Ablations of a run, as a user records them: with a recording, afterwards, again, wrongly."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from omnitrace import open_run
from omnitrace.ablations import Row
from omnitrace.cli import main
from omnitrace.config import to_dict
from omnitrace.store.writer import RunWriter
from recorder.ablation.ablate import without_part
from recorder.ablation.base import base_units
from recorder.config import WHOLE
from recorder.inputs.samples import read_samples
from recorder.models.qwen_omni import QwenOmni
from recorder.passes.masked import Masked
from recorder.planted.samples import make_sample, write_samples
from tests.build import make_trace

SEED = 20_500


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Samples, and a run of them with 16 ablations each."""
    folder = tmp_path_factory.mktemp("ablated")
    write_samples([make_sample(SEED, kind) for kind in ("text", "audio")], folder)
    command = ["record", str(folder / "samples.jsonl"), str(folder / "run"), "--signals", "attmean"]
    assert main([*command, "--first-step", "query", "--ablations", "16"]) == 0
    return folder


@pytest.fixture
def folder(recorded: Path, tmp_path: Path) -> Path:
    """A copy of it, to change."""
    return Path(shutil.copytree(recorded, tmp_path / "copy"))


def ablate(folder: Path, *more: str, samples: str = "samples.jsonl") -> int:
    return main(["ablate-inputs", str(folder / "run"), "--samples", str(folder / samples), *more])


def test_a_recording_has_its_ablations(recorded: Path, adapter: QwenOmni) -> None:
    run = open_run(recorded / "run")
    [added] = run.additions
    assert (added.kind, added.name, len(added.samples)) == ("ablations", "mask", 2)
    assert added.about == {"mode": "mask", "masks": 16, "seed": 0, "units": to_dict(WHOLE)}
    samples = {sample.id: sample for sample in read_samples(recorded / "samples.jsonl")}
    for id, trace in run.items():
        found = trace.ablation("mask")
        np.testing.assert_allclose(found.logprob[0], trace.logprob, atol=1e-4)
        base = base_units(trace)
        assert np.array_equal(found.unit_of, base.unit_of)
        assert np.array_equal(found.request, base.request)
        passing = Masked(adapter, adapter.prepare(samples[id]))
        shown = np.concatenate([found.kept, np.ones((len(found.kept), 1), bool)], axis=1)
        again = passing.log_odds(trace.response_ids, shown[:, found.unit_of])
        np.testing.assert_allclose(found.log_odds, again, atol=1e-4)


def test_running_again_does_nothing_and_another_name_is_another_thing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = sorted((folder / "run" / "additions").iterdir())
    assert ablate(folder, "--masks", "16") == 0
    assert sorted((folder / "run" / "additions").iterdir()) == files
    assert "2 there already" in capsys.readouterr().err
    assert ablate(folder) == 2
    assert "made otherwise: masks is 16 there, 64 here" in capsys.readouterr().err
    assert ablate(folder, "--name", "mean", "--mode", "mean-embedding", "--masks", "8") == 0
    trace = next(iter(open_run(folder / "run").values()))
    assert set(trace.ablations) == {"mask", "mean"}
    assert trace.ablation("mean").mode == "mean-embedding"


def test_removal_lays_the_prompt_out_again(folder: Path, adapter: QwenOmni) -> None:
    assert ablate(folder, "--mode", "remove") == 0
    samples = {sample.id: sample for sample in read_samples(folder / "samples.jsonl")}
    for id, trace in open_run(folder / "run").items():
        found = trace.ablation("remove")
        assert found.why.tolist() == [Row.FULL] + [Row.WITHOUT_PART] * (len(found.why) - 1)
        gone = trace.timeline.part[np.isin(found.unit_of, np.flatnonzero(~found.kept[1]))]
        [part] = set(gone.tolist())
        prepared = adapter.prepare(without_part(samples[id], part))
        assert prepared.prompt.n < trace.n
        every = np.ones((1, prepared.prompt.n), bool)
        wanted = Masked(adapter, prepared).log_odds(trace.response_ids, every)
        np.testing.assert_allclose(found.log_odds[1], wanted[0], atol=1e-4)


def test_masks_that_are_asked_for_are_recorded(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    id = next(iter(open_run(folder / "run")))
    asked = {"schema": "omnitrace.masks/1", "of": "mask", "removed": {id: [[0], [0, 1]]}}
    file = folder / "masks.json"
    file.write_text(json.dumps(asked))
    assert ablate(folder, "--asked", str(file)) == 0
    trace = open_run(folder / "run")[id]
    found, first = trace.ablation("asked"), trace.ablation("mask")
    assert found.why.tolist() == [Row.ASKED] * 2
    alone = int(np.flatnonzero((~first.kept).sum(axis=1) == 1)[0])
    unit = int(np.flatnonzero(~first.kept[alone])[0])
    if unit == 0:
        np.testing.assert_allclose(found.log_odds[0], first.log_odds[alone], atol=1e-4)
    file.write_text(json.dumps(asked | {"removed": {id: [[99]]}}))
    assert ablate(folder, "--asked", str(file), "--name", "more") == 1
    assert "a mask names unit 99" in capsys.readouterr().err
    file.write_text("{}")
    assert ablate(folder, "--asked", str(file)) == 2
    assert "holds no masks" in capsys.readouterr().err


def test_some_samples_can_be_chosen(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = open_run(folder / "run")
    some = ["--name", "some", "--masks", "4"]
    assert ablate(folder, *some, "--limit", "1") == 0
    assert open_run(folder / "run")[first].ablations.keys() == {"mask", "some"}
    assert open_run(folder / "run")[second].ablations.keys() == {"mask"}
    assert ablate(folder, *some, "--ids", f" {second},{first}") == 0
    assert "1 added, 1 there already" in capsys.readouterr().err
    assert ablate(folder, *some, "--ids", "nobody") == 2
    assert "--ids: the run" in capsys.readouterr().err


def test_the_cheap_mode_is_recorded_as_what_it_is(folder: Path) -> None:
    assert ablate(folder, "--mode", "answer-mask", "--masks", "16") == 0
    for trace in open_run(folder / "run").values():
        exact, cheap = trace.ablation("mask"), trace.ablation("answer-mask")
        assert cheap.mode == "answer-mask"
        assert np.array_equal(exact.kept, cheap.kept)
        np.testing.assert_allclose(exact.log_odds[0], cheap.log_odds[0], atol=1e-3)
        assert np.abs(exact.log_odds[1:] - cheap.log_odds[1:]).max() > 0.05


def test_too_few_masks_are_said_at_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ablate(folder, "--name", "few", "--masks", "12") == 0
    message = capsys.readouterr().err
    assert "'few' have too few masks for `omnitrace faithful` to answer everything" in message
    assert " of 2 samples: lds takes" in message
    assert "--masks 48" in message
    assert ablate(folder, "--name", "more", "--masks", "48") == 0
    assert "too few" not in capsys.readouterr().err


def test_each_medium_is_read_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("recorder.identity.digest", lambda content: pytest.fail("read again"))
    assert ablate(folder, "--name", "once", "--masks", "2") == 0
    monkeypatch.undo()
    [sample] = [s for s in read_samples(folder / "samples.jsonl") if s.media]
    medium = Path(sample.media[0].path or "")
    data = bytearray(medium.read_bytes())
    data[-1] ^= 1
    medium.write_bytes(data)
    assert ablate(folder, "--name", "changed", "--masks", "2") == 1
    assert "that was recorded" in capsys.readouterr().err
    medium.write_bytes(b"no sound")
    assert ablate(folder, "--name", "broken", "--masks", "2") == 1
    assert "is not the audio" in capsys.readouterr().err


def test_another_sample_is_refused_and_the_rest_go_on(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (folder / "samples.jsonl").read_text().splitlines()
    changed = lines[0].replace("kilos", "tons").replace("euros", "pounds")
    (folder / "other.jsonl").write_text("\n".join([changed.replace(". ", "! "), lines[1]]))
    assert ablate(folder, "--name", "new", "--masks", "4", samples="other.jsonl") == 1
    said = capsys.readouterr().err
    assert "1 added, 1 failed" in said
    assert "tokens that are not the" in said
    (folder / "one.jsonl").write_text(lines[1])
    assert ablate(folder, "--name", "newer", "--masks", "4", samples="one.jsonl") == 1
    assert "has no such sample" in capsys.readouterr().err


def test_another_model_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from recorder.config import TINY_OMNI

    other = Path(shutil.copytree(TINY_OMNI, tmp_path / "tiny_omni"))
    (other / "note.txt").write_text("changed")
    assert ablate(folder, "--model", str(other), "--name", "new") == 2
    said = capsys.readouterr().err
    assert "recorded with the revision sha256:" in said
    assert "the very model" in said
    assert main(["ablate-inputs", str(folder / "run")]) == 2
    assert "--samples" in capsys.readouterr().err


def test_a_run_that_names_no_revision_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with RunWriter.open(tmp_path / "imported", {"model": "tiny_omni"}) as writer:
        writer.add(make_trace("a", 0), "key")
    samples = str(folder / "samples.jsonl")
    assert main(["ablate-inputs", str(tmp_path / "imported"), "--samples", samples]) == 2
    assert "does not say which revision of its model was recorded" in capsys.readouterr().err
