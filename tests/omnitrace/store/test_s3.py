"""Runs in an object store: a real S3 server on loopback, the same promises as on a disk."""

from __future__ import annotations

import json
import logging
import pickle
import random
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import obstore
import pytest
from moto.server import ThreadedMotoServer

from omnitrace.cli import main
from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.maintenance.gc import collect
from omnitrace.maintenance.verify import verify
from omnitrace.store import commit
from omnitrace.store.files import Files, LocalFiles, get_document
from omnitrace.store.run import Run, open_run
from omnitrace.store.s3 import S3Files, s3_url
from omnitrace.store.writer import RunWriter
from tests.omnitrace.maintenance.runs import IDENTITY, add_both, all_of, fill, sample
from tests.omnitrace.store.stores import MemoryFiles
from tests.omnitrace.store.test_run_damage import flip

NAMES = (f"run-{number}" for number in range(1000))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an S3 server with a bucket `lab`."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    address = f"http://{host}:{port}"
    urllib.request.urlopen(urllib.request.Request(f"{address}/lab", method="PUT")).close()
    yield address
    running.stop()


@pytest.fixture
def url(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A prefix of its own, and the environment that leads to it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return f"s3://lab/{next(NAMES)}"


@pytest.fixture(params=["disk", "s3", "memory"])
def files(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> Files:
    made: dict[str, Callable[[], Files]] = {
        "disk": lambda: LocalFiles(tmp_path / "run"),
        "s3": lambda: S3Files(url),
        "memory": MemoryFiles,
    }
    return made[request.param]()


def test_every_medium_keeps_the_same_contract(files: Files) -> None:
    assert files.names() == files.names("a") == []
    assert list(files.walk()) == []
    files.put("a/b/one", b"0123456789")
    files.put("a/two", b"")
    files.sync()
    assert files.put_if_absent("a/three", b"3") is True
    assert files.put_if_absent("a/three", b"4") is False
    assert files.names() == ["a"]
    assert files.names("a") == ["b", "three", "two"]
    assert sorted((entry.name, entry.size) for entry in files.walk("a")) == [
        ("a/b/one", 10),
        ("a/three", 1),
        ("a/two", 0),
    ]
    assert [entry.name for entry in files.walk("a/b")] == ["a/b/one"]
    parts = [files.get("a/b/one", *part) for part in ((), (0, 3), (8, 5), (3,), (2, 0), (10, 1))]
    assert parts == [b"0123456789", b"012", b"89", b"3456789", b"", b""]
    assert files.get("a/two") == files.get("a/two", 0, 9) == b""
    assert get_document(files, "a/three") == b"3"
    assert files.size("a/b/one") == 10
    for name in ("a/absent", "absent"):
        with pytest.raises(FileNotFoundError):
            files.size(name)
        with pytest.raises(FileNotFoundError):
            files.get(name)
    files.remove("a/b/one")
    files.remove("a/b/one")
    assert files.names("a") == ["three", "two"]
    assert files.where("x").endswith("/x")


def test_the_medium_s_clock_is_that_of_its_files(files: Files) -> None:
    files.put_if_absent("a", b"")
    before = files.now()
    [entry] = files.walk()
    if not isinstance(files, MemoryFiles):
        assert before - 5 <= entry.modified <= files.now() + 2


def test_a_run_is_recorded_read_and_cared_for(url: str) -> None:
    run = fill(S3Files(url), range(4))
    add_both(run)
    expected = MemoryFiles()
    fill(expected, range(4))
    opened = open_run(url)
    assert list(opened) == list(Run(expected))
    assert all_of(pickle.loads(pickle.dumps(opened))) == all_of(opened)
    assert {id: all_of(opened)["samples"][id][0] for id in opened} == {
        id: all_of(Run(expected))["samples"][id][0] for id in opened
    }
    assert list(verify(S3Files(url), deep=True)) == []
    store = S3Files(url)
    store.put("segments/00000000-0000-4000-8000-000000000000/zarr.json", b"{}")
    [left] = collect(store, 24, dry_run=False)
    assert not left.old
    [left] = collect(store, -1, dry_run=False)
    assert left.old
    assert list(collect(store, -1, dry_run=False)) == []
    assert list(verify(store)) == []


def test_copies_to_and_fro_are_the_run_byte_for_byte(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_both(fill(LocalFiles(tmp_path / "run"), range(3)))
    assert main(["copy", str(tmp_path / "run"), url]) == 0
    assert main(["copy", url, str(tmp_path / "back")]) == 0
    assert content(LocalFiles(tmp_path / "back")) == content(LocalFiles(tmp_path / "run"))
    assert content(S3Files(url)) == content(LocalFiles(tmp_path / "run"))
    capsys.readouterr()
    assert main(["du", url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"] == 3
    assert main(["verify", url, "--deep"]) == 0
    assert main(["info", url]) == 0
    assert main(["merge", url, str(tmp_path / "run"), "--into", f"{url}-merged"]) == 0
    assert set(open_run(f"{url}-merged")) == {"s0", "s1", "s2"}


def content(files: Files) -> dict[str, bytes]:
    return {entry.name: files.get(entry.name) for entry in files.walk()}


def test_damage_is_an_error_naming_the_object(url: str) -> None:
    run = fill(S3Files(url), range(4))
    name = f"segments/{run.segment_of('s0')}/prompt/c.0.0"
    harmed = flip(S3Files(url).get(name), random.Random(0))
    S3Files(url).remove(name)
    S3Files(url).put(name, harmed)
    [found] = verify(S3Files(url))
    assert found.file == f"{url}/{name}"
    with pytest.raises(OmniTraceError, match=f"{url}/{name}: its checksums"):
        open_run(url)["s0"]
    assert open_run(url)["s2"].T == 16
    S3Files(url).remove(name)
    with pytest.raises(OmniTraceError, match=f"{url}/{name}: no such object"):
        open_run(url)["s0"]


def test_of_many_who_want_a_name_one_gets_it(url: str) -> None:
    stores = [S3Files(url) for _ in range(8)]

    def want(number: int) -> bool:
        return stores[number].put_if_absent("commits/x.json", b"%d" % number)

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(want, range(8)))
    assert won.count(True) == 1
    assert S3Files(url).get("commits/x.json") == b"%d" % won.index(True)


def test_writers_that_create_one_run_at_once_share_it(url: str) -> None:
    def record(number: int) -> str:
        with RunWriter.open(url, IDENTITY) as writer:
            writer.add(sample(number), f"key {number}")
        return open_run(url).store_uuid

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(record, range(4)))) == 1
    run = open_run(url)
    assert set(run) == {"s0", "s1", "s2", "s3"}
    assert run.damage == []


def test_a_store_that_takes_no_notice_of_the_condition_is_refused(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = obstore.put

    def careless(store: Any, path: str, data: bytes, mode: str | None = None) -> Any:
        return put(store, path, data)

    monkeypatch.setattr(obstore, "put", careless)
    with pytest.raises(CommandError, match="takes no notice of If-None-Match"):
        RunWriter.open(url, IDENTITY)
    assert content(S3Files(url)) == {}


def test_a_probe_is_made_once_and_leaves_nothing(url: str) -> None:
    store = S3Files(url)
    assert store.put_if_absent("a", b"")
    assert store.put_if_absent("b", b"")
    assert [entry.name for entry in store.walk()] == ["a", "b"]


@pytest.mark.parametrize("bad", ["s3://key:secret@lab/x", "s3://lab", "s3://lab/", "s3:///x"])
def test_urls_are_bucket_and_prefix_and_nothing_else(bad: str) -> None:
    with pytest.raises(CommandError, match="s3://BUCKET/PREFIX, without credentials") as caught:
        s3_url(bad)
    assert "secret" not in str(caught.value)


def test_a_path_may_have_folded_the_slashes() -> None:
    assert s3_url(Path("s3://lab/runs/a/")) == "s3://lab/runs/a"
    assert s3_url("s3://lab/runs/a/") == "s3://lab/runs/a"
    assert s3_url("runs/s3://a") is None
    assert s3_url(Path("/s3:/a")) is None


def test_what_is_not_there_is_one_sentence(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", url]) == 2
    assert f"{url}/ is not a run: it has no zarr.json" in capsys.readouterr().err
    with pytest.raises(OmniTraceError, match=r"cannot create the run s3://nobucket/x/: .*NoSuchB"):
        RunWriter.open("s3://nobucket/x", IDENTITY)
    fill(S3Files(url), range(1))
    marker = commit.marker_name(open_run(url).segment_of("s0"))
    assert S3Files(url).get(marker)
    monkeypatch.setattr("omnitrace.store.s3.RETRIES", {"max_retries": 0})
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert main(["info", url]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"omnitrace: {url}/zarr.json cannot be read as a run's: ")
    assert len(err.splitlines()) == 1
    assert "Debug source" not in err
