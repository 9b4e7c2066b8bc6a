"""Samples in two halves, by their ids alone: one to choose a setting on, one to report it on."""

from __future__ import annotations

from hashlib import sha256


def is_held_out(id: str) -> bool:
    """Whether the sample of this id is of the half that is reported on and never chosen on.

    A coin thrown by the id's sha256: it stays, whatever other samples there are.
    """
    return bool(sha256(id.encode("utf-8", "surrogatepass")).digest()[0] & 1)
