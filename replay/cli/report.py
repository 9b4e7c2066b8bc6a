"""`omnitrace report RUN OUT`: a run's attributions as a page, rows, JSON or tables for a paper."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from omnitrace import open_run
from omnitrace.cli.console import narrate, narrate_failures, waiting
from omnitrace.cli.flags import ConfigFile, PresetName, RunPath, flags_of, layered
from replay import PRESETS
from replay import preset as preset_of
from replay.analyses import material_of
from replay.evaluation.sources import read_golds
from replay.report.formats import Job, check_format, write_report
from replay.report.media import MediaEmbedder
from replay.run import check_added

MEGABYTE = 10**6


@dataclass(frozen=True)
class ReportOptions:
    """What to report.

    Parameters
    ----------
    labels
        what is true: a labels file or a planted truth file
    media
        a folder with the run's media, found by name and content, for thumbnails
    limit
        the most samples that a page shows; tables and figures are of all
    embed_media
        the most megabytes of audio and video to put into the page, to be played there
    format
        html, json, csv, parquet or md; empty: by the suffix of OUT
    """

    labels: Path | None = None
    media: Path | None = None
    limit: Annotated[int, Parameter(validator=Number(gte=0))] = 200
    embed_media: Annotated[float, Parameter(validator=Number(gte=0, lte=10_000))] = 0.0
    format: str = ""


@flags_of(PRESETS["default"])
def report(
    run: RunPath,
    out: Path,
    *,
    preset: PresetName = "default",
    config: ConfigFile = None,
    options: Annotated[ReportOptions, Parameter(name="*")] = ReportOptions(),
    given: dict[str, Any] | None = None,
) -> int:
    """Write a run's attributions to one file: a page, rows, JSON, or tables for a paper.

    A page (.html) holds everything and loads nothing; .csv and .parquet have one row a source of
    a span; .json is what `omnitrace replay --json` prints; .md has the tables.

    Parameters
    ----------
    out
        the file to write; one that is there is replaced when the new one is whole
    """
    check_format(out, options.format)
    opened = open_run(run)
    chosen = layered(preset_of(preset), config, given)
    check_added(opened, chosen)
    golds = None if options.labels is None else read_golds(options.labels)
    media = MediaEmbedder(options.media, int(options.embed_media * MEGABYTE))
    with waiting(f"a report of {len(opened):,} samples …"):
        material = material_of(opened, chosen, golds)
        write_report(Job(opened, material, options.limit, media), out, options.format)
    narrate(f"{out}: {out.stat().st_size:,} bytes.")
    status = narrate_failures(material.damaged.values())
    narrate_failures(media.notes)
    return status
