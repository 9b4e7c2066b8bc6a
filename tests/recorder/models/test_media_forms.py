"""Media in every form through the adapters: `data:` URLs, lists of frames, parts' own settings."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from omnitrace.errors import OmniTraceError
from omnitrace.timeline import Modality
from recorder.inputs.samples import Sample, read_samples
from recorder.models.adapter import Adapter, Prepared, describe_model, load_adapter
from recorder.models.qwen_omni import QwenOmni
from recorder.models.settings import Settings, Weights
from tests.recorder.toys import TOYS

Make = Callable[..., Sample]


@pytest.fixture(scope="module")
def minicpm(tmp_path_factory: pytest.TempPathFactory) -> Adapter:
    path = tmp_path_factory.mktemp("minicpm_o")
    TOYS["minicpm_o"](path)
    return load_adapter(describe_model(str(path), trusted=True), Weights("float32", "cpu"))


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Eight images of 112×84 pixels, each of its own shade."""
    folder = tmp_path_factory.mktemp("frames")
    for shade in range(8):
        PIL.Image.new("RGB", (112, 84), (30 * shade,) * 3).save(folder / f"{shade}.png")
    return [str(folder / f"{shade}.png") for shade in range(8)]


@pytest.fixture
def make(folder: Path, tmp_path: Path) -> Make:
    """A sample of one user message with parts as they stand in a samples file."""

    def sample(*parts: dict[str, Any]) -> Sample:
        content = [*parts, {"type": "text", "text": "What is it?"}]
        rows = {"id": "a", "messages": [{"role": "user", "content": content}]}
        (tmp_path / "samples.jsonl").write_text(json.dumps(rows), "utf-8")
        [read] = read_samples(tmp_path / "samples.jsonl")
        return read

    return sample


def data_url(path: Path, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(path.read_bytes()).decode()}"


def seconds(prepared: Prepared, medium: int) -> list[float]:
    """The different seconds at which tokens of a video's frames start."""
    line = prepared.prompt.timeline
    own = (line.medium == medium) & (line.modality == Modality.VIDEO)
    return [float(start) for start in np.unique(line.start_s[own])]


@pytest.mark.parametrize(
    ("kind", "name", "media_type"),
    [
        ("image", "photo.png", "image/png"),
        ("audio", "speech.wav", "audio/wav"),
        ("video", "film.mp4", "video/mp4"),
    ],
)
@pytest.mark.parametrize("model", ["qwen", "minicpm"])
def test_a_data_url_is_the_file(
    kind: str, name: str, media_type: str, model: str, request: pytest.FixtureRequest,
    make: Make, folder: Path,
) -> None:  # fmt: skip
    loaded = request.getfixturevalue("adapter" if model == "qwen" else "minicpm")
    inside = loaded.prepare(make({"type": kind, "url": data_url(folder / name, media_type)}))
    file = loaded.prepare(make({"type": kind, "path": str(folder / name)}))
    assert inside.prompt.prompt_ids.tolist() == file.prompt.prompt_ids.tolist()
    assert inside.prompt.media == (replace(file.prompt.media[0], name=f"data:{media_type}"),)
    for key, value in file.inputs.items():
        assert (value == inside.inputs[key]).all() if hasattr(value, "all") else True
    np.testing.assert_array_equal(inside.prompt.timeline.medium, file.prompt.timeline.medium)


def test_frames_stand_at_their_seconds(adapter: QwenOmni, make: Make, frames: list[str]) -> None:
    """Two frames share a row of tokens: 2 / fps seconds each."""
    for fps in (0.5, 1.0, 2.0, 8.0):
        prepared = adapter.prepare(make({"type": "video", "video": frames, "fps": fps}))
        assert seconds(prepared, 0) == [0.0, 2 / fps, 4 / fps, 6 / fps]
        assert prepared.inputs["video_second_per_grid"].tolist() == [2 / fps]
        assert prepared.prompt.media[0].duration_s == 8 / fps


def test_silent_videos_keep_their_own_frame_rates(
    adapter: QwenOmni, make: Make, folder: Path, frames: list[str]
) -> None:
    """The model's positions follow the seconds of each video, 25 a second."""
    silent = {"type": "video", "path": str(folder / "silent.mp4")}
    listed = {"type": "video", "video": frames, "fps": 4}
    prepared = adapter.prepare(make(silent | {"fps": 1}, listed, silent))
    assert prepared.inputs["video_second_per_grid"].tolist() == [2.0, 0.5, 1.0]
    assert seconds(prepared, 0) == [0.0, 2.0]
    assert seconds(prepared, 1) == [0.0, 0.5, 1.0, 1.5]
    assert seconds(prepared, 2) == [0.0, 1.0, 2.0, 3.0]
    positions, _ = adapter.model.get_rope_index(
        prepared.inputs["input_ids"],
        video_grid_thw=prepared.inputs["video_grid_thw"],
        attention_mask=prepared.inputs["attention_mask"],
        second_per_grids=prepared.inputs["video_second_per_grid"],
    )
    line = prepared.prompt.timeline
    for medium in range(3):
        own = (line.medium == medium) & (line.modality == Modality.VIDEO)
        temporal = positions[0, 0].numpy()[own]
        expected = (line.start_s[own] * 25).astype(int)
        assert (temporal - temporal.min()).tolist() == expected.tolist()


def test_audio_beside_videos_of_unlike_rates_is_refused(
    adapter: QwenOmni, make: Make, folder: Path, frames: list[str]
) -> None:
    film = {"type": "video", "path": str(folder / "film.mp4")}
    listed = {"type": "video", "video": frames}
    with pytest.raises(OmniTraceError, match="have 2, 4 frames a second: set one fps"):
        adapter.prepare(make(film | {"fps": 4}, listed))
    prepared = adapter.prepare(make(film | {"fps": 4}, listed | {"fps": 4}))
    assert seconds(prepared, 0) == (np.arange(8) / 2).tolist()


def test_bounds_on_pixels_are_the_parts_then_the_recordings(
    adapter: QwenOmni, make: Make, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They bound what the processor gets; the trace keeps the size of the file."""
    monkeypatch.setattr(adapter, "settings", Settings(max_pixels=6000))
    photo = {"type": "image", "path": str(folder / "photo.png")}
    film = {"type": "video", "path": str(folder / "silent.mp4")}
    sample = make(photo, film, photo | {"max_pixels": 2500}, film | {"max_pixels": 1 << 20})
    loaded = adapter.load_media(sample)
    sizes = [one.image.size if one.image else one.video.frames.shape[2:0:-1] for one in loaded]  # type: ignore[union-attr]
    assert sizes == [(101, 59), (89, 67), (65, 38), (320, 240)]
    found = [(medium.width, medium.height) for medium in adapter.prepare(sample).prompt.media]
    assert found == [(517, 301), (320, 240)] * 2


def test_minicpm_takes_one_frame_a_second(
    minicpm: Adapter, make: Make, folder: Path, frames: list[str]
) -> None:
    listed = {"type": "video", "video": frames[:3]}
    assert seconds(minicpm.prepare(make(listed | {"fps": 1})), 0) == [0.0, 1.0, 2.0]
    with pytest.raises(OmniTraceError, match=r"'0\.png … 2\.png \(3 frames\)' has 2 frames a seco"):
        minicpm.prepare(make(listed))
    with pytest.raises(OmniTraceError, match=r"'film\.mp4' has 4 frames a second"):
        minicpm.prepare(make({"type": "video", "path": str(folder / "film.mp4"), "fps": 4}))
