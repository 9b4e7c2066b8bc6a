"""What people read: tables on stdout, narration on stderr. All text is made safe first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from omnitrace.text import one_line, safe_text

if TYPE_CHECKING:
    from recorder.adding import Report

STYLES = {"text": "cyan", "image": "magenta", "audio": "yellow", "video": "green"}
"""One colour a modality, as in the browser."""


def out() -> Console:
    """The console of stdout, made when it is needed so that redirection is seen."""
    return Console(highlight=False)


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
    """An empty table in the house style; a column whose name ends in `>` holds numbers."""
    made = Table(title=plain(title), title_justify="left", header_style="bold", **options)
    for name in columns:
        if name.endswith(">"):
            made.add_column(name.rstrip(">"), justify="right", no_wrap=True)
        else:
            made.add_column(name)
    return made


def waiting(what: str) -> AbstractContextManager[object]:
    """A spinner on stderr, where that is a terminal, beside what is going on."""
    console = Console(stderr=True)
    return console.status(plain(what)) if console.is_terminal else nullcontext()


def tracked(ids: Sequence[str]) -> Iterator[str]:
    """The ids in turn, beside a bar on stderr where that is a terminal."""
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield from bar.track(ids, total=len(ids))


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int, str], None]]:
    """A bar on stderr, where that is a terminal: how many are done of how many, and the next."""
    console = Console(stderr=True)
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[at]}"),
    )
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None, at="")

        def report(done: int, total: int, at: str) -> None:
            # Brackets would be read as markup.
            bar.update(task, completed=done, total=total, at=one_line(at, 40).replace("[", "("))

        yield report


@contextmanager
def samples_bar() -> Iterator[Report]:
    """A bar of samples to which something is added."""
    with progress_bar("samples") as report:
        yield lambda summary, sample: report(summary.done, summary.total, sample)


def size(nbytes: int) -> str:
    """Bytes as people read them: `1.5 GiB`."""
    value = float(nbytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:,.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:,.1f} TiB"
