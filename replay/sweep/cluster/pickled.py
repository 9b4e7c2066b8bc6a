"""Work as bytes that another machine opens, and what comes back of its blocks.

The one place that pickles: what one process of a sweep gives another, as the engines themselves do,
in a folder made for the call. Nothing of a run is ever read so.
"""

from __future__ import annotations

import pickle
import socket

from omnitrace.errors import OmniTraceError
from replay.sweep.blocks import Scored, Work, Worker

ADVICE = "Run the same command again; the masses that were kept are not computed again."

Outcome = Scored | OmniTraceError
"""A block's tallies, or the error that ends the sweep, with its message in one process."""


def pickled(what: Work | Outcome) -> bytes:
    """The work, once for all workers, or what came of a block."""
    return pickle.dumps(what, pickle.HIGHEST_PROTOCOL)


def outcome(data: bytes) -> Scored:
    """What came of a block, from `pickled`; raises it if it is an error."""
    found: Outcome = pickle.loads(data)
    if isinstance(found, OmniTraceError):
        raise found
    return found


def worker(data: bytes) -> Worker:
    """A worker in another process; OmniTraceError if the run cannot be opened from there."""
    try:
        return Worker(pickle.loads(data))
    except OmniTraceError as error:
        raise OmniTraceError(
            f"a worker on {socket.gethostname()} cannot open the run: {error} All workers must "
            "see it under the same path, or in an object store."
        ) from error
