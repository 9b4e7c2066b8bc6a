"""`omnitrace tag RUN`: parts of speech and sentences by another spaCy pipeline, afterwards."""

from __future__ import annotations

from pathlib import Path

from omnitrace.cli.console import samples_bar
from recorder.cli.segment import tell
from recorder.retag import tag as retag


def tag(run: Path, *, spacy_model: str = "", name: str = "") -> int:
    """Tag a recorded run again on the CPU, beside the tags it has.

    Nothing is recorded again: replays choose with --tags. Running the same command again resumes:
    samples that have these tags are skipped.

    Parameters
    ----------
    run
        the folder of a run
    spacy_model
        a spaCy pipeline, installed or a folder; empty: the bundled one
    name
        what replays call the tags; empty: the pipeline's name and version
    """
    with samples_bar() as report:
        summary = retag(run, spacy_model, name, report)
    return tell(summary, run)
