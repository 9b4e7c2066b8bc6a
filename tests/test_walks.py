"""The walks of docs/architecture.md: a record and a replay run the files that the page lists."""

from __future__ import annotations

import inspect
import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from omnitrace.cli import main
from tests.recorder.families.models import checkpoint, media_folder

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
FOLDERS = tuple(f"{ROOT / name}/" for name in ("omnitrace", "recorder", "replay", "tui"))


@contextmanager
def files_that_run() -> Iterator[set[str]]:
    """The project's files of which a function is called, but for calls while a module is loaded."""
    files: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        path = frame.f_code.co_filename
        if path in files or event != "call" or not path.startswith(FOLDERS):
            return
        if frame.f_code.co_flags & inspect.CO_OPTIMIZED and not is_loading(frame):
            files.add(path)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield files
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def is_loading(frame: FrameType) -> bool:
    """Whether a module of the project is being loaded below this call."""
    below: FrameType | None = frame
    while below:
        if below.f_code.co_name == "<module>" and below.f_code.co_filename.startswith(FOLDERS):
            return True
        below = below.f_back
    return False


def listed(heading: str) -> set[str]:
    """The files in the table below a heading of the page."""
    section = PAGE.partition(f"### {heading}")[2].partition("\n#")[0]
    rows = re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
    return {str(ROOT / path) for row in rows for path in re.findall(r"`([^`]+)`", row)}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    """A run of one prompt with an image, by a toy chat model, and the files that ran for it."""
    folder = tmp_path_factory.mktemp("walk")
    image = {"type": "image", "image": str(media_folder() / "photo.png")}
    content = [image, {"type": "text", "text": "What is in the image?"}]
    sample = {"id": "1", "messages": [{"role": "user", "content": content}]}
    (folder / "samples.jsonl").write_text(json.dumps(sample))
    paths = [str(folder / "samples.jsonl"), str(folder / "run")]
    model = str(checkpoint("qwen2_vl"))
    with files_that_run() as files:
        assert main(["record", *paths, "--model", model, "--max-new-tokens", "2"]) == 0
    return folder / "run", files


def test_a_record_walks_through_the_files_of_the_page(recorded: tuple[Path, set[str]]) -> None:
    assert recorded[1] == listed("Record")


def test_a_replay_walks_through_the_files_of_the_page(recorded: tuple[Path, set[str]]) -> None:
    with files_that_run() as files:
        assert main(["replay", str(recorded[0]), "--json"]) == 0
    assert files == listed("Replay")
