"""Work as bytes that another machine opens, and what comes back of its blocks."""

from __future__ import annotations

import pickle
import socket

from omnitrace.errors import OmniTraceError
from replay.sweep.blocks import Scored, Work, Worker

ADVICE = "Run the same command again; the masses that were kept are not computed again."

Outcome = Scored | OmniTraceError
"""A block's tallies, or the error that ends the sweep, told as in one process."""


def packed(work: Work) -> bytes:
    """The work for `unpacked`, once for all workers."""
    return pickle.dumps(work, pickle.HIGHEST_PROTOCOL)


def unpacked(data: bytes) -> Worker:
    """A worker in another process; OmniTraceError if the run cannot be opened from there."""
    try:
        return Worker(pickle.loads(data))
    except OmniTraceError as error:
        raise OmniTraceError(
            f"a worker on {socket.gethostname()} cannot open the run: {error} All workers must "
            "see it under the same path, or in an object store."
        ) from error
