"""`omnitrace segment RUN --with NAME`: cut a run's sound into words or sentences, afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from omnitrace.cli.console import narrate, samples_bar
from omnitrace.cli.flags import flags_of, layered
from recorder.config import SegmentConfig
from recorder.segment import segment as cut

if TYPE_CHECKING:
    from recorder.adding import AddSummary


@flags_of(SegmentConfig())
def segment(
    run: Path,
    *,
    segmenter: Annotated[str, Parameter(name="--with")],
    config: Path | None = None,
    given: dict[str, Any] | None = None,
) -> int:
    """Cut the sound of a recorded run, of audio and of films, into named stretches.

    Nothing is recorded again: replays choose a segmentation with --units.audio-segments. Running
    the same command again resumes: samples that have it are skipped.

    Parameters
    ----------
    run
        the folder of a run
    segmenter
        bins, transcript, whisper, paraformer or scribe
    config
        a TOML file of the keys below; flags are laid over it
    """
    chosen = layered(SegmentConfig(), config, given)
    with samples_bar() as report:
        summary = cut(run, segmenter, chosen, report)
    return tell(summary, run)


def tell(summary: AddSummary, run: Path) -> int:
    """Say what happened on stderr; the exit status."""
    parts = [f"{summary.added} added"]
    parts += [f"{summary.skipped} there already"] if summary.skipped else []
    parts += [f"{len(summary.failed)} failed"] if summary.failed else []
    narrate(f"{run}: {', '.join(parts)}.")
    for message in summary.failed.values():
        narrate(f"omnitrace: {message}")
    return 1 if summary.failed else 0
