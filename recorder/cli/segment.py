"""`omnitrace segment RUN --with NAME`: cut a run's audio into words or sentences, afterwards."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from omnitrace.cli.console import progress_bar
from omnitrace.cli.flags import KeysFile, RunPath, flags_of, layered
from recorder.cli.output import show_added
from recorder.config import SegmentConfig
from recorder.segment import segment as segment_run


@flags_of(SegmentConfig())
def segment(
    run: RunPath,
    *,
    segmenter: Annotated[str, Parameter(name="--with")],
    config: KeysFile = None,
    given: dict[str, Any] | None = None,
) -> int:
    """Cut the audio of a recorded run, of audio files and of videos, into named stretches.

    Nothing is recorded again: replays choose a segmentation with --units.audio-segments. Running
    the same command again resumes: samples that have it are skipped.

    Parameters
    ----------
    segmenter
        bins, transcript, whisper, paraformer or scribe
    """
    chosen = layered(SegmentConfig(), config, given)
    with progress_bar() as report:
        summary = segment_run(run, segmenter, chosen, report)
    return show_added(run, summary)
