"""A file that is written completely or not at all. Knows no format."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.store.files import TEMPORARY


@contextmanager
def atomic_write(
    path: Path, failure: type[OmniTraceError] = CommandError, what: str = ""
) -> Iterator[Path]:
    """A temporary path in the folder of `path`, renamed to `path` unless the body raises.

    `failure` for an OSError; it says that `what` (such as "the report ") cannot be written there.
    """
    temporary = path.with_name(f"{TEMPORARY}{uuid.uuid4()}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise failure(f"cannot write {what}{path}: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
