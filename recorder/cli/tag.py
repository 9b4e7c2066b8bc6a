"""`omnitrace tag RUN`: parts of speech and sentences by another spaCy pipeline, afterwards."""

from __future__ import annotations

from typing import Literal

from omnitrace.cli.console import progress_bar
from omnitrace.cli.flags import RunPath
from recorder.cli.output import show_added
from recorder.retag import tag as tag_run


def tag(
    run: RunPath,
    *,
    spacy_model: str = "",
    name: str = "",
    sentences: Literal["markdown", "plain"] = "markdown",
) -> int:
    """Tag a recorded run again on the CPU; the tags that it has stay.

    Nothing is recorded again: replays choose with --tags. Running the same command again resumes:
    samples that have these tags are skipped.

    Parameters
    ----------
    spacy_model
        a spaCy pipeline, installed or a folder; empty: the bundled one
    name
        what replays call the tags; empty: the names and versions of the pipeline and the splitter
    sentences
        markdown: those that a reader sees in headings, lists, tables, code and wrapped lines;
        plain: the pipeline's own, line by line, as versions before recorded them and as the
        preset release assumes
    """
    with progress_bar() as report:
        summary = tag_run(run, spacy_model, name, report, splitter=sentences)
    return show_added(run, summary)
