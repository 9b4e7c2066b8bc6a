"""Copies are the run itself, unions hold every sample once, and both resume and check."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from omnitrace.cli import main
from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.maintenance.copy import copy, merge
from omnitrace.maintenance.verify import verify
from omnitrace.progress import no_report
from omnitrace.store import commit
from omnitrace.store.files import LocalFiles
from omnitrace.store.run import Run, open_run
from omnitrace.store.writer import RunWriter
from tests.omnitrace.maintenance.runs import IDENTITY, add_both, all_of, fill, sample
from tests.omnitrace.store.stores import FullDisk, MemoryFiles, describe, read_all
from tests.omnitrace.store.test_run_damage import flip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "run"
    add_both(fill(LocalFiles(path), range(4)))
    return path


def content(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_a_copy_is_the_run_byte_for_byte(store: Path, tmp_path: Path) -> None:
    summary = copy(LocalFiles(store), LocalFiles(tmp_path / "copy"), no_report)
    assert (summary.segments, summary.samples, summary.additions) == (2, 4, 4)
    assert content(tmp_path / "copy") == content(store)
    again = copy(LocalFiles(store), LocalFiles(tmp_path / "copy"), no_report)
    assert (again.segments, again.there, again.additions) == (0, 2, 0)


def test_a_copy_goes_on_where_it_stopped_at_any_operation(store: Path) -> None:
    expected = content(store)
    for operations in range(len(expected)):
        disk = FullDisk(operations_left=operations)
        with pytest.raises(OmniTraceError, match="No space left on device"):
            copy(LocalFiles(store), disk, no_report)
        rest = MemoryFiles(disk.content)
        if rest.content:
            assert set(Run(rest)) <= {f"s{number}" for number in range(4)}
            damage = [one.sentence for one in verify(rest) if one.damage]
            assert all("is absent, but all that it vouched for" in message for message in damage)
        copy(LocalFiles(store), rest, no_report)
        assert rest.content == expected


def test_a_damaged_segment_is_left_out_and_named(store: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(store, tmp_path / "source"))
    segment = open_run(source).segment_of("s0")
    harmed = source / "segments" / segment / "prompt" / "c.0.0"
    harmed.write_bytes(flip(harmed.read_bytes(), random.Random(1)))
    addition = sorted((source / "additions").iterdir())[0]
    addition.write_bytes(b"{}")
    summary = copy(LocalFiles(source), LocalFiles(tmp_path / "copy"), no_report)
    assert set(open_run(tmp_path / "copy")) == {"s2", "s3"}
    assert summary.additions == 3
    assert any(str(addition) in sentence for sentence in summary.damage)
    assert any(str(harmed) in sentence for sentence in summary.damage)
    assert main(["copy", str(source), str(tmp_path / "copy")]) == 1


def test_another_run_or_other_files_are_not_written_over(store: Path, tmp_path: Path) -> None:
    fill(LocalFiles(tmp_path / "other"), range(1))
    with pytest.raises(CommandError, match="holds another run"):
        copy(LocalFiles(store), LocalFiles(tmp_path / "other"), no_report)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "notes.txt").write_text("x")
    with pytest.raises(CommandError, match="holds other files"):
        copy(LocalFiles(store), LocalFiles(tmp_path / "files"), no_report)
    copy(LocalFiles(store), LocalFiles(tmp_path / "copy"), no_report)
    file = next((tmp_path / "copy" / "segments").rglob("prompt/c.*"))
    next((tmp_path / "copy" / "commits").glob(f"{file.parent.parent.name}.json")).unlink()
    file.write_bytes(b"another writer's")
    with pytest.raises(OmniTraceError, match=f"{file} is there with other content"):
        copy(LocalFiles(store), LocalFiles(tmp_path / "copy"), no_report)


def test_merged_runs_hold_every_sample_with_what_was_added(store: Path, tmp_path: Path) -> None:
    fill(LocalFiles(tmp_path / "b"), range(4, 7))
    out = LocalFiles(tmp_path / "out")
    summary = merge([LocalFiles(store), LocalFiles(tmp_path / "b")], out, no_report)
    assert (summary.segments, summary.samples, summary.additions) == (4, 7, 4)
    merged = Run(out)
    parts = [open_run(store), open_run(tmp_path / "b")]
    assert merged.store_uuid not in [run.store_uuid for run in parts]
    assert merged.damage == []
    first, second = (all_of(run)["samples"] for run in parts)
    assert all_of(merged)["samples"] == {**first, **second}
    assert list(merged) == [f"s{number}" for number in range(7)]
    assert list(verify(out, deep=True)) == []
    assert merge([LocalFiles(store)], out, no_report).there == 2


def test_of_a_sample_in_several_runs_the_smallest_segment_counts() -> None:
    runs = [MemoryFiles() for _ in range(3)]
    by_segment: dict[str, Any] = {}
    for seed, files in enumerate(runs):
        with RunWriter(files, IDENTITY) as writer:
            writer.add(sample(seed), "key")
            twin = RunWriter(files, IDENTITY)
            trace = sample(100 + seed)
            object.__setattr__(trace, "id", "twin")
            twin.add(trace, f"key {seed}")
            twin.commit()
        by_segment |= {Run(files).segment_of("twin"): describe(trace)}
    orders = [runs, runs[::-1], [runs[1], runs[0], runs[2]]]
    merged = []
    for order in orders:
        out = MemoryFiles()
        merge(order, out, no_report)
        merged.append(Run(out))
    assert len({json.dumps(read_all(run)) for run in merged}) == 1
    assert describe(merged[0]["twin"]) == by_segment[min(by_segment)]
    assert all("'twin' was recorded twice" in sentence for sentence in merged[0].damage)


def test_runs_recorded_otherwise_are_refused_before_anything_is_copied(
    store: Path, tmp_path: Path
) -> None:
    other = LocalFiles(tmp_path / "other")
    fill(other, range(9, 10), {"model": "m2", "options": {"seed": 1}})
    out = LocalFiles(tmp_path / "out")
    with pytest.raises(OmniTraceError, match="model is 'm' there, 'm2' here"):
        merge([LocalFiles(store), other], out, no_report)
    assert list(Run(out)) == []


def test_amending_keeps_what_is_not_known_here() -> None:
    sealed = commit.seal({"format": "1.7", "store_uuid": "a", "mood": {"x": [1, 2.5]}})
    again = commit.amend(sealed, store_uuid="b")
    assert json.loads(again) | {"crc32c": ""} == {
        "crc32c": "",
        "format": "1.7",
        "store_uuid": "b",
        "mood": {"x": [1, 2.5]},
    }
    assert commit.amend(sealed, store_uuid="a") == sealed


def test_the_commands(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["copy", str(store), str(tmp_path / "copy")]) == 0
    assert "2 segments of 4 samples copied" in capsys.readouterr().err
    assert main(["merge", str(store), str(tmp_path / "copy"), "--into", str(tmp_path / "m")]) == 0
    assert "2 segments there already; the copy is checked" in capsys.readouterr().err
    assert main(["merge", "--into", str(tmp_path / "n")]) == 2
    assert main(["copy", str(tmp_path / "absent"), str(tmp_path / "n")]) == 2
    assert not (tmp_path / "n").exists()


def test_du_counts_every_byte_once(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["du", str(store), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    sizes = [path.stat().st_size for path in store.rglob("*") if path.is_file()]
    assert document["schema"] == "omnitrace.du/1"
    assert document["nbytes"] == sum(sizes) == sum(p["nbytes"] for p in document["parts"])
    assert document["files"] == len(sizes)
    assert document["folders"] == 1 + len([path for path in store.rglob("*") if path.is_dir()])
    assert document["samples"] == 4
    parts = {(part["kind"], part["name"]): part for part in document["parts"]}
    assert parts["array", "queries"]["level"] == "qk"
    assert parts["signal", "attmean"]["level"] == "tokens"
    column = (store / "segments").glob("*/signal.attmean/*")
    first = (store / "segments").glob("*/first_row.attmean/*")
    assert parts["signal", "attmean"]["nbytes"] == sum(
        path.stat().st_size for path in (*column, *first)
    )
    assert main(["du", str(store)]) == 0
    assert "attmean" in capsys.readouterr().out
