"""The fields of samples files, as msgspec checks them: rows, messages, their parts, and how these
name media: a path, a `file://` URL, a `data:` URL, base64. Opens nothing."""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import unquote, unquote_to_bytes

import msgspec

from omnitrace.text import one_line

SAMPLE_FIELDS = "id, messages, answer, tools, continue_final_message"
PART_FIELDS = (
    "a part is {type: text, text} or {type: image|audio|video} with one of image|audio|video, path "
    "or url, and fps, min_pixels, max_pixels; docs/samples.md has all of them"
)
RELEASE_FIELDS = "id, prompt, question, answer, task, source_dataset"
Nothing = Annotated[list[Any], msgspec.Meta(max_length=0)] | None
"""What servers write for what there is none of."""


class Text(msgspec.Struct, tag_field="type", tag="text", forbid_unknown_fields=True):
    text: str


class InputText(Text, tag="input_text"):
    pass


class OutputText(Text, tag="output_text"):
    annotations: Nothing = None
    logprobs: Nothing = None


class Url(msgspec.Struct, forbid_unknown_fields=True):
    url: str
    detail: Literal["auto"] | None = None


class Medium(msgspec.Struct, tag_field="type", forbid_unknown_fields=True):
    """`names`: the fields of which exactly one says where the medium is."""

    kind: ClassVar[str]
    names: ClassVar[tuple[str, ...]]


class Image(Medium, tag="image"):
    kind = "image"
    names = ("image", "path", "url")
    image: str | None = None
    path: str | None = None
    url: str | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None


class Audio(Medium, tag="audio"):
    kind = "audio"
    names = ("audio", "path", "url")
    audio: str | None = None
    path: str | None = None
    url: str | None = None


class Video(Medium, tag="video"):
    kind = "video"
    names = ("video", "path", "url")
    video: str | list[str] | None = None
    path: str | None = None
    url: str | None = None
    fps: float | None = None
    sample_fps: float | None = None
    raw_fps: float | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None


class ImageUrl(Medium, tag="image_url"):
    kind = "image"
    names = ("image_url",)
    image_url: str | Url
    detail: Literal["auto"] | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None


class InputImage(ImageUrl, tag="input_image"):
    pass


class AudioUrl(Medium, tag="audio_url"):
    kind = "audio"
    names = ("audio_url",)
    audio_url: str | Url


class VideoUrl(Medium, tag="video_url"):
    kind = "video"
    names = ("video_url",)
    video_url: str | Url
    fps: float | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None


class AudioData(msgspec.Struct, forbid_unknown_fields=True):
    data: str
    format: Literal["wav", "mp3"]


class InputAudio(msgspec.Struct, tag_field="type", tag="input_audio", forbid_unknown_fields=True):
    input_audio: AudioData


TextPart = Text | InputText | OutputText
MediumPart = Image | Audio | Video | ImageUrl | InputImage | AudioUrl | VideoUrl
AnyPart = TextPart | MediumPart | InputAudio


class Message(msgspec.Struct, forbid_unknown_fields=True):
    role: str
    content: str | list[AnyPart] | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    name: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    thinking: str | None = None
    # Fields that servers add to an answer, empty here.
    refusal: None = None
    audio: None = None
    function_call: None = None
    annotations: Nothing = None


class Row(msgspec.Struct, forbid_unknown_fields=True):
    id: str | int
    messages: list[Message]
    answer: Any = None
    tools: list[dict[str, Any]] | None = None
    continue_final_message: bool | None = None


class Block(msgspec.Struct, forbid_unknown_fields=True):
    text: str | None = None
    image: str | None = None
    audio: str | None = None
    video: str | None = None


class ReleaseRow(msgspec.Struct, forbid_unknown_fields=True):
    id: str | int
    question: list[Block]
    prompt: str = ""
    answer: Any = None
    task: Any = None
    source_dataset: Any = None


_SCHEME = re.compile(r"[A-Za-z][\w+.-]*://|data:", re.IGNORECASE)
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}/[a-z0-9][a-z0-9.+-]{0,60}")


@dataclass(frozen=True)
class Data:
    """The bytes of a `data:` URL; `media_type` such as `image/png`, empty if it names none."""

    data: bytes
    media_type: str = ""


def locate(value: str, folder: Path) -> Path | Data:
    """What a path relative to `folder`, a `file://` URL or a `data:` URL names.

    ValueError, whose text ends a sentence that begins with the value, for any other address.
    """
    scheme = _SCHEME.match(value)
    if scheme is None:
        return folder / value
    if scheme[0].lower() == "data:":
        return _data(value)
    if scheme[0].lower() == "file://":
        host, slash, path = value[len("file://") :].partition("/")
        if host.lower() not in ("", "localhost") or not slash:
            raise ValueError("is no file:// URL of this machine; write file:///path/to/file")
        return Path("/" + unquote(path))
    raise ValueError(
        "is an address; a medium must be a file on this machine: download it and name its path"
    )


def base64_bytes(text: str) -> bytes:
    """The bytes that base64 text stands for, white space ignored; ValueError if it is none."""
    try:
        return binascii.a2b_base64("".join(text.split()).encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError(f"is not base64: {_reason(error)}") from error


def shown(value: str) -> str:
    """The beginning of a value, for a message."""
    return one_line(value[:200], 80)


def _data(url: str) -> Data:
    header, comma, body = url[len("data:") :].partition(",")
    if not comma:
        raise ValueError("is no data: URL: there is no comma before its data")
    media_type, *parameters = [part.strip().lower() for part in header.split(";")]
    if media_type and not _MEDIA_TYPE.fullmatch(media_type):
        raise ValueError("is no data: URL: its media type is not of the form image/png")
    text = unquote(body) if "%" in body else body
    data = base64_bytes(text) if "base64" in parameters[-1:] else unquote_to_bytes(body)
    return Data(data, media_type)


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeEncodeError):
        return "it holds other characters"
    return str(error)[:1].lower() + str(error)[1:]
