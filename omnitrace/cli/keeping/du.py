"""`omnitrace du RUN`: what a run takes on its disk."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from rich.table import Table

from omnitrace.cli.console import out, plain, print_json, size, table
from omnitrace.maintenance.usage import Usage
from omnitrace.maintenance.usage import usage as usage_of
from omnitrace.store.run import run_files


def du(run: Path, *, json: bool = False) -> int:
    """Say what a run takes on its disk: bytes by signal, level and column, files and folders.

    Parameters
    ----------
    run
        the folder of a run
    json
        print JSON (schema omnitrace.du/1)
    """
    found = usage_of(run_files(run))
    if json:
        data = {"schema": "omnitrace.du/1", "path": str(run), **dataclasses.asdict(found)}
        print_json(data)
    else:
        out().print(usage_table(run, found))
    return 0


def usage_table(run: Path, found: Usage) -> Table:
    """A line a part, and all of them."""
    made = table(str(run), "", "name", "level", "bytes>", "share>", "a sample>", "files>")
    for part in found.parts:
        share = f"{100 * part.nbytes / max(1, found.nbytes):.1f} %"
        made.add_row(
            plain(part.kind), plain(part.name), plain(part.level), size(part.nbytes), share,
            _mean(part.nbytes, found), f"{part.files:,}",
        )  # fmt: skip
    made.add_section()
    made.add_row(
        "all", f"{found.samples:,} samples", f"{found.segments:,} segments", size(found.nbytes), "",
        _mean(found.nbytes, found), f"{found.files:,}",
    )  # fmt: skip
    made.add_row("folders", "", "", "", "", "", f"{found.folders:,}")
    return made


def _mean(nbytes: int, found: Usage) -> str:
    return size(round(nbytes / found.samples)) if found.samples else ""
