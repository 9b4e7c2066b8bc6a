"""Digests of files and folders change with what they hold, and with nothing else."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from recorder import fingerprint


def test_of_file_is_the_sha256_of_all_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "WHOLE", 4)
    data = bytes(range(64))
    (tmp_path / "a").write_bytes(data)
    assert fingerprint.of_file(tmp_path / "a") == hashlib.sha256(data).hexdigest()
    (tmp_path / "a").write_bytes(data[:32] + b"x" + data[33:])
    assert fingerprint.of_file(tmp_path / "a") != hashlib.sha256(data).hexdigest()


def test_of_folder_sees_names_and_contents_but_nothing_hidden(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = fingerprint.of_folder(tmp_path)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "b").write_text("2")
    assert fingerprint.of_folder(tmp_path) == first
    (tmp_path / "a").write_text("2")
    second = fingerprint.of_folder(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert len({first, second, fingerprint.of_folder(tmp_path)}) == 3


def test_of_json_does_not_see_the_order_of_keys() -> None:
    assert fingerprint.of_json({"a": 1, "b": 2}) == fingerprint.of_json({"b": 2, "a": 1})
    assert fingerprint.of_json([1, 2]) != fingerprint.of_json([2, 1])
