"""Files that the reader asks for, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from omnitrace import CommandError


def write_text(path: Path, text: str, replace: bool = False) -> None:
    """Write a file, whole or not at all; CommandError if it cannot be, or is there already."""
    if path.exists() and not replace:
        raise CommandError(f"{path} is there already.")
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, "utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise CommandError(f"cannot write {path}: {error.strerror}.") from error
