"""`omnitrace analyse RUN NAME`: one question about a run's attributions: table, figure or JSON."""

from __future__ import annotations

import json as json_format
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from omnitrace import open_run
from omnitrace.cli.console import narrate, out, plain, table
from omnitrace.cli.flags import flags_of, layered
from omnitrace.cli.replay import check_added
from omnitrace.config import to_dict
from omnitrace.errors import CommandError
from replay import PRESETS
from replay import preset as preset_of
from replay.analyses import ANALYSES, Material, Result, analysis
from replay.analyses.figure import check_format, save


@dataclass(frozen=True)
class Output:
    """What to print and draw.

    Parameters
    ----------
    list
        list the analyses and end
    figure
        draw into this file, .svg or .png; needs the [report] extra
    json
        print JSON (schema omnitrace.analysis/1) instead of a table
    """

    list: bool = False
    figure: Path | None = None
    json: bool = False


@flags_of(PRESETS["default"])
def analyse(
    run: Path,
    name: str = "",
    *,
    preset: str = "default",
    config: Path | None = None,
    output: Annotated[Output, Parameter(name="*")] = Output(),
    given: dict[str, Any] | None = None,
) -> int:
    """Ask a question about how a run's answers were attributed.

    Parameters
    ----------
    run
        the folder of a run
    name
        the analysis; --list says which there are
    preset
        where to start from: default, paper or release; the file, then the flags are laid over it
    config
        a TOML file of configuration keys
    """
    if output.list:
        return show_list(output.json)
    if not name:
        raise CommandError(f"name an analysis: {', '.join(ANALYSES)}.")
    question = analysis(name)
    if output.figure is not None:
        check_format(output.figure)
    opened = open_run(run)
    chosen = layered(preset_of(preset), config, given)
    check_added(opened, chosen)
    material = Material(opened, chosen)
    result = question.run(material)
    if output.json:
        print(json_format.dumps(document(name, result, material)))
    else:
        show(result)
    if output.figure is not None and not result.empty:
        save(result, output.figure)
        narrate(f"{output.figure}: drawn.")
    for message in material.damaged.values():
        narrate(f"omnitrace: {message}")
    return 1 if material.damaged else 0


def show_list(json: bool) -> int:
    """Print the names of the analyses and what they ask."""
    if json:
        known = [{"name": name, "help": one.help} for name, one in ANALYSES.items()]
        print(json_format.dumps({"schema": "omnitrace.analyses/1", "analyses": known}))
        return 0
    made = table("analyses", "name", "asks")
    for name, one in ANALYSES.items():
        made.add_row(plain(name), plain(one.help))
    out().print(made)
    return 0


def show(result: Result) -> None:
    """The result as a table on stdout, or one line where nothing in the run speaks to it."""
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
