"""`omnitrace sweep` and `omnitrace ablate` as a user meets them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from omnitrace.cli import main
from omnitrace.config import load_toml
from replay import PRESETS
from replay.evaluation.labels import Labels, write_labels
from tests.omnitrace.cli.runs import damage_a_segment, write_kitchen
from tests.replay.cli.test_evaluate import RIGHT

GRID = '[grid]\nsignal = ["attmean", "rawatt"]\n"curation.gamma" = [1.0, 2.0]\n'


@pytest.fixture(scope="module")
def run_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kitchen(tmp_path_factory.mktemp("runs"), 4)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.jsonl"
    write_labels(path, [Labels(f"sample-{seed}", RIGHT) for seed in range(4)])
    return path


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    path = tmp_path / "grid.toml"
    path.write_text(GRID, "utf-8")
    return path


def command(run: Path, labels: Path, grid: Path, *more: object) -> list[str]:
    return ["sweep", str(run), "--labels", str(labels), "--grid", str(grid), "--jobs", "1",
            *map(str, more)]  # fmt: skip


def test_tables_and_what_was_scored(
    run_path: Path, labels: Path, grid: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(run_path, labels, grid)) == 0
    out, err = capsys.readouterr()
    assert all(word in out for word in ("signal", "gamma", "rawatt", "chosen on", "held out", "F1"))
    assert err == "4 configurations, chosen on 2 samples, reported on 2 others.\n"
    assert main(command(run_path, labels, grid, "--holdout", "0")) == 0
    out, err = capsys.readouterr()
    assert "held" not in out
    assert err == "4 configurations, 4 samples.\n"


def test_the_best_is_kept_and_is_what_evaluate_scores(
    run_path: Path, labels: Path, grid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best, table = tmp_path / "best.toml", tmp_path / "table.csv"
    more = ("--holdout", "0", "--save-best", best, "--out", table, "--metric", "macro_f1", "--json")
    assert main(command(run_path, labels, grid, *more)) == 0
    swept = json.loads(capsys.readouterr().out)
    assert swept["schema"] == "omnitrace.sweep/1"
    assert swept["samples"] == {"chosen_on": 4, "held_out": None}
    winner = swept["best"][0]
    assert winner["chosen_on"] == winner["macro"]["all"]["f1"]
    assert len(table.read_text().splitlines()) == 1 + 4 * 5
    assert load_toml(PRESETS["default"], best).signal == winner["settings"]["signal"]
    assert main(["evaluate", str(run_path), str(labels), "--config", str(best), "--json"]) == 0
    evaluated = json.loads(capsys.readouterr().out)
    assert evaluated["config"] == winner["settings"]
    assert evaluated["micro"] == winner["micro"]


def test_jobs_of_this_machine_print_what_one_process_does(
    run_path: Path, labels: Path, grid: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.chdir(run_path.parent)
    argv = ["sweep", run_path.name, "--labels", str(labels), "--grid", str(grid), "--json"]
    assert main([*argv, "--jobs", "1"]) == 0
    alone = capsys.readouterr()
    monkeypatch.chdir(tmp_path)
    argv[1] = os.path.relpath(run_path)
    more = ("--cluster", "local", "--workers", "2", "--engine.timeout-min", "5")
    assert main([*argv, *more]) == 0
    assert capsys.readouterr() == alone
    assert (tmp_path / "kitchen-jobs").is_dir()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--out", "table.xlsx"), "written as .csv or .parquet"),
        (("--out", "nowhere/table.csv"), "no folder nowhere"),
        (("--save-best", "nowhere/best.toml"), "no folder nowhere"),
        (("--preset", "papers"), "did you mean 'paper'"),
        (("--holdout", "1"), "holdout"),
        (("--metric", "f2"), "metric"),
        (("--cluster", "ray"), "--jobs is how many processes of this machine"),
        (("--cluster", "lsf"), 'Choose from: "slurm", "ray", "local"'),
        (("--workers", "2"), "--workers and --engine go with --cluster"),
        (("--engine.slurm-partition", "gpu"), "--workers and --engine go with --cluster"),
        (("--cluster", "local", "--workers", "0"), "--workers is at least 1"),
    ],
)
def test_wrong_use_is_told_at_once(
    run_path: Path, labels: Path, grid: Path, more: tuple[str, ...], said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert main(command(run_path, labels, grid, *more)) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err


def test_a_signal_or_segmentation_that_is_not_there(
    run_path: Path, labels: Path, grid: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid.write_text(GRID.replace("rawatt", "attgrads"), "utf-8")
    assert main(command(run_path, labels, grid)) == 2
    assert "no signal 'attgrads'" in capsys.readouterr().err
    grid.write_text(GRID + '"units.audio_segments" = ["", "whisper"]\n', "utf-8")
    assert main(command(run_path, labels, grid)) == 2
    assert "no segmentation 'whisper'" in capsys.readouterr().err


def test_damage_is_named_and_the_rest_is_scored(
    run_path: Path, labels: Path, grid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(run_path, damaged)
    damage_a_segment(damaged)
    assert main(command(damaged, labels, grid, "--holdout", "0")) == 1
    err = capsys.readouterr().err
    assert err.startswith("4 configurations, 3 samples.\n")
    assert "cannot be read" in err
    assert main(["ablate", str(damaged), "--labels", str(labels), "--json"]) == 1
    assert len(json.loads(capsys.readouterr().out)["damaged"]) == 1


def test_ablate(run_path: Path, labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["ablate", str(run_path), "--labels", str(labels), "--signal", "rawatt"]
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("full", "no-pos-weights", "no-p-min", "video", "Δ F1"))
    assert main([*argv, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "omnitrace.ablation/1"
    assert len(document["rows"]) == 6
    assert {row["config"]["signal"] for row in document["rows"]} == {"rawatt"}


def test_interrupted_says_so_and_leaves_no_file(
    run_path: Path, labels: Path, grid: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("replay.cli.sweep.rows", interrupt)
    assert main(command(run_path, labels, grid, "--out", tmp_path / "t.csv")) == 130
    assert capsys.readouterr().err == "omnitrace: interrupted.\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["grid.toml", "labels.jsonl"]
