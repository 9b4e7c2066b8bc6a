"""Where the thinking of a response is: every convention, what is left open, what only looks so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitrace.errors import OmniTraceError
from omnitrace.thinking import thinking_range
from omnitrace.trace import Trace
from tests.build import make_trace

HARMONY = "<|channel|>analysis<|message|>Two and two.<|end|>"
FINAL = "<|start|>assistant<|channel|>final<|message|>"
MARKED = [
    ("<think>", "</think>"),
    ("<seed:think>", "</seed:think>"),
    ("<thought>", "</thought>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|channel>thought\n", "<channel|>"),
    ("<|channel|>analysis<|message|>", "<|end|>" + FINAL),
]


def split(response: str, before: str = "") -> tuple[str, str]:
    """Thinking and answer."""
    start, end = thinking_range(response, before) or (0, 0)
    assert start == 0
    return response[:end], response[end:]


@pytest.mark.parametrize(("begin", "end"), MARKED)
def test_each_convention(begin: str, end: str) -> None:
    thought = f"{begin}Two and two are four.{end}"
    assert split(f"{thought}\n\nFour.") == (thought, "\n\nFour.")
    assert split(f"\n {thought}Four.") == (f"\n {thought}", "Four.")
    assert split(f"{begin}Two and two") == (f"{begin}Two and two", "")
    assert split(f"{begin}\n\n{end}\n\nFour.") == (f"{begin}\n\n{end}", "\n\nFour.")
    prompt = f"How many?\nassistant\n{begin}"
    assert split(f"Two and two.{end}Four.", prompt) == (f"Two and two.{end}", "Four.")
    assert split("Two and two", f"{prompt}\n") == ("Two and two", "")
    assert split("Four.", f"{prompt}\n\n{end}\n\n") == ("", "Four.")
    assert thinking_range("", prompt) is None


@pytest.mark.parametrize(("begin", "end"), MARKED)
def test_a_mention_is_not_thinking(begin: str, end: str) -> None:
    assert thinking_range(f"Write {begin} before and {end} after.") is None
    assert thinking_range(f"{end} ends it.") is None
    assert thinking_range("Four.", f"the tag {begin} and the tag {end}") is None


def test_thinking_ends_with_the_first_end_marker() -> None:
    assert split("<think>a</think>b</think>c") == ("<think>a</think>", "b</think>c")
    assert split("<think>a</think>b", "<think>\n") == ("<think>a</think>", "b")


def test_a_turn_to_be_continued_may_be_inside_its_thinking() -> None:
    assert split("and two.</think>Four.", "<think>Two") == ("and two.</think>", "Four.")
    assert split("r.", "<think>Two and two.</think>Fou") == ("", "r.")
    assert split("more", "<think>a</think> b <think>c") == ("more", "")


def test_harmony_messages() -> None:
    answer = "Four."
    assert split(HARMONY + FINAL + answer) == (HARMONY + FINAL, answer)
    twice = f"{HARMONY}<|start|>assistant{HARMONY}{FINAL}"
    assert split(twice + answer) == (twice, answer)
    json = "<|start|>assistant<|channel|>final <|constrain|>json<|message|>"
    assert split(f"{HARMONY}{json}4") == (HARMONY + json, "4")
    call = "<|start|>assistant<|channel|>commentary to=functions.add<|message|>{}"
    assert split(HARMONY + call) == (HARMONY, call)
    assert split(f"<|start|>assistant{HARMONY}{call}")[1] == call
    assert thinking_range(FINAL.removeprefix("<|start|>assistant") + answer) is None


pieces = st.sampled_from([*"ab <\n", *(marker for pair in MARKED for marker in pair)])
any_text = st.lists(pieces, max_size=8).map("".join)


@given(any_text, any_text)
def test_thinking_begins_the_response_and_is_never_empty(response: str, before: str) -> None:
    found = thinking_range(response, before)
    assert found is None or (found[0] == 0 < found[1] <= len(response))
    if thinking_range(response) is not None:
        assert found is not None


def thinking(response: str, **meta: object) -> Trace:
    return make_trace(response=response, meta=meta)


def test_a_trace_has_what_was_recorded_or_what_the_response_marks() -> None:
    assert make_trace().thinking is None
    assert thinking("<think>a</think>b").thinking == (0, 16)
    assert thinking("a</think>b", thinking=[0, 9]).thinking == (0, 9)
    assert thinking("<xxxxx>a</xxxxx>b", thinking=[0, 16]).thinking == (0, 16)


@pytest.mark.parametrize("entry", [[0], [0, 99], [-1, 2], [2, 2], "ab", None, [0.0, 1.0], {"a": 1}])
def test_an_entry_that_is_no_range_is_named(entry: object) -> None:
    with pytest.raises(OmniTraceError, match=r"'sample-0': meta\['thinking'\] is no range"):
        _ = thinking("four", thinking=entry).thinking
