"""Media found by name and sha256, decoded, blend_heat, drawn and played."""

from __future__ import annotations

import hashlib
import subprocess
import wave
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textual.color import Color

from omnitrace import CommandError, OmniTraceError, Run
from omnitrace.media.folder import MediaFolder
from omnitrace.timeline import Medium
from tests.build import make_trace
from tests.tui.drive import browsing, press, text
from tests.tui.samples import planted_trace, settle, write_run
from tui.draw.image import blend_heat, half_cells, resize_grid, shades
from tui.media import decode
from tui.media.cache import MediaCache
from tui.media.heat_map import over_patches, over_time, tokens_of_medium
from tui.media.play import Player, command

BLACK, HUE = Color(0, 0, 0), Color(200, 100, 50)


def write_wav(path: Path, seconds: float = 3.0, rate: int = 8000) -> Path:
    """A tone in the last second."""
    samples = np.zeros(int(seconds * rate), "<i2")
    samples[-rate:] = 20_000 * np.sin(np.arange(rate) * 0.3)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return path


def write_png(path: Path) -> Path:
    from PIL import Image

    pixels = np.zeros((56, 56, 3), np.uint8)
    pixels[:28, :28] = (255, 0, 0)
    Image.fromarray(pixels).save(path)
    return path


def write_video(path: Path) -> Path:
    """Two seconds: the first white, the second black."""
    import av

    with av.open(str(path), "w") as video:
        stream = video.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 56
        stream.pix_fmt = "yuv420p"
        for at in range(10):
            pixels = np.full((56, 56, 3), 255 if at < 5 else 0, np.uint8)
            video.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        video.mux(stream.encode(None))
    return path


def medium_of(path: Path, kind: str, **over: Any) -> Medium:
    return Medium(kind, path.name, hashlib.sha256(path.read_bytes()).hexdigest(), **over)


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media" / "inner"
    folder.mkdir(parents=True)
    write_png(folder / "circle.png")
    write_wav(folder / "tone.wav")
    write_video(folder / "square.mp4")
    return folder.parent


@pytest.fixture
def seen(media: Path, tmp_path: Path) -> Run:
    """A run whose media are in the folder."""
    inner = media / "inner"
    known = (
        medium_of(inner / "circle.png", "image", width=56, height=56),
        medium_of(inner / "tone.wav", "audio", duration_s=3.0),
        medium_of(inner / "square.mp4", "video", duration_s=2.0, width=56, height=56),
    )
    return write_run(tmp_path / "run", replace(planted_trace("seen"), media=known))


# Found


def test_a_file_is_taken_by_its_name_and_its_sha256(media: Path) -> None:
    files, path = MediaCache(MediaFolder(media)), media / "inner" / "tone.wav"
    known = medium_of(path, "audio")
    assert files.file(known) == path
    with pytest.raises(OmniTraceError, match="another file than was recorded"):
        files.file(replace(known, sha256="0" * 64))
    with pytest.raises(OmniTraceError, match="is not in"):
        files.file(replace(known, name="other.wav"))


@pytest.mark.parametrize("name", ["../tone.wav", "/etc/passwd", "inner/../../secret"])
def test_a_run_s_names_are_never_paths(media: Path, name: str) -> None:
    (media.parent / "secret").write_text("x")
    secret = hashlib.sha256(b"x").hexdigest()
    with pytest.raises(OmniTraceError):
        MediaCache(MediaFolder(media)).file(Medium("audio", name, secret))


# Decoded


def test_pictures_frames_and_loudness_are_small_arrays(media: Path) -> None:
    inner = media / "inner"
    small = decode.image(inner / "circle.png", 4, 4)
    assert small.shape == (4, 4, 3)
    assert small[0, 0].tolist() == [255, 0, 0]
    assert small[3, 3].tolist() == [0, 0, 0]
    first, second = decode.frames(inner / "square.mp4", (0.5, 1.5), 6, 4)
    assert first.shape == (4, 6, 3)
    assert first.mean() > 200 > 50 > second.mean()
    loud = decode.loudness(inner / "tone.wav", 6)
    assert loud.max() == 1.0
    assert (loud[:4] == 0).all()


def test_a_sound_that_is_no_plain_wav_is_heard_too(tmp_path: Path) -> None:
    import soundfile

    path = tmp_path / "tone.flac"
    soundfile.write(path, np.sin(np.arange(8000)), 8000)
    assert decode.loudness(path, 4).tolist() == pytest.approx([1, 1, 1, 1], abs=0.01)


@pytest.mark.parametrize("ask", [
    lambda path: decode.image(path, 4, 4),
    lambda path: decode.frames(path, (0.0,), 4, 4),
    lambda path: decode.loudness(path, 4),
])  # fmt: skip
@pytest.mark.parametrize("name", ["a.png", "a.wav", "a.mp4"])
def test_what_cannot_be_decoded_is_one_sentence(tmp_path: Path, name: str, ask: Any) -> None:
    path = tmp_path / name
    path.write_bytes(b"RIFF\x1b]52;c;x" * 40)
    with pytest.raises(OmniTraceError, match="cannot be decoded"):
        ask(path)


# Heated


def test_scores_lie_on_patches_and_on_time() -> None:
    trace = make_trace()
    row = np.arange(trace.n, dtype=np.float32)
    image = tokens_of_medium(trace, 0)
    assert over_patches(trace, image, row).tolist() == row[image].reshape(2, 2).tolist()
    audio = tokens_of_medium(trace, 1, audio=True)
    spread = over_time(trace, audio, row, 3.0, 12)
    assert spread.reshape(6, 2).sum(axis=1).tolist() == pytest.approx(row[audio].tolist())
    assert over_time(trace, image, row, 3.0, 4).sum() == 0


def test_hot_is_bright_and_cold_is_dim() -> None:
    pixels = np.full((2, 2, 3), 200, np.uint8)
    heat = np.array([[0, 1], [0, 1]], np.float32)
    mixed = blend_heat(pixels, heat, BLACK, HUE)
    assert mixed[0, 1].sum() > 2 * mixed[0, 0].sum()
    assert blend_heat(None, heat, BLACK, HUE)[0, 1].tolist() == [200, 100, 50]
    (left, style), (right, _) = half_cells(mixed, 0)
    assert left == right == "▀"
    assert style.color is not None
    assert style.bgcolor is not None
    ((shade, _),) = shades(heat, 0, style)
    assert shade == " █"


def test_a_grid_is_stretched_to_pixels() -> None:
    grid = np.array([[0.0, 1.0]], np.float32)
    assert resize_grid(grid, 2, 4).tolist() == [[0, 0, 1, 1]] * 2
    assert resize_grid(np.zeros((0, 0), np.float32), 2, 2).tolist() == [[0, 0]] * 2


# Shown


async def test_the_media_are_shown_with_their_mass(seen: Run, media: Path) -> None:
    async with browsing(seen, "seen", size=(120, 60), media=media) as pilot:
        await press(pilot, "s")
        await settle(pilot)
        shown = text(pilot, "#media")
        assert shown.count("▀") > 100
        assert "✓ I image circle.png, 56×56" in shown
        assert "A audio tone.wav, 3 s" in shown
        assert "V video square.mp4" in shown
        assert "╵2" in shown or "✓2" in shown or "▸2" in shown


async def test_without_a_folder_the_mass_is_shown_and_how_to_get_more(run: Run) -> None:
    async with browsing(run, "kitchen-0", size=(120, 60)) as pilot:
        shown = text(pilot, "#media")
        assert "--media FOLDER" in shown
        assert "▀" in shown
        assert any(mark in shown for mark in "▁▂▃▄▅▆▇█")
        await press(pilot, "i")
        assert not pilot.app.screen.query_one("#media").display


async def test_a_small_terminal_shows_media_in_the_sources_place(run: Run) -> None:
    async with browsing(run, "kitchen-0") as pilot:
        assert not pilot.app.screen.query_one("#media").display
        await press(pilot, "i")
        assert pilot.app.screen.query_one("#media").display
        assert not pilot.app.screen.query_one("#step-sources").display
        assert "circle.png" in text(pilot, "#media")


async def test_another_file_of_that_name_is_told_in_place(seen: Run, media: Path) -> None:
    (media / "inner" / "tone.wav").write_bytes(b"another")
    async with browsing(seen, "seen", size=(120, 60), media=media) as pilot:
        await settle(pilot)
        assert "tone.wav there is another file than was recorded." in text(pilot, "#media")
        assert text(pilot, "#media").count("▀") > 100


async def test_without_colour_heat_is_shades(
    seen: Run, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with browsing(seen, "seen", size=(120, 60), media=media) as pilot:
        await press(pilot, "s")
        assert any(shade in text(pilot, "#media") for shade in "░▒▓")
        assert "▀" not in text(pilot, "#media")


# Played


@pytest.mark.parametrize("player", ["ffplay", "mpv", "aplay"])
def test_players_are_given_one_absolute_path(player: str, tmp_path: Path) -> None:
    called = command(player, Path("-evil.wav"), 1.0, 2.5)
    assert called[0] == player
    assert Path(called[-1]).is_absolute()


async def test_the_segment_under_the_cursor_is_played(
    seen: Run, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[list[str]] = []

    class Started:
        def __init__(self, arguments: list[str], **_: Any) -> None:
            called.append(arguments)

        def terminate(self) -> None: ...

        def wait(self) -> int:
            return 0

    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}" if name == "mpv" else None)
    monkeypatch.setattr(subprocess, "Popen", Started)
    async with browsing(seen, "seen", size=(120, 60), media=media) as pilot:
        await press(pilot, "colon", *"s3", "enter", "right", "o")
        assert "mpv plays audio 1 2–3 s" in text(pilot, "#status")
        await press(pilot, "g", "o")
        assert "Nothing can be heard" in text(pilot, "#status")
    assert called[0][-1] == str((media / "inner" / "tone.wav").resolve())
    assert {"--start=2", "--length=1"} <= set(called[0])


def test_without_a_player_it_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(CommandError, match="needs one of ffplay, mpv, aplay"):
        Player().play(tmp_path / "tone.wav", 0.0, 1.0)


def test_a_player_that_cannot_find_a_place_gets_the_stretch(tmp_path: Path) -> None:
    player = Player()
    part = player.cut_out(write_wav(tmp_path / "tone.wav"), 2.0, 2.5)
    with wave.open(str(part)) as cut:
        assert cut.getnframes() == 4000
    player.stop()
    assert not part.exists()
    (tmp_path / "x.mp3").write_bytes(b"x")
    with pytest.raises(OmniTraceError, match="plain WAV"):
        player.cut_out(tmp_path / "x.mp3", 0.0, 1.0)
    player.stop()
