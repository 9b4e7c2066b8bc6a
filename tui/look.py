"""How the browser looks, saved in a file for the next time.

A file that cannot be read or written is no error: the browser then looks as it does the first
time.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, field

from omnitrace.atomic import atomic_write
from omnitrace.errors import CommandError

GRAINS = ("token", "word", "span")


class Look(msgspec.Struct):
    """The user's choices of how things look, not of what is computed."""

    theme: str = "textual-dark"
    strength: Annotated[float, Meta(ge=0.2, le=3.0)] = 1.0
    grain: Annotated[str, Meta(pattern="^(token|word|span)$")] = "token"
    letters: bool = False
    captions: bool = True
    options: bool = field(default=False, name="knobs")  # its key in files that exist
    media: bool = True
    preview: bool = True
    sort: str = "recorded"
    reverse: bool = False


def default_path() -> Path:
    """The file of the look, in the user's state folder (XDG)."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "omnitrace" / "browse.json"


def load_look(path: Path) -> Look:
    """The look that was saved, or the first one."""
    with suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(path.read_bytes(), type=Look)
    return Look()


def save_look(look: Look, path: Path) -> None:
    """Save a look; whole or not at all."""
    with suppress(OSError, CommandError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            temporary.write_bytes(msgspec.json.format(msgspec.json.encode(look), indent=1))
