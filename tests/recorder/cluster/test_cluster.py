"""Real engines: jobs that are preempted and actors that are killed leave a whole run."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from omnitrace.engines.jobs import submit
from omnitrace.engines.resources import Resources
from omnitrace.errors import CommandError
from omnitrace.maintenance.gc import collect
from omnitrace.maintenance.verify import verify
from omnitrace.progress import Progress, no_report
from omnitrace.store.files import LocalFiles
from omnitrace.store.run import open_run
from recorder.cluster import on_ray, slurm, work
from recorder.cluster.on_ray import record_on_ray
from recorder.cluster.slurm import record_on_slurm
from recorder.cluster.work import blocks, joined
from recorder.config import TINY_OMNI, RecordConfig
from recorder.inputs.samples import read_samples
from recorder.record import RecordSummary
from tests.recorder.conftest import user, write_rows

CONFIG = RecordConfig(str(TINY_OMNI), max_new_tokens=12, first_step="query", device="cpu")
IDS = [f"s{number}" for number in range(24)]


@pytest.fixture
def samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.chdir(tmp_path)
    rows = [{"id": id, "messages": [user(f"Anna owns the lamp {id}. Who owns it?")]} for id in IDS]
    return write_rows(tmp_path, rows)


def assert_whole(run: Path) -> None:
    """All samples are there and right, what a killed writer left uncommitted aside."""
    assert set(open_run(run)) == set(IDS)
    assert open_run(run).damage == []
    list(collect(LocalFiles(run), older_than=-1, dry_run=False))
    assert not [found for found in verify(LocalFiles(run), deep=True) if found.damage]


def reached(run: Path, ready: Callable[[], bool]) -> bool:
    """Wait for something, as long as a crowded machine may take."""
    until = time.monotonic() + 240
    while not ready() and time.monotonic() < until:
        time.sleep(0.05)
    return ready()


def test_a_preempted_job_is_queued_again_and_finishes(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, jobs = tmp_path / "run", list[Any]()

    def submitted(*given: Any) -> list[Any]:
        jobs.extend(submit(*given))
        threading.Thread(target=preempt, daemon=True).start()
        return jobs

    def preempt() -> None:
        if reached(run, (run / "zarr.json").exists):
            for job in jobs:
                # private: submitit's jobs name no process
                for task in psutil.Process(job._process.pid).children():
                    task.send_signal(signal.SIGUSR2)

    monkeypatch.setattr(slurm, "submit", submitted)
    monkeypatch.setattr(slurm, "LOOK_SECONDS", 0.2)
    seen: list[int] = []
    record_on_slurm(samples, run, CONFIG, Resources(1), lambda at: seen.append(at.done), "local")
    for job in jobs:
        job._process.wait(60)  # private: as above
    assert_whole(run)
    assert seen == sorted(seen)
    assert seen[-1] == len(IDS)
    logs = "".join(path.read_text() for path in (tmp_path / "run-jobs").glob("*_log.out"))
    assert logs.count("Requeued job") >= 1


@pytest.fixture
def ray_here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_an_actor_that_is_killed_is_started_again_and_loses_nothing(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ray_here: None
) -> None:
    run, killed = tmp_path / "run", list[int]()
    monkeypatch.setattr(on_ray, "blocks", lambda asked: blocks(asked, 4))
    monkeypatch.setattr(on_ray, "LOOK_SECONDS", 0.2)

    def report(progress: Progress) -> None:
        if 0 < progress.done < progress.total and not killed:
            actors = [p for p in psutil.process_iter(["name", "cmdline"]) if is_ours(p)]
            killed.append(actors[0].pid)
            os.kill(actors[0].pid, signal.SIGKILL)

    summary = record_on_ray(samples, run, CONFIG, Resources(2), report)
    assert killed
    assert_whole(run)
    assert summary.failed == {}
    assert summary.total == len(IDS)


def is_ours(process: psutil.Process) -> bool:
    line = " ".join(process.info["cmdline"] or [])
    return line.startswith("ray::Worker") and psutil.Process().pid in [
        parent.pid for parent in process.parents()
    ]


def test_what_only_one_process_can_do_is_refused(samples: Path, tmp_path: Path) -> None:
    for flag in ({"shard": "1/2"}, {"limit": 3}):
        config = RecordConfig(**flag)
        with pytest.raises(CommandError, match="--shard and --limit"):
            record_on_slurm(samples, tmp_path / "run", config, Resources(), no_report)
    bad = Resources(options={"no_such_option": "1"})
    with pytest.raises(CommandError, match="cannot be submitted"):
        record_on_slurm(samples, tmp_path / "run", CONFIG, bad, no_report, "local")
    assert not (tmp_path / "run").exists()


def test_blocks_hold_every_sample_once_the_longest_first(folder: Path, tmp_path: Path) -> None:
    rows = [
        {"id": "short", "messages": [user("Hi.")]},
        {"id": "film", "messages": [user(f"video:{folder / 'film.mp4'}", "What?")]},
        {"id": "long", "messages": [user("word " * 99)]},
        {"id": "gone", "messages": [user("image:gone.png", "What?")]},
    ]
    made = blocks(read_samples(write_rows(tmp_path, rows), False), 2)
    assert made == [["film", "long"], ["gone", "short"]]
    assert work.blocks([]) == []


def test_what_workers_did_is_added_up() -> None:
    parts = [RecordSummary(3, 1, 2), RecordSummary(2, 0, 1, failed={"a": "why"})]
    whole = joined(parts)
    assert (whole.total, whole.skipped, whole.recorded, whole.failed) == (5, 1, 3, {"a": "why"})
