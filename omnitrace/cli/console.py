"""Output for people: tables on stdout, messages and progress on stderr. All text is made safe."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from omnitrace.progress import Progress, Report
from omnitrace.text import one_line, safe_text

T = TypeVar("T")

STYLES = {"text": "cyan", "image": "magenta", "audio": "yellow", "video": "green"}
"""One colour a modality, as in the browser."""


def out() -> Console:
    """The console of stdout; made for each use, so that a redirected stdout is respected."""
    return Console(highlight=False)


def print_json(data: Any) -> None:
    """JSON data on stdout, on one line."""
    sys.stdout.write(json.dumps(data) + "\n")


def narrate(message: str) -> None:
    """One line on stderr."""
    Console(stderr=True, highlight=False).print(Text(safe_text(message)), soft_wrap=True)


def narrate_failures(sentences: Iterable[str]) -> int:
    """One line on stderr for each; the exit status: 1 if there is one."""
    status = 0
    for sentence in sentences:
        narrate(f"omnitrace: {sentence}")
        status = 1
    return status


def plain(text: str, style: str = "") -> Text:
    """Text that is never read as markup."""
    return Text(safe_text(text), style=style)


def table(title: str, *columns: str, **options: Any) -> Table:
    """An empty table in the style of all verbs; a column whose name ends in `>` holds numbers."""
    made = Table(title=plain(title), title_justify="left", header_style="bold", **options)
    for name in columns:
        if name.endswith(">"):
            made.add_column(name.rstrip(">"), justify="right", no_wrap=True)
        else:
            made.add_column(name)
    return made


def waiting(what: str) -> AbstractContextManager[object]:
    """A spinner on stderr, where that is a terminal, with the text `what`."""
    console = Console(stderr=True)
    return console.status(plain(what)) if console.is_terminal else nullcontext()


def tracked(items: Iterable[T]) -> Iterator[T]:
    """The items in turn; a bar on stderr, where that is a terminal, counts them."""
    with _bar() as bar:
        yield from bar.track(items)


@contextmanager
def progress_bar() -> Iterator[Report]:
    """A bar on stderr, where that is a terminal: items done, and the one that is worked on."""
    with _bar(TextColumn("{task.fields[at]}")) as bar:
        task = bar.add_task("", total=None, at="")

        def report(progress: Progress) -> None:
            tokens = f" · {progress.step} tokens" if progress.step else ""
            # Brackets would be read as markup.
            at = one_line(progress.item, 40).replace("[", "(") + tokens
            bar.update(task, completed=progress.done, total=progress.total, at=at)

        yield report


def _bar(*columns: ProgressColumn) -> Bar:
    console, first = Console(stderr=True), (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Bar(*first, *columns, console=console, transient=True, disable=not console.is_terminal)


def size(nbytes: int) -> str:
    """Bytes as people read them: `1.5 GiB`."""
    value = float(nbytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:,.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:,.1f} TiB"
