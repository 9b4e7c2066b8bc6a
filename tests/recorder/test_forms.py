"""Samples with media of every form, recorded, resumed, segmented: no form costs another."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from omnitrace import open_run
from omnitrace.errors import CommandError
from omnitrace.timeline import Segments
from recorder.config import RecordConfig, SegmentConfig
from recorder.record import record
from recorder.segment import segment
from recorder.segmenters import RATE, AudioClip
from tests.recorder.conftest import WAV_SECONDS

CONFIG = RecordConfig(max_new_tokens=2, signals="attmean")


def row(id: str, *parts: dict[str, Any]) -> dict[str, Any]:
    content = [*parts, {"type": "text", "text": "What is it?"}]
    return {"id": id, "messages": [{"role": "user", "content": content}]}


def write(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "forms.jsonl"
    path.write_text("\n".join(json.dumps(each) for each in rows), "utf-8")
    return path


@pytest.fixture
def here(folder: Path, tmp_path: Path) -> Path:
    for name in ("photo.png", "speech.wav"):
        shutil.copy(folder / name, tmp_path / name)
    for shade in range(4):
        PIL.Image.new("RGB", (56, 56), (60 * shade,) * 3).save(tmp_path / f"{shade}.png")
    os.mkfifo(tmp_path / "pipe.png")
    return tmp_path


@pytest.fixture
def samples(here: Path) -> Path:
    sound = base64.b64encode((here / "speech.wav").read_bytes()).decode()
    rows = [
        row("pipe", {"type": "image", "image": "pipe.png"}),
        row("nul", {"type": "image", "image": "a\0b.png"}),
        row("long", {"type": "image", "image": "n" * 300}),
        row("unlike", {"type": "video", "video": ["0.png", "photo.png"]}),
        row("heard", {"type": "input_audio", "input_audio": {"data": sound, "format": "wav"}}),
        row("listed", {"type": "video", "video": [f"{shade}.png" for shade in range(4)]}),
        row("file", {"type": "image_url", "image_url": {"url": f"file://{here}/photo.png"}}),
    ]
    return write(here, rows)


def test_what_is_wrong_with_one_sample_costs_no_other(samples: Path, tmp_path: Path) -> None:
    summary = record(samples, tmp_path / "run", CONFIG)
    assert summary.recorded == 3
    expected = {
        "pipe": "is no file but a folder, pipe or device",
        "nul": "embedded null byte",
        "long": "File name too long",
        "unlike": "frame 2 has 517×301 pixels and the first one 56×56",
    }
    assert {id: expected[id] in said for id, said in summary.failed.items()} == dict.fromkeys(
        expected, True
    )
    run = open_run(tmp_path / "run")
    names = {id: run[id].media[0].name for id in ("heard", "listed", "file")}
    assert names == {
        "heard": "data:audio/wav",
        "listed": "0.png … 3.png (4 frames)",
        "file": "photo.png",
    }
    again = record(samples, tmp_path / "run", CONFIG)
    assert (again.skipped, again.recorded, set(again.failed)) == (3, 0, set(expected))


def test_a_frame_that_changed_is_noticed(here: Path, tmp_path: Path) -> None:
    frames = {"type": "video", "video": [f"{shade}.png" for shade in range(4)]}
    samples = write(here, [row("listed", frames)])
    assert record(samples, tmp_path / "run", CONFIG).recorded == 1
    (here / "2.png").write_bytes((here / "0.png").read_bytes())
    with pytest.raises(CommandError, match="sample 'listed', one of its media or its given answer"):
        record(samples, tmp_path / "run", CONFIG)
    (here / "2.png").unlink()
    assert record(samples, tmp_path / "run", CONFIG).skipped == 1


class Listener:
    """A segmenter that reads the whole of an audio as one stretch."""

    name, needs_files = "heard", True
    about: Mapping[str, Any] = {"segmenter": "listener"}

    def segments(self, sound: AudioClip) -> Segments:
        return Segments.of([(0.0, len(sound.samples()) / RATE, "all")])


def test_audio_inside_the_samples_file_is_segmented(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recorder.segment.load_segmenter", lambda name, config: Listener())
    record(samples, tmp_path / "run", CONFIG)
    summary = segment(tmp_path / "run", "listener", SegmentConfig(samples=str(samples)))
    assert (summary.added, dict(summary.failed)) == (1, {})
    found = open_run(tmp_path / "run")["heard"].segmentations["heard"].media[0]
    np.testing.assert_allclose(found.end_s, [WAV_SECONDS], atol=1e-3)
