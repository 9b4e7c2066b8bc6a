"""A file is a recorded medium by its name and its content, wherever it lies in the folder."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from omnitrace.errors import CommandError
from omnitrace.media import folder
from omnitrace.media.folder import MediaFolder
from omnitrace.timeline import Medium


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def medium(name: str, data: bytes) -> Medium:
    return Medium("audio", name, hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("name", ["a.wav", "x/a.wav", "/x/a.wav", r"C:\x\a.wav", "../a.wav"])
def test_the_last_part_of_a_name_is_looked_for_at_any_depth(tmp_path: Path, name: str) -> None:
    put(tmp_path / "1" / "a.wav", b"other")
    path = put(tmp_path / "2" / "deep" / "a.wav", b"recorded")
    assert MediaFolder(tmp_path).find(medium(name, b"recorded")) == path


def test_a_file_of_that_name_with_other_content_is_no_medium(tmp_path: Path) -> None:
    others = [put(tmp_path / inner / "a.wav", inner.encode()) for inner in ("x", "b")]
    files = MediaFolder(tmp_path)
    assert files.find(medium("a.wav", b"recorded")) is None
    assert files.named(medium("a.wav", b"recorded")) == sorted(others)
    assert files.named(medium("b.wav", b"recorded")) == []


def test_a_name_leads_to_no_file_outside_the_folder(tmp_path: Path) -> None:
    put(tmp_path / "secret.wav", b"recorded")
    (tmp_path / "media").mkdir()
    files = MediaFolder(tmp_path / "media")
    for name in ("../secret.wav", str(tmp_path / "secret.wav"), "", "..", "a\0b"):
        assert files.find(medium(name, b"recorded")) is None


def test_what_is_no_file_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.wav")
    assert MediaFolder(tmp_path).find(medium("a.wav", b"")) is None


def test_a_file_that_cannot_be_read_is_an_error_unless_another_is_the_medium(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked, path = put(tmp_path / "1" / "a.wav", b"recorded"), tmp_path / "2" / "a.wav"
    plain = Path.open

    def refuse(self: Path, mode: str = "r") -> object:
        if self == locked:
            raise PermissionError(13, "Permission denied", str(self))
        return plain(self, mode)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PermissionError):
        MediaFolder(tmp_path).find(medium("a.wav", b"recorded"))
    path.parent.mkdir()
    path.write_bytes(b"recorded")
    assert MediaFolder(tmp_path).find(medium("a.wav", b"recorded")) == path


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MOST_FILES", 2)
    for name in "abc":
        put(tmp_path / name / "file", b"")
    with pytest.raises(CommandError, match="holds over 2 files; name a smaller"):
        MediaFolder(tmp_path).find(medium("file", b"x"))
