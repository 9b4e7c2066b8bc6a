"""Items as files: samples to record, and next to them options and references, as JSON lines.

Knows the formats of the samples file and of what evaluation reads; no data set.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from omnitrace.atomic import atomic_write
from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.text import one_line
from recorder.datasets.items import Item, MediaFile, Part
from recorder.datasets.media import image_suffix


@dataclass(frozen=True)
class OutputFiles:
    """The files that an import makes: all named after its samples file."""

    samples: Path

    @property
    def options(self) -> Path:
        """Lines {id, options, answer}; `answer`, an index, is absent where it is not published."""
        return self.samples.with_suffix(".options.jsonl")

    @property
    def references(self) -> Path:
        """Lines {id, reference}."""
        return self.samples.with_suffix(".references.jsonl")

    @property
    def media(self) -> Path:
        """The folder of the media that the data set embeds."""
        return self.samples.with_suffix(".media")


@dataclass
class ImportSummary:
    """`written` samples, and the ids of those `without` their media with the first name missing."""

    written: int = 0
    without: dict[str, str] = field(default_factory=dict)


def write_dataset(items: Iterable[Item], out: Path, limit: int = 0) -> ImportSummary:
    """Write the first `limit` items (0: all) that have their media; the others are named.

    The samples file is written last, so that where it is, all is. Raises CommandError if it is
    there already or cannot be written, OmniTraceError if an id comes twice or nothing is left.
    """
    if out.exists():
        raise CommandError(f"{out} is there already: remove it, or name another file.")
    files, summary = OutputFiles(out), ImportSummary()
    lines: dict[Path, list[str]] = {files.options: [], files.references: [], out: []}
    seen: set[str] = set()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        for item in islice(_with_media(items, seen, summary), limit or None):
            for path, row in _rows(item, files).items():
                lines[path].append(json.dumps(row) + "\n")
            summary.written += 1
        if summary.written:
            for path, rows in lines.items():
                if rows:
                    with atomic_write(path) as temporary:
                        temporary.write_text("".join(rows), "utf-8")
    except OSError as error:
        raise CommandError(f"cannot write {error.filename or out}: {error.strerror}.") from error
    return summary


def _with_media(items: Iterable[Item], seen: set[str], summary: ImportSummary) -> Iterable[Item]:
    for item in items:
        if not item.id or item.id in seen:
            what = f"the id '{one_line(item.id)}' comes twice" if item.id else "an id is empty"
            raise OmniTraceError(f"{what}; ids must be unique.")
        seen.add(item.id)
        if item.missing:
            summary.without[item.id] = item.missing[0]
        else:
            yield item


def _rows(item: Item, files: OutputFiles) -> Mapping[Path, dict[str, Any]]:
    """The item's line in each of the files that know something of it."""
    content = [_content(part, files) for part in item.parts]
    sample: dict[str, Any] = {"id": item.id, "messages": [{"role": "user", "content": content}]}
    answer = item.reference if item.answer is None else item.options[item.answer]
    rows = {files.samples: sample | ({"answer": answer} if answer else {})}
    if item.options:
        known = {} if item.answer is None else {"answer": item.answer}
        rows[files.options] = {"id": item.id, "options": list(item.options)} | known
    if item.reference:
        rows[files.references] = {"id": item.id, "reference": item.reference}
    return rows


def _content(part: Part, files: OutputFiles) -> dict[str, str]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    return {"type": part.kind, part.kind: _place(part, files)}


def _place(file: MediaFile, files: OutputFiles) -> str:
    """The file's path from the samples file; embedded bytes are written out, once."""
    path = file.path
    if file.data is not None:
        digest = hashlib.sha256(file.data).hexdigest()
        path = files.media / (digest[:24] + image_suffix(file.data))
        if not path.exists():
            files.media.mkdir(exist_ok=True)
            with atomic_write(path) as temporary:
                temporary.write_bytes(file.data)
    assert path is not None, "items without their media are left out"
    full, home = (Path(os.path.abspath(p)) for p in (path, files.samples.parent))
    return str(full.relative_to(home) if full.is_relative_to(home) else full)


def left_out(summary: ImportSummary, shown: int = 3) -> str:
    """One sentence about the samples without media."""
    named: Sequence[str] = [
        f"'{one_line(id)}' ({one_line(name)})" for id, name in summary.without.items()
    ][:shown]
    more = ", …" if len(summary.without) > shown else ""
    return (
        f"{len(summary.without)} samples are left out, for their media are not there: "
        f"{', '.join(named)}{more}. Name the folder that holds them with --media."
    )
