"""`omnitrace dataset NAME SOURCE OUT`: a published data set as samples to record."""

from __future__ import annotations

from pathlib import Path

from omnitrace.cli.console import narrate, tracked
from omnitrace.errors import CommandError
from recorder.datasets import read_dataset
from recorder.datasets.write import OutputFiles, left_out, write_dataset


def dataset(
    name: str, source: Path, out: Path, *, limit: int = 0, media: Path | None = None
) -> int:
    """Turn a published data set into samples, each option of a question a text of its own.

    Nothing is downloaded. Beside OUT.jsonl come OUT.options.jsonl and OUT.references.jsonl, as far
    as the data set has them, and OUT.media, a folder of the images that were embedded. Samples
    whose media are not there are left out and named.

    Parameters
    ----------
    name
        mantis-eval, mmdialog, cliconsummation, mmau, misp-meeting or video-mme
    source
        the data set's file as published, or its folder
    out
        the samples file to write, such as mmau.jsonl
    limit
        only the first this many samples; 0: all
    media
        the folder in which its media lie, at any depth; by default where the source lies
    """
    if limit < 0:
        raise CommandError(f"--limit {limit}: a number of samples, or 0 for all.")
    summary = write_dataset(tracked(read_dataset(name, source, media)), out, limit)
    if summary.without:
        narrate(f"omnitrace: {left_out(summary)}")
    if not summary.written:
        narrate(f"omnitrace: no sample is left of {source}: nothing was written.")
        return 1
    made = OutputFiles(out)
    files = [path.name for path in (made.options, made.references) if path.exists()]
    extra = f", with {' and '.join(files)}" if files else ""
    narrate(f"{out}: {summary.written} samples{extra}.")
    return 1 if summary.without else 0
