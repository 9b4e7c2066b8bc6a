"""`omnitrace analyse RUN NAME`: one analysis of a run's attributions: table, figure or JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from omnitrace import open_run
from omnitrace.cli.console import narrate, narrate_failures, out, plain, print_json, table, waiting
from omnitrace.cli.flags import ConfigFile, PresetName, RunPath, flags_of, layered
from omnitrace.config import to_dict
from omnitrace.errors import CommandError
from replay import PRESETS
from replay import preset as preset_of
from replay.analyses import ANALYSES, Material, Result, analysis, material_of
from replay.analyses.figure import check_format, save
from replay.evaluation.sources import read_golds
from replay.run import check_added


@dataclass(frozen=True)
class AnalyseOptions:
    """What the analysis reads, and what to print and draw.

    Parameters
    ----------
    labels
        what is true: a labels file or a planted truth file; some analyses need one
    list
        list the analyses and end
    figure
        draw into this file, .svg or .png; needs the [report] extra
    json
        print JSON (schema omnitrace.analysis/1) instead of a table
    """

    labels: Path | None = None
    list: bool = False
    figure: Path | None = None
    json: bool = False


@flags_of(PRESETS["default"])
def analyse(
    run: RunPath,
    name: str = "",
    *,
    preset: PresetName = "default",
    config: ConfigFile = None,
    options: Annotated[AnalyseOptions, Parameter(name="*")] = AnalyseOptions(),
    given: dict[str, Any] | None = None,
) -> int:
    """Ask a question about how a run's answers were attributed.

    Parameters
    ----------
    name
        the analysis; --list says which there are
    """
    if options.list:
        return show_list(options.json)
    if not name:
        raise CommandError(f"name an analysis: {', '.join(ANALYSES)}.")
    chosen_analysis = analysis(name)
    if chosen_analysis.needs_gold and options.labels is None:
        raise CommandError(f"the analysis {name} needs what is true: give --labels FILE.")
    if options.figure is not None:
        check_format(options.figure)
    opened = open_run(run)
    chosen = layered(preset_of(preset), config, given)
    check_added(opened, chosen)
    golds = None if options.labels is None else read_golds(options.labels)
    with waiting(f"{name} of {len(opened):,} samples …"):
        material = material_of(opened, chosen, golds)
        result = chosen_analysis.run(material)
    if options.json:
        print_json(document(name, result, material))
    else:
        show(result)
    if options.figure is not None and not result.empty:
        save(result, options.figure)
        narrate(f"{options.figure}: drawn.")
    return narrate_failures(material.damaged.values())


def show_list(json: bool) -> int:
    """Print the names of the analyses and their questions."""
    if json:
        known = [
            {"name": name, "asks": one.help, "needs_labels": one.needs_gold}
            for name, one in ANALYSES.items()
        ]
        print_json({"schema": "omnitrace.analyses/1", "analyses": known})
        return 0
    made = table("analyses", "name", "asks", "needs")
    for name, one in ANALYSES.items():
        made.add_row(plain(name), plain(one.help), plain("--labels" if one.needs_gold else ""))
    out().print(made)
    return 0


def show(result: Result) -> None:
    """The result as a table on stdout, or one line on stderr where the run has no data for it."""
    if result.empty:
        narrate(f"{result.title}: nothing in this run speaks to it.")
        return
    content = result.table()
    made = table(result.title, *content.columns)
    for row in content.rows:
        made.add_row(*(plain(cell) for cell in row))
    out().print(made)


def document(name: str, result: Result, material: Material) -> dict[str, Any]:
    """The result as JSON data, with the configuration that it holds for."""
    return {
        "schema": "omnitrace.analysis/1",
        "analysis": name,
        "title": result.title,
        "config": to_dict(material.config),
        "result": result.to_dict(),
    }
