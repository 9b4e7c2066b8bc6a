"""`omnitrace verify RUN`: whether a run is whole."""

from __future__ import annotations

import dataclasses

from omnitrace.cli.console import narrate, out, plain, print_json, progress_bar
from omnitrace.cli.flags import RunPath
from omnitrace.maintenance.verify import verify as findings_of
from omnitrace.store.run import run_files


def verify(run: RunPath, *, deep: bool = False, json: bool = False) -> int:
    """Check every file of a run against its marker; print a line for each that is harmed.

    Exit status 1 if anything is damaged. What a killed writer left is mentioned and is no damage.

    Parameters
    ----------
    deep
        also decode every chunk, and check that every trace and addition is legal
    json
        print JSON (schema omnitrace.verify/1)
    """
    with progress_bar() as report:
        found = list(findings_of(run_files(run), deep, report))
    damage = [finding for finding in found if finding.damage]
    if json:
        data = {
            "schema": "omnitrace.verify/1",
            "path": str(run),
            "deep": deep,
            "sound": not damage,
            "findings": [dataclasses.asdict(finding) for finding in found],
        }
        print_json(data)
        return 1 if damage else 0
    for finding in found:
        mark = "damaged" if finding.damage else "note"
        out().print(plain(f"{mark}: {finding.sentence}"), soft_wrap=True)
    narrate(f"{run}: {f'{len(damage)} damaged.' if damage else 'sound.'}")
    return 1 if damage else 0
