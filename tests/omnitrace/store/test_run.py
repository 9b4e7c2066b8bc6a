"""Runs: what is written is read back, bit for bit; identity, resume, order, errors of use."""

from __future__ import annotations

import itertools
import math
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.store import segment, shards
from omnitrace.store.files import LocalFiles
from omnitrace.store.run import Run, UnknownSample, open_run
from omnitrace.store.segment import Segment
from omnitrace.store.shards import ArrayMetadata
from omnitrace.store.writer import RunWriter
from omnitrace.timeline import Medium, Modality, Part, Timeline
from omnitrace.trace import SignalRows, Trace
from tests.build import make_trace
from tests.omnitrace.store.stores import MemoryFiles, as_read, describe, read_all

NASTY_IDS = [
    "../x",
    "con",
    "a/b",
    "/etc/passwd",
    "\x1b[2J",
    "x" * 300,
    "",
    " ",
    "a\0b",
    "日本語",
    "🎬",
]
TEXT = st.text(st.characters(), max_size=30)  # surrogates, controls and NUL included
IDS = st.sampled_from(NASTY_IDS) | st.text(max_size=20)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | TEXT
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(TEXT, children, max_size=3),
    max_leaves=6,
)


def any_floats(rng: np.random.Generator, count: int, dtype: str) -> Any:
    """Floats of every bit pattern: NaNs with payloads, -0, infinities, subnormals."""
    size = np.dtype(dtype).itemsize
    bits = rng.integers(0, 2**32, count * size // 4, dtype=np.uint32).view(dtype)
    special = np.array([np.nan, -0.0, np.inf, -np.inf, 0.0], dtype)
    return np.where(rng.random(count) < 0.3, rng.choice(special, count), bits)


def any_ranges(rng: np.random.Generator, count: int, text: str) -> Any:
    return np.sort(rng.integers(0, len(text) + 1, (count, 2), dtype=np.int32), axis=1)


def any_signal(rng: np.random.Generator, n: int, steps: int) -> SignalRows:
    layers = tuple(int(layer) for layer in rng.permutation(40)[: rng.integers(0, 4)])
    cells = max(1, len(layers)) * (steps * n + steps * (steps - 1) // 2)
    first_row = any_floats(rng, n, "f4") if rng.random() < 0.5 else None
    return SignalRows(any_floats(rng, cells, "f4"), layers, first_row)


def any_timeline(rng: np.random.Generator, n: int, text: str, parts: int, media: int) -> Timeline:
    return Timeline(
        modality=rng.integers(0, len(Modality), n, dtype=np.uint8),
        part=rng.integers(-1, parts, n, dtype=np.int32),
        medium=rng.integers(-1, media, n, dtype=np.int32),
        chars=any_ranges(rng, n, text),
        start_s=any_floats(rng, n, "f8"),
        end_s=any_floats(rng, n, "f8"),
        **{name: rng.integers(-1, 2**31, n, dtype=np.int32) for name in ("row", "column", "frame")},
    )


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    """Any legal trace: any numbers, any text, no steps, no media, no signals, layers or none."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, steps = draw(st.integers(1, 9)), draw(st.integers(0, 5))
    prompt, response = draw(TEXT), draw(TEXT)
    media = [
        Medium(kind, draw(TEXT), "0" * 64, duration_s=draw(st.none() | st.floats(0, 1e9)))
        for kind in draw(st.lists(st.sampled_from(["image", "audio", "video"]), max_size=2))
    ]
    parts = [Part("user", "text"), *(Part("user", m.kind, i) for i, m in enumerate(media))]
    names = draw(st.lists(st.sampled_from(["attmean", "rawatt", "x-1_y"]), unique=True))
    return Trace(
        id=draw(IDS),
        prompt_text=prompt,
        response=response,
        prompt_ids=rng.integers(-(2**31), 2**31, n).astype(np.int32),
        response_ids=rng.integers(-(2**31), 2**31, steps).astype(np.int32),
        chars=any_ranges(rng, steps, response),
        logprob=any_floats(rng, steps, "f4"),
        entropy=any_floats(rng, steps, "f4"),
        pos=tuple(
            draw(
                st.lists(
                    st.sampled_from(["NOUN", "PUNCT", "\x1bX"]), min_size=steps, max_size=steps
                )
            )
        ),
        sentences=any_ranges(rng, int(rng.integers(0, 3)), response),
        prompt_sentences=any_ranges(rng, int(rng.integers(0, 3)), prompt),
        timeline=any_timeline(rng, n, prompt, len(parts), len(media)),
        parts=tuple(parts),
        media=tuple(media),
        signals={name: any_signal(rng, n, steps) for name in names},
        meta=draw(st.dictionaries(TEXT, JSON, max_size=3)),
    )


def write(files: Any, *samples: Trace, **how: Any) -> Run:
    with RunWriter(files, {"model": "m"}, **how) as writer:
        for trace in samples:
            writer.add(trace, f"key of {trace.id}")
    return Run(files)


@settings(max_examples=25, deadline=None)
@given(st.lists(traces(), min_size=1, max_size=4, unique_by=lambda trace: trace.id), st.booleans())
def test_what_is_written_is_read_back_bit_for_bit(samples: list[Trace], apart: bool) -> None:
    run = write(MemoryFiles(), *samples, segment_seconds=0.0 if apart else 60.0)

    assert run.damage == []
    assert run.sample_keys == {trace.id: f"key of {trace.id}" for trace in samples}
    assert list(run) == [trace.id for trace in samples]
    assert read_all(run) == {trace.id: describe(as_read(trace)) for trace in samples}


def test_a_run_on_disk_is_read_back_and_every_array_opens_in_plain_zarr(tmp_path: Path) -> None:
    samples = [make_trace(id, seed, layers=seed % 3) for seed, id in enumerate(NASTY_IDS)]
    run = write(LocalFiles(tmp_path / "run"), *samples)

    assert read_all(open_run(tmp_path / "run")) == {t.id: describe(t) for t in samples}
    root: Any = zarr.open_group(run.path, mode="r", zarr_format=3)
    assert root.attrs["omnitrace"]["identity"] == {"model": "m"}
    (segment,) = (tmp_path / "run" / "segments").iterdir()
    group: Any = zarr.open_group(segment, mode="r", zarr_format=3)
    names = group.attrs["omnitrace"]["columns"]
    assert set(group.array_keys()) == {*names, "offset"}
    start, stop = group["offset"][names.index("signal.attmean")][4:6]
    np.testing.assert_array_equal(
        group["signal.attmean"][start:stop], samples[4].signals["attmean"].values
    )
    assert group["prompt"].attrs["rows"][0] == "token_id"
    np.testing.assert_array_equal(group["prompt"][0, : samples[0].n], samples[0].prompt_ids)


def test_a_segment_of_ten_samples_is_few_files(tmp_path: Path) -> None:
    write(LocalFiles(tmp_path), *(make_trace(f"s{i}", i) for i in range(10)))
    assert sum(path.is_file() for path in tmp_path.rglob("*")) <= 32


@pytest.mark.parametrize("shape", [(0,), (3, 0), (1,), (7,), (3, 29), (23,)], ids=str)
@pytest.mark.parametrize("dtype", ["u1", "i4", "i8", "f4", "f8"])
def test_arrays_of_many_chunks_and_shards_are_zarr_s_and_are_read_by_range(
    shape: tuple[int, ...], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "CHUNK_ELEMENTS", 6)
    monkeypatch.setattr(shards, "SHARD_BYTES", 6 * 8 * 2)
    fill = math.nan if np.dtype(dtype).kind == "f" else 0
    absent = np.full(shape, fill, dtype)  # of these zarr would rather write no chunks at all
    for data in (absent, np.arange(absent.size).astype(dtype).reshape(shape)):
        files = dict(shards.encode(data, ["r0", "r1", "r2"][: len(shape) * 3 - 3], "x"))
        metadata = shards.parse_metadata(files["zarr.json"])
        assert {*metadata.files, "zarr.json"} == set(files)
        assert files == zarr_files(data, metadata) | {"zarr.json": files["zarr.json"]}
        np.testing.assert_array_equal(read_by_zarr(files), data)
        for start, stop in itertools.combinations_with_replacement(range(shape[-1] + 1), 2):
            found = shards.read(metadata, partial(part_of, files), start, stop)
            assert found.dtype == data.dtype
            np.testing.assert_array_equal(found, data[..., start:stop])


def zarr_files(data: Any, metadata: ArrayMetadata) -> dict[str, bytes]:
    """What zarr-python itself writes for the same array."""
    found: dict[str, Any] = {}
    array = zarr.create_array(
        MemoryStore(found),
        shape=data.shape,
        dtype=data.dtype,
        chunks=tuple(metadata.chunk),
        shards=tuple(metadata.shard),
        compressors=[BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle"), Crc32cCodec()],
        fill_value=math.nan if data.dtype.kind == "f" else 0,
        chunk_key_encoding={"name": "default", "separator": "."},
        zarr_format=3,
        config={"write_empty_chunks": True},
    )
    if data.size:
        array[...] = data
    return {name: value.to_bytes() for name, value in found.items()}


def read_by_zarr(files: dict[str, bytes]) -> Any:
    buffer = default_buffer_prototype().buffer
    store = MemoryStore({name: buffer.from_bytes(data) for name, data in files.items()})
    array: Any = zarr.open_array(store, mode="r", zarr_format=3)
    return array[...]


def part_of(files: dict[str, bytes], name: str, start: int, length: int) -> bytes:
    begin = start % len(files[name])
    return files[name][begin : begin + length]


def test_signals_stay_on_disk_until_they_are_asked_for(tmp_path: Path) -> None:
    write(LocalFiles(tmp_path), make_trace("a"))
    trace = open_run(tmp_path)["a"]
    for shard in tmp_path.rglob("signal.rawatt/c.*"):
        shard.write_bytes(b"\0" * shard.stat().st_size)

    assert set(trace.signals) == {"attmean", "rawatt"}
    np.testing.assert_array_equal(trace.scores("attmean"), make_trace("a").scores("attmean"))
    with pytest.raises(OmniTraceError, match=r"'a' cannot be read: .*signal\.rawatt/c\.0: its che"):
        trace.scores("rawatt")
    with pytest.raises(OmniTraceError, match="no signal 'attmeen': did you mean 'attmean'"):
        trace.scores("attmeen")


def test_one_step_is_read_without_its_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = make_trace(layers=2)
    with RunWriter.open(tmp_path / "run", {"model": "tests"}) as writer:
        writer.add(trace, "key")
    stored = open_run(tmp_path / "run")[trace.id]
    monkeypatch.setattr(Segment, "signal", None)  # the whole signal is never read
    whole = trace.scores("attmean", layers=[0, 1])
    for step in range(trace.T):
        row = stored.step_scores("attmean", step)
        assert np.array_equal(row, whole[:, step, : trace.n + step])
        assert np.array_equal(row, trace.step_scores("attmean", step))
    with pytest.raises(CommandError, match="Legal: attmean, rawatt"):
        stored.step_scores("nothing", 0)


@dataclass
class Counted(MemoryFiles):
    """Memory that notes which files were asked for, and how many of their bytes."""

    asked: list[tuple[str, int]] = field(default_factory=list)

    def get(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        found = super().get(name, start, length)
        self.asked.append((name, len(found)))
        return found


def test_a_small_file_is_one_request_and_a_sample_more_is_its_chunks_alone() -> None:
    files = Counted()
    with RunWriter(files, {}) as writer:
        for number in range(3):
            writer.add(make_trace(f"s{number}", number), "k")
    files.asked.clear()
    run = Run(files)
    describe(run["s1"])
    assert sorted(files.asked) == sorted(
        (name, len(files.content[name])) for name, _ in files.asked
    )
    signals = [name for name, _ in files.asked if "/signal." in name and "/c." in name]
    assert len(signals) == len(set(signals)) == len(make_trace().signals)
    files.asked.clear()
    trace = run["s2"]
    assert files.asked == []
    trace.scores("attmean")
    [index, chunk] = [asked for asked in files.asked if "/signal.attmean/" in asked[0]]
    assert index[0] == chunk[0] == next(name for name in signals if "attmean" in name)
    assert index[1] + chunk[1] == len(files.content[index[0]])


def test_a_file_of_many_blocks_is_read_by_its_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    files = Counted()
    with RunWriter(files, {}) as writer:
        writer.add(make_trace("s0"), "k")
    monkeypatch.setattr(segment, "BLOCK", 100)
    assert describe(Run(files)["s0"]) == describe(as_read(make_trace("s0")))
    assert max(size for name, size in files.asked if "/signal." in name) > 100


def test_runs_and_traces_survive_pickling_and_threads(tmp_path: Path) -> None:
    samples = [make_trace(f"s{i}", i) for i in range(12)]
    run = write(LocalFiles(tmp_path), *samples, segment_bytes=15_000)
    assert len(list((tmp_path / "commits").iterdir())) > 4

    assert read_all(pickle.loads(pickle.dumps(run))) == read_all(run)
    assert describe(pickle.loads(pickle.dumps(run["s3"]))) == describe(samples[3])
    fresh = open_run(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda trace: describe(fresh[trace.id]), samples * 5))
    assert found == [describe(trace) for trace in samples * 5]


def test_signals_of_nothing_but_zeros_are_no_suspect(tmp_path: Path) -> None:
    trace = make_trace("a")
    zeros = SignalRows(np.zeros(4000 * make_rows_size(trace), np.float32), tuple(range(4000)))
    run = write(LocalFiles(tmp_path), replace(trace, signals={"zero": zeros}))
    assert run.nbytes < zeros.values.nbytes / 100
    np.testing.assert_array_equal(run["a"].rows("zero").values, zeros.values)


def make_rows_size(trace: Trace) -> int:
    return trace.T * trace.n + trace.T * (trace.T - 1) // 2


def test_a_trace_cannot_change_what_others_read(tmp_path: Path) -> None:
    run = write(LocalFiles(tmp_path), make_trace("a"))
    with pytest.raises(ValueError, match="read-only"):
        run["a"].prompt_ids[0] = 7


def test_a_content_id_is_that_of_the_recorded_bytes_and_the_row() -> None:
    trace, other = make_trace("a"), make_trace("b")
    run, again = write(MemoryFiles(), trace, other), write(MemoryFiles(), trace, other)
    assert run.content_id("a") == again.content_id("a") != run.content_id("b")
    assert write(MemoryFiles(), other, trace).content_id("a") != run.content_id("a")
    assert run.vouched("a") == run.content_id("a")
    with pytest.raises(UnknownSample):
        run.content_id("c")


def test_summary_reads_no_segment(tmp_path: Path) -> None:
    long = "one  two\n" * 30
    blank = np.zeros((0, 2), np.int32)
    trace = replace(make_trace("a"), response=long, sentences=blank)
    run = write(LocalFiles(tmp_path), trace, make_trace("b\x1b", 1))
    for file in tmp_path.rglob("segments/*/*/*"):
        file.unlink()

    table = open_run(tmp_path).summary()
    assert len(table) == len(run) == 2
    assert table.ids == ("a", "b\x1b")
    assert table.n.tolist() == [trace.n, trace.n]
    assert table.T.tolist() == [trace.T, trace.T]
    assert table.modalities[0].tolist() == np.bincount(trace.timeline.modality).tolist()
    assert table.previews[0].startswith("one two one two")
    assert len(table.previews[0]) == 80


def test_resume_knows_what_is_done_and_refuses_to_record_twice(tmp_path: Path) -> None:
    identity = {"model": "m", "options": {"seed": 1}}
    with RunWriter.open(tmp_path / "run", identity) as writer:
        writer.add(make_trace("a"), "key-a")
        assert dict(writer.done) == {}
        with pytest.raises(OmniTraceError, match="'a' is in the run already"):
            writer.add(make_trace("a"), "key-a")
    with RunWriter.open(tmp_path / "run", identity) as writer:
        assert dict(writer.done) == {"a": "key-a"}
        with pytest.raises(OmniTraceError, match="'a' is in the run already"):
            writer.add(make_trace("a"), "key-a")
        writer.add(make_trace("b"), "key-b")
    assert open_run(tmp_path / "run").identity == identity
    assert list(open_run(tmp_path / "run")) == ["a", "b"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_leaving_by_an_exception_commits_what_is_finished(
    tmp_path: Path, error: type[BaseException]
) -> None:
    def record() -> None:
        with RunWriter.open(tmp_path, {}) as writer:
            writer.add(make_trace("a"), "k")
            raise error

    with pytest.raises(error):
        record()
    assert list(open_run(tmp_path)) == ["a"]


def test_a_segment_is_committed_when_full_or_old() -> None:
    files = MemoryFiles()
    with RunWriter(files, {}, segment_bytes=10**5) as writer:
        for i in range(100):
            writer.add(make_trace(f"s{i}", i), "k")
        assert 1 < len(files.names("commits")) < 20
    assert len(Run(files)) == 100
    files = MemoryFiles()
    with RunWriter(files, {}, segment_seconds=0.0) as writer:
        writer.add(make_trace("a"), "k")
        assert list(Run(files)) == ["a"]


def test_refresh_takes_in_what_was_committed_since() -> None:
    files = MemoryFiles()
    run = write(files, make_trace("a"))
    kept = run["a"]
    write(files, make_trace("b"))
    assert list(run) == ["a"]
    run.refresh()
    assert list(run) == ["a", "b"]
    assert describe(kept) == describe(run["a"])


def test_all_of_a_segment_is_on_the_disk_before_its_marker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_ino))
    with RunWriter.open(tmp_path / "run", {}) as writer:
        writer.add(make_trace("a", 1), "k")
    [marker] = (tmp_path / "run" / "commits").iterdir()
    marked = synced.index(marker.stat().st_ino)
    for path in (tmp_path / "run" / "segments", *(tmp_path / "run" / "segments").rglob("*")):
        assert synced.index(path.stat().st_ino) < marked, path
    assert marker.parent.stat().st_ino in synced[marked:]


def test_of_a_sample_committed_twice_the_smallest_segment_counts() -> None:
    files = MemoryFiles()
    first, second, third = (RunWriter(files, {}) for _ in range(3))
    first.add(make_trace("a", 1), "k")
    second.add(make_trace("a", 2), "k")
    segments = {}
    for seed, writer in ((1, first), (2, second)):
        before = set(files.names("commits"))
        writer.commit()
        (new,) = set(files.names("commits")) - before
        segments[new] = seed
    run = Run(files)
    assert list(run) == ["a"]
    assert run.damage == []
    assert describe(run["a"]) == describe(make_trace("a", segments[min(segments)]))

    third.add(make_trace("a", 3), "another key")  # it knows nothing of the others' commits
    third.commit()
    run.refresh()
    assert run.damage
    assert all("'a' was recorded twice from different inputs" in message for message in run.damage)


def test_another_identity_is_refused_naming_what_differs(tmp_path: Path) -> None:
    RunWriter.open(tmp_path, {"model": "m", "options": {"seed": 1, "beams": 1}})
    with pytest.raises(OmniTraceError) as caught:
        RunWriter.open(tmp_path, {"model": "m2", "options": {"seed": 1}, "new": True})
    message = str(caught.value)
    assert "model is 'm' there, 'm2' here" in message
    assert "options.beams is 1 there, '(not set)' here" in message
    assert "new is '(not set)' there, True here" in message
    assert "seed" not in message
    assert "Record into another path" in message
    with pytest.raises(OmniTraceError, match="must be JSON"):
        RunWriter.open(tmp_path / "other", {"x": math.nan})
    assert not (tmp_path / "other").exists()


def test_what_is_no_run_gets_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("x")
    for name, words in {
        "absent": "there is no run",
        "file": "is a file",
        "empty": "is not a run",
        "other": "is not a run",
    }.items():
        with pytest.raises(CommandError, match=words):
            open_run(tmp_path / name)
    with pytest.raises(CommandError, match="is a file"):
        RunWriter.open(tmp_path / "file", {})
    with pytest.raises(CommandError, match=r"holds other files \(notes.txt\)"):
        RunWriter.open(tmp_path / "other", {})
    zarr.create_group(tmp_path / "zarr", zarr_format=3)
    with pytest.raises(OmniTraceError, match="does not describe an OmniTrace run"):
        open_run(tmp_path / "zarr")


def test_an_unknown_sample_names_a_near_one(tmp_path: Path) -> None:
    run = write(LocalFiles(tmp_path), make_trace("sample-1"))
    with pytest.raises(
        CommandError, match=r"no sample 'sample-2' among its 1\. Did you mean 'sample-1'"
    ):
        run["sample-2"]
    assert run.get("sample-2") is None
    assert "sample-2" not in run
    assert dict(run).keys() == {"sample-1"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"pos": ("NOUN",)}, "1 POS tags for 16 steps", id="pos"),
        pytest.param({"logprob": np.zeros(16)}, "logprob is .* float64", id="dtype"),
        pytest.param(
            {"chars": np.full((16, 2), 999, np.int32)}, "chars leaves its text", id="chars"
        ),
        pytest.param({"parts": ()}, r"timeline\.part is not from -1 to -1", id="parts"),
        pytest.param(
            {"signals": {"a/b": SignalRows(np.zeros(1, np.float32))}}, "name 'a/b'", id="name"
        ),
        pytest.param(
            {"signals": {"a": SignalRows(np.zeros(1, np.float32))}}, "'a' is", id="signal"
        ),
        pytest.param({"meta": {"x": math.nan}}, "JSON", id="meta"),
        pytest.param({"id": "\ud800"}, "not Unicode", id="id"),
    ],
)
def test_a_trace_that_is_not_legal_is_refused_before_it_is_buffered(
    change: dict[str, Any], words: str
) -> None:
    files = MemoryFiles()
    with RunWriter(files, {}) as writer:
        with pytest.raises(OmniTraceError, match=words):
            writer.add(replace(make_trace("a"), **change), "k")
        writer.add(make_trace("b"), "k")
    assert list(Run(files)) == ["b"]


def test_commits_within_one_tick_of_the_clock_keep_their_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("omnitrace.store.commit.now", lambda: 1000.0)
    samples = [make_trace(f"sample-{seed}", seed) for seed in range(12)]
    assert list(write(MemoryFiles(), *samples, segment_seconds=0.0)) == [t.id for t in samples]
