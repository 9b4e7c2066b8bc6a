"""`omnitrace gc` removes what killed writers left, once it is old, and nothing else, ever."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from omnitrace.cli import main
from omnitrace.errors import OmniTraceError
from omnitrace.maintenance.gc import collect, superseded
from omnitrace.maintenance.verify import verify
from omnitrace.store.files import Entry, LocalFiles
from omnitrace.store.run import Run, open_run
from omnitrace.store.segment import segment_files
from omnitrace.store.writer import RunWriter
from tests.omnitrace.maintenance.runs import IDENTITY, add_both, all_of, fill, sample
from tests.omnitrace.store.stores import MemoryFiles

ORPHAN = "00000000-0000-4000-8000-000000000000"
HOUR = 3600


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A run with additions, an orphan segment, whole but without a marker, and leftovers."""
    path = tmp_path / "run"
    files = LocalFiles(path)
    add_both(fill(files, range(3)))
    for name, data in segment_files([(sample(9), "key 9")]):
        files.put(f"segments/{ORPHAN}/{name}", data)
    for name in (".tmp-1", "commits/.tmp-2", "additions/.tmp-3"):
        (path / name).write_bytes(b"half")
    return path


def age(store: Path, hours: float) -> None:
    """Let everything that is in the run be as old."""
    then = time.time() - hours * HOUR
    for path in store.rglob("*"):
        os.utime(path, (then, then), follow_symlinks=False)


def committed(store: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in store.rglob("*")
        if path.is_file() and ORPHAN not in str(path) and not path.name.startswith(".tmp-")
    }


def test_what_is_old_goes_and_what_is_committed_stays(store: Path) -> None:
    before, expected = committed(store), all_of(open_run(store))
    age(store, 25)
    left = list(collect(LocalFiles(store), 24, dry_run=False))
    assert {one.where for one in left} == {
        str(store / name)
        for name in (f"segments/{ORPHAN}", ".tmp-1", "commits/.tmp-2", "additions/.tmp-3")
    }
    assert all(one.old for one in left)
    assert committed(store) == before
    assert not (store / "segments" / ORPHAN).exists()
    assert not list(store.rglob(".tmp-*"))
    assert list(verify(LocalFiles(store), deep=True)) == []
    assert all_of(open_run(store)) == expected
    assert list(collect(LocalFiles(store), 24, dry_run=False)) == []


def test_what_is_young_stays(store: Path) -> None:
    age(store, 23)
    before = sorted(store.rglob("*"))
    left = list(collect(LocalFiles(store), 24, dry_run=False))
    assert len(left) == 4
    assert not any(one.old for one in left)
    assert sorted(store.rglob("*")) == before
    newest = store / "segments" / ORPHAN / "prompt" / "c.0.0"
    age(store, 25)
    os.utime(newest)  # of a segment the latest file counts
    left = list(collect(LocalFiles(store), 24, dry_run=False))
    assert newest.exists()


def test_a_dry_run_removes_nothing(store: Path) -> None:
    age(store, 25)
    before = sorted(store.rglob("*"))
    assert all(one.old for one in collect(LocalFiles(store), 24, dry_run=True))
    assert sorted(store.rglob("*")) == before


def test_a_wrong_clock_here_does_not_matter(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    age(store, 1)
    monkeypatch.setattr(time, "time", lambda: 4e9)  # the machine believes it is 2096
    assert not any(one.old for one in collect(LocalFiles(store), 24, dry_run=False))
    assert (store / "segments" / ORPHAN).exists()


def test_a_segment_with_a_damaged_marker_is_no_orphan(store: Path) -> None:
    marker = next((store / "commits").glob("*.json"))
    marker.write_bytes(b"{}")
    age(store, 1000)
    list(collect(LocalFiles(store), 24, dry_run=False))
    assert (store / "segments" / marker.stem).is_dir()
    assert marker.exists()


class Late(MemoryFiles):
    """A store in which an orphan is committed while it is looked for."""

    def walk(self, folder: str = "") -> Iterator[Entry]:
        yield from super().walk(folder)
        self.content[f"commits/{ORPHAN}.json"] = b"{}"


def test_what_is_committed_meanwhile_stays() -> None:
    files = Late()
    fill(files, range(2))
    files.content[f"segments/{ORPHAN}/zarr.json"] = b"{}"
    assert list(collect(files, 0, dry_run=False)) == []
    assert f"segments/{ORPHAN}/zarr.json" in files.content


def test_duplicates_are_told_of_and_kept() -> None:
    files = MemoryFiles()
    writers = [RunWriter(files, IDENTITY) for _ in range(2)]
    for writer in writers:
        writer.add(sample(1), "key 1")
        writer.commit()
    run = Run(files)
    before = dict(files.content)
    [unused] = superseded(run)
    assert unused.where.endswith(max(run.segments))
    assert unused.samples == 1
    assert list(collect(files, 0, dry_run=False)) == []
    assert files.content == before


def test_a_disk_that_refuses_is_one_sentence(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    age(store, 25)
    monkeypatch.setattr(LocalFiles, "remove", refuse)
    with pytest.raises(OmniTraceError, match=r"cannot remove .*: Read-only file system"):
        list(collect(LocalFiles(store), 24, dry_run=False))
    monkeypatch.setattr(LocalFiles, "now", refuse)
    with pytest.raises(OmniTraceError, match="nothing can be removed from"):
        list(collect(LocalFiles(store), 24, dry_run=False))
    assert len(list(collect(LocalFiles(store), 24, dry_run=True))) == 4


def test_the_command(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    age(store, 25)
    assert main(["gc", str(store), "--dry-run", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "omnitrace.gc/1"
    assert len(document["left"]) == 4
    assert main(["gc", str(store), "--older-than", "30"]) == 0
    assert "kept, it is too young" in capsys.readouterr().out
    assert main(["gc", str(store), "--older-than", "-1"]) == 2
    assert main(["gc", str(store)]) == 0
    assert "4 removed" in capsys.readouterr().err
    assert not (store / "segments" / ORPHAN).exists()
