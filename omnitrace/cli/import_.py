"""`omnitrace import FILE RUN`: a run from a file of another kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from omnitrace.care.verify import verify
from omnitrace.cli.console import narrate, progress_bar
from omnitrace.errors import CommandError
from omnitrace.exchange.hdf5_read import MAX_BYTES, import_hdf5
from omnitrace.exchange.inseq import read_inseq
from omnitrace.files import Files
from omnitrace.run import Run, new_files
from omnitrace.writer import RunWriter

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"

Source = Literal["auto", "hdf5", "inseq"]


def import_(file: Path, run: Path, *, source: Source = "auto", max_bytes: int = MAX_BYTES) -> int:
    """Make a run of a file that `omnitrace export` or another tool wrote, and check it.

    Running the same command again resumes.

    Parameters
    ----------
    file
        a run in HDF5, or attributions that inseq saved (JSON, or gzipped)
    run
        the folder of the run: made, or the same run imported before
    source
        what wrote the file; auto: told by its first bytes
    max_bytes
        HDF5: the most memory that one column of a segment may take
    """
    if not file.is_file():
        raise CommandError(f"there is no file {file}.")
    target = new_files(run)
    damage = IMPORTERS[source if source != "auto" else kind_of(file)](file, target, max_bytes)
    with progress_bar("segments checked") as report:
        damage += [found.sentence for found in verify(target, True, report) if found.damage]
    for sentence in damage:
        narrate(f"omnitrace: {sentence}")
    narrate(f"{run}: {len(Run(target))} samples.")
    return 1 if damage else 0


def kind_of(file: Path) -> str:
    """Which tool's file it is, as far as its first bytes tell."""
    with file.open("rb") as opened:
        head = opened.read(len(HDF5_SIGNATURE))
    return "inseq" if head.startswith((b"{", b"\x1f\x8b")) else "hdf5"


def _hdf5(file: Path, target: Files, max_bytes: int) -> list[str]:
    with progress_bar("segments") as report:
        return import_hdf5(file, target, max_bytes, report)


def _inseq(file: Path, target: Files, max_bytes: int) -> list[str]:
    identity, traces = read_inseq(file)
    with RunWriter(target, identity) as writer:
        for trace, key in traces:
            if writer.done.get(trace.id, key) != key:
                raise CommandError(f"the run holds another sample '{trace.id}': name another run.")
            if trace.id not in writer.done:
                writer.add(trace, key)
    return []


IMPORTERS: dict[str, Callable[[Path, Files, int], list[str]]] = {"hdf5": _hdf5, "inseq": _inseq}
