"""Answers that exist already, by sample id: read strictly from JSON lines.

Knows three layouts: our own, that of batch files as OpenAI and vLLM write them, and that of vLLM's
offline outputs. Knows no tokenizer and no model.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from omnitrace.errors import CommandError
from recorder import fingerprint

LAYOUTS = (
    "{id, text} or {id, token_ids}; a line of a batch output {custom_id, response}; "
    "or vLLM's {request_id, outputs}"
)


@dataclass(frozen=True)
class Response:
    """An answer as token ids where these are known, else as text; or why there is none."""

    text: str | None = None
    token_ids: tuple[int, ...] | None = None
    failure: str = ""

    @property
    def digest(self) -> str:
        """Stands for it in a sample's key."""
        return fingerprint.of_json([self.text, self.token_ids])


class _Own(msgspec.Struct, forbid_unknown_fields=True):
    id: str | int
    text: str | None = None
    token_ids: list[int] | None = None


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message | None = None
    text: str | None = None
    token_ids: list[int] | None = None


class _Body(msgspec.Struct):
    choices: list[_Choice] = []


class _Reply(msgspec.Struct):
    body: _Body | None = None
    status_code: int = 200


class _Batch(msgspec.Struct):
    custom_id: str
    response: _Reply | None = None
    error: Any = None


class _Output(msgspec.Struct):
    text: str | None = None
    token_ids: list[int] | None = None


class _Offline(msgspec.Struct):
    request_id: str
    outputs: list[_Output]


def read_responses(path: Path, samples: Sequence[str]) -> dict[str, Response]:
    """The responses of a JSONL file by the ids of `samples`; of several choices, the first.

    Raises CommandError, naming file, line and legal layouts: unreadable, not JSON, of no known
    layout, an id twice or of no sample, none at all.
    """
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise CommandError(f"cannot read the responses {path}: {reason}.") from error
    known, found = set(samples), dict[str, Response]()
    for number, line in enumerate(lines, 1):
        if line.strip():
            where = f"{path}, line {number}"
            id, response = _parse(line, where)
            if id not in known:
                raise CommandError(f"{where}: there is no sample '{id}' among the samples.")
            if id in found:
                raise CommandError(f"{where}: the id '{id}' is taken; ids must be unique.")
            found[id] = response
    if not found:
        raise CommandError(f"{path} holds no responses; expected JSON lines of {LAYOUTS}.")
    return found


def _parse(line: str, where: str) -> tuple[str, Response]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{where}: invalid JSON.") from error
    try:
        if isinstance(row, dict) and "custom_id" in row:
            return _from_batch(msgspec.convert(row, _Batch))
        if isinstance(row, dict) and "request_id" in row:
            offline = msgspec.convert(row, _Offline)
            return offline.request_id, _first(offline.outputs)
        own = msgspec.convert(row, _Own)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise CommandError(f"{where}: {error}. Legal layouts: {LAYOUTS}.") from error
    if (own.text is None) == (own.token_ids is None):
        raise CommandError(f"{where}: a response is either a text or token_ids.")
    return str(own.id), _response_of(own.text, own.token_ids)


def _from_batch(row: _Batch) -> tuple[str, Response]:
    if row.error is not None or row.response is None or row.response.status_code != 200:
        return row.custom_id, Response(failure="its request failed")
    choices = row.response.body.choices if row.response.body else []
    outputs = [
        _Output(choice.message.content if choice.message else choice.text, choice.token_ids)
        for choice in choices
    ]
    return row.custom_id, _first(outputs)


def _first(outputs: Sequence[_Output]) -> Response:
    if not outputs or (outputs[0].text is None and outputs[0].token_ids is None):
        return Response(failure="it holds no answer")
    return _response_of(outputs[0].text, outputs[0].token_ids)


def _response_of(text: str | None, token_ids: list[int] | None) -> Response:
    return Response(text) if token_ids is None else Response(token_ids=tuple(token_ids))
