"""Real engines: workers that are killed, preempted or interrupted, and the very same tallies."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import psutil
import pytest
import ray

from omnitrace.engines.resources import Resources, jobs_folder, located
from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.progress import Progress, Report, no_report
from omnitrace.store.run import Run, open_run
from omnitrace.store.writer import RunWriter
from omnitrace.trace import Trace
from replay.sweep.blocks import Scored, Work, Worker
from replay.sweep.cluster import on_jobs
from replay.sweep.cluster.pickled import pickled, worker
from replay.sweep.cluster.pool import Cluster
from replay.sweep.sweep import Aim, Swept, sweep
from tests.replay.sweep.cluster.golds import Striking, Stuck
from tests.replay.sweep.golds import Seeded
from tests.replay.sweep.test_sweep import ALONE, CONFIGS, samples

ENGINES: tuple[Literal["ray", "local"], ...] = ("ray", "local")


@pytest.fixture(scope="module", autouse=True)
def ray_here() -> Iterator[None]:
    """One Ray for all tests of the file: it takes seconds to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[4]))
        patch.setenv("OMP_NUM_THREADS", "1")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("runs") / "kitchen"
    with RunWriter.open(path, {"signals": ["attmean", "rawatt"]}) as writer:
        for id, trace in samples().items():
            writer.add(trace, f"key-{id}")
    return open_run(path)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("replay.sweep.blocks.BLOCK", 2)
    monkeypatch.setattr(on_jobs, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr("omnitrace.engines.jobs.STOPPED_SECONDS", 0.5)
    monkeypatch.chdir(tmp_path)


def swept_on(
    engine: Literal["ray", "local", "slurm"],
    work: Work,
    report: Report = no_report,
    **options: str,
) -> Swept:
    resources = Resources(2, options=options)
    cluster = Cluster(engine, resources, jobs_folder(Path("kitchen")))
    return sweep(work, Aim(cluster=cluster), report)


def assert_same(found: Swept, work: Work) -> None:
    """Bit for bit what one process finds."""
    alone = sweep(replace(work, golds=Seeded()), ALONE)
    assert np.array_equal(found.chosen_on.tallies, alone.chosen_on.tallies)
    assert np.array_equal(found.held_out.tallies, alone.held_out.tallies)
    assert (found.best, found.damaged) == (alone.best, alone.damaged)


def assert_block_by_block(seen: list[int]) -> None:
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0, 37)
    assert len(seen) == 20


def work_of(run: Mapping[str, Trace], golds: Seeded | None = None) -> Work:
    return Work(run, golds or Seeded(), CONFIGS)


def assert_no_worker_is_left() -> None:
    until = time.monotonic() + 60
    while children() and time.monotonic() < until:
        time.sleep(0.05)
    assert children() == []


def children() -> list[str]:
    """The command lines of this process's jobs and actors that are alive."""
    found = []
    for child in psutil.Process().children(recursive=True):
        line = " ".join(child.cmdline()) if child.status() != psutil.STATUS_ZOMBIE else ""
        found += [line] if "submitit" in line or line.startswith("ray::Actor") else []
    return found


def test_an_actor_that_is_killed_is_started_again_and_nothing_is_lost(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work, seen = work_of(run, Striking(mark=tmp_path / "killed")), list[int]()
    assert_same(swept_on("ray", work, lambda at: seen.append(at.done)), work)
    assert (tmp_path / "killed").exists()
    assert_block_by_block(seen)
    assert capsys.readouterr().out == ""


def test_a_preempted_job_is_queued_again_and_goes_on_where_it_was(run: Run, tmp_path: Path) -> None:
    work, seen = work_of(run, Striking(signal.SIGUSR2, tmp_path / "preempted")), list[int]()
    assert_same(swept_on("local", work, lambda at: seen.append(at.done)), work)
    logs = "".join(path.read_text() for path in tmp_path.glob("kitchen-jobs/*_log.out"))
    assert logs.count("Requeued job") == 1
    assert_block_by_block(seen)
    assert list(tmp_path.glob("kitchen-jobs/sweep-*")) == []


def test_a_part_leaves_out_what_it_did_before_it_was_preempted(tmp_path: Path) -> None:
    work = work_of(samples(4))
    (tmp_path / "work").write_bytes(pickled(work))
    blocks: dict[int, Sequence[str]] = {0: ["0"], 3: ["1"], 6: ["2"]}
    part = on_jobs.Part(tmp_path / "work", tmp_path, interrupted_at_1, blocks)
    with pytest.raises(SystemExit):
        part()
    again = pickle.loads(pickle.dumps(part.checkpoint().function))
    assert again.blocks == {3: ["1"], 6: ["2"]}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "work"]


def interrupted_at_1(worker: Worker, block: Sequence[str]) -> Scored:
    """A task that a preemption ends."""
    if block == ["1"]:
        sys.exit(-1)
    return worker.summed(block)


@pytest.mark.parametrize(("engine", "said"), [("ray", "is lost"), ("local", "_log.err")])
def test_a_worker_that_always_dies_ends_the_sweep(
    engine: Literal["ray", "local"], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("omnitrace.engines.actors.RETRIES", 1)
    # private: submitit waits 15 s for the result of a job that is gone
    monkeypatch.setattr("submitit.core.core.Job._results_timeout_s", 0)
    with pytest.raises(OmniTraceError, match=said) as told:
        swept_on(engine, work_of(samples(), Striking()))
    assert "Run the same command again" in str(told.value)
    assert "\n" not in str(told.value)
    assert_no_worker_is_left()


@pytest.mark.parametrize("engine", ENGINES)
def test_ctrl_c_leaves_no_worker(engine: Literal["ray", "local"]) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.done:
            assert children()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        swept_on(engine, work_of(samples(), Stuck()), interrupt)
    assert_no_worker_is_left()
    assert [path.name for path in Path().glob("kitchen-jobs/sweep-*")] == []


def test_an_error_of_a_worker_is_told_as_here(run: Run) -> None:
    odd = (*CONFIGS, replace(CONFIGS[0], signal="nothing"))
    with pytest.raises(CommandError, match="no signal 'nothing'"):
        swept_on("local", replace(work_of(run), configs=odd))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_that_a_worker_cannot_open(
    engine: Literal["ray", "local"], run: Run, tmp_path: Path
) -> None:
    shutil.copytree(run.path, "kitchen")
    work = work_of(open_run(located(Path("kitchen"))))
    assert len(work.samples) == 40
    (tmp_path / "kitchen").rename(tmp_path / "cellar")
    with pytest.raises(OmniTraceError, match=r"a worker on .* cannot open the run: .*kitchen"):
        swept_on(engine, work)
    with pytest.raises(OmniTraceError, match="under the same path"):
        worker(pickled(work))


def test_what_an_engine_refuses_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = work_of(samples(4))
    with pytest.raises(CommandError, match=r"cannot be submitted: .*no_such"):
        swept_on("local", work, no_such="1")
    with pytest.raises(CommandError, match=r"cannot be started: .*no_such"):
        swept_on("ray", work, no_such="1")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandError, match="srun"):
        swept_on("slurm", work)
    (tmp_path / "kitchen-jobs").rename(tmp_path / "old")
    (tmp_path / "kitchen-jobs").touch()
    with pytest.raises(CommandError, match=r"cannot write .*kitchen-jobs"):
        swept_on("local", work)


@pytest.mark.parametrize(("engine", "module"), [("ray", "ray"), ("local", "submitit")])
def test_an_extra_that_is_missing_is_named(
    engine: Literal["ray", "local"], module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(CommandError, match=rf"need {module}: pip install .*\[cluster\]"):
        swept_on(engine, work_of(samples(4)))


SLURM = {
    "sbatch": """
        cp "$1" submitted
        last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$1")
        export SLURM_ARRAY_JOB_ID=$$ SLURM_JOB_ID=$$ SLURM_JOB_NODELIST=here SLURM_PROCID=0
        for task in $(seq 0 "$last"); do
            SLURM_ARRAY_TASK_ID=$task bash "$1" > /dev/null 2>&1 &
        done
        echo "Submitted batch job $$" | tee --append arrays
        """,
    "srun": """
        while [[ $1 == --* ]]; do [[ $1 == --unbuffered ]] && shift || shift 2; done
        exec "$@"
        """,
    "sacct": "echo 'JobID|State|NodeList'",
    "scancel": 'echo "$@" > cancelled',
}
"""A scheduler of one machine that starts everything at once."""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    for name, script in SLURM.items():
        (tmp_path / "bin" / name).write_text(f"#!/usr/bin/env bash\n{script}")
        (tmp_path / "bin" / name).chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")


def test_slurm_gets_an_array_a_task_and_ctrl_c_cancels_it(run: Run, slurm: None) -> None:
    found = swept_on("slurm", work_of(run), slurm_partition="cpu", slurm_account="lab")
    assert_same(found, work_of(run))
    script = Path("submitted").read_text()
    for line in ("--array=0-1%", "--partition=cpu", "--account=lab", "--signal=USR2@"):
        assert f"#SBATCH {line}" in script
    assert "gpu" not in script
    assert len(Path("arrays").read_text().splitlines()) == 2
    assert not Path("cancelled").exists()

    def interrupt(progress: Progress) -> None:
        if progress.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        swept_on("slurm", work_of(run), interrupt)
    last = Path("arrays").read_text().split()[-1]
    assert Path("cancelled").read_text().split() == [last]
