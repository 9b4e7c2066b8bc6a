"""Bars and failures on stderr: shown on a terminal, silent elsewhere."""

from __future__ import annotations

import pytest

from omnitrace.cli.console import narrate_failures, progress_bar, tracked
from omnitrace.progress import Progress


def test_a_bar_shows_the_item_and_its_token(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with progress_bar() as report:
        report(Progress(1, 3, "kitchen[red]", 4))
    shown = capsys.readouterr()
    assert "1/3" in shown.err
    assert "kitchen(red] · 4 tokens" in shown.err
    assert shown.out == ""


def test_nothing_is_shown_where_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as report:
        report(Progress(1, 3, "kitchen"))
    assert list(tracked(iter("abc"))) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


def test_failures_decide_the_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert narrate_failures([]) == 0
    assert narrate_failures(iter(["it is \x1b[31mdamaged."])) == 1
    assert capsys.readouterr().err == "omnitrace: it is \N{REPLACEMENT CHARACTER}[31mdamaged.\n"
