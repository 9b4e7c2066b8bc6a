"""Media are found by name and content, shrunk, and embedded within a budget."""

from __future__ import annotations

import base64
import hashlib
import io
from pathlib import Path

import pytest
from PIL import Image

from omnitrace.errors import CommandError
from omnitrace.timeline import Medium
from replay.report.media import MediaEmbedder


def put(folder: Path, name: str, data: bytes) -> Medium:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    kind = "image" if name.endswith(("png", "jpg")) else "audio"
    return Medium(kind, name, hashlib.sha256(data).hexdigest())


def picture(size: tuple[int, int], mode: str = "RGB") -> bytes:
    written = io.BytesIO()
    Image.new(mode, size, "red").save(written, "PNG")
    return written.getvalue()


def test_a_thumbnail_is_small(tmp_path: Path) -> None:
    medium = put(tmp_path, "deep/er/big.png", picture((2000, 1000), "RGBA"))
    uri = MediaEmbedder(tmp_path).thumbnail(medium)
    assert uri is not None
    head, data = uri.split(",")
    assert head == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (512, 256)


def test_the_content_decides_not_the_name(tmp_path: Path) -> None:
    medium = put(tmp_path, "a/same.png", picture((4, 4)))
    put(tmp_path, "b/same.png", picture((5, 5)))
    other = put(tmp_path, "c/other.png", picture((6, 6)))
    embedder = MediaEmbedder(tmp_path)
    assert embedder.find(medium) == tmp_path / "a" / "same.png"
    changed = Medium("image", "same.png", other.sha256)
    assert embedder.thumbnail(changed) is None
    assert embedder.missing == {"same.png"}
    assert "1 media are not under" in embedder.notes[0]
    assert MediaEmbedder().find(medium) is None
    assert MediaEmbedder().notes == []


def test_a_folder_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"there is no folder .*nowhere"):
        MediaEmbedder(tmp_path / "nowhere")


def test_a_name_never_leaves_the_folder(tmp_path: Path) -> None:
    outside = put(tmp_path, "secret.png", picture((4, 4)))
    folder = tmp_path / "media"
    folder.mkdir()
    medium = Medium("image", "../secret.png", outside.sha256)
    assert MediaEmbedder(folder).find(medium) is None


def test_what_is_no_image_has_no_thumbnail(tmp_path: Path) -> None:
    medium = put(tmp_path, "broken.png", b"\x89PNG but no more")
    assert MediaEmbedder(tmp_path).thumbnail(medium) is None


def test_sound_is_embedded_within_the_budget(tmp_path: Path) -> None:
    first, second = (put(tmp_path, f"{name}.wav", bytes(60) + name.encode()) for name in "ab")
    embedder = MediaEmbedder(tmp_path, budget=100)
    uri = embedder.playable(first)
    assert uri is not None
    assert uri.startswith("data:audio/wav;base64,")
    assert embedder.playable(second) is None
    assert "1 media did not fit" in embedder.notes[0]
    assert MediaEmbedder(tmp_path).playable(first) is None
    strange = put(tmp_path, "c.exe", b"MZ")
    assert MediaEmbedder(tmp_path, budget=100).playable(strange) is None
