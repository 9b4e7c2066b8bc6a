"""A medium of a message, decoded: the one way from `Content` to arrays. Knows no model."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import PIL.Image

from omnitrace.arrays import Float32
from omnitrace.errors import SampleError
from omnitrace.text import one_line
from omnitrace.timeline import Medium
from recorder.inputs import media
from recorder.inputs.media import ANY_SIZE, Limits, Source
from recorder.inputs.samples import Content

FRAMES_A_SECOND = 2.0
"""Of a list of frames that does not say."""


@dataclass(frozen=True)
class Loaded:
    """A decoded medium: an image, audio, or a video with its audio if it has any.

    `image` is RGB; `audio` (samples,) float32 mono. The sizes of `medium` are those of the file,
    `image` and the frames of `video` lie within the bounds on pixels.
    """

    medium: Medium
    image: PIL.Image.Image | None = None
    audio: Float32 | None = None
    video: media.Video | None = None


def load(content: Content, fps: float, rate: int, limits: Limits = ANY_SIZE) -> Loaded:
    """Decode a medium: a video at `fps` frames a second, audio at `rate` Hz, within `limits`.

    What the part itself sets comes before `fps` and `limits`. Of a video that would have more than
    MAX_FRAMES fewer a second are taken. SampleError for whatever is wrong with the medium.
    """
    bounds = Limits(
        limits.min_pixels if content.min_pixels is None else content.min_pixels,
        limits.max_pixels if content.max_pixels is None else content.max_pixels,
    )
    kind, name, sha256 = content.kind, content.name, digest(content)
    if kind == "image":
        image = media.load_image(source_of(content))
        medium = Medium(kind, name, sha256, width=image.width, height=image.height)
        return Loaded(medium, image=media.resized(image, bounds))
    if kind == "audio":
        audio = media.load_audio(source_of(content), rate)
        return Loaded(Medium(kind, name, sha256, len(audio) / rate), audio=audio)
    video = _load_video(content, frame_rate(content, fps), rate, bounds)
    medium = Medium(kind, name, sha256, video.duration_s, video.width, video.height)
    return Loaded(medium, audio=video.audio, video=video)


def frame_rate(content: Content, fps: float) -> float:
    """Frames a second that `load` takes from a video: its own, else `fps`, or what is affordable.

    SampleError if it cannot be decoded.
    """
    if content.frames:
        return content.fps or FRAMES_A_SECOND
    return media.affordable_fps(source_of(content), content.fps or fps)


def digest(content: Content) -> str:
    """Hex sha256 of a medium's bytes; of a list of frames, of the frames' digests in one string.

    SampleError if a file cannot be read.
    """
    if not content.frames:
        return media.file_sha256(source_of(content))
    digests = "".join(digest(frame) for frame in content.frames)
    return hashlib.sha256(digests.encode()).hexdigest()


def source_of(content: Content) -> Source:
    """The file or the bytes of a medium that is no list of frames."""
    source = content.data if content.path is None else content.path
    assert source is not None, "a text, or a list of frames"
    return source


def _load_video(content: Content, fps: float, rate: int, limits: Limits) -> media.Video:
    if not content.frames:
        return media.load_video(source_of(content), fps, rate, limits)
    images = (media.load_image(source_of(frame)) for frame in content.frames)
    try:
        return media.video_of_frames(images, fps, limits)
    except SampleError as error:
        raise SampleError(f"the video '{one_line(content.name)}': {error}") from error
