"""Damage, malice and other versions: an error naming the file, or harmless; never a wrong value."""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import google_crc32c
import msgspec
import numpy as np
import pytest
import zarr

from omnitrace.errors import OmniTraceError
from omnitrace.store import shards
from omnitrace.store.commit import Marker, checksum, json_bytes, new_root
from omnitrace.store.files import LocalFiles
from omnitrace.store.run import Run, open_run
from omnitrace.store.writer import RunWriter
from tests.build import make_trace
from tests.omnitrace.store.stores import change_marker, describe, forge, with_file

EXPECTED = {f"s{i}": describe(make_trace(f"s{i}", i)) for i in range(3)}


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two segments: s0 and s1, and s2 alone."""
    path = tmp_path_factory.mktemp("pristine") / "run"
    with RunWriter(LocalFiles(path), {"model": "m"}) as writer:
        for i in range(3):
            writer.add(make_trace(f"s{i}", i), "k")
            if i == 1:
                writer.commit()
    return path


@pytest.fixture
def store(pristine: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may damage."""
    return Path(shutil.copytree(pristine, tmp_path / "run"))


def segment_with(store: Path, id: str) -> str:
    run = open_run(store)
    return run.segment_of(id)


def outcome(run: Run, id: str) -> dict[str, Any] | str:
    """What reading everything of a sample gives: the sample, or the sentence of its error."""
    try:
        return describe(run[id])
    except OmniTraceError as error:
        return str(error)


def flip(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]


def truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def lengthen(data: bytes, rng: random.Random) -> bytes:
    return data + b"\0"


@pytest.mark.parametrize("harm", [flip, truncate, lengthen])
def test_every_file_of_a_segment_harmed_is_an_error_naming_it(
    store: Path, harm: Callable[[bytes, random.Random], bytes]
) -> None:
    rng = random.Random(harm.__name__)
    files = sorted(path for path in (store / "segments" / segment_with(store, "s0")).rglob("*"))
    for file in [file for file in files if file.is_file()]:
        sound = file.read_bytes()
        file.write_bytes(harm(sound, rng))
        assert_only_first_segment_fails(store, file)
        file.write_bytes(sound)
    assert {id: outcome(open_run(store), id) for id in EXPECTED} == EXPECTED


def test_every_file_of_a_segment_deleted_is_an_error_naming_it(store: Path) -> None:
    files = sorted((store / "segments" / segment_with(store, "s0")).rglob("*"))
    for file in [file for file in files if file.is_file()]:
        sound = file.read_bytes()
        file.unlink()
        assert_only_first_segment_fails(store, file)
        file.write_bytes(sound)


def test_files_of_a_segment_swapped_are_errors_naming_one_of_them(store: Path) -> None:
    files = sorted((store / "segments" / segment_with(store, "s0")).rglob("*"))
    files = [file for file in files if file.is_file()]
    contents = [file.read_bytes() for file in files]
    for i, first in enumerate(files):
        for j, second in enumerate(files[:i]):
            if contents[i] == contents[j]:
                continue
            first.write_bytes(contents[j])
            second.write_bytes(contents[i])
            message = outcome(open_run(store), "s0")
            assert str(first) in message or str(second) in message
            first.write_bytes(contents[i])
            second.write_bytes(contents[j])


def test_a_segment_whose_folder_is_gone_leaves_the_others(store: Path) -> None:
    folder = store / "segments" / segment_with(store, "s0")
    shutil.rmtree(folder)
    assert_only_first_segment_fails(store, folder)


def assert_only_first_segment_fails(store: Path, file: Path) -> None:
    run = open_run(store)
    assert list(run) == list(EXPECTED)
    for id in ("s0", "s1"):
        message = outcome(run, id)
        assert isinstance(message, str), f"damage of {file} was not detected"
        assert f"sample '{id}' cannot be read" in message
        assert str(file) in message
        assert "delete" in message
    assert outcome(run, "s2") == EXPECTED["s2"]


def test_a_harmed_marker_hides_its_samples_and_is_reported(store: Path) -> None:
    rng = random.Random(5)
    marker = store / "commits" / f"{segment_with(store, 's0')}.json"
    sound = marker.read_bytes()
    harmed = [harm(sound, rng) for harm in (flip,) * 200 + (truncate,) * 20 + (lengthen,)]
    for data in harmed:
        marker.write_bytes(data)
        run = open_run(store)
        assert list(run) == ["s2"]
        (sentence,) = run.damage
        assert str(marker) in sentence
    assert outcome(run, "s2") == EXPECTED["s2"]
    with pytest.raises(OmniTraceError, match="1 of its commit markers are damaged"):
        run["s0"]
    marker.unlink()
    run.refresh()
    assert list(run) == ["s2"]
    assert run.damage == []


def test_swapped_markers_are_damage(store: Path) -> None:
    first, second = (store / "commits").iterdir()
    contents = first.read_bytes(), second.read_bytes()
    first.write_bytes(contents[1])
    second.write_bytes(contents[0])
    run = open_run(store)
    assert len(run) == 0
    assert len(run.damage) == 2


def test_a_harmed_root_is_an_error_or_harmless(store: Path) -> None:
    rng = random.Random(6)
    root = store / "zarr.json"
    sound = root.read_bytes()
    messages = []
    for harm in (flip,) * 200 + (truncate,) * 20:
        root.write_bytes(harm(sound, rng))
        try:
            run = open_run(store)
        except OmniTraceError as error:
            messages.append(str(error))
        else:
            assert run.identity == {"model": "m"}
            assert run.damage == []
            assert list(run) == list(EXPECTED)
    assert len(messages) > 150
    assert all(str(store) in message for message in messages)


def test_a_marker_of_another_run_is_damage(store: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    with RunWriter(LocalFiles(other), {"model": "another"}) as writer:
        writer.add(make_trace("foreign"), "k")
    shutil.copytree(other / "commits", store / "commits", dirs_exist_ok=True)
    shutil.copytree(other / "segments", store / "segments", dirs_exist_ok=True)
    run = open_run(store)
    assert list(run) == list(EXPECTED)
    assert "belongs to another" in run.damage[0]


def test_strange_files_beside_the_store_are_harmless(store: Path) -> None:
    segment = segment_with(store, "s0")
    (store / "notes.txt").write_text("x")
    (store / "commits" / ".tmp-1").write_text("{")
    (store / "commits" / "readme.json").write_text("{")
    (store / "segments" / segment / "prompt" / "c.0.1").write_bytes(b"x")
    (store / "segments" / "orphan").mkdir()
    run = open_run(store)
    assert run.damage == []
    assert {id: outcome(run, id) for id in run} == EXPECTED


def link_file(file: Path) -> None:
    target = file.parent.parent / "elsewhere"
    file.rename(target)
    file.symlink_to(target)


def link_folder(file: Path) -> None:
    target = file.parent.parent / "elsewhere"
    file.parent.rename(target)
    file.parent.symlink_to(target, target_is_directory=True)


def pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize(
    ("swap", "words"),
    [(link_file, "symbolic link"), (link_folder, "symbolic link"), (pipe, "not a regular file")],
)
def test_links_and_pipes_in_a_run_are_refused(
    store: Path, swap: Callable[[Path], None], words: str
) -> None:
    swap(store / "segments" / segment_with(store, "s0") / "prompt" / "c.0.0")
    assert words in str(outcome(open_run(store), "s0"))
    assert outcome(open_run(store), "s2") == EXPECTED["s2"]


def test_a_marker_that_is_a_link_is_damage(store: Path) -> None:
    link_file(store / "commits" / f"{segment_with(store, 's0')}.json")
    assert "symbolic link" in open_run(store).damage[0]


def changed_json(path: Path, keys: list[Any], value: Any) -> bytes:
    document = json.loads(path.read_bytes())
    inner = document
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    return json.dumps(document).encode()


CODECS = ["codecs", 0, "configuration", "codecs"]
HUGE = 2**40


@pytest.mark.parametrize(
    ("array", "keys", "value", "words"),
    [
        pytest.param("prompt", ["data_type"], "string", "data_type", id="strings"),
        pytest.param("prompt", ["data_type"], "float64", "not \\[9", id="dtype"),
        pytest.param("prompt", ["shape", 1], HUGE, "not \\[9", id="shape"),
        pytest.param("prompt", ["zarr_format"], 2, "zarr_format", id="zarr 2"),
        pytest.param("prompt", [*CODECS, 1, "name"], "numcodecs.pickle", "name", id="pickle"),
        pytest.param("prompt", [*CODECS, 1, "name"], "bytes", "codecs", id="no blosc"),
        pytest.param(
            "prompt", [*CODECS, 0, "configuration", "endian"], "big", "endian", id="endian"
        ),
        pytest.param("prompt", ["codecs"], [], "codecs", id="no codecs"),
        pytest.param("prompt", [*CODECS[:-1], "chunk_shape", 1], HUGE, "whole chunks", id="chunk"),
        pytest.param("prompt", [*CODECS[:-1], "chunk_shape", 1], 0, "whole chunks", id="chunk 0"),
        pytest.param("prompt", [*CODECS[:-1], "chunk_shape", 0], 3, "all rows", id="rows"),
        pytest.param(
            "prompt",
            ["chunk_grid", "configuration", "chunk_shape", 1],
            HUGE,
            "whole|more than",
            id="shard",
        ),
        pytest.param("prompt", ["storage_transformers"], [{}], "storage", id="transformers"),
        pytest.param("prompt", ["chunk_key_encoding", "name"], "v2", "chunk_key", id="keys"),
    ],
)
def test_metadata_beyond_the_format_is_refused_before_anything_is_allocated(
    store: Path, array: str, keys: list[Any], value: Any, words: str
) -> None:
    segment = segment_with(store, "s0")
    file = store / "segments" / segment / array / "zarr.json"
    forge(store, segment, f"{array}/zarr.json", changed_json(file, keys, value))
    with pytest.raises(OmniTraceError, match=f"{array}/zarr.json: .*({words})"):
        open_run(store)["s0"]


def shard_parts(file: Path) -> tuple[bytes, list[int]]:
    """A shard of one chunk: its chunk with checksum, and its index."""
    data = file.read_bytes()
    start, length = struct.unpack("<QQ", data[-20:-4])
    return data[start : start + length], [start, length]


def shard_of(chunk: bytes, index: list[int]) -> bytes:
    packed = struct.pack("<QQ", *index)
    return chunk + with_crc(packed)


def with_crc(body: bytes) -> bytes:
    crc: int = google_crc32c.value(body)
    return body + crc.to_bytes(4, "little")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(lambda c, i: shard_of(c, [2**64 - 1] * 2), "absent", id="absent chunk"),
        pytest.param(lambda c, i: shard_of(c, [i[0], 10]), "possible length", id="short chunk"),
        pytest.param(lambda c, i: shard_of(c, [2**50, i[1]]), "too short", id="chunk outside"),
        pytest.param(
            lambda c, i: shard_of(with_crc(c[:4] + b"\xff\xff\xff\x7f" + c[8:-4]), i),
            "declared size",
            id="bomb",
        ),
        pytest.param(
            lambda c, i: shard_of(with_crc(c[:16] + b"\xff" * (len(c) - 20)), i),
            "decoded",
            id="no blosc",
        ),
        pytest.param(lambda c, i: shard_of(c[:-1] + b"\0\0"[:1], i), "checksum", id="chunk crc"),
        pytest.param(lambda c, i: shard_of(c, i)[:-1] + b"\0", "index fails", id="index crc"),
        pytest.param(lambda c, i: c[:4], "4 stored bytes", id="no index"),
    ],
)
def test_a_forged_shard_is_refused(
    store: Path, change: Callable[[bytes, list[int]], bytes], words: str
) -> None:
    segment = segment_with(store, "s0")
    name = "signal.attmean/c.0"
    forged = change(*shard_parts(store / "segments" / segment / name))
    forge(store, segment, name, forged)
    with pytest.raises(OmniTraceError, match=words):
        open_run(store)["s0"].scores("attmean")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"id": "x"}, id="id"),
        pytest.param({"key": "x"}, id="key"),
        pytest.param({"n": 5}, id="n"),
        pytest.param({"T": 5}, id="T"),
    ],
)
def test_a_marker_that_tells_another_story_than_its_segment_is_an_error(
    store: Path, change: dict[str, Any]
) -> None:
    segment = segment_with(store, "s0")

    def lie(marker: Marker) -> dict[str, Any]:
        first, *others = marker.samples
        return {"samples": [msgspec.structs.replace(first, **change), *others]}

    change_marker(store, segment, lie)
    run = open_run(store)
    first = next(id for id in run if id not in EXPECTED or id == "s0")
    with pytest.raises(OmniTraceError, match="than the marker says"):
        run[first]
    assert outcome(run, "s1") == EXPECTED["s1"]


@pytest.mark.parametrize(
    "name", ["../../zarr.json", "/etc/passwd", "a/../b", "a//b", ".b", "a\\b", "a\n", ""]
)
def test_a_marker_with_paths_out_of_the_segment_is_damage(store: Path, name: str) -> None:
    def add(marker: Marker) -> dict[str, Any]:
        return {"files": with_file(marker, name, b"x")}

    segment = segment_with(store, "s0")
    change_marker(store, segment, add)
    run = open_run(store)
    with pytest.raises(OmniTraceError, match=f"commits/{segment}.json: .* regex"):
        run["s0"]
    assert outcome(run, "s2") == EXPECTED["s2"]


def test_another_format_or_feature_is_named_with_both_versions(tmp_path: Path) -> None:
    def root(**change: Any) -> Path:
        document = json.loads(new_root({"model": "m"}))
        body = document["attributes"]["omnitrace"] | change
        body.pop("crc32c")
        body["crc32c"] = checksum(json_bytes(body, sort_keys=True))
        document["attributes"]["omnitrace"] = body
        (tmp_path / "zarr.json").write_bytes(json_bytes(document))
        return tmp_path

    newer = {"format": "3.1", "min_reader": "2.0", "created_by": {"omnitrace": "9.9"}}
    with pytest.raises(OmniTraceError, match=r"omnitrace 9\.9 in format 3\.1 .* format 2\.0; this"):
        open_run(root(**newer))
    with pytest.raises(OmniTraceError, match=r"uses antimatter, which omnitrace .* does not know"):
        open_run(root(features=["antimatter"]))
    assert len(open_run(root(format="1.7", unheard_of={"x": 1}))) == 0
    with pytest.raises(OmniTraceError, match="is no version"):
        open_run(root(min_reader="soon"))


def test_columns_and_attributes_of_a_later_version_are_ignored(store: Path) -> None:
    segment = segment_with(store, "s2")
    folder = store / "segments" / segment
    group: Any = zarr.open_group(folder, mode="r", zarr_format=3)
    names = [*group.attrs["omnitrace"]["columns"], "mood"]
    offsets = np.concatenate([group["offset"][:], [[0, 3]]])
    arrays = {
        "offset": shards.encode(offsets, names, "boundary"),
        "mood": shards.encode(np.arange(3, dtype=np.int32), [], "mood"),
    }
    (folder / "mood").mkdir()
    for array, files in arrays.items():
        for file, data in files:
            forge(store, segment, f"{array}/{file}", data)
    attributes = {"omnitrace": {"format": "1.1", "columns": names, "unheard of": 1}}
    forge(
        store, segment, "zarr.json", changed_json(folder / "zarr.json", ["attributes"], attributes)
    )
    change_marker(store, segment, lambda _: {"format": "1.1"})

    run = open_run(store)
    assert run.damage == []
    assert outcome(run, "s2") == EXPECTED["s2"]


def test_what_a_stranger_wrote_cannot_reach_the_terminal(tmp_path: Path) -> None:
    hostile = "\x1b]52;c;eA==\x07"
    trace = replace(make_trace(f"s{hostile}"), meta={hostile: [hostile]}, pos=(hostile,) * 16)
    with RunWriter.open(tmp_path, {"model": hostile}) as writer:
        writer.add(trace, "k")
    run = open_run(tmp_path)
    assert "\x1b" not in run.identity["model"]
    read = run[trace.id]
    assert read.id == trace.id  # ids are data; what shows them makes them safe
    ((key, values),) = read.meta.items()
    assert "\x1b" not in "".join([key, *values, *read.pos])
    with pytest.raises(OmniTraceError) as caught:
        run[f"t{hostile}"]
    assert "\x1b" not in str(caught.value)
    next(tmp_path.rglob("prompt/c.*")).unlink()
    with pytest.raises(OmniTraceError) as caught:
        open_run(tmp_path)[trace.id]
    assert "\x1b" not in str(caught.value)
