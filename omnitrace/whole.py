"""Files that are written whole or not at all. Knows no format."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from omnitrace.errors import CommandError
from omnitrace.store.files import TEMPORARY


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, which takes its place at the end, if no error comes first.

    CommandError if the file cannot be written.
    """
    beside = path.with_name(f"{TEMPORARY}{uuid.uuid4()}")
    try:
        yield beside
        os.replace(beside, path)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
