"""Option consistency: which option a response chooses, and which one its attribution prefers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnitrace import Trace
from omnitrace.errors import OmniTraceError
from omnitrace.units import UnitConfig
from replay import PRESETS, Attribution, attribute
from replay.evaluation.options import (
    AnswerOptions,
    Choice,
    choose,
    consistency,
    parse_option,
    read_options,
)
from tests.build import make_trace

ANIMALS = ("A. a cat", "B. a black dog", "C. a dog", "D. Anna's horse")
FACTS = ("The parcel weighs seven kilos.", "Anna lives in Oslo.")


@pytest.mark.parametrize(
    ("response", "index"),
    [
        ("B", 1),
        ("(B)", 1),
        ("B.", 1),
        ("**C** because it barks.", 2),
        ("C: a dog, for it barks", 2),
        ("The answer is D.", 3),
        ("The correct answer is (A).", 0),
        ("Answer: A because it purrs.", 0),
        ("Option A is wrong, so the answer is B", 1),
        ("answer: **C**", 2),
        ("It must be (C), not a horse.", 2),
        ("It is a cat.", 0),
        ("It is a Black  DOG, I think.", 1),
        ("A dog is shown, not a cat.", None),
        ("A dog is shown.", 2),
        ("It is Anna's horse.", 3),
        ("The answer is a concatenation.", None),
        ("The answer is E.", None),
        ("", None),
        ("I cannot tell.", None),
        ("The answer is D's", None),
    ],
)
def test_the_option_that_a_response_chooses(response: str, index: int | None) -> None:
    assert parse_option(response, ANIMALS) == index


def test_an_i_at_the_beginning_is_no_letter() -> None:
    nine = tuple(f"{letter}. {letter}{letter}" for letter in "ABCDEFGHI")
    assert parse_option("I think so.", nine) is None
    assert parse_option("I", nine) == 8


def mapped(trace: Trace, units: dict[int, str], config: UnitConfig | None = None) -> Attribution:
    """An attribution whose steps are mapped to these units, each with a vote of 0.5."""
    made = attribute(trace, replace(PRESETS["paper"], units=config or UnitConfig()))
    unit = np.full(trace.T, -1, np.int32)
    for step, id in units.items():
        unit[step] = made.units.id.index(id)
    return replace(made, unit=unit, vote=np.full(trace.T, 0.5, np.float32))


def test_mass_is_that_of_the_span_which_states_the_answer() -> None:
    trace = make_trace()
    # Steps 0 to 5 say the first sentence, which is option 0; the other steps do not count.
    attribution = mapped(trace, {0: "text-0", 1: "text-0", 2: "text-1", 7: "text-1", 8: "text-1"})
    choice = choose(attribution, trace, AnswerOptions("sample-0", FACTS))
    assert choice == Choice("sample-0", 0, choice.mass, 0, False)
    assert choice.mass.tolist() == [1.0, 0.5]
    assert choice.consistent
    by_id = choose(attribution, trace, AnswerOptions("sample-0", (0, 1)))
    assert by_id.mass.tolist() == choice.mass.tolist()
    given = choose(attribution, trace, AnswerOptions("sample-0", FACTS, chosen=1))
    # No sentence states option 1, so the last one is the answer's; nothing in it is mapped.
    assert given.mass.tolist() == [0, 0]
    assert (given.attributed, given.consistent) == (None, False)


def test_an_attribution_that_prefers_no_option_is_not_consistent() -> None:
    trace = make_trace()
    tie = choose(mapped(trace, {0: "text-0", 1: "text-1"}), trace, AnswerOptions("sample-0", FACTS))
    assert (tie.chosen, tie.attributed, tie.consistent) == (0, None, False)
    other = choose(mapped(trace, {0: "text-1"}), trace, AnswerOptions("sample-0", FACTS))
    assert (other.chosen, other.attributed, other.consistent) == (0, 1, False)


def test_a_unit_that_options_share_belongs_to_none() -> None:
    trace, whole = make_trace(), UnitConfig(text="part")
    choice = choose(mapped(trace, {0: "text-0"}, whole), trace, AnswerOptions("sample-0", FACTS))
    assert choice.shared
    assert choice.mass.tolist() == [0, 0]


def test_a_response_that_names_no_option_is_left_out() -> None:
    trace = make_trace()
    attribution = mapped(trace, {0: "text-0"})
    silent = choose(attribution, trace, AnswerOptions("sample-0", ("Oslo", "What is known?")))
    assert silent.chosen is None
    said = choose(attribution, trace, AnswerOptions("sample-0", FACTS))
    share, chance = consistency([silent, said, said])
    assert (share.value, share.low, share.high, chance) == (1, 1, 1, 0.5)
    assert np.isnan(consistency([silent])[0].value)


def test_options_that_the_prompt_lacks() -> None:
    trace = make_trace()
    attribution = mapped(trace, {})
    for options, says in (
        (("Bob", FACTS[0]), "does not hold the option 'Bob'"),
        (FACTS[::-1], "not in the order of the others"),
        (("", FACTS[0]), "does not hold the option ''"),
        ((0, 3), "has no text 3; ids go from 0 to 2"),
    ):
        with pytest.raises(OmniTraceError, match=says):
            choose(attribution, trace, AnswerOptions("sample-0", options))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"id": "a", "options": ["x"]}', "1 options; 2 to 26 are legal"),
        ('{"id": "a", "options": ["x", "y"], "chosen": 2}', "chosen is 2; options go from 0 to 1"),
        ('{"id": "a", "options": ["x", 1.5]}', "Expected `int . str`"),
        ('{"id": "a", "options": ["x", "y"], "right": 1}', "unknown field `right`"),
    ],
)
def test_a_line_that_is_not_legal_is_named(tmp_path: Path, line: str, says: Any) -> None:
    path = tmp_path / "options.jsonl"
    path.write_text('{"id": "b", "options": ["x", "y"], "answer": 1}\n' + line)
    with pytest.raises(OmniTraceError, match=rf"options\.jsonl, line 2: .*{says}"):
        read_options(path)
