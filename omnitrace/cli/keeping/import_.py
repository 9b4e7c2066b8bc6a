"""`omnitrace import FILE RUN`: a run from what another tool wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

from omnitrace.cli.console import narrate, narrate_failures, progress_bar
from omnitrace.errors import CommandError
from omnitrace.exchange.hdf5_read import MAX_BYTES, import_hdf5
from omnitrace.exchange.inseq import read_inseq
from omnitrace.exchange.vllm_hook import read_vllm_hook
from omnitrace.maintenance.verify import verify
from omnitrace.store.files import Files
from omnitrace.store.run import ROOT, Run, new_files
from omnitrace.store.writer import RunWriter
from omnitrace.trace import Trace

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"

Source = Literal["auto", "hdf5", "inseq", "vllm-hook"]


@dataclass(frozen=True)
class Origin:
    """The file to read, the tokens that go with it, and the most memory in bytes."""

    file: Path
    tokens: Path | None
    max_bytes: int


def import_(
    file: Path,
    run: Path,
    *,
    source: Source = "auto",
    tokens: Path | None = None,
    max_bytes: int = MAX_BYTES,
) -> int:
    """Make a run of what `omnitrace export` or another tool wrote, and check it.

    Running the same command again resumes.

    Parameters
    ----------
    file
        a run in HDF5, attributions that inseq saved (JSON, or gzipped), or the folder (hook_dir)
        in which vLLM-Hook saved queries and keys
    run
        the folder of the run: made, or the same run imported before
    source
        what wrote the file; auto: told by its first bytes, a folder is vLLM-Hook's
    tokens
        vLLM-Hook: JSON lines that say of each request its run_id, model, config, prompt_token_ids,
        prompt_tokens, token_ids, tokens and logprobs (docs/importing.md has the lines to write it)
    max_bytes
        the most memory that one column of a segment (HDF5) or one request (vLLM-Hook) may take
    """
    if not file.exists():
        raise CommandError(f"there is no file {file}.")
    if (file / ROOT).exists():
        raise CommandError(f"{file} is a run already: omnitrace copy makes another of it.")
    chosen = source if source != "auto" else kind_of(file)
    if file.is_dir() != (chosen == "vllm-hook"):
        kind = "a folder" if file.is_dir() else "no folder"
        raise CommandError(f"{file} is {kind}; only vLLM-Hook writes folders (--source {chosen}).")
    if (tokens is None) == (chosen == "vllm-hook"):
        raise CommandError(
            "vLLM-Hook saves no tokens, and no other source needs them: give --tokens FILE with "
            "--source vllm-hook, and with that alone; docs/importing.md says how to write it."
        )
    target = new_files(run)
    damage = IMPORTERS[chosen](Origin(file, tokens, max_bytes), target)
    with progress_bar() as report:
        damage += [found.sentence for found in verify(target, True, report) if found.damage]
    status = narrate_failures(damage)
    narrate(f"{run}: {len(Run(target))} samples.")
    return status


def kind_of(file: Path) -> str:
    """The tool that wrote the file, by its first bytes; a folder is vLLM-Hook's."""
    if file.is_dir():
        return "vllm-hook"
    with file.open("rb") as opened:
        head = opened.read(len(HDF5_SIGNATURE))
    return "inseq" if head.startswith((b"{", b"\x1f\x8b")) else "hdf5"


def _hdf5(origin: Origin, target: Files) -> list[str]:
    with progress_bar() as report:
        return import_hdf5(origin.file, target, origin.max_bytes, report)


def _inseq(origin: Origin, target: Files) -> list[str]:
    return _write(target, *read_inseq(origin.file))


def _vllm_hook(origin: Origin, target: Files) -> list[str]:
    assert origin.tokens is not None  # import_ has checked it
    return _write(target, *read_vllm_hook(origin.file, origin.tokens, origin.max_bytes))


def _write(
    target: Files, identity: dict[str, Any], traces: Iterator[tuple[Trace, str]]
) -> list[str]:
    """Add the samples that the run lacks; returns no damage. No run is made if the first sample
    cannot be read."""
    first = [*islice(traces, 1)]
    with RunWriter(target, identity) as writer:
        for trace, key in chain(first, traces):
            if writer.done.get(trace.id, key) != key:
                raise CommandError(f"the run holds another sample '{trace.id}': name another run.")
            if trace.id not in writer.done:
                writer.add(trace, key)
    return []


IMPORTERS: dict[str, Callable[[Origin, Files], list[str]]] = {
    "hdf5": _hdf5,
    "inseq": _inseq,
    "vllm-hook": _vllm_hook,
}
