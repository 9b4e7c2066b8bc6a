"""A run goes through HDF5 bit for bit; what HDF5 can do beyond holding numbers is refused."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnitrace.cli import main
from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.exchange.hdf5_read import MAX_BYTES, import_hdf5
from omnitrace.exchange.hdf5_write import CODECS, export
from omnitrace.maintenance.verify import verify
from omnitrace.progress import no_report
from omnitrace.store import shards
from omnitrace.store.files import LocalFiles
from omnitrace.store.run import Run, open_run
from omnitrace.store.writer import RunWriter
from omnitrace.trace import Trace
from tests.omnitrace.maintenance.runs import add_both, all_of, fill, sample
from tests.omnitrace.store.stores import FullDisk, MemoryFiles
from tests.omnitrace.store.test_run import traces

Change = Callable[[Any, Path], None]


def recorded(*samples: Trace) -> MemoryFiles:
    files = MemoryFiles()
    with RunWriter(files, {"model": "m"}) as writer:
        for trace in samples:
            writer.add(trace, f"key of {trace.id}")
    return files


def imported(path: Path, max_bytes: int = MAX_BYTES) -> MemoryFiles:
    files = MemoryFiles()
    assert import_hdf5(path, files, max_bytes, no_report) == []
    return files


@pytest.fixture(scope="module")
def store() -> MemoryFiles:
    """Five samples in three segments, with additions."""
    files = MemoryFiles()
    add_both(fill(files, range(5)))
    return files


@pytest.fixture(scope="module")
def exported(store: MemoryFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "run.h5"
    assert export(Run(store), path, "gzip", no_report) == []
    return path


@settings(max_examples=20, deadline=None)
@given(
    st.lists(traces(), min_size=1, max_size=3, unique_by=lambda trace: trace.id),
    st.sampled_from(CODECS),
)
def test_a_run_comes_back_byte_for_byte(
    tmp_path_factory: pytest.TempPathFactory, samples: list[Trace], codec: str
) -> None:
    path = tmp_path_factory.mktemp("any") / "run.h5"
    files = recorded(*samples)
    assert export(Run(files), path, codec, no_report) == []
    assert imported(path).content == files.content


def test_additions_and_several_segments_come_back(store: MemoryFiles, exported: Path) -> None:
    assert imported(exported).content == store.content


def test_files_compressed_otherwise_hold_the_same(
    store: MemoryFiles, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "COMPRESSION_LEVEL", 1)
    files = imported(exported)
    assert files.content != store.content
    assert all_of(Run(files)) == all_of(Run(store))
    assert list(verify(files, deep=True)) == []


def test_an_import_that_was_stopped_goes_on(store: MemoryFiles, exported: Path) -> None:
    files = MemoryFiles(dict(store.content))
    for name in list(files.content)[20:]:
        if not name.endswith("zarr.json"):
            del files.content[name]
    import_hdf5(exported, files, MAX_BYTES, no_report)
    assert files.content == store.content


def test_something_else_is_not_written_over(exported: Path) -> None:
    with pytest.raises(CommandError, match="holds something else"):
        import_hdf5(exported, recorded(sample(9)), MAX_BYTES, no_report)
    with pytest.raises(CommandError, match="holds something else"):
        import_hdf5(exported, MemoryFiles({"notes.txt": b"x"}), MAX_BYTES, no_report)


def test_the_example_of_the_docs_reads_it_with_plain_h5py(
    store: MemoryFiles, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[3] / "docs" / "hdf5.md").read_text("utf-8")
    [example] = re.findall("```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(exported.parent)
    names: dict[str, Any] = {}
    exec(example, names)
    run = Run(store)
    assert set(names["scores"]) == set(run)
    for id, steps in names["scores"].items():
        trace = run[id]
        assert [len(step) for step in steps] == [trace.n + t for t in range(trace.T)]
        assert np.array_equal(np.concatenate(steps), trace.rows("attmean").values)


def replace(file: Any, name: str, make: Callable[[Any, str, Any], None]) -> None:
    """Put something else in the place of a data set, its attributes kept."""
    old = file[name]
    data, attributes = old[()], dict(old.attrs)
    del file[name]
    make(file, name, data)
    for key, value in attributes.items():
        if isinstance(file.get(name, getlink=True), h5py.HardLink):
            file[name].attrs[key] = value


def external_storage(file: Any, path: Path) -> None:
    secret = path / "secret"
    secret.write_bytes(b"root:x:0:0" * 1000)

    def make(file: Any, name: str, data: Any) -> None:
        space = [(str(secret), 0, data.nbytes)]
        file.create_dataset(name, data.shape, data.dtype, external=space)

    replace(file, column_of(file), make)


def external_link(file: Any, path: Path) -> None:
    def make(file: Any, name: str, data: Any) -> None:
        with h5py.File(path / "other.h5", "w") as other:
            other["data"] = data
        file[name] = h5py.ExternalLink(str(path / "other.h5"), "/data")

    replace(file, column_of(file), make)


def soft_link(file: Any, path: Path) -> None:
    def make(file: Any, name: str, data: Any) -> None:
        file["elsewhere"] = data
        file[name] = h5py.SoftLink("/elsewhere")

    replace(file, column_of(file), make)


def linked_group(file: Any, path: Path) -> None:
    file.move("segments", "moved")
    file["segments"] = h5py.SoftLink("/moved")


def virtual(file: Any, path: Path) -> None:
    def make(file: Any, name: str, data: Any) -> None:
        with h5py.File(path / "other.h5", "w") as other:
            other["data"] = data
        layout = h5py.VirtualLayout(data.shape, data.dtype)
        layout[:] = h5py.VirtualSource(path / "other.h5", "data", data.shape)
        file.create_virtual_dataset(name, layout)

    replace(file, column_of(file), make)


def vlen(file: Any, path: Path) -> None:
    def make(file: Any, name: str, data: Any) -> None:
        file.create_dataset(name, data.shape, h5py.vlen_dtype(np.dtype("f4")))

    replace(file, column_of(file), make)


def strings(file: Any, path: Path) -> None:
    def make(file: Any, name: str, data: Any) -> None:
        file.create_dataset(name, data.shape, h5py.string_dtype())

    replace(file, column_of(file), make)


def references(file: Any, path: Path) -> None:
    def make(file: Any, name: str, data: Any) -> None:
        file.create_dataset(name, data.shape, h5py.ref_dtype)

    replace(file, column_of(file), make)


def compound(file: Any, path: Path) -> None:
    def make(file: Any, name: str, data: Any) -> None:
        file.create_dataset(name, data.shape, [("a", "f4")])

    replace(file, column_of(file), make)


def other_filter(file: Any, path: Path) -> None:
    def make(file: Any, name: str, data: Any) -> None:
        file.create_dataset(name, data=data, compression="lzf")

    replace(file, column_of(file), make)


def bomb(file: Any, path: Path) -> None:
    def make(file: Any, name: str, data: Any) -> None:
        file.create_dataset(name, (2**40,), data.dtype, chunks=(2**16,), compression="gzip")

    replace(file, column_of(file), make)


def huge_chunk(file: Any, path: Path) -> None:
    def make(file: Any, name: str, data: Any) -> None:
        file.create_dataset(name, (2**28,), data.dtype, chunks=(2**28,), compression="gzip")

    replace(file, column_of(file), make)


def other_numbers(file: Any, path: Path) -> None:
    data = file[column_of(file)]
    data[0] = data[0] + 1


def other_width(file: Any, path: Path) -> None:
    replace(
        file, column_of(file), lambda file, name, data: file.create_dataset(name, data=data[:-1])
    )


def other_type(file: Any, path: Path) -> None:
    def make(file: Any, name: str, data: Any) -> None:
        file.create_dataset(name, data=data.astype("f8"))

    replace(file, column_of(file), make)


def absent(file: Any, path: Path) -> None:
    del file[column_of(file)]


def another_member(file: Any, path: Path) -> None:
    file[column_of(file).rsplit("/", 1)[0] + "/mood"] = np.zeros(3)


def a_group_instead(file: Any, path: Path) -> None:
    replace(file, column_of(file), lambda file, name, data: file.create_group(name))


def marker_of_another(file: Any, path: Path) -> None:
    first, second, *_ = file["segments"]
    data = file[f"segments/{first}/marker"][()]
    del file[f"segments/{second}/marker"]
    file[f"segments/{second}/marker"] = data


def future(file: Any, path: Path) -> None:
    file.attrs["omnitrace_hdf5"] = np.bytes_("2.0")


def column_of(file: Any) -> str:
    return f"segments/{sorted(file['segments'])[0]}/signal.attmean"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (external_storage, "signal.attmean: its data lie in another file"),
        (external_link, "signal.attmean: it is a link to elsewhere"),
        (soft_link, "signal.attmean: it is a link to elsewhere"),
        (linked_group, "segments: it is a link to elsewhere"),
        (virtual, "signal.attmean: it is a virtual data set"),
        (vlen, "signal.attmean: it does not hold plain numbers"),
        (strings, "signal.attmean: it does not hold plain numbers"),
        (references, "signal.attmean: it does not hold plain numbers"),
        (compound, "signal.attmean: it does not hold plain numbers"),
        (other_filter, "signal.attmean: it is compressed otherwise"),
        (bomb, "signal.attmean: it declares more than its 0 stored bytes"),
        (huge_chunk, "signal.attmean: it declares more than its 0 stored bytes"),
        (other_numbers, "signal.attmean: its sha256 is not"),
        (other_width, r"signal.attmean: it is \(.*\) float32, not"),
        (other_type, r"signal.attmean: it is \(.*\) float64, not"),
        (absent, "it has a signal's values or first rows, and not both"),
        (another_member, "its columns are not legal: mood"),
        (a_group_instead, "signal.attmean: it is no data set"),
        (marker_of_another, "it belongs to another segment"),
        (future, "it is not of omnitrace_hdf5 1.0"),
    ],
)
def test_what_is_no_plain_export_is_refused_naming_the_member(
    exported: Path, tmp_path: Path, change: Change, words: str
) -> None:
    path = tmp_path / "run.h5"
    path.write_bytes(exported.read_bytes())
    with h5py.File(path, "r+") as file:
        change(file, tmp_path)
    with pytest.raises(OmniTraceError, match=f"{path}.*{words}"):
        import_hdf5(path, MemoryFiles(), MAX_BYTES, no_report)


def test_the_cap_is_before_the_allocation(exported: Path) -> None:
    with pytest.raises(OmniTraceError, match=r"larger than 1000 bytes.*--max-bytes"):
        import_hdf5(exported, MemoryFiles(), 1000, no_report)


def test_a_file_harmed_anywhere_is_an_error_or_harmless(
    store: MemoryFiles, exported: Path, tmp_path: Path
) -> None:
    rng, sound = random.Random(3), exported.read_bytes()
    path, errors = tmp_path / "run.h5", 0
    for trial in range(120):
        harmed = bytearray(sound)
        if trial % 4 == 0:
            del harmed[rng.randrange(len(harmed)) :]
        else:
            harmed[rng.randrange(len(harmed))] ^= 1 << rng.randrange(8)
        path.write_bytes(harmed)
        files = MemoryFiles()
        try:
            damage = import_hdf5(path, files, MAX_BYTES, no_report)
        except OmniTraceError as error:
            errors += str(path) in str(error)
            continue
        errors += bool(damage)
        assert files.content.items() <= store.content.items()
        assert damage or files.content == store.content
    assert errors > 60


def test_a_full_disk_is_not_the_file_s_fault(store: MemoryFiles, exported: Path) -> None:
    for operations in (0, 5, 40):
        disk = FullDisk(operations_left=operations)
        with pytest.raises(OmniTraceError, match=r"^cannot write memory/.*No space left"):
            import_hdf5(exported, disk, MAX_BYTES, no_report)
        rest = MemoryFiles(disk.content)
        import_hdf5(exported, rest, MAX_BYTES, no_report)
        assert rest.content == store.content


def test_damage_of_the_run_is_left_out_of_the_export(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path / "run")
    add_both(fill(files, range(4)))
    run = open_run(tmp_path / "run")
    harmed = tmp_path / "run" / "segments" / run.segment_of("s0") / "prompt" / "c.0.0"
    harmed.write_bytes(harmed.read_bytes()[:-1])
    [sentence] = export(open_run(tmp_path / "run"), tmp_path / "run.h5", "none", no_report)
    assert str(harmed) in sentence
    assert set(Run(imported(tmp_path / "run.h5"))) == {"s2", "s3"}


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(LocalFiles(tmp_path / "run"), range(2))
    file, again = str(tmp_path / "run.h5"), str(tmp_path / "again")
    assert main(["export", str(tmp_path / "run"), file]) == 0
    assert main(["import", file, again]) == 0
    assert "2 samples" in capsys.readouterr().err
    assert all_of(open_run(again)) == all_of(open_run(tmp_path / "run"))
    assert main(["export", again, str(tmp_path / "run.zip")]) == 2
    assert main(["export", again, str(tmp_path / "no" / "run.h5")]) == 2
    assert main(["import", str(tmp_path / "no.h5"), again]) == 2
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    (tmp_path / "bad.h5").write_bytes(b"no HDF5")
    assert main(["import", str(tmp_path / "bad.h5"), str(tmp_path / "new")]) == 1
    assert "bad.h5" in capsys.readouterr().err
