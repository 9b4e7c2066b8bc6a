"""Digests that tell one recording's ingredients from another's. Knows files and JSON only."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

WHOLE = 64 << 20
"""Files up to this many bytes are read whole; of larger ones, this many at either end."""


def of_folder(folder: Path) -> str:
    """Hex sha256 of the names, sizes and contents of a folder's files (hidden ones left out)."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            size = path.stat().st_size
            digest.update(f"{name.as_posix()}\0{size}\0".encode())
            with path.open("rb") as file:
                digest.update(file.read(WHOLE))
                if size > WHOLE:
                    file.seek(max(WHOLE, size - WHOLE))
                    digest.update(file.read())
    return digest.hexdigest()


def of_file(path: Path) -> str:
    """Hex sha256 of a file, read whole."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_json(data: Any) -> str:
    """Hex sha256 of JSON data in canonical form."""
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
