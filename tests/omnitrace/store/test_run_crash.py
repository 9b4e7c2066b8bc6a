"""Writers that are killed, crowded or out of room: what is committed is whole, the rest resumes."""

from __future__ import annotations

import errno
import multiprocessing
import random
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from omnitrace.errors import OmniTraceError
from omnitrace.store.files import LocalFiles
from omnitrace.store.run import Run, open_run
from omnitrace.store.writer import RunWriter
from omnitrace.trace import Trace
from tests.build import make_trace
from tests.omnitrace.store.killing import kill_writers
from tests.omnitrace.store.stores import FullDisk, MemoryFiles, SlowDisk, describe

IDENTITY = {"model": "m"}
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__, "zarr", "numcodecs.blosc"])


def sample(number: int) -> Trace:
    return make_trace(f"s{number}", number)


def expected(id: str) -> dict[str, object]:
    return describe(sample(int(id[1:])))


def record(path: Path, numbers: range, segment_bytes: int) -> None:
    """What a recorder does: join the run, skip what is done, add the rest."""
    with RunWriter.open(path, IDENTITY, segment_bytes=segment_bytes) as writer:
        for number in numbers:
            if f"s{number}" not in writer.done:
                writer.add(sample(number), f"key {number}")


def check_run(path: Path, seen: set[str]) -> None:
    """Every committed sample not in `seen` is identical to what was recorded; then it is seen."""
    run = open_run(path)
    assert run.damage == []
    assert seen <= set(run)
    for id in set(run) - seen:
        assert describe(run[id]) == expected(id)
        assert run.sample_keys[id] == f"key {id[1:]}"
    seen |= set(run)


def wait_for_commit(path: Path, process: BaseProcess, before: int) -> None:
    while len(list(path.glob("commits/*.json"))) == before and process.is_alive():
        time.sleep(0.005)


@pytest.mark.parametrize("seed", range(6))
def test_killed_writers_leave_whole_samples_and_resume_completes(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    path, seen = tmp_path / "run", set[str]()
    for kill in range(10):
        segment_bytes = rng.choice([1, 20_000, 50_000])
        process = PROCESSES.Process(target=record, args=(path, range(1000), segment_bytes))
        before = len(list(path.glob("commits/*.json")))
        process.start()
        if kill % 2:  # every other kill falls after a commit, however slow the machine
            wait_for_commit(path, process, before)
        time.sleep(rng.uniform(0, 0.15))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        if (path / "zarr.json").exists():
            check_run(path, seen)
    assert len(seen) >= 5
    record(path, range(len(seen) + 5), 10**9)
    check_run(path, seen)
    assert seen == {f"s{number}" for number in range(len(seen))}


def test_concurrent_writers_that_are_killed_lose_nothing(tmp_path: Path) -> None:
    found = kill_writers(tmp_path, kills=12, seed=1)
    assert found["samples committed under fire"] > 0
    for name in ("committed samples lost", "half samples visible", "wrong values"):
        assert found[name] == 0
    assert found["orphans left"] == found["missing after resuming"] == 0


def test_writers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    starter = PROCESSES.Process(target=kill_writers, args=(tmp_path, 10**6, 1))
    starter.start()
    wait_for_commit(tmp_path / "run", starter, 0)
    starter.kill()
    starter.join()
    seen, log = 0, tmp_path / "log"
    for _ in range(100):
        time.sleep(0.3)
        if log.exists() and log.stat().st_size == seen > 0:
            break
        seen = log.stat().st_size if log.exists() else 0
    else:
        pytest.fail("writers go on")


def test_several_writers_share_one_run(tmp_path: Path) -> None:
    path = tmp_path / "run"
    shares = [range(0, 12), range(8, 20), range(16, 24)]
    writers = [PROCESSES.Process(target=record, args=(path, share, 20_000)) for share in shares]
    for process in writers:
        process.start()
    for process in writers:
        process.join()
    assert [process.exitcode for process in writers] == [0, 0, 0]
    check_run(path, set())
    assert set(open_run(path)) == {f"s{number}" for number in range(24)}


def test_a_full_disk_at_any_operation_loses_nothing_that_was_committed() -> None:
    before = FullDisk(operations_left=10**9)
    add(before, 0)
    for allowed in range(operations_of_a_segment(before)):
        disk = FullDisk(dict(before.content), operations_left=allowed)
        with pytest.raises(OmniTraceError, match="No space left on device"):
            add(disk, 1)
        freed = MemoryFiles(disk.content)
        assert {id: describe(trace) for id, trace in Run(freed).items()} == {"s0": expected("s0")}
        segments = {name.split("/")[1] for name in disk.content if name.startswith("segments/")}
        assert len(segments) == 1 or allowed == operations_of_a_segment(before) - 1
        add(freed, 1)
        assert {id: describe(trace) for id, trace in Run(freed).items()} == {
            id: expected(id) for id in ("s0", "s1")
        }


def test_a_full_disk_at_creation_leaves_no_run() -> None:
    disk = FullDisk(operations_left=0)
    with pytest.raises(OmniTraceError, match=r"cannot create the run .*No space left on device"):
        add(disk, 0)
    assert disk.content == {}


def test_a_disk_that_is_slow_at_any_operation_changes_nothing() -> None:
    allowed = 0
    while True:
        disk = SlowDisk(operations_left=allowed)

        def another_records(content: dict[str, bytes] = disk.content) -> None:
            add(MemoryFiles(content), 2)
            found = {id: describe(trace) for id, trace in Run(MemoryFiles(content)).items()}
            assert found == {id: expected(id) for id in found}
            assert "s2" in found

        disk.meanwhile = another_records
        add(disk, 1)
        if disk.operations_left >= 0:
            break
        assert {id: describe(trace) for id, trace in Run(MemoryFiles(disk.content)).items()} == {
            id: expected(id) for id in ("s1", "s2")
        }
        allowed += 1
    assert allowed > operations_of_a_segment(FullDisk(disk.content))


def add(files: MemoryFiles, number: int) -> None:
    with RunWriter(files, IDENTITY) as writer:
        writer.add(sample(number), f"key {number}")


def operations_of_a_segment(files: FullDisk) -> int:
    """Every file of the one segment there, `sync` and the marker."""
    return len([name for name in files.content if name.startswith("segments/")]) + 2


def test_the_error_of_a_full_disk_names_the_file_and_what_is_safe() -> None:
    files = FullDisk(operations_left=10**9)
    add(files, 0)
    add(files, 1)
    writer = RunWriter(files, IDENTITY)
    writer.add(sample(2), "key 2")
    before = set(files.content)
    files.operations_left = 5
    with pytest.raises(OmniTraceError) as caught:
        writer.commit()
    message = str(caught.value)
    assert "memory/segments/" in message
    assert "The 2 samples committed before are safe; 1 recorded since are not saved" in message
    assert set(files.content) == before
    writer.commit()  # nothing is buffered any more: leaving the block does not fail again
    assert set(files.content) == before


def test_an_interrupt_amid_a_commit_still_commits_on_leaving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = RunWriter.open(tmp_path, IDENTITY)
    put, calls = LocalFiles.put, 0

    def interrupted(self: LocalFiles, name: str, data: bytes) -> None:
        nonlocal calls
        calls += 1
        if calls == 7:
            raise KeyboardInterrupt
        put(self, name, data)

    def record() -> None:
        with writer:
            writer.add(sample(0), "key 0")
            writer.commit()

    monkeypatch.setattr(LocalFiles, "put", interrupted)
    with pytest.raises(KeyboardInterrupt):
        record()
    check_run(tmp_path, set())
    assert list(open_run(tmp_path)) == ["s0"]
    assert len(list((tmp_path / "segments").iterdir())) == 1


def test_a_disk_that_refuses_is_one_clear_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: LocalFiles, name: str, data: bytes) -> bool:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(LocalFiles, "put_if_absent", refused)
    with pytest.raises(OmniTraceError, match=r"cannot create the run .*: Read-only file system"):
        RunWriter.open(tmp_path / "run", IDENTITY)
