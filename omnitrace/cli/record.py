"""`omnitrace record SAMPLES RUN`: run a model over samples and keep what its answers came from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from omnitrace.cli.console import narrate
from omnitrace.cli.flags import flags_of, layered
from omnitrace.errors import CommandError
from omnitrace.text import one_line
from recorder.config import RecordConfig

if TYPE_CHECKING:
    from recorder.record import Progress, RecordSummary, Report


@flags_of(RecordConfig())
def record(
    samples: Path, run: Path, *, config: Path | None = None, given: dict[str, Any] | None = None
) -> int:
    """Run a model over samples and record what its answers were caused by.

    Running the same command again resumes: samples that the run holds are skipped.

    Parameters
    ----------
    samples
        JSON lines {"id", "messages"} in the chat format of transformers, or the JSON list of the
        paper's release; media paths are relative to it
    run
        the folder of the run: made if it is not there, joined if it is
    config
        a TOML file of the keys below; flags are laid over it
    """
    chosen = layered(RecordConfig(), config, given)
    with progress_bar() as report:
        summary = recorder().record(samples, run, chosen, report)
    narrate(summary_sentence(summary, run))
    for message in summary.failed.values():
        narrate(f"omnitrace: {message}")
    return 1 if summary.failed else 0


def recorder() -> Any:
    """The module `recorder.record`; CommandError where the [record] extra is not installed."""
    narrate("Loading torch and the model …")
    try:
        from recorder import record as module
    except ImportError as error:
        raise CommandError(
            f"recording needs {error.name}: pip install 'omnitrace-replay[record]'."
        ) from error
    return module


@contextmanager
def progress_bar() -> Iterator[Report]:
    """A bar on stderr: samples done, the current one and its tokens."""
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[at]}"),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("samples", total=None, at="")

        def report(progress: Progress) -> None:
            # Brackets would be read as markup.
            sample = one_line(progress.sample, 40).replace("[", "(")
            at = f"{sample} · {progress.step} tokens" if sample else ""
            bar.update(task, completed=progress.done, total=progress.total, at=at)

        yield report


def summary_sentence(summary: RecordSummary, run: Path) -> str:
    """What happened, in one line."""
    parts = [f"{summary.recorded} recorded"]
    parts += [f"{summary.skipped} there already"] if summary.skipped else []
    parts += [f"{len(summary.failed)} failed"] if summary.failed else []
    return f"{run}: {', '.join(parts)}."
