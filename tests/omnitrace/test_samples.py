"""Loops over samples: what is wrong with one is reported, misuse of the command ends the loop."""

from __future__ import annotations

import pytest

from omnitrace import Trace
from omnitrace.errors import CommandError, OmniTraceError, SampleError
from omnitrace.samples import each_sample, readable, sample_sentence
from tests.build import make_trace

RUN = {id: make_trace(id) for id in ("a", "b", "c")}


def use(trace: Trace) -> str:
    errors = {"a": SampleError("it is empty."), "b": OmniTraceError("it is damaged.")}
    if trace.id in errors:
        raise errors[trace.id]
    return trace.id.upper()


def test_the_others_go_on() -> None:
    failed: dict[str, str] = {}
    assert list(each_sample(RUN, ["a", "c", "b", "c"], use, failed)) == [("c", "C"), ("c", "C")]
    assert failed == {"a": "it is empty.", "b": "it is damaged."}


def test_misuse_is_raised() -> None:
    def refuse(trace: Trace) -> None:
        raise CommandError("no such signal.")

    failed: dict[str, str] = {}
    with pytest.raises(CommandError, match="no such signal"):
        list(each_sample(RUN, RUN, refuse, failed))
    assert failed == {}


def test_traces_are_read_one_at_a_time() -> None:
    traces = readable(RUN, ["b", "a"], {})
    assert next(traces) is RUN["b"]
    assert [trace.id for trace in traces] == ["a"]


def test_a_sentence_names_its_sample_once() -> None:
    for message in ("it is empty.", "sample 'a': it is empty."):
        assert sample_sentence("a", message) == "sample 'a': it is empty."
    assert "\x1b" not in sample_sentence("\x1b[31ma", "it is empty.")
