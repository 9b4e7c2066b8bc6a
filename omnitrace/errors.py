"""Errors: of the data, of one sample, of a command. Messages say what, where, the legal values and
what to do next.

The command (`omnitrace.cli`) is the only place that catches them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class OmniTraceError(Exception):
    """Something is wrong with the data: a damaged run, an unreadable medium, a missing signal.

    The command prints the message as one sentence and exits with status 1.
    """

    exit_code = 1


class SampleError(OmniTraceError):
    """One sample cannot be recorded, read or attributed; the other samples can.

    Loops over samples report it and go on (`omnitrace.samples.each_sample`).
    """


class CommandError(OmniTraceError):
    """OmniTrace was used wrongly: an unknown flag, key, sample or file. Exit status 2."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@contextmanager
def extra(name: str, what: str) -> Iterator[None]:
    """Around the imports of an extra: CommandError saying `what` needs it, where it is absent.

    `what` ends in a verb, as in "the browser needs"; `name` is the extra that installs it.
    """
    try:
        yield
    except ImportError as error:
        raise CommandError(
            f"{what} {error.name}: pip install 'omnitrace-replay[{name}]'."
        ) from error


class Fault(NamedTuple):
    """What is wrong with one file of a run: its name there, and a sentence that says it all."""

    name: str
    sentence: str


def nearest(word: str, legal: list[str]) -> str:
    """A sentence part naming the legal values, the nearest one first: for unknown names."""
    import difflib

    close = difflib.get_close_matches(word, legal, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"{hint}Legal: {', '.join(legal) or '(none)'}"
