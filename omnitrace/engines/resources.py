"""Resources of a worker, for any engine, and where a run lies for all workers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from omnitrace.store.s3 import s3_url
from omnitrace.text import one_line

RETRIES = 20
"""Restarts of one worker, and tries of one block: machines are taken away, samples do not kill for
ever."""
_WHY = 400


@dataclass(frozen=True)
class Resources:
    """What a worker gets: `gpus` of its own; `options` by the engine's own names, as they are."""

    workers: int = 1
    gpus: int = 0
    options: dict[str, str] = field(default_factory=dict)


def located(run: Path) -> Path:
    """The run's path from any folder; an address stays what it is."""
    return run if s3_url(run) else run.absolute()


def jobs_folder(run: Path) -> Path:
    """Where jobs over a run keep their logs: a folder in the current one."""
    return Path(f"{run.name}-jobs").absolute()


def why(error: object) -> str:
    """What an engine says went wrong, as the end of a sentence without its full stop."""
    return one_line(str(error).strip().rstrip(".?!"), _WHY)
