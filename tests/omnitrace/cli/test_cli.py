"""The command: data on stdout, one sentence on stderr, exit status 0, 1 or 2. No model needed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from omnitrace.cli import main
from omnitrace.store.writer import RunWriter
from replay import PRESETS
from tests.build import make_trace
from tests.omnitrace.cli.runs import IDENTITY, damage_a_segment, write_kitchen

SCHEMA_KEYS = {"schema", "config", "samples"}


@pytest.fixture(scope="module")
def run_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kitchen(tmp_path_factory.mktemp("runs"), 3)


def test_info_lists_samples(run_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(run_path)]) == 0
    out, err = capsys.readouterr()
    assert "sample-2" in out
    assert "tiny" in out
    assert err == ""


def test_info_json_is_one_document(run_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(run_path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "omnitrace.info/1"
    assert [sample["id"] for sample in document["samples"]] == ["sample-0", "sample-1", "sample-2"]
    assert document["samples"][0]["modalities"]["image"] == 4
    on_disk = sum(f.stat().st_size for f in (run_path / "segments").rglob("*") if f.is_file())
    assert document["bytes"] == on_disk


def test_replay_prints_a_table(run_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(run_path), "--sample", "sample-1"]) == 0
    out, err = capsys.readouterr()
    assert "sample-1" in out
    assert "sample-0" not in out
    assert "because of" in out
    assert err == ""


@pytest.mark.parametrize("preset", list(PRESETS))
def test_replay_json(run_path: Path, capsys: pytest.CaptureFixture[str], preset: str) -> None:
    assert main(["replay", str(run_path), "--json", "--preset", preset]) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document) == SCHEMA_KEYS
    assert document["schema"] == "omnitrace.attribution/1"
    assert document["config"]["reduce"] == PRESETS[preset].reduce
    assert len(document["samples"]) == 3
    assert document["samples"][0]["spans"][0]["text"] == "The parcel weighs seven kilos."


def test_flags_lie_over_the_file_over_the_preset(
    run_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = tmp_path / "mine.toml"
    toml.write_text('reduce = "mean"\n[curation]\ncoverage = 0.5\ngamma = 1.0\n')
    flags = ["--config", str(toml), "--curation.gamma", "3", "--curation.pos-weights.VERB", "0.2"]
    assert main(["replay", str(run_path), "--json", "--preset", "paper", *flags]) == 0
    config = json.loads(capsys.readouterr().out)["config"]
    assert config["reduce"] == "mean"
    assert config["curation"]["coverage"] == 0.5
    assert config["curation"]["gamma"] == 3.0
    assert config["curation"]["pos_weights"]["VERB"] == 0.2
    assert config["curation"]["pos_weights"]["NOUN"] == 1.0


@pytest.fixture
def added_to(run_path: Path, tmp_path: Path) -> Path:
    """The run with bins of half a second and tags by the bundled tagger."""
    path = Path(shutil.copytree(run_path, tmp_path / "added"))
    assert main(["segment", str(path), "--with", "bins", "--seconds", "0.5"]) == 0
    assert main(["tag", str(path), "--name", "bundled"]) == 0
    return path


def test_replay_chooses_what_was_added_by_name(
    added_to: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ["--units.audio-segments", "bins-0.5", "--tags", "bundled"]
    capsys.readouterr()
    assert main(["replay", str(added_to), "--json", *chosen]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["config"]["tags"] == "bundled"
    ids = [unit["id"] for unit in document["samples"][0]["units"]]
    assert "audio-0:2.5-3" in ids
    assert "video-0:0.5-1:sound" in ids


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--units.audio-segments", "bins-5"], "no segmentation 'bins-5': did you mean 'bins-0.5'"),
        (["--tags", "bundle"], "no tags 'bundle': did you mean 'bundled'?"),
    ],
)
def test_an_unknown_name_is_wrong_use(
    added_to: Path, capsys: pytest.CaptureFixture[str], flags: list[str], says: str
) -> None:
    capsys.readouterr()
    assert main(["replay", str(added_to), "--json", *flags]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.count("\n") == 1


def test_a_sample_that_lacks_it_is_named_and_the_rest_go_on(
    added_to: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with RunWriter.open(added_to, IDENTITY) as writer:
        writer.add(make_trace("later", 9), "key-9")
    capsys.readouterr()
    assert main(["replay", str(added_to), "--json", "--tags", "bundled"]) == 1
    out, err = capsys.readouterr()
    assert len(json.loads(out)["samples"]) == 3
    assert "sample 'later' has no tags 'bundled'" in err


def test_info_lists_what_was_added(added_to: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["info", str(added_to), "--json"]) == 0
    added = json.loads(capsys.readouterr().out)["added"]
    assert [(one["kind"], one["name"], one["samples"]) for one in added] == [
        ("segmentation", "bins-0.5", 3),
        ("tags", "bundled", 3),
    ]
    assert added[0]["about"] == {"segmenter": "bins", "seconds": 0.5}
    assert main(["info", str(added_to)]) == 0
    assert "bins-0.5" in capsys.readouterr().out


def test_an_empty_run_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    RunWriter.open(tmp_path / "empty", {"model": "tiny"})
    assert main(["replay", str(tmp_path / "empty"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"] == []


def test_damage_is_said_and_the_rest_is_shown(
    run_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = shutil.copytree(run_path, tmp_path / "damaged")
    damage_a_segment(damaged)
    assert main(["replay", str(damaged), "--json"]) == 1
    out, err = capsys.readouterr()
    assert len(json.loads(out)["samples"]) == 2
    assert err.count("cannot be read") == 1
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["reply"], "reply", id="unknown verb"),
        pytest.param(["info"], "--run requires", id="missing run"),
        pytest.param(["info", "nowhere"], "there is no run at nowhere", id="no such run"),
        pytest.param(["replay", "RUN", "--preset", "papr"], "did you mean 'paper'", id="preset"),
        pytest.param(["replay", "RUN", "--reduce", "most"], "sum", id="choice"),
        pytest.param(["replay", "RUN", "--curation.gamma", "99"], "from 0 to 8", id="bounds"),
        pytest.param(["replay", "RUN", "--sample", "sample-9"], "sample-9", id="no such sample"),
        pytest.param(["replay", "RUN", "--signal", "attgrad"], "attmean", id="no such signal"),
        pytest.param(
            ["replay", "RUN", "--json", "--sample", "sample-0", "--sample", "x"],
            "'x'",
            id="JSON, id",
        ),
        pytest.param(["replay", "RUN", "--json", "--signal", "x"], "attmean", id="JSON, signal"),
        pytest.param(["replay", "RUN", "--config", "no.toml"], "no.toml", id="no such file"),
        pytest.param(["browse", "RUN", "--sample", "x"], "no sample 'x'", id="browse nothing"),
    ],
)
def test_wrong_use_is_one_sentence(
    run_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    status = main([str(run_path) if word == "RUN" else word for word in arguments])
    out, err = capsys.readouterr()
    assert status == 2
    assert out == ""
    assert says in err
    assert err.startswith("omnitrace: ")
    assert err.count("\n") == 1


def test_unknown_keys_name_the_nearest(
    run_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = tmp_path / "mine.toml"
    toml.write_text("[curation]\ncovrage = 0.5\n")
    assert main(["replay", str(run_path), "--config", str(toml)]) == 2
    err = capsys.readouterr().err
    assert "mine.toml: curation: unknown key 'covrage'; did you mean 'coverage'?" in err
