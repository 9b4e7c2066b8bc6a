"""Transcripts that users have: read as they are meant, or refused with file and line."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitrace import OmniTraceError, open_run
from omnitrace.store.writer import RunWriter
from omnitrace.timeline import Modality, Segments
from recorder.config import SegmentConfig
from recorder.segment import segment
from recorder.segmenters.transcript import PARSERS, read_transcript
from tests.build import make_trace

SRT = (
    "\ufeff1\r\n00:00:00,500 --> 00:00:01,250\r\n<i>Anna</i> owns\r\nthe lamp.\r\n\r\n\r\n"
    "2\r\n00:00:02.000 --> 01:00:03,000\r\nWho?\r\n"
)
VTT = """WEBVTT - a title

NOTE
not --> a cue

STYLE
::cue { color: red }

intro
00:00.500 --> 00:01.250 align:start position:0%
<v Anna>Salt &amp; oil</v>

100:00:02.000 --> 100:00:03.000
日本
"""
WHISPER = {"text": "a b", "language": "en", "segments": [
    {"id": 0, "start": 0.5, "end": 1, "text": " a", "tokens": [1]},
    {"id": 1, "start": 1.0, "end": 2.5, "text": " b", "tokens": [2]}]}  # fmt: skip


def read(folder: Path, name: str, text: str) -> list[tuple[float, float, str]]:
    (folder / name).write_bytes(text.encode())
    found = read_transcript(folder / name)
    return list(zip(found.start_s.tolist(), found.end_s.tolist(), found.text, strict=True))


def test_subrip(tmp_path: Path) -> None:
    assert read(tmp_path, "a.srt", SRT) == [
        (0.5, 1.25, "Anna owns the lamp."), (2.0, 3603.0, "Who?"),
    ]  # fmt: skip
    assert read(tmp_path, "a.srt", "00:00:01,000 --> 00:00:02,000\nno number") == [
        (1.0, 2.0, "no number")
    ]
    assert read(tmp_path, "a.srt", "") == []


def test_webvtt(tmp_path: Path) -> None:
    assert read(tmp_path, "a.vtt", VTT) == [
        (0.5, 1.25, "Salt & oil"), (360002.0, 360003.0, "日本"),
    ]  # fmt: skip
    assert read(tmp_path, "a.vtt", "WEBVTT") == []


def test_json_as_a_list_or_whispers_own(tmp_path: Path) -> None:
    rows = [{"start": 1, "end": 2.5, "text": "b"}, {"start": 0, "end": 1, "text": "a"}]
    assert read(tmp_path, "a.json", json.dumps(rows)) == [(0, 1, "a"), (1, 2.5, "b")]
    assert read(tmp_path, "a.json", json.dumps(WHISPER)) == [(0.5, 1, " a"), (1, 2.5, " b")]
    assert read(tmp_path, "a.json", "[]") == []


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\nx\n\n2\n00:00:0x\ny", "line 6: '00:00:0x'"),
        ("a.srt", "1\n00:00:03,000 --> 00:00:02,000\nx", "line 2: it ends before it starts"),
        ("a.srt", "1\n00:00:61,000 --> 00:02:02,000\nx", "line 2"),
        ("a.srt", "\n\n1", "line 3: '1' is not a timing"),
        ("a.srt", VTT, "line 1: 'WEBVTT - a title' is not a timing"),
        ("a.vtt", SRT, "line 1 is not WEBVTT"),
        ("a.vtt", "", "line 1 is not WEBVTT"),
        ("a.vtt", "\nWEBVTT", "line 1 is not WEBVTT"),
        ("a.vtt", "WEBVTT\n\none\ntwo\nthree", "line 4: 'two' is not a timing"),
        ("a.json", '[\n{"start": 1,}\n]', "line 2: invalid JSON"),
        ("a.json", "[" * 10**5, "nested too deep"),
        ("a.json", '[{"start": 1, "end": 2}]', r"missing required field `text` - at `$[0]`"),
        ("a.json", '[{"start": "1", "end": 2, "text": ""}]', "Expected `float`, got `str`"),
        ("a.json", '[{"start": 1, "end": 2, "text": "", "who": 1}]', "unknown field `who`"),
        ("a.json", '[{"start": 3, "end": 2, "text": ""}]', "entry 1: from 3 to 2 s is no time"),
        ("a.json", '[{"start": NaN, "end": 2, "text": ""}]', "entry 1: from nan to 2 s"),
        ("a.json", '[{"start": 0, "end": Infinity, "text": ""}]', "finite"),
        ("a.json", '{"text": "a"}', "missing required field `segments`"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(
    tmp_path: Path, name: str, text: str, says: str
) -> None:
    with pytest.raises(OmniTraceError) as caught:
        read(tmp_path, name, text)
    assert str(tmp_path / name) in str(caught.value)
    assert says in str(caught.value)


@given(st.sampled_from(sorted(PARSERS)), st.text())
def test_any_text_is_read_or_refused(suffix: str, text: str) -> None:
    with suppress(ValueError):
        Segments.of(PARSERS[suffix](text))


def test_a_file_that_is_not_text_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_bytes(b"\xff\xfe1")
    with pytest.raises(OmniTraceError, match="not UTF-8 text"):
        read_transcript(tmp_path / "a.srt")


CUE = "00:00:00,000 --> 00:00:01,000\n"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A sample whose sounds are tone.wav and square.mp4's, and one with tone.wav's alone."""
    line = make_trace().timeline
    modality = line.modality.copy()
    modality[(line.medium == 2) & (modality == Modality.AUDIO)] = Modality.SPECIAL
    with RunWriter.open(tmp_path / "run", {"model": "m"}) as writer:
        writer.add(make_trace("both"), "1")
        writer.add(make_trace("../one", timeline=replace(line, modality=modality)), "2")
        writer.add(make_trace("one", timeline=replace(line, modality=modality)), "3")
    return tmp_path / "run"


def test_files_are_found_by_medium_or_by_sample(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "said"
    folder.mkdir()
    config = SegmentConfig(transcripts=str(folder))
    (tmp_path / "one.srt").write_text(CUE + "no: it lies outside")
    (folder / "both.srt").write_text(CUE + "no: the sample has two sounds")
    (folder / "one.srt").write_text(CUE + "by sample")
    summary = segment(run, "transcript", config)
    assert summary.added == 1
    assert "no transcript tone.srt, .vtt or .json of its medium" in summary.failed["both"]
    assert open_run(run)["one"].segmentations["transcript"].media[1].text == ("by sample",)
    (folder / "tone.srt").write_text(CUE + "tone")
    (folder / "square.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:01.000\nfilm")
    assert segment(run, "transcript", config).added == 2
    found = open_run(run)["both"].segmentations["transcript"].media
    assert (found[1].text, found[2].text) == (("tone",), ("film",))


def test_two_files_of_one_stem_are_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "tone.srt").write_text(CUE + "tone")
    (tmp_path / "tone.json").write_text("[]")
    summary = segment(run, "transcript", SegmentConfig(transcripts=str(tmp_path)))
    assert "tone.json are both there: remove one" in summary.failed["one"]
