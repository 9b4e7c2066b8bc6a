"""Rows: what they hold, as CSV and as Parquet; Markdown that stays in its cells."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pyarrow.parquet
import pytest

from replay.analyses.result import Table
from replay.report.markdown import escaped, markdown, rows
from replay.report.rows import COLUMNS, rows_of_run, write_csv, write_parquet
from tests.build import make_trace
from tests.replay.analyses.golds import FACT, PICTURE, TONE, claiming, judged, truth_of
from tests.replay.report.pages import HOSTILE

TRACE = make_trace()
FOUND = claiming(
    {"text-0": 0.6, "image-0": 0.4}, {}, {"audio-0:1-2": 1.0}, dropped={"text-1": 0.05}
)
GOLDS = {"sample-0": judged(FOUND, truth_of((FACT,), (PICTURE,), (TONE,)))[2]}


def test_a_row_a_candidate() -> None:
    (found,) = rows_of_run([(TRACE, FOUND)], GOLDS)
    assert [(r["span"], r["unit"], r["kept"], r["rule"], r["right"]) for r in found] == [
        (0, "text-0", True, None, True),
        (0, "image-0", True, None, False),
        (0, "text-1", False, "p_min", False),
        (1, "text-1", False, "p_min", False),
        (2, "audio-0:1-2", True, None, True),
        (2, "text-1", False, "p_min", False),
    ]
    assert found[0]["text"] == "The parcel weighs seven kilos."
    assert found[4]["start_s"] == 1.0
    assert found[0]["start_s"] is None
    assert all(set(row) == set(COLUMNS) for row in found)


def test_nobody_knows_without_a_gold() -> None:
    (found,) = rows_of_run([(TRACE, FOUND)], {})
    assert {row["right"] for row in found} == {None}


def test_csv_and_parquet_say_the_same(tmp_path: Path) -> None:
    samples = list(rows_of_run([(TRACE, FOUND)], GOLDS))
    file = io.StringIO()
    write_csv(samples, file)
    path = tmp_path / "rows.parquet"
    write_parquet(samples, path)
    from_csv = list(csv.DictReader(io.StringIO(file.getvalue())))
    from_parquet = pyarrow.parquet.read_table(path).to_pylist()
    assert from_parquet == samples[0]
    assert len(from_csv) == len(from_parquet) == 6
    assert list(from_csv[0]) == list(COLUMNS)
    assert (from_csv[1]["right"], from_csv[3]["run"], from_csv[0]["share"]) == ("false", "", "0.6")


def test_no_rows_are_a_file_with_a_head(tmp_path: Path) -> None:
    file = io.StringIO()
    write_csv([], file)
    assert file.getvalue() == ",".join(COLUMNS) + "\n"
    write_parquet([[]], tmp_path / "none.parquet")
    assert pyarrow.parquet.read_table(tmp_path / "none.parquet").num_rows == 0


@pytest.mark.parametrize("text", ["- a", "+ a", "# a", "1. a", "1) a", "[a](b)", "a_b_ *c*"])
def test_markdown_does_not_begin_a_list_or_a_heading(text: str) -> None:
    found = escaped(text)
    assert found != text
    assert found.replace("\\", "") == text


def test_markdown() -> None:
    table = Table(("what", "F1>"), (("text", "0.5"), ("a|b\nc", "1")))
    assert rows(table) == ("| what | F1 |\n| --- | --: |\n| text | 0.5 |\n| a\\|b c | 1 |\n")
    assert "".join(markdown("run", ["model: tiny"], [("Scores", table)])).startswith(
        "# run\n\n- model: tiny\n\n## Scores\n\n| what"
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_prints_what_it_is_given(text: str) -> None:
    found = escaped(text)
    assert "\n" not in found
    assert "<script" not in found.replace("\\<script", "")
    assert not {"\u202e", "\x1b", "\x00"} & set(found)
