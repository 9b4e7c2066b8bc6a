"""Loops over samples: an error of one sample is reported, and the others go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import TypeVar

from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.text import one_line
from omnitrace.trace import Trace

T = TypeVar("T")
R = TypeVar("R")


def each_sample(
    run: Mapping[str, T],
    ids: Iterable[str],
    use: Callable[[T], R],
    failed: MutableMapping[str, str],
) -> Iterator[tuple[str, R]]:
    """(id, `use(run[id])`) of each sample of `ids`, in order.

    A sample that cannot be read or used (SampleError, or damage of the run) is entered in `failed`,
    id → sentence, and the rest go on. Misuse of the command (CommandError) is raised.
    """
    for id in ids:
        try:
            used = use(run[id])
        except CommandError:
            raise
        except OmniTraceError as error:
            failed[id] = str(error)
            continue
        yield id, used


def readable(
    run: Mapping[str, Trace], ids: Iterable[str], failed: MutableMapping[str, str]
) -> Iterator[Trace]:
    """The traces of `ids` that can be read, in order; failures as of `each_sample`."""
    return (trace for _, trace in each_sample(run, ids, lambda trace: trace, failed))


def sample_sentence(id: str, message: str) -> str:
    """What is wrong with a sample, beginning with its name: `sample 'kitchen': it is empty.`"""
    name = f"sample '{one_line(id)}': "
    return name + message.removeprefix(name)
