"""Output that the recording verbs share: that torch is loaded, and a summary of samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from omnitrace.cli.console import narrate, narrate_failures
from omnitrace.errors import extra

if TYPE_CHECKING:
    from recorder.adding import AddSummary


@contextmanager
def loading(what: str = "torch and the model", needs: str = "recording needs") -> Iterator[None]:
    """Around imports that load heavy libraries: a line on stderr before, for they take seconds.

    CommandError where the [record] extra is not installed, with `needs` as of `extra`.
    """
    narrate(f"Loading {what} …")
    with extra("record", needs):
        yield


def show_summary(run: Path, done: str, others: Mapping[str, int], failed: Mapping[str, str]) -> int:
    """What happened to the samples of a run, on stderr; the exit status: 1 if some failed.

    `done`: as in `3 recorded`; `others`: such words → how many samples; `failed`: id → sentence.
    """
    parts = [done, *(f"{count} {words}" for words, count in others.items() if count)]
    parts += [f"{len(failed)} failed"] if failed else []
    narrate(f"{run}: {', '.join(parts)}.")
    return narrate_failures(failed.values())


def show_added(run: Path, summary: AddSummary) -> int:
    """`show_summary` of samples to which something was added."""
    for note in summary.notes:
        narrate(f"{run}: {note}")
    others = {"there already": summary.skipped}
    return show_summary(run, f"{summary.added} added", others, summary.failed)
