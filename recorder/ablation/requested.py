"""Masks that a replay requests: `omnitrace faithful RUN --ask FILE` writes those that it lacks.

Reads a JSON file (schema `omnitrace.masks/1`) strictly, to rows of kept units. Knows no run.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta

from omnitrace.arrays import Bool
from omnitrace.errors import CommandError, SampleError

SCHEMA = "omnitrace.masks/1"
Unit = Annotated[int, Meta(ge=0)]


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`removed`: sample id → masks, each the base units that it takes away; `of`: the ablations
    whose base units these are."""

    schema: Literal["omnitrace.masks/1"]
    of: str
    removed: dict[str, list[list[Unit]]]


@dataclass(frozen=True)
class RequestedMasks:
    """The masks of a file by sample id, as in `Document`, and the sha256 of the file."""

    of: str
    removed: dict[str, list[list[int]]]
    sha256: str

    def kept(self, id: str, units: int) -> Bool:
        """(M, U) rows of one sample; SampleError if they name units that it lacks."""
        kept = np.ones((len(self.removed[id]), units), bool)
        for row, gone in zip(kept, self.removed[id], strict=True):
            if gone and max(gone) >= units:
                raise SampleError(f"a mask names unit {max(gone)}; it has {units}.")
            row[gone] = False
        return kept


def read_requested(path: Path) -> RequestedMasks:
    """The masks of a file; CommandError naming it if it cannot be read."""
    try:
        data = path.read_bytes()
        found = msgspec.json.decode(data, type=Document)
    except OSError as error:
        raise CommandError(f"cannot read the masks {path}: {error.strerror}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CommandError(
            f"{path} holds no masks ({error}); `omnitrace faithful RUN --ask FILE` writes them."
        ) from error
    removed = {id: masks for id, masks in found.removed.items() if masks}
    return RequestedMasks(found.of, removed, hashlib.sha256(data).hexdigest())
