"""`omnitrace sweep RUN`: try thousands of configurations, report the best on held-out samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.table import Table

from omnitrace import open_run
from omnitrace.atomic import atomic_write
from omnitrace.cli.cluster import HERE, Workers
from omnitrace.cli.console import (
    narrate,
    narrate_failures,
    out,
    plain,
    print_json,
    progress_bar,
    table,
)
from omnitrace.config import leaves, to_dict, to_toml
from omnitrace.engines.resources import jobs_folder, located
from omnitrace.errors import CommandError
from omnitrace.text import one_line
from replay import preset as preset_of
from replay.cache import MassCache, default_folder
from replay.cli.tables import SCORE_COLUMNS, interval, percent, score_rows
from replay.evaluation.report import modalities_json
from replay.evaluation.sources import read_golds
from replay.run import check_added
from replay.sweep.blocks import Work
from replay.sweep.cluster.pool import Cluster
from replay.sweep.grid import Grid, read_grid
from replay.sweep.sweep import Aim, Best, Swept
from replay.sweep.sweep import sweep as sweep_run
from replay.sweep.table import check_suffix, rows, write_rows

SCHEMA = "omnitrace.sweep/1"


@dataclass(frozen=True)
class SweepOptions:
    """What is best, on which samples, and where it goes.

    Parameters
    ----------
    preset
        what the grid is laid over: default, paper or release
    metric
        what is best: the highest of this
    modality
        over the sources of this modality, or all
    holdout
        share of the samples that is held out: nothing is chosen on them, the best are reported on
        them; 0: none
    seconds
        length of the bins in which time is judged
    out
        write the scores of every configuration into this table, .csv or .parquet
    save_best
        write the best configuration into this TOML file, which --config takes
    jobs
        processes of this machine; 0: one a core
    json
        print JSON (schema omnitrace.sweep/1) instead of tables
    """

    preset: str = "default"
    metric: Literal["f1", "precision", "recall", "macro_f1", "macro_precision", "macro_recall"] = (
        "f1"
    )
    modality: Literal["all", "text", "image", "audio", "video"] = "all"
    holdout: Annotated[float, Parameter(validator=Number(gte=0, lt=1))] = 0.5
    seconds: Annotated[float, Parameter(validator=Number(gte=0.01))] = 1.0
    out: Path | None = None
    save_best: Path | None = None
    jobs: Annotated[int, Parameter(validator=Number(gte=0))] = 0
    json: bool = False


def sweep(
    run: Path,
    *,
    labels: Path,
    grid: Path,
    options: Annotated[SweepOptions, Parameter(name="*")] = SweepOptions(),
    on: Annotated[Workers, Parameter(name="*")] = HERE,
) -> int:
    """Try every configuration of a grid on a run, and report the best on held-out samples.

    The samples that have labels are split by their ids; the configuration that scores highest on
    one part is reported, with intervals, on the other (docs/sweeps.md).

    Parameters
    ----------
    run
        the folder of a run
    labels
        a labels file (a judge's or a person's), or the truth file of planted samples
    grid
        a TOML file: which values of which configuration keys, all combinations or random draws
    """
    made = read_grid(grid, preset_of(options.preset))
    check_files(options)
    cluster = cluster_of(on, run, options.jobs)
    opened, golds = open_run(located(run)), read_golds(labels)
    golds.check_known(opened)
    for config in {(one.tags, one.units.audio_segments): one for one in made.configs}.values():
        check_added(opened, config)
    aim = Aim(options.metric, options.modality, options.holdout, options.jobs, cluster)
    cache = MassCache(default_folder(), memory=0)
    with progress_bar() as report:
        swept = sweep_run(Work(opened, golds, made.configs, options.seconds, cache), aim, report)
    write_files(swept, options)
    cache.prune()
    if options.json:
        print_json(to_json(swept, options))
    else:
        out().print(best_table(swept, made, options))
        out().print(winner_table(swept.best[0], swept))
    narrate(summary(swept))
    return narrate_failures(swept.damaged)


def cluster_of(on: Workers, run: Path, jobs: int) -> Cluster | None:
    """The cluster that does the work, None for this machine; CommandError with --jobs as well."""
    if on.cluster is None:
        return None
    if jobs:
        raise CommandError(
            "--jobs is how many processes of this machine score samples; with --cluster it is "
            "--workers that says how many do."
        )
    return Cluster(on.cluster, on.resources(), jobs_folder(run))


def check_files(options: SweepOptions) -> None:
    """CommandError if a file of the options cannot be written; called before any work."""
    if options.out is not None:
        check_suffix(options.out)
    if options.save_best is not None and not options.save_best.parent.is_dir():
        raise CommandError(f"there is no folder {options.save_best.parent} to save the best to.")


def write_files(swept: Swept, options: SweepOptions) -> None:
    """Write the files of the options, each completely or not at all."""
    if options.out is not None:
        write_rows(options.out, rows(swept))
    if options.save_best is not None:
        with atomic_write(options.save_best) as temporary:
            temporary.write_text(to_toml(swept.configs[swept.best[0].number]), "utf-8")


def best_table(swept: Swept, grid: Grid, options: SweepOptions) -> Table:
    """A line for each of the best: what varies, its score where it was chosen and where not."""
    held_out = swept.held_out is not swept.chosen_on
    last = ["held out>", "95 %>"] if held_out else ["95 %>"]
    title = f"best by {options.metric} of {options.modality}, %"
    made = table(title, "#>", *map(_header, grid.keys), "chosen on>", *last)
    for column in made.columns[1 : 1 + len(grid.keys)]:
        column.overflow = "fold"
    for best in swept.best:
        settings = {leaf.path: leaf.value for leaf in leaves(swept.configs[best.number])}
        chosen = swept.chosen_on.rate(best.number, options.modality, options.metric)
        value, interval = _reported(best, options)
        made.add_row(
            str(best.number),
            *(plain(one_line(_setting(settings, key), 40)) for key in grid.keys),
            percent(chosen),
            *([value, interval] if held_out else [interval]),
        )
    return made


def winner_table(best: Best, swept: Swept) -> Table:
    """The best configuration by modality, on the samples held out."""
    where = "held-out" if swept.held_out is not swept.chosen_on else "all"
    title = f"configuration {best.number} on {swept.held_out.samples} {where} samples, %"
    made = table(title, *SCORE_COLUMNS)
    for cells in score_rows(best.micro, best.macro):
        made.add_row(*cells)
    return made


def to_json(swept: Swept, options: SweepOptions) -> dict[str, Any]:
    """What `--json` prints; `held_out` is null where no sample was."""
    held_out = swept.held_out is not swept.chosen_on
    return {
        "schema": SCHEMA,
        "metric": options.metric,
        "modality": options.modality,
        "configs": len(swept.configs),
        "samples": {
            "chosen_on": swept.chosen_on.samples,
            "held_out": swept.held_out.samples if held_out else None,
        },
        "best": [
            {
                "config": best.number,
                "settings": to_dict(swept.configs[best.number]),
                "chosen_on": swept.chosen_on.rate(best.number, options.modality, options.metric),
                "micro": modalities_json(best.micro),
                "macro": modalities_json(best.macro),
            }
            for best in swept.best
        ],
        "damaged": swept.damaged,
    }


def summary(swept: Swept) -> str:
    """How many configurations and samples were scored."""
    count = swept.chosen_on.samples
    samples = f"{count} samples"
    if swept.held_out is not swept.chosen_on:
        samples = f"chosen on {count} samples, reported on {swept.held_out.samples} others"
    return f"{len(swept.configs):,} configurations, {samples}."


def _reported(best: Best, options: SweepOptions) -> tuple[str, str]:
    """The metric of one of the best, with its interval."""
    macro = options.metric.startswith("macro_")
    rate = options.metric.removeprefix("macro_")
    score = (best.macro if macro else best.micro)[options.modality]
    return percent(getattr(score, rate)), interval(score, rate)


def _header(key: str) -> str:
    """A dotted key over several lines, so that columns stay narrow."""
    return key.replace(".", ".\n").replace("_", "_\n")


def _setting(settings: dict[str, Any], key: str) -> str:
    """The value at a dotted key, or in a table of weights."""
    if key in settings:
        value = settings[key]
    else:
        whole, _, name = key.rpartition(".")
        value = settings[whole].get(name)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
