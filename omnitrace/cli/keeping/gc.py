"""`omnitrace gc RUN`: remove what killed writers left."""

from __future__ import annotations

import dataclasses

from omnitrace.cli.console import narrate, out, plain, print_json, size
from omnitrace.cli.flags import RunPath
from omnitrace.errors import CommandError
from omnitrace.maintenance.gc import Leftover, Superseded, collect, superseded
from omnitrace.store.run import Run, run_files


def gc(run: RunPath, *, older_than: float = 24.0, dry_run: bool = False, json: bool = False) -> int:
    """Remove orphan segments and temporary files. Nothing that is committed is ever removed.

    Committed segments whose samples are all read from others are named, and kept.

    Parameters
    ----------
    older_than
        hours that must have passed since the last write: a writer may be at work
    dry_run
        only say what would be removed
    json
        print JSON (schema omnitrace.gc/1)
    """
    if not older_than >= 0:
        raise CommandError(f"--older-than {older_than} is not legal; legal: hours from 0.")
    files = run_files(run)
    unused = list(superseded(Run(files)))
    left = list(collect(files, older_than, dry_run))
    if json:
        data = {
            "schema": "omnitrace.gc/1",
            "path": str(run),
            "dry_run": dry_run,
            "left": [dataclasses.asdict(one) for one in left],
            "superseded": [dataclasses.asdict(one) for one in unused],
        }
        print_json(data)
        return 0
    for one in left:
        out().print(plain(_left(one, dry_run)), soft_wrap=True)
    for other in unused:
        out().print(plain(_kept(other)), soft_wrap=True)
    gone = [one for one in left if one.old]
    did = "would be removed" if dry_run else "removed"
    narrate(f"{run}: {len(gone)} {did}, {size(sum(one.nbytes for one in gone))}.")
    return 0


def _left(one: Leftover, dry_run: bool) -> str:
    did = ("would be removed" if dry_run else "removed") if one.old else "kept, it is too young"
    return f"{one.where}: {did}; {one.files} files, {size(one.nbytes)}, {one.hours:.1f} h old"


def _kept(one: Superseded) -> str:
    return (
        f"{one.where}: kept; its {one.samples} samples are read from other segments, "
        f"{size(one.nbytes)}"
    )
