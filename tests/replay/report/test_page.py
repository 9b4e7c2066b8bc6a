"""The page: nothing from a run becomes markup, nothing is loaded, and all is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from omnitrace.errors import CommandError, OmniTraceError
from replay.report.formats import FORMATS, write_report
from replay.report.media import MediaEmbedder
from tests.build import make_trace
from tests.replay.report.pages import hostile_job, job_of, page_of, taken, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    traces = [make_trace(f"sample-{seed}", seed) for seed in range(3)]
    return write_run(tmp_path_factory.mktemp("page") / "kitchen", *traces)


@pytest.fixture(scope="module")
def page(run: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return page_of(job_of(run, labels=True), tmp_path_factory.mktemp("page") / "report.html")


def test_everything_is_said(page: str) -> None:
    found = taken(page)
    assert [tag for tag, _ in found.elements].count("article") == 3
    for words in (
        "kitchen", "sample-2", "The parcel weighs seven kilos.", "Anna lives in Oslo.",
        "circle.png", "tone.wav", "square.mp4", "F1 by modality", "missed", "p_min",
    ):  # fmt: skip
        assert words in found.text, words
    assert "✓" in found.text
    assert "✗" in found.text


def test_nothing_is_loaded(page: str) -> None:
    for tag, attributes in taken(page).elements:
        for name in ("src", "href", "xlink:href", "action", "poster", "data"):
            value = attributes.get(name) or "#"
            assert value.startswith(("#", "data:image/")), (tag, name, value[:80])
    assert "@import" not in page
    assert "url(http" not in page


def test_links_are_the_sources(run: Path, page: str) -> None:
    job = job_of(run)
    islands = [json.loads(s) for s in taken(page).scripts if not s.startswith('"use strict"')]
    for island, (_, attribution) in zip(islands, job.material.attributed(), strict=True):
        expected = [
            [[s.unit, round(s.mass, 4)] for s in span.sources] for span in attribution.spans
        ]
        assert island == expected


def test_every_span_and_unit_can_be_reached_by_keyboard(page: str) -> None:
    buttons = [a for _, a in taken(page).elements if a.get("role") == "button"]
    assert len(buttons) > 20
    assert all(a.get("tabindex") == "0" for a in buttons)


def test_a_span_of_thinking_says_so(run: Path, tmp_path: Path, page: str) -> None:
    trace = make_trace(meta={"thinking": [0, 30]})
    thoughtful = page_of(job_of(write_run(tmp_path / "run", trace)), tmp_path / "page.html")
    assert thoughtful.count('<p class="quiet">thinking</p>') == 1
    assert thoughtful.count(' quiet" data-span="0"') == 1
    assert '<p class="quiet">thinking</p>' not in page


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    page = page_of(hostile_job(), tmp_path / "h.html")
    found = taken(page)
    tags = {tag for tag, _ in found.elements}
    assert tags.isdisjoint({"iframe", "object", "embed", "form", "base", "link"})
    plain = taken(page_of(job_of(write_run(tmp_path / "plain", make_trace())), tmp_path / "p.html"))
    count, usual = ([tag for tag, _ in one.elements].count for one in (found, plain))
    assert count("script") == usual("script") == 2
    assert count("title") == usual("title")
    for _, attributes in found.elements:
        assert not any(name.startswith("on") for name in attributes)
        assert "autofocus" not in attributes
    assert "window.hacked = 1" in found.text
    assert "{{ 7 * 7 }}" in found.text
    assert not {"\u202e", "\u2066", "\u2028", "\x1b", "\x00", "\x85"} & set(page)
    assert found.stack == []


def test_samples_over_the_limit_are_counted(run: Path, tmp_path: Path) -> None:
    found = taken(page_of(job_of(run, limit=1), tmp_path / "one.html"))
    assert [tag for tag, _ in found.elements].count("article") == 1
    assert "1 of 3 samples are shown" in found.text


def test_media_that_are_not_at_hand_are_named(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "media"
    folder.mkdir()
    found = taken(page_of(job_of(run, media=MediaEmbedder(folder)), tmp_path / "bare.html"))
    assert "1 media are not under" in found.text
    assert "circle.png" in found.text
    assert "not at hand" in found.text


def test_an_empty_run(tmp_path: Path) -> None:
    run = write_run(tmp_path / "empty")
    for name in FORMATS:
        write_report(job_of(run), tmp_path / f"out.{name}")
    assert "0 answers" in (tmp_path / "out.html").read_text("utf-8")


def test_a_report_is_whole_or_not_there(run: Path, tmp_path: Path) -> None:
    job = job_of(run)
    config = replace(job.material.config, signal="nothing")
    broken = replace(job, material=replace(job.material, config=config))
    (tmp_path / "out.csv").write_text("before")
    with pytest.raises(CommandError, match="has no signal 'nothing'"):
        write_report(broken, tmp_path / "out.csv")
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]
    assert (tmp_path / "out.csv").read_text() == "before"
    with pytest.raises(OmniTraceError, match=r"cannot write the report .*nowhere"):
        write_report(job, tmp_path / "nowhere" / "out.csv")


@pytest.mark.parametrize(
    ("name", "format", "message"),
    [
        ("out.txt", "", "no format 'txt'.*Legal: html, json, csv, parquet, md"),
        ("out", "", "'out' says no format"),
        ("out.html", "cvs", "no format 'cvs': did you mean 'csv'"),
    ],
)
def test_formats_that_there_are_not(tmp_path: Path, name: str, format: str, message: str) -> None:
    run = write_run(tmp_path / "run")
    with pytest.raises(CommandError, match=message):
        write_report(job_of(run), tmp_path / name, format)
