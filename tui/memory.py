"""How the browser looked when it was left, kept in a file for the next time.

A file that cannot be read is no reason not to start, and one that cannot be written none not to
end: then the browser looks as it does the first time.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

GRAINS = ("token", "word", "span")


class Look(msgspec.Struct):
    """The reader's choices that say how things look, not what they are."""

    theme: str = "textual-dark"
    strength: Annotated[float, Meta(ge=0.2, le=3.0)] = 1.0
    grain: Annotated[str, Meta(pattern="^(token|word|span)$")] = "token"
    letters: bool = False
    captions: bool = True
    knobs: bool = False
    media: bool = True
    preview: bool = True
    sort: str = "recorded"
    reverse: bool = False


def default_path() -> Path:
    """Where the look is kept: the user's state folder (XDG)."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "omnitrace" / "browse.json"


def recall(path: Path) -> Look:
    """The look that was kept, or the first one."""
    with suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(path.read_bytes(), type=Look)
    return Look()


def keep(look: Look, path: Path) -> None:
    """Keep a look; whole or not at all."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        written = path.with_name(f"{path.name}.{os.getpid()}")
        written.write_bytes(msgspec.json.format(msgspec.json.encode(look), indent=1))
        written.replace(path)
