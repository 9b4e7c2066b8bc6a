"""What SECURITY.md promises and no other test holds; and that the tests it names exist."""

from __future__ import annotations

import re
import resource
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnitrace.errors import OmniTraceError, SampleError
from omnitrace.store import shards
from omnitrace.store.commit import Unreadable
from omnitrace.store.files import LocalFiles
from omnitrace.store.run import open_run
from omnitrace.store.writer import RunWriter
from recorder.inputs.media import load_audio, load_video, load_video_audio
from replay.judge.decode import frames_of, wav_of
from tests.build import make_trace
from tests.fuzzed import ChunkReader
from tests.omnitrace.store.stores import forge
from tests.recorder.conftest import write_film
from tui.media.decode import frames, loudness

ROOT = Path(__file__).parents[1]
PACKAGES = ("omnitrace", "recorder", "replay", "tui")
FORBIDDEN = re.compile(
    r"^\s*(?:import|from) (?:pickle|marshal|shelve|dill)\b"
    r"|\ballow_pickle=True|\btorch\.load\(|(?<![\w.])(?:eval|exec)\(|\byaml\.|\bshell=True|\bos\.system\(",
    re.MULTILINE,
)


def test_the_tests_that_the_page_names_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "SECURITY.md").read_text("utf-8"))
    assert len(named) > 15
    for file, name in named:
        assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text("utf-8"), re.M), name


BETWEEN_OUR_PROCESSES = ROOT / "replay" / "sweep" / "cluster" / "pickled.py"


def test_nothing_unpickles_or_evaluates() -> None:
    found = {
        str(path): match[0]
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path != BETWEEN_OUR_PROCESSES and (match := FORBIDDEN.search(path.read_text("utf-8")))
    }
    assert found == {}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with RunWriter(LocalFiles(tmp_path / "run"), {"model": "m"}) as writer:
        writer.add(make_trace("s0"), "k")
    return tmp_path / "run"


@pytest.mark.parametrize(
    "id",
    ["../../etc/passwd", "/abs", "a\0b", "con", "a:b?*", "\x1b[2J", "x" * 5000, ".", "", "a/../b"],
)
def test_ids_never_become_paths(tmp_path: Path, id: str) -> None:
    with RunWriter(LocalFiles(tmp_path / "run"), {"model": "m"}) as writer:
        writer.add(make_trace(id), "k")
    assert open_run(tmp_path / "run")[id].id == id
    uuid = "[0-9a-f-]{36}"
    legal = re.compile(rf"zarr\.json|commits(/{uuid}\.json)?|segments(/{uuid}(/[\w.]+){{0,2}})?")
    names = [str(path.relative_to(tmp_path / "run")) for path in (tmp_path / "run").rglob("*")]
    assert [name for name in names if not legal.fullmatch(name)] == []
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_bomb_takes_no_memory(store: Path) -> None:
    """A terabyte declared is refused while it is small."""
    segment = open_run(store).segment_of("s0")
    zeros = np.zeros((1 << 20,), np.float32)
    files = dict(shards.encode(zeros, [], "signal"))
    huge = files["zarr.json"].replace(b"[1048576]", b"[%d]" % 2**40)
    forge(store, segment, "signal.attmean/zarr.json", huge)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(OmniTraceError):
        open_run(store)["s0"].scores("attmean")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


@pytest.mark.parametrize("place", [8, 12])
@pytest.mark.parametrize("value", [0, 2**31 - 1, 2**32 - 1, 10**8])
def test_a_chunk_that_lies_about_its_length_is_refused(place: int, value: int) -> None:
    read: Callable[[bytes], Any] = ChunkReader()
    for sound in ChunkReader.seeds():
        read(sound)
        forged = sound[:place] + value.to_bytes(4, "little") + sound[place + 4 :]
        with pytest.raises(Unreadable, match="not of the declared size"):
            read(forged)


OFFLINE = """
import socket, sys
def refuse(*_, **__):
    raise SystemExit("the network was used")
socket.socket = socket.create_connection = socket.getaddrinfo = refuse
from omnitrace.cli import main
for verb in (["info"], ["replay"], ["verify", "--deep"], ["du"]):
    assert main([verb[0], sys.argv[1], *verb[1:]]) == 0
"""


def test_reading_a_run_uses_no_network(store: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, str(store)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile {}\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("decode", [
    lambda path: load_video(path, 2.0, 16_000),
    lambda path: load_video(path.read_bytes(), 2.0, 16_000),
    lambda path: load_video_audio(path, 16_000),
    lambda path: load_audio(path, 16_000),
    lambda path: wav_of(path),
    lambda path: frames_of(path, 4),
    lambda path: frames(path, (0.0,), 4, 4),
    lambda path: loudness(path, 4),
])  # fmt: skip
def test_a_playlist_opens_no_other_file_and_no_address(
    kind: str, decode: Callable[[Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # bytes have no folder of their own
    write_film(tmp_path / "other.ts", sound=True)
    decode(tmp_path / "other.ts")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/other.ts"
        for other in ("other.ts", str(tmp_path / "other.ts"), address):
            path = tmp_path / "film.mp4"
            path.write_text(PLAYLISTS[kind].format(other))
            with pytest.raises(SampleError, match="decode"):
                decode(path)
        with pytest.raises(BlockingIOError):
            server.accept()
