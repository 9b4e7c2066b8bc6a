"""Kept results: a line a sample, resumed, and never mixed with those of other settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from omnitrace import CommandError, OmniTraceError, Trace
from replay.baselines.results import open_results
from replay.baselines.run import compute
from tests.build import make_trace

RUN = {id: make_trace(id) for id in ("a", "b", "c")}


def names(trace: Trace) -> str:
    if trace.id == "b":
        raise OmniTraceError("it is gone.")
    return trace.id.upper()


def rows_of(path: Path, about: Any = None) -> dict[str, Any]:
    with open_results(path, about or {"seed": 1}) as kept:
        return dict(kept.rows)


def test_results_are_kept_and_failures_are_not(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    with open_results(path, {"seed": 1}) as kept:
        assert compute(RUN, RUN, kept, names) == {"b": "sample 'b': it is gone."}
    assert rows_of(path) == {"a": "A", "c": "C"}
    with open_results(path, {"seed": 1}) as kept:
        compute(RUN, RUN, kept, lambda trace: "again")
    assert rows_of(path) == {"a": "A", "c": "C", "b": "again"}


def test_what_a_command_error_stops_is_kept(tmp_path: Path) -> None:
    def stop(trace: Trace) -> str:
        if trace.id == "c":
            raise CommandError("no model")
        return trace.id

    path = tmp_path / "kept.jsonl"
    with pytest.raises(CommandError, match="no model"), open_results(path, {"seed": 1}) as kept:
        compute(RUN, RUN, kept, stop)
    assert rows_of(path) == {"a": "a", "b": "b"}


def test_a_line_that_was_cut_off_is_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    with open_results(path, {"seed": 1}) as kept:
        compute(RUN, ["a", "c"], kept, names)
    whole = path.read_bytes()
    for cut in range(1, len(whole)):
        path.write_bytes(whole[:-cut])
        with open_results(path, {"seed": 1}) as kept:
            compute(RUN, ["a", "c"], kept, names)
        assert path.read_bytes() == whole


def test_nothing_computed_leaves_no_file(tmp_path: Path) -> None:
    assert rows_of(tmp_path / "kept.jsonl") == {}
    assert list(tmp_path.iterdir()) == []


def test_results_of_other_settings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    with open_results(path, {"seed": 1}) as kept:
        kept.add("a", 1)
    with pytest.raises(CommandError, match=r"kept\.jsonl was computed by another baseline"):
        rows_of(path, {"seed": 2})


def test_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    with open_results(path, {"seed": 1}) as kept:
        kept.add("a", 1)
        kept.add("b", 2)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"{}\n" + lines[2])
    with pytest.raises(OmniTraceError, match=r"kept\.jsonl, line 2 is damaged"):
        rows_of(path)
    with pytest.raises(CommandError, match=r"cannot keep results in .*: Is a directory"):
        rows_of(tmp_path)
