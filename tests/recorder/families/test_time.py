"""The seconds of a video's tokens are those that the model's own processor says, at four rates."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from omnitrace.timeline import Modality
from recorder.inputs.samples import Content, Message
from recorder.models.adapter import Adapter, Prepared
from recorder.models.settings import Settings
from tests.recorder.families.models import chat, load, media_folder

RATES = (0.5, 1.0, 2.0, 4.0)
SECONDS = 4
"""Of the video, which is a frame longer."""
every_rate = pytest.mark.parametrize("fps", RATES)


@cache
def adapter(family: str) -> Adapter:
    return load(family)


def prepared(family: str, fps: float, monkeypatch: pytest.MonkeyPatch) -> Prepared:
    """A video of the media folder, recorded at `fps` frames a second."""
    own: Any = adapter(family)
    monkeypatch.setattr(own, "settings", Settings(fps=fps))
    video = Content("video", path=media_folder() / "silent.mp4")
    found = own.prepare(chat(Message("user", (video, Content("text", "What moves?")))))
    assert found.prompt.media[0].duration_s == pytest.approx(SECONDS, abs=0.05)
    return found  # type: ignore[no-any-return]


def groups(found: Prepared) -> list[tuple[float, float]]:
    """Start and end of each group of frames, in the order of their tokens."""
    line = found.prompt.timeline
    own = line.modality == Modality.VIDEO
    intervals = list(zip(line.start_s[own].tolist(), line.end_s[own].tolist(), strict=True))
    assert intervals == sorted(intervals)
    return list(dict.fromkeys(intervals))


def written(found: Prepared, family: str) -> str:
    """What the processor writes among the video's tokens."""
    line = found.prompt.timeline
    marks = (line.medium == 0) & (line.modality == Modality.SPECIAL)
    return adapter(family).decode(found.prompt.prompt_ids[marks].tolist())


def clock(text: str) -> int:
    """Seconds of `mm:ss`."""
    minutes, seconds = text.split(":")
    return 60 * int(minutes) + int(seconds)


def assert_even(found: list[tuple[float, float]], length: float) -> None:
    """Groups of this many seconds follow one another from the video's beginning to its end."""
    starts = np.arange(round(SECONDS / length) or 1) * length
    assert [start for start, _ in found] == starts.tolist()
    assert [end for _, end in found[:-1]] == starts[1:].tolist()
    assert found[-1][1] == pytest.approx(SECONDS, abs=0.05)


@every_rate
def test_qwen2_5_vl(fps: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair of frames lasts `second_per_grid_ts`, which the temporal positions follow."""
    found = prepared("qwen2_5_vl", fps, monkeypatch)
    [length] = map(float, found.inputs["second_per_grid_ts"])
    assert length == 2 / fps
    assert_even(groups(found), length)
    model = adapter("qwen2_5_vl").model
    positions, _ = model.model.get_rope_index(
        found.inputs["input_ids"],
        mm_token_type_ids=found.inputs["mm_token_type_ids"],
        video_grid_thw=found.inputs["video_grid_thw"],
        second_per_grid_ts=found.inputs["second_per_grid_ts"],
        attention_mask=found.inputs["attention_mask"],
    )
    own = found.prompt.timeline.modality == Modality.VIDEO
    temporal = positions[0, 0].numpy()[own]
    rate = model.config.vision_config.tokens_per_second
    expected = np.floor(found.prompt.timeline.start_s[own] * rate)
    assert (temporal - temporal[0]).tolist() == expected.tolist()


@every_rate
@pytest.mark.parametrize("family", ["qwen3_vl", "qwen3_5"])
def test_qwen3(family: str, fps: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before each pair of frames stands the middle of their two seconds, to a tenth."""
    found = prepared(family, fps, monkeypatch)
    assert_even(groups(found), 2 / fps)
    stated = [float(text) for text in re.findall(r"<([\d.]+) seconds>", written(found, family))]
    middles = [start + 0.5 / fps for start, _ in groups(found)]
    assert stated == pytest.approx(middles, abs=0.0501)


@every_rate
def test_glm4v(fps: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind each pair of frames stands the second of the first, cut to a whole one."""
    found = prepared("glm4v", fps, monkeypatch)
    assert_even(groups(found), 2 / fps)
    stated = re.findall(r"<\|end_of_image\|>(\d+)", written(found, "glm4v"))
    assert list(map(int, stated)) == [int(start) for start, _ in groups(found)]


@every_rate
def test_gemma4(fps: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before each frame stands its second as `mm:ss`."""
    found = prepared("gemma4", fps, monkeypatch)
    assert_even(groups(found), 1 / fps)
    stated = re.findall(r"(\d+:\d+) <\|image>", written(found, "gemma4"))
    assert list(map(clock, stated)) == [int(start) for start, _ in groups(found)]


@every_rate
def test_smolvlm(fps: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before each frame stands its second as `mm:ss`, and before all the length of the video."""
    found = prepared("smolvlm", fps, monkeypatch)
    assert_even(groups(found), 1 / fps)
    text = written(found, "smolvlm")
    stated = re.findall(r"Frame from (\d+:\d+):", text)
    assert list(map(clock, stated)) == [int(start) for start, _ in groups(found)]
    assert f"from a 0:00:0{SECONDS} [H:MM:SS] video" in text


@every_rate
@pytest.mark.parametrize("family", ["internvl", "llava_onevision"])
def test_processors_that_say_no_seconds(
    family: str, fps: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every frame that was decoded has its tokens."""
    assert_even(groups(prepared(family, fps, monkeypatch)), 1 / fps)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """Five images of 112 by 112 pixels."""
    folder = tmp_path_factory.mktemp("frames")
    for number in range(5):
        PIL.Image.new("RGB", (112, 112), (50 * number,) * 3).save(folder / f"{number}.png")
    return tuple(folder / f"{number}.png" for number in range(5))


@every_rate
@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl", "glm4v"])
def test_a_last_frame_without_a_second(family: str, fps: float, frames: tuple[Path, ...]) -> None:
    """An uneven list of frames: the last is shown once, and taken twice by the processor."""
    images = tuple(Content("image", path=path) for path in frames)
    video = Content("video", frames=images, fps=fps)
    found = adapter(family).prepare(chat(Message("user", (video, Content("text", "What?")))))
    assert groups(found) == [(0.0, 2 / fps), (2 / fps, 4 / fps), (4 / fps, 5 / fps)]
    if family == "qwen3_vl":
        stated = re.findall(r"<([\d.]+) seconds>", written(found, family))
        expected = [0.5 / fps, 2.5 / fps, 4 / fps]
        assert list(map(float, stated)) == pytest.approx(expected, abs=0.0501)


def test_a_videos_own_rate_comes_before_the_recordings() -> None:
    """Two videos of unlike rates in one prompt keep their own seconds."""
    path = media_folder() / "silent.mp4"
    slow, fast = (Content("video", path=path, fps=fps) for fps in (1.0, 4.0))
    for family, length in (("qwen2_5_vl", 2), ("qwen3_vl", 2), ("gemma4", 1)):
        found = adapter(family).prepare(chat(Message("user", (slow, fast, Content("text", "?")))))
        line = found.prompt.timeline
        for medium, fps in enumerate((1.0, 4.0)):
            own = (line.medium == medium) & (line.modality == Modality.VIDEO)
            starts = np.unique(line.start_s[own])
            np.testing.assert_allclose(starts, np.arange(len(starts)) * length / fps)
            assert len(starts) == SECONDS * fps / length
        if family == "qwen2_5_vl":
            assert list(map(float, found.inputs["second_per_grid_ts"])) == [2.0, 0.5]
