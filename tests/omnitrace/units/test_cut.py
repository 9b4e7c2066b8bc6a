"""Source units: what they hold, what they are called, and that no token is in two."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitrace.errors import SampleError
from omnitrace.timeline import Medium, Modality, Part, Segmentation, Segments, Timeline
from omnitrace.trace import Trace
from omnitrace.units import UnitConfig, Units
from tests.build import make_trace

configs = st.builds(
    UnitConfig,
    text=st.sampled_from(["sentence", "release", "clause", "paragraph", "part"]),
    request=st.sampled_from(["keep", "unnamed", "remap", "leave-out"]),
    image=st.sampled_from(["whole", "grid"]),
    grid=st.integers(1, 4),
    audio_seconds=st.sampled_from([0.04, 0.3, 1.0, 2.0, 10.0]),
    video=st.sampled_from(["united", "apart", "vision", "sound"]),
    video_seconds=st.sampled_from([0.5, 1.0, 1.5, 60.0]),
    vision_seconds=st.sampled_from([0.0, 0.01, 2.0]),
)
MODALITIES = (Modality.SPECIAL, Modality.TEXT, Modality.IMAGE, Modality.AUDIO, Modality.VIDEO)
PARTS = tuple(
    Part("user", kind, i - 1) for i, kind in enumerate(("text", "image", "audio", "video"))
)
MEDIA = (
    Medium("image", "a.png", "0" * 64),
    Medium("audio", "b.wav", "1" * 64, duration_s=3.2),
    Medium("video", "c.mp4", "2" * 64, duration_s=4.0),
)


def ranges_of(units: Units, unit: int) -> list[list[int]]:
    found: list[list[int]] = units.ranges[units.offset[unit] : units.offset[unit + 1]].tolist()
    return found


def tokens_of(units: Units, unit: int) -> list[int]:
    return [token for start, end in ranges_of(units, unit) for token in range(start, end)]


def text_trace(tokens: list[str], sentences: list[tuple[int, int]], parts: list[int]) -> Trace:
    """A trace of text tokens only."""
    line = Timeline.blank(len(tokens))
    ends = np.cumsum([len(token) for token in tokens], dtype=np.int32)
    starts = ends - [len(token) for token in tokens]
    line = replace(
        line,
        modality=np.full(len(tokens), Modality.TEXT, np.uint8),
        part=np.array(parts, np.int32),
        chars=np.stack([starts, ends], axis=1).astype(np.int32),
    )
    return make_trace(
        prompt_text="".join(tokens),
        prompt_ids=np.zeros(len(tokens), np.int32),
        prompt_sentences=np.array(sentences, np.int32).reshape(-1, 2),
        timeline=line,
        parts=tuple(Part("user", "text") for _ in range(max(parts) + 1)),
        media=(),
    )


def test_the_default_units_of_a_small_prompt() -> None:
    units = make_trace().units(UnitConfig())
    assert dict(zip(units.id, units.label, strict=True)) == {
        "text-0": "text 1",
        "text-1": "text 2",
        "image-0": "image 1",
        "audio-0:0-1": "audio 1 0–1 s",
        "audio-0:1-2": "audio 1 1–2 s",
        "audio-0:2-3": "audio 1 2–3 s",
        "video-0:0-1": "video 1 0–1 s",
        "video-0:1-2": "video 1 1–2 s",
        "text-2": "text 3",
    }
    assert [units.text[i] for i in (0, 1, 2, 8)] == [
        "The parcel weighs seven kilos.",
        "Anna lives in Oslo.",
        None,
        "What is known?",
    ]
    assert units.modality.tolist() == [0, 0, 1, 2, 2, 2, 3, 3, 0]
    assert units.medium.tolist() == [-1, -1, 0, 1, 1, 1, 2, 2, -1]
    assert [ranges_of(units, j) for j in range(4)] == [[[1, 6]], [[6, 10]], [[10, 14]], [[14, 16]]]
    assert [ranges_of(units, j) for j in (6, 7)] == [[[20, 23]], [[23, 26]]]
    assert units.start_s[3:8].tolist() == [0, 1, 2, 0, 1]
    assert units.end_s[3:8].tolist() == [1, 2, 3, 1, 2]
    assert np.isnan(units.start_s[[0, 2]]).all()
    assert units.box[2].tolist() == [0, 0, 1, 1]
    assert np.isnan(units.box[[0, 3, 6]]).all()


def test_video_apart_may_have_vision_and_sound_in_bins_of_their_own() -> None:
    units = make_trace().units(UnitConfig(video="apart", vision_seconds=2.0))
    assert [id for id in units.id if id.startswith("video")] == [
        "video-0:0-2",
        "video-0:0-1:sound",
        "video-0:1-2:sound",
    ]


def test_video_apart_has_vision_by_frames_and_sound_beside_it() -> None:
    units = make_trace().units(UnitConfig(video="apart", video_seconds=60.0))
    assert units.id[6:10] == (
        "video-0:0-1",
        "video-0:0-1:sound",
        "video-0:1-2",
        "video-0:1-2:sound",
    )
    assert units.label[7] == "video 1 0–1 s sound"
    assert units.modality[6:10].tolist() == [3, 2, 3, 2]
    assert units.medium[6:10].tolist() == [2] * 4
    assert [tokens_of(units, j) for j in range(6, 10)] == [[20, 21], [22], [23, 24], [25]]


def test_of_a_film_vision_or_sound_alone() -> None:
    vision = make_trace().units(UnitConfig(video="vision", video_seconds=2.0))
    assert vision.id[6:7] == ("video-0:0-2",)
    assert tokens_of(vision, 6) == [20, 21, 23, 24]
    sound = make_trace().units(UnitConfig(video="sound"))
    assert sound.id[6:8] == ("video-0:0-1:sound", "video-0:1-2:sound")
    assert sound.modality[6:8].tolist() == [Modality.AUDIO] * 2
    assert [tokens_of(sound, j) for j in (6, 7)] == [[22], [25]]
    mute = spoken((0.0, 2.0, "said"), medium=2).units(replace(WORDS, video="vision"))
    assert "said" not in mute.text


def test_sound_takes_the_bins_of_two_second_frame_groups() -> None:
    base = make_trace()
    start, end = base.timeline.start_s.copy(), base.timeline.end_s.copy()
    film = base.timeline.modality == Modality.VIDEO
    start[film], end[film] = start[film] * 2, end[film] * 2
    sound = [22, 25]
    start[sound], end[sound] = [1.0, 2.0], [1.9, 2.1]
    trace = replace(base, timeline=replace(base.timeline, start_s=start, end_s=end))
    units = trace.units(UnitConfig(video="apart"))
    assert units.id[6:10] == (
        "video-0:0-2",
        "video-0:0-2:sound",
        "video-0:2-4",
        "video-0:2-4:sound",
    )


def spoken(*pieces: tuple[float, float, str], medium: int = 1, **over: Any) -> Trace:
    """The trace with a segmentation `words` of one medium."""
    return make_trace(
        segmentations={"words": Segmentation("words", {medium: Segments.of(pieces)})}, **over
    )


WORDS = UnitConfig(audio_segments="words")


def test_a_segmentation_gives_sound_its_stretches_and_words() -> None:
    units = spoken((0.0, 0.6, " One"), (1.5, 3.0, "two ")).units(WORDS)
    assert units.id[3:5] == ("audio-0:0-0.6", "audio-0:1.5-3")
    assert units.label[3:5] == ("audio 1 0–0.6 s", "audio 1 1.5–3 s")
    assert units.text[3:5] == ("One", "two")
    assert [tokens_of(units, j) for j in (3, 4)] == [[14], [17, 18, 19]]
    assert units.modality[3:5].tolist() == [2, 2]
    assert units.start_s[3:5].tolist() == [0, 1.5]
    assert units.id[5:] == ("video-0:0-1", "video-0:1-2", "text-2")


def test_the_sound_of_a_film_is_cut_beside_its_vision() -> None:
    units = spoken((0.2, 1.0, "bang"), medium=2).units(WORDS)
    assert units.id[3:9] == (
        "audio-0:0-1", "audio-0:1-2", "audio-0:2-3",
        "video-0:0-1", "video-0:0.2-1:sound", "video-0:1-2",
    )  # fmt: skip
    assert [tokens_of(units, j) for j in range(6, 9)] == [[20, 21], [22], [23, 24]]
    assert units.text[6:9] == (None, "bang", None)
    apart = spoken((0.2, 1.0, "bang"), medium=2).units(replace(WORDS, video="apart"))
    assert apart.id[6:9] == units.id[6:9]


def test_of_stretches_that_overlap_the_later_counts() -> None:
    units = spoken((0, 3, "all"), (1, 2, "inner"), (1.0001, 2.0001, "again")).units(WORDS)
    assert units.id[3:5] == ("audio-0:0-3", "audio-0:1-2")
    assert units.text[3:5] == ("all", "again")
    assert [ranges_of(units, j) for j in (3, 4)] == [[[14, 16], [18, 20]], [[16, 18]]]


def test_stretches_of_one_name_are_one_unit() -> None:
    units = spoken((0.0, 1.2504, "one"), (0.0001, 1.2496, "other")).units(WORDS)
    assert (units.id[3], units.text[3]) == ("audio-0:0-1.25", "other")
    assert tokens_of(units, 3) == [14, 15]
    assert units.id[4] == "video-0:0-1"


def test_a_medium_without_stretches_keeps_its_bins() -> None:
    assert spoken().units(WORDS).id == make_trace().units(UnitConfig()).id
    trace = make_trace(segmentations={"words": Segmentation("words", {})})
    assert trace.units(WORDS).id == make_trace().units(UnitConfig()).id


def test_an_unknown_segmentation_names_those_there_are_where_there_is_sound() -> None:
    with pytest.raises(
        SampleError, match=r"no segmentation 'word': did you mean 'words'\? Legal: wo"
    ):
        spoken().units(UnitConfig(audio_segments="word"))
    silent = text_trace(["One"], [(0, 3)], [0])
    assert silent.units(WORDS).id == ("text-0",)


def test_a_grid_gives_each_cell_its_box() -> None:
    units = make_trace().units(UnitConfig(image="grid", grid=2))
    cells = slice(2, 6)
    assert units.id[cells] == ("image-0:0,0", "image-0:0,1", "image-0:1,0", "image-0:1,1")
    assert units.label[4] == "image 1 row 2 column 1"
    assert units.box[cells].tolist() == [
        [0, 0, 0.5, 0.5],
        [0.5, 0, 1, 0.5],
        [0, 0.5, 0.5, 1],
        [0.5, 0.5, 1, 1],
    ]


def test_a_grid_finer_than_the_patches_is_the_patches() -> None:
    units = make_trace().units(UnitConfig(image="grid", grid=3))
    assert units.box[2:6].tolist() == [
        [0, 0, 0.5, 0.5],
        [0.5, 0, 1, 0.5],
        [0, 0.5, 0.5, 1],
        [0.5, 0.5, 1, 1],
    ]


def test_bins_end_with_the_medium_and_hold_its_padding() -> None:
    base = make_trace()
    media = (base.media[0], replace(base.media[1], duration_s=2.6), base.media[2])
    units = replace(base, media=media).units(UnitConfig(audio_seconds=2.0))
    assert units.id[3:5] == ("audio-0:0-2", "audio-0:2-2.6")
    shorter = (base.media[0], replace(base.media[1], duration_s=2.0), base.media[2])
    units = replace(base, media=shorter).units(UnitConfig(audio_seconds=2.0))
    assert units.id[3] == "audio-0:0-2"
    assert tokens_of(units, 3) == [14, 15, 16, 17, 18, 19]


def test_fine_bins_keep_every_boundary() -> None:
    units = make_trace().units(UnitConfig(audio_seconds=0.5))
    assert units.start_s[3:9].tolist() == [0, 0.5, 1, 1.5, 2, 2.5]
    assert units.id[4] == "audio-0:0.5-1"


def test_a_token_belongs_where_its_first_visible_character_lies() -> None:
    tokens = ["One", ".", " Two", ".", "\n\n", "Three"]
    trace = text_trace(tokens, [(0, 4), (5, 9), (11, 16)], [0] * 6)
    units = trace.units(UnitConfig())
    assert units.text == ("One.", "Two.", "Three")
    assert [tokens_of(units, j) for j in range(3)] == [[0, 1], [2, 3], [5]]


def test_a_blank_token_within_a_sentence_belongs_to_it() -> None:
    trace = text_trace(["One", "  ", "two", " "], [(0, 8)], [0] * 4)
    assert ranges_of(trace.units(UnitConfig()), 0) == [[0, 3]]


def test_parts_never_share_a_unit() -> None:
    trace = text_trace(["One ", "two ", "three"], [(0, 13)], [0, 1, 1])
    units = trace.units(UnitConfig())
    assert units.text == ("One", "two three")
    assert [ranges_of(units, j) for j in range(2)] == [[[0, 1]], [[1, 3]]]


def test_whole_parts_ignore_sentences_and_the_template() -> None:
    trace = text_trace(["sys", "One. ", "Two. ", "end"], [(0, 3), (3, 7)], [-1, 0, 0, -1])
    units = trace.units(UnitConfig(text="part"))
    assert (units.id, units.text) == (("text-0",), ("One. Two.",))
    assert ranges_of(units, 0) == [[1, 3]]


def test_release_text_joins_markers_and_leaves_lone_marks_out() -> None:
    tokens = ["1", ".", " Salt", ",", " oil", ".", "\n", "More", " ."]
    trace = text_trace(tokens, [(0, 2), (3, 14)], [0] * 9)
    units = trace.units(UnitConfig(text="release"))
    assert units.text == ("1. Salt, oil.",)
    assert ranges_of(units, 0) == [[0, 1], [2, 3], [4, 5]]
    trace = replace(trace, prompt_sentences=np.array([[0, 2], [3, 20]], np.int32))
    units = trace.units(UnitConfig(text="release"))
    assert units.text == ("1. Salt, oil.", "More .")
    assert tokens_of(units, 1) == [7, 8]


@pytest.mark.parametrize("config", [UnitConfig(), UnitConfig(text="release", video="apart")])
def test_a_prompt_without_content_has_no_units(config: UnitConfig) -> None:
    for n in (0, 3):
        trace = make_trace(
            prompt_ids=np.zeros(n, np.int32),
            timeline=Timeline.blank(n),
            prompt_text="",
            prompt_sentences=np.empty((0, 2), np.int32),
            parts=(),
            media=(),
        )
        units = trace.units(config)
        assert len(units) == 0
        assert (units.ranges.shape, units.offset.tolist()) == ((0, 2), [0])


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    """Tokens of every modality in any order: what no chat template would make."""
    kinds = draw(st.lists(st.integers(0, 4), max_size=30))
    n = len(kinds)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = np.array(kinds, int)
    start = np.where(kind >= 3, rng.integers(0, 80, n) * 0.04, np.nan)
    in_film = (kind == 4) | ((kind == 3) & (rng.random(n) < 0.5) & (kind == 4).any())
    medium = np.where(in_film, 2, np.where(kind >= 2, kind - 2, -1))
    chars = np.stack([np.arange(n), np.arange(n) + 1], axis=1)
    columns: dict[str, Any] = {
        "modality": np.array(MODALITIES, np.uint8)[kind],
        "part": np.where(kind == 0, -1, medium + 1),
        "medium": medium,
        "chars": np.where((kind == 1)[:, None], chars, 0),
        "start_s": start,
        "end_s": start + 0.04,
        "row": np.where(kind == 2, rng.integers(0, 5, n), -1),
        "column": np.where(kind == 2, rng.integers(0, 7, n), -1),
        "frame": np.where(kind == 4, start // 1, -1),
    }
    dtypes = Timeline.dtypes()
    edges = draw(st.lists(st.integers(0, n), max_size=6).map(sorted))
    return make_trace(
        prompt_text="".join(rng.choice(list("ab. \n"), n)),
        prompt_ids=np.zeros(n, np.int32),
        prompt_sentences=np.array(
            [p for p in zip(edges[::2], edges[1::2], strict=False) if p[0] < p[1]], np.int32
        ).reshape(-1, 2),
        timeline=Timeline(
            **{name: values.astype(dtypes[name]) for name, values in columns.items()}
        ),
        parts=PARTS,
        media=MEDIA,
    )


@given(traces(), configs)
def test_units_are_disjoint_ordered_named_apart_and_of_one_medium(
    trace: Trace, config: UnitConfig
) -> None:
    units = trace.units(config)
    tokens = [tokens_of(units, j) for j in range(len(units))]
    flat = [token for unit in tokens for token in unit]
    assert len(flat) == len(set(flat))
    assert [unit[0] for unit in tokens] == sorted(unit[0] for unit in tokens)
    assert len(set(units.id)) == len(set(units.label)) == len(units)
    assert np.array_equal(units.owner, np.repeat(np.arange(len(units)), np.diff(units.offset)))
    for unit in range(len(units)):
        ranges = ranges_of(units, unit)
        assert ranges
        assert all(end < start for (_, end), (start, _) in pairwise(ranges))
        assert set(trace.timeline.medium[tokens[unit]]) == {units.medium[unit]}
        assert len(set(trace.timeline.part[tokens[unit]])) == 1


@given(traces(), configs, st.lists(st.tuples(*[st.floats(0, 4)] * 2), max_size=8))
def test_units_of_speech_are_disjoint_named_apart_and_hold_their_time(
    trace: Trace, config: UnitConfig, times: list[tuple[float, float]]
) -> None:
    segments = Segments.of((min(t), max(t), "said") for t in times)
    added = {"words": Segmentation("words", {1: segments, 2: segments})}
    trace = replace(trace, segmentations=added)
    units, line = trace.units(replace(config, audio_segments="words")), trace.timeline
    tokens = [tokens_of(units, j) for j in range(len(units))]
    flat = [token for unit in tokens for token in unit]
    assert len(flat) == len(set(flat))
    assert len(set(units.id)) == len(set(units.label)) == len(units)
    middle = (line.start_s + line.end_s) / 2
    for token in np.flatnonzero(line.modality == Modality.AUDIO).tolist() if times else ():
        held = [t for t in np.round(np.sort(times), 3) if inside(middle[token], (t[0], t[1]))]
        owner = next((j for j, unit in enumerate(tokens) if token in unit), None)
        if config.video == "vision" and trace.timeline.medium[token] == 2:
            held = []
        assert (owner is None) == (not held)
        if owner is not None:
            assert inside(middle[token], (units.start_s[owner], units.end_s[owner]))
            assert units.text[owner] == "said"


def inside(middle: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] - 1e-9 <= middle < bounds[1] - 1e-9


@given(traces(), configs)
def test_every_media_token_is_in_a_unit_that_spans_its_time(
    trace: Trace, config: UnitConfig
) -> None:
    units, line = trace.units(config), trace.timeline
    owner = {token: j for j in range(len(units)) for token in tokens_of(units, j)}
    media = (line.medium >= 0) & (line.modality != Modality.SPECIAL)
    unread = {"vision": Modality.AUDIO, "sound": Modality.VIDEO}.get(config.video)
    media &= (line.medium != 2) | (line.modality != unread)
    media = np.flatnonzero(media).tolist()
    assert set(media) == {token for token in owner if line.medium[token] >= 0}
    for token in media:
        unit = owner[token]
        audio = line.modality[token] == Modality.AUDIO and line.medium[token] == 1
        if audio or (config.video != "apart" and line.medium[token] == 2):
            middle = (line.start_s[token] + line.end_s[token]) / 2
            assert units.start_s[unit] - 1e-6 <= middle < units.end_s[unit] + 1e-6
