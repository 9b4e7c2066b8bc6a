"""The formats of a report, one registry: a `Job` in, one whole file out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from omnitrace import Run
from omnitrace.atomic import atomic_write
from omnitrace.errors import CommandError, OmniTraceError, nearest
from replay.analyses import Material, Table
from replay.output import json_pieces
from replay.report.front import SCORES, analyses_of, facts_of, score_table, scores_of_material
from replay.report.markdown import markdown
from replay.report.media import MediaEmbedder
from replay.report.page import Front, page
from replay.report.rows import rows_of_run, write_csv, write_parquet
from replay.report.sample import SampleView, sample_view

MOST_REPLAYED = 200
"""Samples up to which a report also has the analyses that replay each of them many times."""


@dataclass(frozen=True)
class Job:
    """What to report: `material` is of `run`; a page shows at most `limit` samples."""

    run: Run
    material: Material
    limit: int = 200
    media: MediaEmbedder = field(default_factory=MediaEmbedder)

    @property
    def title(self) -> str:
        return Path(self.run.path).name


Writer = Callable[[Job, Path], None]


def write_report(job: Job, path: Path, format: str = "") -> None:
    """Write the report to `path`, completely or not at all; the format by name, else by the suffix.

    CommandError naming the legal formats, or if an extra is missing; OmniTraceError if the file
    cannot be written.
    """
    write = FORMATS[check_format(path, format)]
    with atomic_write(path, OmniTraceError, "the report ") as temporary:
        write(job, temporary)


def check_format(path: Path, format: str = "") -> str:
    """The format that is meant; CommandError naming the legal ones otherwise."""
    name = format or path.suffix.lower().removeprefix(".")
    if name not in FORMATS:
        meant = f"no format '{name}'" if name else f"'{path.name}' says no format"
        raise CommandError(f"{meant}: {nearest(name, list(FORMATS))}.")
    return name


def _html(job: Job, path: Path) -> None:
    results = list(analyses_of(job.material, cheap=len(job.run) > MOST_REPLAYED))
    shown = [id for id in job.run if id not in job.material.damaged][: job.limit]
    front = Front(
        title=job.title,
        subtitle=f"what caused each part of {len(job.run):,} answers",
        facts=facts_of(job.run, job.material.config),
        notes=_left_out(job, len(shown)),
        tables=_score_tables(job),
        figures=results,
        names=shown,
    )
    notes: list[str] = []
    _write_pieces(path, page(front, _views(job, len(shown), notes), notes))


def _views(job: Job, count: int, notes: list[str]) -> Iterator[SampleView]:
    """The first samples; after the last, what could not be shown is in `notes`."""
    for number, (trace, attribution) in enumerate(islice(job.material.attributed(), count)):
        gold = job.material.golds.get(trace.id)
        yield sample_view(number, trace, attribution, gold, job.media)
    notes += job.material.damaged.values()
    notes += job.media.notes


def _left_out(job: Job, shown: int) -> list[str]:
    notes = []
    if shown < len(job.run) - len(job.material.damaged):
        notes.append(
            f"{shown} of {len(job.run)} samples are shown; the tables and figures are of all. "
            "--limit shows more; CSV, Parquet and JSON have every one."
        )
    if len(job.run) > MOST_REPLAYED:
        notes.append(
            "Stability under other configurations is left out of large runs: "
            "omnitrace analyse RUN stability."
        )
    return notes


def _json(job: Job, path: Path) -> None:
    attributions = (attribution for _, attribution in job.material.attributed())
    _write_pieces(path, json_pieces(attributions, job.material.config))


def _csv(job: Job, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        write_csv(rows_of_run(job.material.attributed(), job.material.golds), file)


def _parquet(job: Job, path: Path) -> None:
    write_parquet(rows_of_run(job.material.attributed(), job.material.golds), path)


def _md(job: Job, path: Path) -> None:
    results = analyses_of(job.material, cheap=len(job.run) > MOST_REPLAYED)
    tables = [*_score_tables(job), *((one.title, one.table()) for one in results)]
    facts = [f"{name}: {value}" for name, value in facts_of(job.run, job.material.config)]
    _write_pieces(path, markdown(job.title, facts, tables))


def _score_tables(job: Job) -> list[tuple[str, Table]]:
    if not job.material.golds:
        return []
    scores = scores_of_material(job.material)
    return [(SCORES, score_table(scores))] if scores.judged else []


def _write_pieces(path: Path, pieces: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(pieces)


FORMATS: dict[str, Writer] = {
    "html": _html,
    "json": _json,
    "csv": _csv,
    "parquet": _parquet,
    "md": _md,
}
