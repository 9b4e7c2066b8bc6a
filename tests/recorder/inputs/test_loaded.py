"""Media of every form become arrays; what is wrong with one of them is one sentence."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from omnitrace.errors import OmniTraceError
from recorder.inputs import loaded, media
from recorder.inputs.loaded import digest, frame_rate, load
from recorder.inputs.media import Limits
from recorder.inputs.samples import Content
from tests.recorder.conftest import MP4_SECONDS

RATE = 16_000


def of_file(kind: str, path: Path) -> Content:
    return Content(kind, path=path)


def of_bytes(kind: str, path: Path, media_type: str = "") -> Content:
    return Content(kind, data=path.read_bytes(), media_type=media_type)


def complaint(content: Content) -> str:
    with pytest.raises(OmniTraceError) as caught:
        load(content, 2.0, RATE)
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> list[Content]:
    """Five images of 40×20 pixels; image k is of shade 10 k."""
    folder = tmp_path_factory.mktemp("frames")
    for shade in range(5):
        PIL.Image.new("RGB", (40, 20), (10 * shade,) * 3).save(folder / f"{shade}.png")
    return [Content("image", path=folder / f"{shade}.png") for shade in range(5)]


@pytest.mark.parametrize(
    ("kind", "name", "media_type"),
    [("image", "photo.png", "image/png"), ("audio", "speech.wav", ""), ("video", "film.mp4", "")],
)
def test_bytes_are_as_the_file_that_holds_them(
    kind: str, name: str, media_type: str, folder: Path
) -> None:
    ours = load(of_bytes(kind, folder / name, media_type), 2.0, RATE)
    other = load(of_file(kind, folder / name), 2.0, RATE)
    assert ours.medium.sha256 == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    assert (ours.medium.name, other.medium.name) == (f"data:{media_type or kind}", name)
    assert ours.medium.sha256 == other.medium.sha256
    assert ours.medium.duration_s == other.medium.duration_s
    for mine, theirs in ((ours.image, other.image), (ours.audio, other.audio)):
        np.testing.assert_array_equal(np.asarray(mine, object), np.asarray(theirs, object))
    if kind == "video":
        assert ours.video is not None
        assert other.video is not None
        np.testing.assert_array_equal(ours.video.frames, other.video.frames)


def test_a_medium_is_one_of_image_audio_and_video(folder: Path) -> None:
    image = load(of_file("image", folder / "photo.png"), 2.0, RATE)
    audio = load(of_file("audio", folder / "speech.wav"), 2.0, RATE)
    video = load(of_file("video", folder / "film.mp4"), 2.0, RATE)
    silent = load(of_file("video", folder / "silent.mp4"), 2.0, RATE)
    present = [
        [value is not None for value in (one.image, one.audio, one.video)]
        for one in (image, audio, video, silent)
    ]
    assert present == [
        [True, False, False],
        [False, True, False],
        [False, True, True],
        [False, False, True],
    ]
    assert (image.medium.width, image.medium.height, image.medium.duration_s) == (517, 301, None)
    assert audio.audio is not None
    assert audio.medium.duration_s == len(audio.audio) / RATE


def test_a_part_sets_its_own_frame_rate(folder: Path) -> None:
    content = Content("video", path=folder / "silent.mp4", fps=1.0)
    video = load(content, 2.0, RATE).video
    assert video is not None
    assert (video.fps, len(video.frames)) == (1.0, MP4_SECONDS)
    assert video.seconds.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert frame_rate(content, 2.0) == 1.0


def test_a_long_video_gets_fewer_frames(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "MAX_FRAMES", 4)
    video = load(Content("video", path=folder / "silent.mp4", fps=1000.0), 2.0, RATE).video
    assert video is not None
    assert len(video.frames) == 4


def test_bounds_on_pixels(folder: Path, frames: list[Content]) -> None:
    """The part's bounds come before the recording's; the medium keeps the size of its file."""
    photo, film = folder / "photo.png", folder / "silent.mp4"
    small = load(Content("image", path=photo, max_pixels=1000), 2.0, RATE, Limits(None, 5000))
    assert small.image is not None
    assert (small.image.size, small.medium.width, small.medium.height) == ((41, 24), 517, 301)
    shared = load(Content("image", path=photo), 2.0, RATE, Limits(None, 5000)).image
    assert shared is not None
    assert 4500 < shared.width * shared.height <= 5000
    large = load(Content("image", path=photo, min_pixels=200_000), 2.0, RATE).image
    assert large is not None
    assert large.size == (587, 342)
    video = load(Content("video", path=film, fps=1.0, max_pixels=3072), 2.0, RATE)
    assert video.video is not None
    assert video.video.frames.shape == (4, 48, 64, 3)
    assert (video.medium.width, video.medium.height) == (320, 240)
    listed = load(Content("video", frames=tuple(frames), max_pixels=200), 2.0, RATE).video
    assert listed is not None
    assert listed.frames.shape == (5, 10, 20, 3)


def test_a_list_of_frames_is_a_silent_video(frames: list[Content]) -> None:
    one = load(Content("video", frames=tuple(frames), fps=4.0), 1.0, RATE)
    video = one.video
    assert video is not None
    assert one.audio is None
    assert video.frames[:, 0, 0, 0].tolist() == [0, 10, 20, 30, 40]
    assert video.seconds.tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert (video.fps, video.native_fps, video.total_frames) == (4.0, 4.0, 5)
    assert one.medium.name == "0.png … 4.png (5 frames)"
    assert (one.medium.duration_s, one.medium.width, one.medium.height) == (1.25, 40, 20)
    joined = "".join(digest(frame) for frame in frames)
    assert one.medium.sha256 == hashlib.sha256(joined.encode()).hexdigest()


def test_a_list_that_does_not_say_has_two_frames_a_second(frames: list[Content]) -> None:
    content = Content("video", frames=tuple(frames[:1]))
    one = load(content, 30.0, RATE)
    assert one.video is not None
    assert (one.video.fps, one.medium.duration_s) == (2.0, 0.5)
    assert one.medium.name == "0.png (1 frame)"
    assert frame_rate(content, 30.0) == loaded.FRAMES_A_SECOND


def test_frames_may_be_data_urls(frames: list[Content]) -> None:
    path = frames[3].path
    assert path is not None
    inside = Content("image", data=path.read_bytes(), media_type="image/png")
    one = load(Content("video", frames=(frames[0], inside)), 2.0, RATE)
    assert one.video is not None
    assert one.video.frames[:, 0, 0, 0].tolist() == [0, 30]
    assert one.medium.name == "0.png … data:image/png (2 frames)"


def test_lists_of_frames_that_make_no_video(
    frames: list[Content], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    PIL.Image.new("RGB", (20, 40)).save(tmp_path / "turned.png")
    other, gone = (Content("image", path=tmp_path / name) for name in ("turned.png", "gone.png"))
    message = complaint(Content("video", frames=(*frames, other, other)))
    assert "frame 6 has 20×40 pixels and the first one 40×20" in message
    assert "'0.png … turned.png (7 frames)'" in message
    assert "gone.png: No such file" in complaint(Content("video", frames=(frames[0], gone)))
    broken = Content("image", data=b"not an image")
    message = complaint(Content("video", frames=(frames[0], broken)))
    assert "the data: URL of 12 bytes cannot be decoded; expected an image" in message
    monkeypatch.setattr(media, "MAX_FRAMES", 4)
    assert "more than 4 frames" in complaint(Content("video", frames=tuple(frames)))


def test_paths_that_no_file_can_have(tmp_path: Path) -> None:
    for kind in ("image", "audio", "video"):
        assert "embedded null byte" in complaint(of_file(kind, tmp_path / "a\0b"))
        assert "File name too long" in complaint(of_file(kind, tmp_path / ("x" * 5000)))
        assert "No such file" in complaint(of_file(kind, tmp_path / "gone"))
        assert "No such file" in complaint(of_file(kind, tmp_path / "a\n\x1b[2Jb"))


def test_pipes_devices_and_folders_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", tmp_path / "link.png", Path("/dev/zero"), tmp_path):
        for kind in ("image", "audio", "video"):
            assert "is no file but a folder, pipe or device" in complaint(of_file(kind, path))
    content = Content("video", frames=(of_file("image", tmp_path / "pipe.png"),))
    assert "is no file but a folder, pipe or device" in complaint(content)


def test_bytes_that_are_nothing(folder: Path) -> None:
    for kind in ("image", "audio", "video"):
        assert "the data: URL of 0 bytes is empty" in complaint(Content(kind, data=b""))
        assert "cannot be decoded" in complaint(Content(kind, data=b"\0" * 1000))
    assert "expected an image" in complaint(of_bytes("image", folder / "speech.wav"))
    assert "it has no video stream" in complaint(of_bytes("video", folder / "speech.wav"))
    assert "it has no audio stream" in complaint(of_bytes("audio", folder / "silent.mp4"))
