"""`omnitrace ablate RUN`: Table 3 of the paper, what each part of curation is worth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.table import Table

from omnitrace import open_run
from omnitrace.cli.console import narrate_failures, out, print_json, progress_bar, table
from omnitrace.cli.flags import ConfigFile, PresetName, RunPath, flags_of, layered
from omnitrace.config import to_dict
from replay import PRESETS
from replay import preset as preset_of
from replay.cache import MassCache, default_folder
from replay.cli.tables import modality_text, rate_cells
from replay.evaluation import COLUMNS
from replay.evaluation.report import modalities_json
from replay.evaluation.sources import read_golds
from replay.run import check_added
from replay.sweep.ablation import Row, ablated
from replay.sweep.ablation import ablate as ablate_run
from replay.sweep.blocks import Work

SCHEMA = "omnitrace.ablation/1"


@dataclass(frozen=True)
class AblateOptions:
    """How time is judged, and how the table is printed.

    Parameters
    ----------
    seconds
        length of the bins in which time is judged
    jobs
        processes; 0: one a core
    json
        print JSON (schema omnitrace.ablation/1) instead of a table
    """

    seconds: Annotated[float, Parameter(validator=Number(gte=0.01))] = 1.0
    jobs: Annotated[int, Parameter(validator=Number(gte=0))] = 1
    json: bool = False


@flags_of(PRESETS["default"])
def ablate(
    run: RunPath,
    *,
    labels: Path,
    preset: PresetName = "default",
    config: ConfigFile = None,
    options: Annotated[AblateOptions, Parameter(name="*")] = AblateOptions(),
    given: dict[str, Any] | None = None,
) -> int:
    """Score a run with each part of curation left out: Table 3 of the paper.

    The rows are defined in docs/sweeps.md; P, R and F1 are micro, in JSON macro too.

    Parameters
    ----------
    labels
        a labels file (a judge's or a person's), or the truth file of planted samples
    """
    chosen = layered(preset_of(preset), config, given)
    opened, golds = open_run(run), read_golds(labels)
    golds.check_known(opened)
    check_added(opened, chosen)
    cache = MassCache(default_folder(), memory=0)
    work = Work(opened, golds, tuple(ablated(chosen).values()), options.seconds, cache)
    with progress_bar() as report:
        rows, damaged = ablate_run(work, options.jobs, report)
    cache.prune()
    if options.json:
        document = {"schema": SCHEMA, "rows": [to_json(row) for row in rows], "damaged": damaged}
        print_json(document)
    else:
        out().print(ablation_table(rows))
    return narrate_failures(damaged)


def ablation_table(rows: list[Row]) -> Table:
    """A line a row and modality: P, R, F1 with its interval, and how F1 differs from the full."""
    made = table("what curation's parts are worth, %", "", "", "P>", "R>", "F1>", "95 %>", "Δ F1>")
    full = rows[0].micro
    for row in rows:
        for at, column in enumerate(c for c in COLUMNS if full[c].spans):
            score = row.micro[column]
            made.add_row(
                "" if at else row.name, modality_text(column), *rate_cells(score),
                "" if row is rows[0] else f"{100 * (score.f1 - full[column].f1):+.1f}",
            )  # fmt: skip
    return made


def to_json(row: Row) -> dict[str, Any]:
    """One row as JSON data; modalities that no sample has are absent."""
    return {
        "name": row.name,
        "config": to_dict(row.config),
        "micro": modalities_json(row.micro),
        "macro": modalities_json(row.macro),
    }
