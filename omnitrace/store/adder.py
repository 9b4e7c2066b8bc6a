"""Additions to the samples of a run after they were recorded, written batch by batch.

Samples are buffered and written together, as one immutable file (additions.py).
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import msgspec

from omnitrace.ablations import Ablations
from omnitrace.errors import CommandError, OmniTraceError, SampleError
from omnitrace.store import additions, commit
from omnitrace.store.additions import LEGAL_NAME, AddedSample, Addition
from omnitrace.store.columns import safe_json
from omnitrace.store.commit import Unreadable
from omnitrace.store.kinds import encode
from omnitrace.store.run import Run, open_run
from omnitrace.text import one_line, safe_text
from omnitrace.timeline import Segmentation
from omnitrace.trace import Tagging, Trace

BATCH = 64


class Adder:
    """Adds segmentations, tags or ablations of one name to a run, in one process.

    Samples are buffered and become visible together, as one file, every `batch` of them, on
    `commit`, and on leaving the `with` block, by an exception or not. Not for several threads.
    """

    def __init__(
        self, run: Run, kind: str, name: str, about: Mapping[str, Any], batch: int = BATCH
    ) -> None:
        self.run = run
        self._kind, self._name = kind, name
        self._about = safe_json(commit.plain(about))
        self._batch = batch
        self._buffer: list[AddedSample] = []
        self._keys = dict(run.sample_keys)
        there = run.additions.find(kind, name)
        if there and there.about != self._about:
            differing = "; ".join(commit.differences(there.about, self._about, 200))
            raise CommandError(
                f"the run {run.path} has {kind} '{name}' that was made otherwise: {differing}. "
                "Choose another --name."
            )
        self._done = set(there.samples if there else ())

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        kind: str,
        name: str,
        about: Mapping[str, Any],
        *,
        batch: int = BATCH,
    ) -> Self:
        """Add to the run at `path` under `name`, made as `about` (JSON data) says.

        `kind` is `segmentation`, `tags` or `ablations`. Raises CommandError for an illegal name and
        where the run has that name already, made otherwise; and what `open_run` raises.
        """
        if not re.fullmatch(LEGAL_NAME, name):
            raise CommandError(
                f"the name '{one_line(name)}' is not legal; legal: at most 64 lower-case letters, "
                "digits, _, . and -, the first a letter or digit."
            )
        return cls(open_run(path), kind, name, about, batch)

    @property
    def done(self) -> frozenset[str]:
        """Ids of the samples that have it already, or are buffered."""
        return frozenset(self._done)

    def add(self, trace: Trace, added: Segmentation | Tagging | Ablations) -> None:
        """Buffer what is added to a sample of the run, and commit when the batch is full.

        Raises SampleError if it is not legal for the sample, and what `commit` raises.
        """
        try:
            data = msgspec.Raw(encode(self._kind, added, trace))
        except (ValueError, Unreadable) as error:
            raise SampleError(
                f"{self._kind} '{self._name}' of sample '{one_line(trace.id)}' cannot be stored: "
                f"{safe_text(str(error))}."
            ) from error
        self._buffer.append(AddedSample(trace.id, self._keys[trace.id], data))
        self._done.add(trace.id)
        if len(self._buffer) >= self._batch:
            self.commit()

    def commit(self) -> None:
        """Write what is buffered as one file, durably; OmniTraceError if it cannot be written."""
        if not self._buffer:
            return
        addition = str(uuid.uuid4())
        document = Addition(
            format=commit.FORMAT,
            store_uuid=self.run.store_uuid,
            addition=addition,
            created_at=commit.now(),
            created_by=commit.creator(),
            kind=self._kind,
            name=self._name,
            about=self._about,
            samples=self._buffer,
        )
        self._buffer = []
        name = additions.where(addition)
        try:
            self.run.files.put_if_absent(name, commit.seal(document))
        except OSError as error:
            raise OmniTraceError(
                f"cannot write {self.run.files.where(name)}: {error.strerror or error}. "
                f"{len(document.samples)} samples are not saved; those before are: make room and "
                "run the same command again."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.commit()
