"""Samples: what the user wants recorded, read strictly from JSONL or from the paper's JSON list.

Everything that can be wrong with the file is reported here, in one sentence, before any model is
loaded. Knows the two formats and where media are; nothing of decoding or models. The formats are
described in docs/samples.md.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from omnitrace.errors import CommandError
from omnitrace.text import one_line
from recorder.inputs import schema

S = TypeVar("S", bound=msgspec.Struct)

ROLES = ("system", "developer", "user", "assistant", "tool")
CHAT_FIELDS = f"{schema.SAMPLE_FIELDS}; {schema.PART_FIELDS}"

MAX_FPS = 1000
MAX_PIXELS = 1 << 26
MAX_VIDEO_PIXELS = 1 << 20
"""Up to which frames may be enlarged; they are never kept larger."""


@dataclass(frozen=True)
class Content:
    """One part of a message: `kind` `text` with its `text`, or an image, audio or video.

    A medium is a file (`path`), the bytes of a `data:` URL (`data`, of `media_type` such as
    `image/png` where the URL names it), or a video given as images (`frames`, each a Content of
    kind `image`). `fps`, `min_pixels`, `max_pixels`: this part's own settings; None: the
    recording's, but of `frames` two a second.
    """

    kind: str
    text: str = ""
    path: Path | None = None
    data: bytes | None = None
    frames: tuple[Content, ...] = ()
    fps: float | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None
    media_type: str = ""

    @property
    def is_medium(self) -> bool:
        return self.kind != "text"

    @property
    def name(self) -> str:
        """How the medium is named in the trace: `a.png`, `data:image/png`, `a … z (8 frames)`."""
        if self.path is not None:
            return self.path.name
        if not self.frames:
            return f"data:{self.media_type or self.kind}" if self.is_medium else ""
        first, last, count = self.frames[0].name, self.frames[-1].name, len(self.frames)
        return f"{first} (1 frame)" if count == 1 else f"{first} … {last} ({count} frames)"


@dataclass(frozen=True)
class Message:
    """`role` (system, developer, user, assistant, tool) and its content parts, in order.

    `thinking`: what an assistant thought before it answered. `fields`: `tool_calls`,
    `tool_call_id` and `name` where given, passed to the chat template as they are.
    """

    role: str
    parts: tuple[Content, ...]
    thinking: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """One prompt to answer. `sha256` is that of the row as it stands in the file.

    `tools`: JSON objects that describe what the model may call, passed to the chat template.
    `continues`: the last message is an assistant's and is to be continued.
    """

    id: str
    messages: tuple[Message, ...]
    answer: Any
    sha256: str
    tools: tuple[Mapping[str, Any], ...] = ()
    continues: bool = False

    @property
    def media(self) -> list[Content]:
        """The media, in order."""
        return [part for m in self.messages for part in m.parts if part.is_medium]

    @property
    def paths(self) -> list[Path]:
        """The files of the media, in order: none of a `data:` URL, several of a list of frames."""
        files = [one for part in self.media for one in (part.frames or (part,))]
        return [one.path for one in files if one.path is not None]


def read_samples(path: Path, check_files: bool = True) -> list[Sample]:
    """The samples of a JSONL file of chat messages, or of the paper's release (a JSON list).

    Media paths are relative to the file's folder. Raises CommandError, naming file, line (or
    number in the list), field and legal values: unreadable or empty file, invalid JSON, unknown
    fields and roles, wrong types, an id twice, addresses of other machines, `data:` URLs that are
    none, and (`check_files`) files if none of them is there; a single missing file is
    reported when its sample's turn comes.
    """
    text = _read(path)
    if not text.strip():
        raise CommandError(
            f"{path} is empty; expected JSON lines with the fields {schema.SAMPLE_FIELDS}."
        )
    rows = _release_rows(text, path) if text.lstrip().startswith("[") else _chat_rows(text, path)
    samples = [sample for _, sample in _unique(rows)]
    if not samples:
        raise CommandError(f"{path} holds no samples.")
    if check_files:
        _check_files(samples)
    return samples


def check_inside(samples: Sequence[Sample], root: Path) -> None:
    """CommandError naming the first sample with a medium that is not in `root`, links followed."""
    if not root.is_dir():
        raise CommandError(f"the media root {root} is no folder.")
    top = root.resolve()
    for sample in samples:
        for path in sample.paths:
            if not _resolved(path, top).is_relative_to(top):
                raise CommandError(
                    f"sample '{one_line(sample.id)}': {one_line(str(path), 400)} does not lie in "
                    f"the media root {root}."
                )


def is_file(path: Path) -> bool:
    """Whether a file is there; False also for what no path can be (NUL, a name too long)."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _resolved(path: Path, top: Path) -> Path:
    """`path` with links followed; `top` if nothing can ever be opened at it (NUL, links in a
    circle): its sample fails in its turn, and no other."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        return top


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandError(f"{path} is not UTF-8 text (byte {error.start}).") from error
    except OSError as error:
        raise CommandError(f"cannot read the samples {path}: {error.strerror}.") from error


def _chat_rows(text: str, path: Path) -> Iterator[tuple[str, Sample]]:
    # Not splitlines(): JSON strings may hold U+2028 and other line separators as they are.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            where = f"{path}, line {number}"
            row = _convert(_parse(line, where), schema.Row, where, CHAT_FIELDS)
            messages = tuple(_message(message, path.parent, where) for message in row.messages)
            sample = _sample(row, messages, line, where)
            continues = _continues(row, messages, where)
            yield where, replace(sample, tools=tuple(row.tools or ()), continues=continues)


def _release_rows(text: str, path: Path) -> Iterator[tuple[str, Sample]]:
    rows = _parse(text, str(path))
    for number, row in enumerate(rows, 1):
        where = f"{path}, sample {number}"
        legal = (
            f"{schema.RELEASE_FIELDS}; a question is a list of {{text}}, {{image}}, {{audio}}, "
            "{video}"
        )
        release = _convert(row, schema.ReleaseRow, where, legal)
        parts = _release_parts(release, path.parent, where)
        raw = json.dumps(row, sort_keys=True, ensure_ascii=True)
        yield where, _sample(release, (Message("user", parts),), raw, where)


def _release_parts(row: schema.ReleaseRow, folder: Path, where: str) -> tuple[Content, ...]:
    """The order in which the release feeds the model (its `modalities/*.py`): the prompt, then
    text and images as they come; but audio and video first, then prompt and question as one text.
    """
    blocks = [_block(block, folder, where) for block in row.question]
    prompt = [Content("text", row.prompt)] if row.prompt else []
    media = [part for part in blocks if part.is_medium]
    if all(part.kind == "image" for part in media):
        return tuple(prompt + blocks)
    texts = "".join(part.text for part in [*prompt, *blocks])
    return tuple(media + ([Content("text", texts)] if texts else []))


def _block(block: schema.Block, folder: Path, where: str) -> Content:
    given = {name: value for name in block.__struct_fields__ if (value := getattr(block, name))}
    if len(given) != 1:
        raise CommandError(
            f"{where}: each element of 'question' holds one of text, image, audio, video; "
            f"got {sorted(given) or 'none'}."
        )
    [(kind, value)] = given.items()
    return Content("text", value) if kind == "text" else _located(kind, value, folder, where)


def _message(message: schema.Message, folder: Path, where: str) -> Message:
    role, content = message.role, message.content
    if role not in ROLES:
        raise CommandError(
            f"{where}: there is no role '{one_line(role)}'; the roles are {', '.join(ROLES)}."
        )
    thoughts = {message.reasoning_content, message.reasoning, message.thinking} - {None, ""}
    if len(thoughts) > 1:
        raise CommandError(
            f"{where}: reasoning_content, reasoning and thinking are one field by three names, "
            "and differ: give one of them."
        )
    if role != "assistant" and (thoughts or message.tool_calls):
        raise CommandError(
            f"{where}: tool_calls and reasoning_content belong to messages of the role assistant, "
            f"not {role}."
        )
    if content is None and not (thoughts or message.tool_calls):
        raise CommandError(
            f"{where}: a message of the role {role} has no content; only an assistant's with "
            "tool_calls or reasoning_content may have none."
        )
    if isinstance(content, str):
        parts: tuple[Content, ...] = (Content("text", content),)
    else:
        parts = tuple(_part(part, folder, where) for part in content or ())
    return Message(role, parts, "".join(str(text) for text in thoughts), _fields(message))


def _fields(message: schema.Message) -> dict[str, Any]:
    """What the chat template gets of a message besides role, content and thinking."""
    calls = [_with_arguments(call) for call in message.tool_calls or ()]
    fields = {
        "tool_calls": calls or None,
        "tool_call_id": message.tool_call_id,
        "name": message.name,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _with_arguments(call: dict[str, Any]) -> dict[str, Any]:
    """A tool call whose arguments, a JSON object in a string as OpenAI has them, are that object,
    which chat templates expect; nothing in a string is no arguments. Other strings stay."""
    if isinstance(call.get("function"), dict):
        return {**call, "function": _with_arguments(call["function"])}
    text = call.get("arguments")
    if not isinstance(text, str):
        return call
    try:
        arguments = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return call
    return {**call, "arguments": arguments} if isinstance(arguments, dict) else call


def _continues(row: schema.Row, messages: Sequence[Message], where: str) -> bool:
    """Whether the last message is to be continued: an assistant's is, unless the row denies it."""
    last = messages[-1] if messages else None
    if row.continue_final_message is False or last is None:
        return False
    if last.role != "assistant":
        if row.continue_final_message:
            raise CommandError(
                f"{where}: continue_final_message is true, and the last message is of the role "
                f"{last.role}: only an assistant's can be continued."
            )
        return False
    if "tool_calls" in last.fields or not last.parts or last.parts[-1].is_medium:
        raise CommandError(
            f"{where}: the last message is an assistant's and does not end in a text that could "
            "be continued: let a message follow it, or set continue_final_message to false."
        )
    return True


def _part(part: schema.AnyPart, folder: Path, where: str) -> Content:
    if isinstance(part, schema.Text):
        return Content("text", part.text)
    if isinstance(part, schema.InputAudio):
        return _input_audio(part.input_audio, where)
    given = [value for name in part.names if (value := getattr(part, name)) not in (None, "")]
    if len(given) != 1:
        raise CommandError(
            f"{where}: a part of type {part.__struct_config__.tag} needs exactly one of "
            f"{', '.join(part.names)}; got {len(given)}."
        )
    [value] = given
    content = (
        Content("video", frames=_frames(value, folder, where))
        if isinstance(value, list)
        else _located(part.kind, getattr(value, "url", value), folder, where)
    )
    return replace(content, **_settings(part, bool(content.frames), where))


def _input_audio(audio: schema.AudioData, where: str) -> Content:
    if audio.data.startswith("data:"):
        return _located("audio", audio.data, Path(), where)
    try:
        data = schema.base64_bytes(audio.data)
    except ValueError as error:
        raise CommandError(f"{where}: the data of input_audio {error}.") from error
    return Content("audio", data=data, media_type=f"audio/{audio.format}")


def _frames(values: Sequence[str], folder: Path, where: str) -> tuple[Content, ...]:
    if not values:
        raise CommandError(
            f"{where}: the list of frames of a video is empty; name at least one image."
        )
    return tuple(_located("image", value, folder, where) for value in values)


def _located(kind: str, value: str, folder: Path, where: str) -> Content:
    try:
        found = schema.locate(value, folder)
    except ValueError as error:
        raise CommandError(f"{where}: '{schema.shown(value)}' {error}.") from error
    if isinstance(found, Path):
        return Content(kind, path=found)
    return Content(kind, data=found.data, media_type=found.media_type)


def _settings(part: schema.MediumPart, listed: bool, where: str) -> dict[str, Any]:
    """The frame rate and the bounds on pixels that a part sets; `listed`: it is a list of frames.

    CommandError for numbers that make no sense.
    """
    fps = _fps(part, listed, where)
    least, most = (getattr(part, name, None) for name in ("min_pixels", "max_pixels"))
    for name, value in (("min_pixels", least), ("max_pixels", most)):
        top = MAX_VIDEO_PIXELS if part.kind == "video" and name == "min_pixels" else MAX_PIXELS
        if value is not None and not 1 <= value <= top:
            raise CommandError(
                f"{where}: {name} {one_line(str(value))} is out of range; for {part.kind} it may "
                f"be 1 to {top}."
            )
    if least is not None and most is not None and least > most:
        raise CommandError(f"{where}: min_pixels {least} is more than max_pixels {most}.")
    return {"fps": fps, "min_pixels": least, "max_pixels": most}


def _fps(part: schema.MediumPart, listed: bool, where: str) -> float | None:
    named = {
        name: value
        for name in ("fps", "sample_fps", "raw_fps")
        if (value := getattr(part, name, None)) is not None
    }
    if not listed and set(named) - {"fps"}:
        raise CommandError(
            f"{where}: sample_fps and raw_fps belong to a video that is a list of frames; of a "
            "file say fps, how many frames a second to take."
        )
    for name, value in named.items():
        if not 0 < value <= MAX_FPS:
            raise CommandError(
                f"{where}: {name} {value:g} is out of range; it may be more than 0 and at most "
                f"{MAX_FPS}."
            )
    if len(set(named.values())) > 1:
        raise CommandError(
            f"{where}: {' and '.join(named)} differ; say as fps alone how many frames of the list "
            "make up a second."
        )
    return next(iter(named.values()), None)


def _sample(
    row: schema.Row | schema.ReleaseRow, messages: tuple[Message, ...], raw: str, where: str
) -> Sample:
    if not any(message.parts for message in messages):
        raise CommandError(f"{where}: the sample '{row.id}' says nothing: it has no content.")
    if row.id == "":
        raise CommandError(f"{where}: the id is empty; give every sample an id of its own.")
    digest = hashlib.sha256(raw.strip().encode("utf-8", "surrogatepass")).hexdigest()
    return Sample(str(row.id), messages, row.answer, digest)


def _parse(text: str, where: str) -> Any:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, " if error.lineno > 1 else ""
        raise CommandError(
            f"{where}: invalid JSON: {error.msg} ({place}column {error.colno})."
        ) from error
    except RecursionError as error:
        raise CommandError(f"{where}: invalid JSON: nested too deep.") from error
    except ValueError as error:
        raise CommandError(f"{where}: invalid JSON: a number has too many digits.") from error
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise CommandError(f"{where}: a string holds half a surrogate pair, no text.") from error
    return value


def _convert(value: Any, kind: type[S], where: str, legal: str) -> S:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise CommandError(f"{where}: {error}. Legal fields: {legal}.") from error


def _unique(rows: Iterator[tuple[str, Sample]]) -> Iterator[tuple[str, Sample]]:
    seen: dict[str, str] = {}
    for where, sample in rows:
        if sample.id in seen:
            raise CommandError(
                f"{where}: the id '{sample.id}' is taken ({seen[sample.id]}); ids must be unique."
            )
        seen[sample.id] = where
        yield where, sample


def _check_files(samples: Sequence[Sample]) -> None:
    """Not one file there: the folder is wrong, and it is known before a model is loaded."""
    paths = [(sample.id, path) for sample in samples for path in sample.paths]
    if paths and not any(is_file(path) for _, path in paths):
        id, path = paths[0]
        more = f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""
        raise CommandError(
            f"sample '{one_line(id)}': there is no file {one_line(str(path), 400)}{more}; media "
            "paths are relative to the folder of the samples file."
        )
