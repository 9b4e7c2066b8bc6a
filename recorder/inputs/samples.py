"""Samples: what the user wants recorded, read strictly from JSONL or from the paper's JSON list.

Everything that can be wrong with the file is said here, in one sentence, before any model is
loaded. Knows the two formats and that media are files; nothing of decoding or models.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from omnitrace.errors import CommandError
from omnitrace.text import one_line

S = TypeVar("S", bound=msgspec.Struct)

SAMPLE_FIELDS = "id, messages, answer"
RELEASE_FIELDS = "id, prompt, question, answer, task, source_dataset"
PART_FIELDS = (
    "a part is {type: text, text} or {type: image|audio|video} with one of the paths "
    "image|audio|video, path or url"
)


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
        every = [each for part in self.media for each in (part.frames or (part,))]
        return [each.path for each in every if each.path is not None]


class _Text(msgspec.Struct, tag_field="type", tag="text", forbid_unknown_fields=True):
    text: str


class _Medium(msgspec.Struct, tag_field="type", forbid_unknown_fields=True):
    path: str | None = None
    url: str | None = None


class _Image(_Medium, tag="image"):
    image: str | None = None


class _Audio(_Medium, tag="audio"):
    audio: str | None = None


class _Video(_Medium, tag="video"):
    video: str | None = None


class _Message(msgspec.Struct, forbid_unknown_fields=True):
    role: Literal["system", "user", "assistant"]
    content: str | list[_Text | _Image | _Audio | _Video]


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    id: str | int
    messages: list[_Message]
    answer: Any = None


class _Block(msgspec.Struct, forbid_unknown_fields=True):
    text: str | None = None
    image: str | None = None
    audio: str | None = None
    video: str | None = None


class _ReleaseRow(msgspec.Struct, forbid_unknown_fields=True):
    id: str | int
    question: list[_Block]
    prompt: str = ""
    answer: Any = None
    task: Any = None
    source_dataset: Any = None


def read_samples(path: Path, check_files: bool = True) -> list[Sample]:
    """The samples of a JSONL file of chat messages, or of the paper's release (a JSON list).

    Media paths are relative to the file's folder. Raises CommandError, naming file, line (or
    number in the list), field and legal values: unreadable or empty file, invalid JSON, unknown
    fields, wrong types, an id twice, addresses instead of files, and (`check_files`) media of
    which not one is there; a file that is missing alone is said when its sample's turn comes.
    """
    text = _read(path)
    if not text.strip():
        raise CommandError(f"{path} is empty; expected JSON lines with the fields {SAMPLE_FIELDS}.")
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
            if not path.resolve().is_relative_to(top):
                raise CommandError(
                    f"sample '{one_line(sample.id)}': {path} does not lie in the media root {root}."
                )


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
            row = _convert(_parse(line, where), _Row, where, f"{SAMPLE_FIELDS}; {PART_FIELDS}")
            messages = tuple(_message(message, path.parent, where) for message in row.messages)
            yield where, _sample(row, messages, line, where)


def _release_rows(text: str, path: Path) -> Iterator[tuple[str, Sample]]:
    rows = _parse(text, str(path))
    for number, row in enumerate(rows, 1):
        where = f"{path}, sample {number}"
        legal = (
            f"{RELEASE_FIELDS}; a question is a list of {{text}}, {{image}}, {{audio}}, {{video}}"
        )
        release = _convert(row, _ReleaseRow, where, legal)
        parts = _release_parts(release, path.parent, where)
        raw = json.dumps(row, sort_keys=True, ensure_ascii=True)
        yield where, _sample(release, (Message("user", parts),), raw, where)


def _release_parts(row: _ReleaseRow, folder: Path, where: str) -> tuple[Content, ...]:
    """The order in which the release feeds the model (its `modalities/*.py`): the prompt, then
    text and images as they come; but sound and film first, then prompt and question as one text.
    """
    blocks = [_block(block, folder, where) for block in row.question]
    prompt = [Content("text", row.prompt)] if row.prompt else []
    media = [part for part in blocks if part.path is not None]
    if all(part.kind == "image" for part in media):
        return tuple(prompt + blocks)
    texts = "".join(part.text for part in [*prompt, *blocks])
    return tuple(media + ([Content("text", texts)] if texts else []))


def _block(block: _Block, folder: Path, where: str) -> Content:
    given = {name: value for name in block.__struct_fields__ if (value := getattr(block, name))}
    if len(given) != 1:
        raise CommandError(
            f"{where}: each element of 'question' holds one of text, image, audio, video; "
            f"got {sorted(given) or 'none'}."
        )
    [(kind, value)] = given.items()
    return Content("text", value) if kind == "text" else _file(kind, value, folder, where)


def _message(message: _Message, folder: Path, where: str) -> Message:
    if isinstance(message.content, str):
        return Message(message.role, (Content("text", message.content),))
    return Message(message.role, tuple(_part(p, folder, where) for p in message.content))


def _part(part: _Text | _Image | _Audio | _Video, folder: Path, where: str) -> Content:
    if isinstance(part, _Text):
        return Content("text", part.text)
    kind = str(part.__struct_config__.tag)
    given = [value for name in (kind, "path", "url") if (value := getattr(part, name))]
    if len(given) != 1:
        raise CommandError(
            f"{where}: a part of type {kind} needs exactly one of {kind}, path, url; "
            f"got {len(given)}."
        )
    return _file(kind, given[0], folder, where)


def _file(kind: str, value: str, folder: Path, where: str) -> Content:
    if re.match(r"[A-Za-z][\w+.-]+://|data:", value):
        raise CommandError(
            f"{where}: '{value[:80]}' is an address; {kind} must be a file on this machine: "
            "download it and name its path."
        )
    return Content(kind, path=folder / value)


def _sample(row: _Row | _ReleaseRow, messages: tuple[Message, ...], raw: str, where: str) -> Sample:
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
    if paths and not any(path.is_file() for _, path in paths):
        id, path = paths[0]
        more = f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""
        raise CommandError(
            f"sample '{id}': there is no file {path}{more}; media paths are relative to the folder "
            "of the samples file."
        )
