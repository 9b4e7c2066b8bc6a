"""Files that configurations name, parsed once while they do not change. Knows no format."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from omnitrace.errors import CommandError

T = TypeVar("T")


def parsed_file(path: str, what: str, parse: Callable[[str, bytes], T]) -> T:
    """`parse(path, content)` of a file, kept until the file has another time or size.

    `parse`: a function of a module, which is part of the key; what it raises is not kept.
    CommandError, which calls the file `what`, if it cannot be read.
    """
    try:
        status = Path(path).stat()
        found: T = _parsed(parse, path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise CommandError(f"cannot read the {what} {path}: {error.strerror}.") from error
    return found


@lru_cache(maxsize=12)
def _parsed(parse: Callable[[str, bytes], Any], path: str, changed: int, size: int) -> Any:
    """The last two tell versions of a file apart; OSError if it cannot be read."""
    return parse(path, Path(path).read_bytes())
