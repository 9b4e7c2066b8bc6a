"""Files as users bring them, decoded right; and files that are not what they say."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from omnitrace.errors import OmniTraceError
from recorder.inputs import media
from recorder.inputs.media import (
    Limits,
    affordable_fps,
    file_sha256,
    load_audio,
    load_image,
    load_video,
)
from tests.recorder.conftest import MP4_SECONDS, WAV_SECONDS

RATE = 16_000


def complaint(load: Callable[[], Any], path: Path) -> str:
    with pytest.raises(OmniTraceError) as caught:
        load()
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_transparency_lies_over_white(folder: Path) -> None:
    image = load_image(folder / "photo.png")
    raw = np.asarray(PIL.Image.open(folder / "photo.png"), np.float64)
    alpha = raw[..., 3:] / 255
    expected = raw[..., :3] * alpha + 255 * (1 - alpha)
    assert (image.mode, image.size) == ("RGB", (517, 301))
    np.testing.assert_allclose(np.asarray(image), expected, atol=1)


def test_pictures_stand_upright(folder: Path) -> None:
    pixels = np.asarray(load_image(folder / "tall.jpg"))
    assert pixels.shape == (64, 32, 3)
    assert pixels[:24, :, 0].mean() > 240
    assert pixels[40:, :, 0].mean() < 15


def test_grey_and_palette_pictures(tmp_path: Path) -> None:
    for mode in ("L", "P", "1", "LA", "CMYK", "I;16"):
        name = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
        PIL.Image.new(mode, (9, 5)).save(name)
        assert load_image(name).mode == "RGB"


def test_sound_is_mono_at_the_models_rate(folder: Path) -> None:
    sound = load_audio(folder / "speech.wav", RATE)
    raw, rate = soundfile.read(folder / "speech.wav")
    assert sound.dtype == np.float32
    assert len(sound) == pytest.approx(WAV_SECONDS * RATE, abs=1)
    mono = raw.mean(axis=1)
    at = np.arange(2000, 30_000)  # away from the ends, where the resampler's filter hangs over
    expected = np.interp(at / RATE, np.arange(len(mono)) / rate, mono)
    assert np.corrcoef(sound[at], expected)[0, 1] > 0.99
    assert sound.std() == pytest.approx(mono.std(), rel=0.02)


def test_sound_that_only_ffmpeg_reads(folder: Path) -> None:
    """The sound track of a film, named as an audio file."""
    sound = load_audio(folder / "film.mp4", RATE)
    assert len(sound) == pytest.approx(MP4_SECONDS * RATE, abs=1100)
    assert hertz(sound) == pytest.approx(440, abs=1)


def hertz(sound: np.ndarray[Any, Any]) -> float:
    return float(np.abs(np.fft.rfft(sound[:RATE])).argmax())


def test_frames_are_those_on_screen(folder: Path) -> None:
    """Frame i has shade 2 i and is on screen from second i / 29.97 on."""
    film = load_video(folder / "film.mp4", 2.0, RATE)
    assert film.frames.shape == (2 * MP4_SECONDS, 240, 320, 3)
    assert (film.width, film.height, film.fps) == (320, 240, 2.0)
    assert film.duration_s == pytest.approx(MP4_SECONDS, abs=0.01)
    on_screen = np.floor(np.arange(2 * MP4_SECONDS) / 2 * 30_000 / 1001 + 0.03)
    np.testing.assert_allclose(film.frames.mean((1, 2, 3)), 2 * on_screen, atol=1.5)


def test_sound_of_a_film_begins_with_its_picture(folder: Path) -> None:
    film = load_video(folder / "film.mp4", 2.0, RATE)
    assert film.audio is not None
    assert len(film.audio) == pytest.approx(MP4_SECONDS * RATE, abs=1100)
    assert hertz(film.audio) == pytest.approx(440, abs=1)
    assert load_video(folder / "silent.mp4", 2.0, RATE).audio is None


def test_long_films_get_fewer_frames(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "MAX_FRAMES", 4)
    fps = affordable_fps(folder / "film.mp4", 2.0)
    assert fps == pytest.approx(1.0, abs=0.01)
    assert len(load_video(folder / "film.mp4", fps, RATE).frames) == 4


def test_large_frames_are_scaled_down(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "MAX_FRAME_PIXELS", 160 * 120)
    film = load_video(folder / "film.mp4", 2.0, RATE)
    assert film.frames.shape[1:] == (120, 160, 3)
    assert (film.width, film.height) == (320, 240)


def test_a_video_knows_its_file(folder: Path) -> None:
    film = load_video(folder / "film.mp4", 2.0, RATE)
    assert film.seconds.tolist() == (np.arange(2 * MP4_SECONDS) / 2).tolist()
    assert film.native_fps == pytest.approx(30_000 / 1001)
    assert film.total_frames == round(MP4_SECONDS * 30_000 / 1001)


def test_sound_files_that_libsndfile_takes_for_bare_samples(folder: Path, tmp_path: Path) -> None:
    named_raw, noise = tmp_path / "x.raw", tmp_path / "noise.raw"
    named_raw.write_bytes((folder / "speech.wav").read_bytes())
    noise.write_bytes(b"\1\2" * 500)
    np.testing.assert_allclose(
        load_audio(named_raw, RATE), load_audio(folder / "speech.wav", RATE), atol=1e-4
    )
    assert "cannot be decoded; expected audio" in complaint(lambda: load_audio(noise, RATE), noise)


@given(
    width=st.integers(1, 3000),
    height=st.integers(1, 3000),
    bounds=st.tuples(st.integers(1, 1 << 22), st.integers(1, 1 << 22)).map(sorted),
)
def test_sizes_lie_within_the_bounds(width: int, height: int, bounds: list[int]) -> None:
    least, most = bounds
    new = Limits(least, most).fit(width, height)
    assert min(new) >= 1
    assert new[0] * new[1] <= most
    if min(new) > 1:  # within a pixel of the true ratio, each side
        assert abs(new[0] * height - new[1] * width) <= 2 * max(width, height)
    assert Limits().fit(width, height) == (width, height)
    assert Limits(1, width * height).fit(width, height) == (width, height)
    larger = Limits(least).fit(width, height)
    assert larger[0] * larger[1] >= max(least, width * height)


def test_digest(folder: Path) -> None:
    path = folder / "photo.png"
    assert file_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    gone = folder / "gone.png"
    assert "No such file" in complaint(lambda: file_sha256(gone), gone)


LOADERS: dict[str, Callable[[Path], Any]] = {
    "an image": load_image,
    "audio": lambda path: load_audio(path, RATE),
    "a video": lambda path: load_video(path, 2.0, RATE),
}


@pytest.mark.parametrize("kind", LOADERS)
def test_files_that_cannot_be_decoded(kind: str, tmp_path: Path) -> None:
    empty, words = tmp_path / "empty.wav", tmp_path / "words.wav"
    empty.touch()
    words.write_text("These are words.\n" * 100)
    assert f"is empty; expected {kind} (" in complaint(lambda: LOADERS[kind](empty), empty)
    assert "cannot be decoded; expected" in complaint(lambda: LOADERS[kind](words), words)
    with pytest.raises(OmniTraceError, match="No such file"):
        LOADERS[kind](tmp_path / "gone")


def test_corrupt_films(folder: Path, tmp_path: Path) -> None:
    data = (folder / "film.mp4").read_bytes()
    cut, noise = tmp_path / "cut.mp4", tmp_path / "noise.mp4"
    cut.write_bytes(data[: len(data) // 2])
    noise.write_bytes(data[:64] + np.random.default_rng(0).bytes(len(data)))
    for path in (cut, noise):
        complaint(lambda path=path: load_video(path, 2.0, RATE), path)  # type: ignore[misc]


def test_truncated_pictures(folder: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.png"
    cut.write_bytes((folder / "photo.png").read_bytes()[:5000])
    assert "cannot be decoded; expected an image" in complaint(lambda: load_image(cut), cut)


def test_too_large_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PIL.Image.new("L", (100, 100)).save(tmp_path / "big.png")
    for limit in (6000, 3000):  # Pillow warns over its limit and refuses over twice its limit
        monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", limit)
        message = complaint(lambda: load_image(tmp_path / "big.png"), tmp_path / "big.png")
        assert "too large an image" in message


def test_sound_without_samples_and_with_broken_ones(tmp_path: Path) -> None:
    none, broken = tmp_path / "none.wav", tmp_path / "broken.wav"
    soundfile.write(none, np.zeros(0), RATE)
    soundfile.write(broken, np.full(100, np.nan), RATE, subtype="FLOAT")
    assert "holds no audio" in complaint(lambda: load_audio(none, RATE), none)
    assert "not all finite" in complaint(lambda: load_audio(broken, RATE), broken)


def test_a_film_named_picture_and_a_sound_named_film(folder: Path) -> None:
    film, speech = folder / "film.mp4", folder / "speech.wav"
    assert "expected an image" in complaint(lambda: load_image(film), film)
    assert "it has no video stream" in complaint(lambda: load_video(speech, 2.0, RATE), speech)
    silent = folder / "silent.mp4"
    assert "it has no audio stream" in complaint(lambda: load_audio(silent, RATE), silent)
