"""Segmenting a recorded run: which media, where their files are, resuming, messages."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from omnitrace import CommandError, OmniTraceError, Trace, open_run
from omnitrace.cli import main
from omnitrace.progress import Progress
from omnitrace.store.writer import RunWriter
from omnitrace.timeline import Modality, Segments
from recorder import segmenters
from recorder.config import SegmentConfig
from recorder.inputs.media import file_sha256
from recorder.segment import segment
from recorder.segmenters import RATE, AudioClip, load_segmenter
from recorder.segmenters.words import sentences
from tests.build import make_trace
from tests.recorder.conftest import MP4_SECONDS, WAV_SECONDS, user, write_rows


@dataclass(frozen=True)
class Listener:
    """A segmenter that reads files: one stretch, as long as the audio."""

    heard: list[str] = field(default_factory=list)
    name: str = "heard"
    needs_files: bool = True
    about: Any = field(default_factory=lambda: {"segmenter": "listener"})

    def segments(self, sound: AudioClip) -> Segments:
        self.heard.append(sound.medium.name)
        return Segments.of([(0.0, len(sound.samples()) / RATE, sound.sample)])


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Listener:
    """Registered as `listener`."""
    made, module = Listener(), ModuleType("listener")
    vars(module)["load"] = lambda config: made
    monkeypatch.setitem(sys.modules, "listener", module)
    monkeypatch.setitem(segmenters.SEGMENTERS, "listener", "listener")
    return made


def with_media(folder: Path, id: str) -> Trace:
    """A trace of speech.wav and film.mp4, as if recorded from them."""
    trace = make_trace(id)
    image, tone, film = trace.media
    wav, mp4 = folder / "speech.wav", folder / "film.mp4"
    media = (
        image,
        replace(tone, name=wav.name, sha256=file_sha256(wav), duration_s=WAV_SECONDS),
        replace(film, name=mp4.name, sha256=file_sha256(mp4), duration_s=float(MP4_SECONDS)),
    )
    return replace(trace, media=media)


def without_sound(id: str) -> Trace:
    trace = make_trace(id)
    modality = trace.timeline.modality.copy()
    modality[modality == Modality.AUDIO] = Modality.SPECIAL
    return replace(trace, timeline=replace(trace.timeline, modality=modality))


@pytest.fixture
def run(folder: Path, tmp_path: Path) -> Path:
    """Two samples of the same media, one whose media are nowhere, one that is silent."""
    with RunWriter.open(tmp_path / "run", {"model": "m"}) as writer:
        writer.add(with_media(folder, "first"), "1")
        writer.add(make_trace("gone"), "2")
        writer.add(with_media(folder, "second"), "3")
        writer.add(without_sound("silent"), "4")
    return tmp_path / "run"


def test_sounds_of_audio_and_films_are_found_by_name_and_heard_once(
    run: Path, folder: Path, listener: Listener, tmp_path: Path
) -> None:
    seen: list[str] = []
    shutil.copytree(folder, tmp_path / "deep" / "inside")
    config = SegmentConfig(media=str(tmp_path / "deep"))
    summary = segment(run, "listener", config, lambda at: seen.append(at.item))
    assert (summary.total, summary.skipped, summary.added) == (3, 0, 2)
    assert set(summary.failed) == {"gone"}
    assert "the audio 'tone.wav' is not in" in summary.failed["gone"]
    assert seen == ["first", "gone", "second", ""]
    assert listener.heard == ["speech.wav", "film.mp4"]
    opened = open_run(run)
    for id in ("first", "second"):
        found = opened[id].segmentations["heard"].media
        assert set(found) == {1, 2}
        np.testing.assert_allclose(found[1].end_s, [WAV_SECONDS], atol=1e-3)
        np.testing.assert_allclose(found[2].end_s, [MP4_SECONDS], atol=0.1)
    assert dict(opened["silent"].segmentations) == {}


def test_running_again_does_what_is_left(run: Path, folder: Path, listener: Listener) -> None:
    config = SegmentConfig(media=str(folder))
    segment(run, "listener", config)
    before = [file.read_bytes() for file in (run / "additions").iterdir()]
    summary = segment(run, "listener", config)
    assert (summary.total, summary.skipped, summary.added) == (3, 2, 0)
    assert before == [file.read_bytes() for file in (run / "additions").iterdir()]
    listener.about["segmenter"] = "another"
    with pytest.raises(CommandError, match="Choose another --name"):
        segment(run, "listener", config)
    assert segment(run, "listener", replace(config, name="two")).added == 2
    assert set(open_run(run)["first"].segmentations) == {"heard", "two"}


def test_the_samples_file_tells_where_the_media_are(
    run: Path, folder: Path, listener: Listener, tmp_path: Path
) -> None:
    for name in ("photo.png", "speech.wav", "film.mp4"):
        (tmp_path / name).symlink_to(folder / name)
    parts = ["image:photo.png", "audio:speech.wav", "video:film.mp4"]
    changed = ["image:photo.png", "audio:film.mp4", "video:film.mp4"]
    missing = ["image:photo.png", "audio:nowhere.wav", "video:film.mp4"]
    rows = [
        {"id": "first", "messages": [user(*parts)]},
        {"id": "second", "messages": [user(*changed)]},
        {"id": "gone", "messages": [user(*missing)]},
    ]
    config = SegmentConfig(samples=str(write_rows(tmp_path, rows)))
    summary = segment(run, "listener", config)
    assert summary.added == 1
    assert "is not the audio 'speech.wav' that was recorded" in summary.failed["second"]
    assert "nowhere.wav" in summary.failed["gone"]


def test_a_changed_file_is_named(run: Path, listener: Listener, tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "speech.wav").write_bytes(b"other")
    summary = segment(run, "listener", SegmentConfig(media=str(tmp_path / "media")))
    assert summary.added == 0
    assert "speech.wav is not the audio 'speech.wav' that was recorded" in summary.failed["first"]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--with", "listener"], "--media, or the samples file that was recorded with --samples"),
        (["--with", "listener", "--media", "nowhere"], "--media nowhere is no folder"),
        (["--with", "wisper"], "no segmenter 'wisper': did you mean 'whisper'? Legal: bins, tran"),
        (["--with", "transcript"], "--transcripts (not given) is no folder"),
        (["--with", "bins", "--seconds", "0"], "seconds: 0.0 is not legal"),
        (["--with", "bins", "--name", "A b"], "the name 'A b' is not legal"),
    ],
)
def test_wrong_use_is_one_sentence(
    run: Path, listener: Listener, capsys: pytest.CaptureFixture[str], flags: list[str], says: str
) -> None:
    assert main(["segment", str(run), *flags]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.count("\n") == 1


def test_the_command_says_what_failed_and_exits_with_1(
    run: Path, folder: Path, listener: Listener, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["segment", str(run), "--with", "listener", "--media", str(folder)]) == 1
    err = capsys.readouterr().err
    assert "2 added, 1 failed." in err
    assert "sample 'gone': the audio 'tone.wav' is not in" in err


def test_stopping_keeps_what_is_finished(run: Path, folder: Path, listener: Listener) -> None:
    def report(progress: Progress) -> None:
        if progress.item == "second":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segment(run, "listener", SegmentConfig(media=str(folder)), report)
    assert set(open_run(run)["first"].segmentations) == {"heard"}
    assert segment(run, "listener", SegmentConfig(media=str(folder))).skipped == 1


def test_a_damaged_sample_is_named_and_the_rest_go_on(run: Path) -> None:
    with RunWriter.open(run, {"model": "m"}) as writer:
        writer.add(make_trace("whole"), "5")
    opened = open_run(run)
    folder = run / "segments" / opened.segment_of("first")
    next(folder.glob("prompt/c*")).unlink()
    summary = segment(run, "bins", SegmentConfig(seconds=0.75))
    assert set(summary.failed) == {"first", "gone", "second"}
    assert summary.added == 1
    bins = open_run(run)["whole"].segmentations["bins-0.75"].media
    assert bins[1].end_s.tolist() == [0.75, 1.5, 2.25, 3.0]
    assert bins[2].start_s.tolist() == [0.0, 0.75, 1.5]
    assert bins[2].end_s.tolist() == [0.75, 1.5, 2.0]


def test_a_segmenter_whose_library_is_missing_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "funasr", None)
    monkeypatch.delitem(sys.modules, "recorder.segmenters.paraformer", raising=False)
    with pytest.raises(CommandError, match=r"needs funasr: pip install 'omnitrace-replay\[para"):
        load_segmenter("paraformer", SegmentConfig())


def test_words_join_to_sentences_until_a_stop_or_a_pause() -> None:
    words = [
        (0.0, 0.5, " It"), (0.5, 1.0, " is."), (1.0, 1.5, " So"), (1.5, 1.9, " “yes!”"),
        (2.0, 2.4, " no"), (3.4, 4.0, " stop"), (4.0, 4.5, "为什么？"), (4.5, 5.0, "a"),
    ]  # fmt: skip
    assert sentences(words) == [
        (0.0, 1.0, " It is."), (1.0, 1.9, " So “yes!”"), (2.0, 2.4, " no"),
        (3.4, 4.5, " stop为什么？"), (4.5, 5.0, "a"),
    ]  # fmt: skip
    assert sentences([]) == []


def test_a_film_without_sound_is_said(folder: Path) -> None:
    film = make_trace().media[2]
    with pytest.raises(OmniTraceError, match=r"silent\.mp4 holds no sound"):
        AudioClip(film, 4.0, folder / "silent.mp4").samples()
