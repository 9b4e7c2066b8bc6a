"""Units that a user defined: what they hold, and what is wrong with a file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnitrace.errors import CommandError, SampleError
from omnitrace.timeline import Modality
from omnitrace.units import UnitConfig, Units
from tests.build import make_trace


def cut(folder: Path, *units: dict[str, Any], **over: Any) -> Units:
    """The small prompt's units with these of the user's own."""
    file = folder / "units.jsonl"
    file.write_text("\n" + json.dumps({"id": "sample-0", "units": units}) + "\n", "utf-8")
    return make_trace().units(UnitConfig(file=str(file), **over))


def tokens_of(units: Units, unit: int) -> list[int]:
    return np.flatnonzero(units.owner_of_tokens(make_trace().n) == unit).tolist()


def test_each_form_of_unit(tmp_path: Path) -> None:
    units = cut(
        tmp_path,
        {"label": "the film's end", "start_s": 1, "end_s": 2, "part": 3},
        {"label": "weight", "text": "weighs seven"},
        {"label": "left", "box": [0, 0, 0.5, 1], "part": 1},
        {"label": "all sound", "part": 2},
        {"label": "city", "text": "Anna lives in Oslo.", "part": 0},
    )
    assert units.id == ("user-1", "user-4", "user-2", "user-3", "user-0", "text-0")
    assert units.label == ("weight", "city", "left", "all sound", "the film's end", "text 1")
    assert units.text == (
        "weighs seven", "Anna lives in Oslo.", None, None, None, "What is known?",
    )  # fmt: skip
    held = [tokens_of(units, j) for j in range(len(units))]
    assert held[:3] == [[3, 4], [6, 7, 8, 9], [10, 12]]
    assert held[3:5] == [[14, 15, 16, 17, 18, 19], [23, 24, 25]]
    assert units.modality.tolist() == [0, 0, 1, 2, 3, 0]
    assert units.medium.tolist() == [-1, -1, 0, 1, 2, -1]
    assert (units.start_s[4], units.end_s[4]) == (1, 2)
    assert np.isnan(units.start_s[:4]).all()
    assert units.box[2].tolist() == [0, 0, 0.5, 1]


def test_parts_without_units_of_the_users_are_cut_as_ever(tmp_path: Path) -> None:
    plain = make_trace().units(UnitConfig())
    assert cut(tmp_path).id == plain.id
    units = cut(tmp_path, {"label": "first", "start_s": 0, "end_s": 0.5, "part": 2})
    assert units.id == (*plain.id[:3], "user-0", *plain.id[6:])
    assert tokens_of(units, 3) == [14]


def test_a_whole_text_part_says_its_text(tmp_path: Path) -> None:
    units = cut(tmp_path, {"label": "facts", "part": 0})
    assert units.text[0] == "The parcel weighs seven kilos. Anna lives in Oslo."
    assert units.modality[0] == Modality.TEXT


def test_a_request_that_the_user_cut_is_kept(tmp_path: Path) -> None:
    units = cut(tmp_path, {"label": "ask", "part": 4}, request="leave-out")
    assert "user-0" in units.id
    assert "text-2" not in cut(tmp_path, request="leave-out").id


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        ({"text": "nothing"}, "its text stands nowhere in the texts"),
        ({"text": " "}, "its text is blank"),
        ({"text": "s"}, "its text stands 6 times in the texts; quote more of it"),
        ({"text": "Oslo", "part": 4}, "its text stands nowhere in part 4"),
        ({"text": "Oslo", "box": [0, 0, 1, 1]}, "text, start_s and end_s, and box exclude one"),
        ({}, "give the part that it is of, or a text"),
        ({"part": 9}, "part 9 does not exist; legal: 0 to 4"),
        ({"part": -1}, "part -1 does not exist"),
        ({"start_s": 1, "part": 2}, "give both start_s and end_s"),
        ({"start_s": 2, "end_s": 1, "part": 2}, "give both start_s and end_s, 0 <= start_s < end"),
        ({"start_s": 0, "end_s": 1}, "give the part"),
        ({"start_s": 0, "end_s": 1, "part": 1}, "its part has no time"),
        ({"start_s": 8, "end_s": 9, "part": 2}, "it holds no token of the prompt"),
        ({"box": [0, 0, 1, 1], "part": 3}, "a box is of an image's part"),
        ({"box": [0.5, 0, 0.1, 1], "part": 1}, "a box is .x0, y0, x1, y1., fractions from 0 to 1"),
        ({"box": [0, 0, 0.1, 0.1], "part": 1}, "it holds no token"),
        ({"text": "weighs"}, "it holds tokens of 'a'; units must not overlap"),
        ({"label": "a", "part": 1}, "that label is taken"),
    ],
)
def test_what_is_wrong_with_a_unit_is_named(
    unit: dict[str, Any], message: str, tmp_path: Path
) -> None:
    first = {"label": "a", "text": "The parcel weighs"}
    with pytest.raises(
        CommandError, match=f"units.jsonl, line 2: unit 1 '.': .*{message}"
    ) as error:
        cut(tmp_path, first, {"label": "b", **unit})
    assert not isinstance(error.value, SampleError)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"id": "sample-0"}', "line 1: Object missing required field `units`"),
        ('{"id": "sample-0", "units": [{}]}', "line 1: .*`label` - at `.*units"),
        (
            '{"id": "a", "units": []}\n{"id": "a", "units": []}',
            "line 2: sample 'a' was defined bef",
        ),
        ('{"id": "a", "units": [], "more": 1}', "line 1: Object contains unknown field `more`"),
        ("[1]", "line 1: Expected `object`"),
        ("\x00", "line 1: JSON is malformed"),
    ],
)
def test_what_is_wrong_with_a_line_is_named(lines: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "u").write_text(lines, "utf-8")
    with pytest.raises(CommandError, match=message):
        make_trace().units(UnitConfig(file=str(tmp_path / "u")))


def test_a_sample_without_a_line_is_named_and_a_file_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "u").write_text("", "utf-8")
    with pytest.raises(
        SampleError, match=r"sample 'sample-0' has no line in .*u; a line with \"units"
    ):
        make_trace().units(UnitConfig(file=str(tmp_path / "u")))
    with pytest.raises(CommandError, match=r"cannot read the units .*: No such file"):
        make_trace().units(UnitConfig(file=str(tmp_path / "none")))
    with pytest.raises(CommandError, match=r"cannot read the units .*: Is a directory"):
        make_trace().units(UnitConfig(file=str(tmp_path)))


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    assert cut(tmp_path, {"label": "one", "part": 1}).label[2] == "one"
    os.utime(tmp_path / "units.jsonl", ns=(0, 0))
    assert cut(tmp_path, {"label": "two", "part": 1}).label[2] == "two"


def test_what_a_file_says_is_safe_on_a_terminal(tmp_path: Path) -> None:
    assert "\x1b" not in cut(tmp_path, {"label": "\x1b[31mred", "part": 1}).label[2]
