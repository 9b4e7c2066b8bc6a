"""The tokens of one medium: runs and marks, patches of images, seconds of videos and audio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitrace.errors import OmniTraceError
from omnitrace.timeline import Medium, Modality, Timeline
from recorder.inputs.loaded import Loaded
from recorder.inputs.media import Video
from recorder.models.placing import (
    Geometry,
    Region,
    place_audio,
    place_image,
    place_video,
    region_of,
)

OWN = 9
"""The id of a medium's tokens; other ids are code points."""


def decode(ids: Sequence[int]) -> str:
    return "".join(map(chr, ids))


def ids_of(*pieces: str | int) -> Any:
    """Texts as their code points, numbers as so many tokens of the medium."""
    found: list[int] = []
    for piece in pieces:
        found += [OWN] * piece if isinstance(piece, int) else [ord(letter) for letter in piece]
    return np.array(found, np.int32)


def region(*pieces: str | int) -> Region:
    """The region of a medium that is all of a prompt."""
    ids = ids_of(*pieces)
    return region_of(ids, np.arange(len(ids)), frozenset({OWN}), decode)


def image(width: int = 100, height: int = 100) -> Loaded:
    return Loaded(Medium("image", "a.png", ""), image=PIL.Image.new("RGB", (width, height)))


def video(frames: int, fps: float, duration: float | None = None) -> Loaded:
    seconds = np.arange(frames) / fps
    length = frames / fps if duration is None else duration
    pixels = np.zeros((frames, 4, 4, 3), np.uint8)
    made = Video(pixels, fps, length, 4, 4, None, seconds, fps, frames)
    return Loaded(Medium("video", "a.mp4", "", length, 4, 4), video=made)


def test_the_runs_of_a_medium_and_the_texts_before_them() -> None:
    """The tokens of a medium need not begin the prompt, and marks behind the last run are none."""
    ids = ids_of("go", "<", 2, "|", 3, ">", "!")
    found = region_of(ids, np.arange(2, 10), frozenset({OWN, 5}), decode)
    assert found.own.tolist() == [3, 4, 6, 7, 8]
    assert [run.tolist() for run in found.runs] == [[3, 4], [6, 7, 8]]
    assert found.marks == ("<", "|")
    assert region(3).marks == ("",)


def test_where_no_id_is_known_the_commonest_is_the_mediums() -> None:
    ids = ids_of("<", 3, ">")
    found = region_of(ids, np.arange(5), frozenset({77}), decode)
    assert found.own.tolist() == [1, 2, 3]


def test_a_medium_without_tokens() -> None:
    found = region_of(ids_of("ab"), np.zeros(0, np.intp), frozenset({OWN}), decode)
    assert (len(found.own), found.runs, found.marks) == (0, (), ())


def test_an_image_on_the_grid_that_the_processor_says() -> None:
    line = Timeline.blank(8)
    place_image(line, region("<", 6, ">"), image(), Geometry(grid=(1, 2, 3), side=9))
    assert line.row.tolist() == [-1, 0, 0, 0, 1, 1, 1, -1]
    assert line.column.tolist() == [-1, 0, 1, 2, 0, 1, 2, -1]
    assert line.frame.tolist() == [-1, 0, 0, 0, 0, 0, 0, -1]
    special = Modality.SPECIAL
    assert line.modality.tolist() == [special, *[Modality.IMAGE] * 6, special]
    assert np.isnan(line.start_s).all()


@pytest.mark.parametrize("grid", [None, (1, 2, 4)])
def test_an_image_as_its_runs_say(grid: Any) -> None:
    """A grid that is not that of the tokens is not believed."""
    line = Timeline.blank(9)
    geometry = Geometry(grid=grid, by_row=True)
    place_image(line, region("<", 2, "|", 2, "|", 2), image(), geometry)
    assert line.row.tolist() == [-1, 0, 0, -1, 1, 1, -1, 2, 2]
    assert line.column.tolist() == [-1, 0, 1, -1, 0, 1, -1, 0, 1]


def test_an_image_whose_layout_is_not_known_has_no_places() -> None:
    line = Timeline.blank(5)
    place_image(line, region(5), image(), Geometry(side=3))
    assert set(line.modality) == {Modality.IMAGE}
    assert set(line.row) == set(line.column) == set(line.frame) == {-1}


def test_a_video_on_a_grid() -> None:
    """Frames that share tokens last until the next ones; the last end with the video."""
    line = Timeline.blank(12)
    place_video(line, region(12), video(5, 2.0, 2.3), Geometry(grid=(3, 2, 2)))
    assert line.frame.tolist() == np.repeat([0, 1, 2], 4).tolist()
    assert line.row.tolist() == [0, 0, 1, 1] * 3
    assert line.start_s.tolist() == np.repeat([0.0, 1.0, 2.0], 4).tolist()
    assert line.end_s.tolist() == np.repeat([1.0, 2.0, 2.3], 4).tolist()


def test_a_video_with_a_run_for_each_frame() -> None:
    line = Timeline.blank(12)
    place_video(line, region("0s", 4, "1s", 4), video(2, 0.5), Geometry(side=2))
    special, seen = Modality.SPECIAL, Modality.VIDEO
    assert (
        line.modality.tolist()
        == [special, special, *[seen] * 4, special, special, *[seen] * 4][: len(line)]
    )
    assert line.frame[[2, 8]].tolist() == [0, 1]
    assert line.row[2:6].tolist() == [0, 0, 1, 1]
    assert line.start_s[[2, 8]].tolist() == [0.0, 2.0]
    assert line.end_s[[2, 8]].tolist() == [2.0, 4.0]


def test_a_video_in_one_run() -> None:
    """LLaVA-OneVision: all frames in one run, and a token that ends the last."""
    line = Timeline.blank(13)
    place_video(line, region("<", 9, ">"), video(2, 1.0), Geometry(side=2))
    assert line.frame[1:10].tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1]
    assert line.row[1:10].tolist() == [0, 0, 1, 1, 0, 0, 1, 1, 1]
    assert line.column[1:10].tolist() == [0, 1, 0, 1, 0, 1, 0, 1, 1]
    assert line.end_s[[1, 9]].tolist() == [1.0, 2.0]


def test_frames_of_a_size_that_is_not_known() -> None:
    line = Timeline.blank(6)
    place_video(line, region(6), video(2, 1.0), Geometry(side=5))
    assert line.frame.tolist() == [0, 0, 0, 1, 1, 1]
    assert set(line.row) == {-1}


def test_frames_of_shapes_that_the_processor_says() -> None:
    line = Timeline.blank(7)
    geometry = Geometry(side=5, shapes=((1, 3), (1, 3)))
    place_video(line, region(3, "|", 3), video(2, 1.0), geometry)
    assert line.column.tolist() == [0, 1, 2, -1, 0, 1, 2]


@given(
    st.integers(1, 40), st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0]), st.sampled_from([1, 2, 4]),
    st.floats(0.05, 1.0),
)  # fmt: skip
def test_groups_of_frames_follow_one_another(
    frames: int, fps: float, together: int, last: float
) -> None:
    """The last frame is on screen for `last` of what the others are."""
    groups = -(-frames // together)
    duration = (frames - 1 + last) / fps
    line = Timeline.blank(groups)
    geometry = Geometry(grid=(groups, 1, 1), together=together)
    place_video(line, region(groups), video(frames, fps, duration), geometry)
    starts = np.arange(groups) * together / fps
    np.testing.assert_allclose(line.start_s, starts, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(line.end_s[:-1], line.start_s[1:])
    assert line.end_s[-1] == duration
    assert (line.end_s > line.start_s).all()


@pytest.mark.parametrize(("frames", "groups"), [(7, 5), (2, 3), (8, 5)])
def test_groups_of_frames_that_cannot_be_told(frames: int, groups: int) -> None:
    line = Timeline.blank(2 * groups)
    with pytest.raises(
        OmniTraceError, match=rf"the {frames} frames of a\.mp4 out in {groups} groups"
    ):
        place_video(line, region(*(("|", 1) * groups)), video(frames, 1.0), Geometry(together=2))


def test_audio_tokens_behind_its_end_are_special() -> None:
    """2.5 tokens of audio, and silence that the processor appended."""
    line = Timeline.blank(7)
    place_audio(line, region("<", 5, ">"), 1.0, 0.4)
    special, audio = Modality.SPECIAL, Modality.AUDIO
    assert line.modality.tolist() == [special, audio, audio, audio, special, special, special]
    np.testing.assert_allclose(line.start_s[1:4], [0.0, 0.4, 0.8])
    np.testing.assert_allclose(line.end_s[1:4], [0.4, 0.8, 1.0])
    assert np.isnan(line.start_s[4:]).all()
