"""Labelling a run: each sample asked, its answer checked like a labels file, kept at once.

A line is appended to the labels file as soon as it is known; a cache beside it, by the sha256 of
the whole request, makes asking the same again free. Knows the server only as something to ask.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.text import one_line
from omnitrace.trace import Trace
from replay.evaluation.labels import Labels, Supports, check_labels, read_labels, sentences_of
from replay.evaluation.rows import Rows, write_rows
from replay.evaluation.space import judging_space
from replay.judge.client import Answer, Message, Server, ServerFailed, body_of
from replay.judge.config import JudgeConfig
from replay.judge.media import MediaFolder, shown
from replay.judge.prompts import again, asked, messages

MOST_QUOTED = 4000
"""Characters of an illegal answer that are sent back."""
FAILURES_IN_A_ROW = 3
"""Samples without an answer after which the server is taken to be gone."""


class _Kept(msgspec.Struct):
    """An answer in the cache."""

    text: str


@dataclass
class Labelled:
    """What came of it: samples labelled, those of them from the cache, the tokens that the server
    counted, and what went wrong by id. `in_a_row`: samples that the server failed at last."""

    done: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    in_a_row: int = 0


@dataclass(frozen=True)
class Labeller:
    """One judge and one labels file."""

    config: JudgeConfig
    out: Path
    media: MediaFolder | None
    server: Server
    labelled: Labelled = field(default_factory=Labelled)

    def label(self, trace: Trace) -> None:
        """Label one sample and append it; what is wrong with it alone goes to `labelled.failed`.

        ServerFailed once the server seems to be gone.
        """
        try:
            supports = self._supports(trace)
        except CommandError:
            raise
        except OmniTraceError as error:
            self._failed(trace.id, error)
            return
        said = sentences_of(trace)
        append(self.out, Labels(trace.id, supports, sentences=said, labeller=self.config.model))
        self.labelled.done += 1
        self.labelled.in_a_row = 0

    def _failed(self, id: str, error: OmniTraceError) -> None:
        self.labelled.failed[id] = str(error)
        gone = isinstance(error, ServerFailed)
        self.labelled.in_a_row = self.labelled.in_a_row + 1 if gone else 0
        if self.labelled.in_a_row == FAILURES_IN_A_ROW:
            raise ServerFailed(
                f"{error}, for {FAILURES_IN_A_ROW} samples on end. What is labelled so far is in "
                f"{self.out}; run the same again to go on."
            ) from error

    def _supports(self, trace: Trace) -> tuple[Supports, ...]:
        if not len(trace.sentences) or not asked(trace, self.config.text_only):
            raise OmniTraceError("there is nothing to ask: no sentence, or no source")
        chat = self.chat(trace)
        cache = cache_of(self.out) / f"{digest(self.config, chat)}.json"
        kept = _from_cache(cache)
        if kept is not None:
            self.labelled.cached += 1
            return parse_answer(trace, self.config, kept)
        text = self._legal(trace, chat)
        _to_cache(cache, text)
        return parse_answer(trace, self.config, text)

    def chat(self, trace: Trace) -> list[Message]:
        """What the judge is asked about a sample; OmniTraceError if a medium cannot be shown."""
        parts = {} if self.media is None else shown(trace, self.media, self.config.frames)
        return messages(trace, parts, self.config.text_only)

    def _legal(self, trace: Trace, chat: Sequence[Message]) -> str:
        """A legal answer; each illegal one is quoted back with what is wrong with it."""
        talk, violation = list(chat), ""
        for _ in range(self.config.tries):
            answer = self.server.ask(talk)
            self.labelled.prompt_tokens += answer.prompt_tokens
            self.labelled.answer_tokens += answer.answer_tokens
            text = answer.text or ""
            try:
                parse_answer(trace, self.config, _said(answer))
            except OmniTraceError as error:
                violation = str(error)
                talk = [*chat, *again(trace, text[:MOST_QUOTED] or "(nothing)", violation)]
                continue
            return text
        raise OmniTraceError(f"no legal answer in {self.config.tries} tries; last: {violation}")


def parse_answer(trace: Trace, config: JudgeConfig, text: str) -> tuple[Supports, ...]:
    """The labels in a judge's answer; OmniTraceError saying what is not legal."""
    try:
        supports = msgspec.json.decode(text.encode("utf-8", "replace"), type=tuple[Supports, ...])
    except msgspec.DecodeError as error:
        raise OmniTraceError(f"it is not the JSON that was asked for ({error})") from error
    wanted = [f"{name}_source" for name in asked(trace, config.text_only)]
    for number, one in enumerate(supports):
        if list(one.given) != wanted:
            raise OmniTraceError(
                f"object {number} has the keys {', '.join(one.given) or 'none'}; it must have "
                f"exactly {', '.join(wanted)}"
            )
    check_labels(trace, judging_space(trace), Labels(trace.id, supports))
    return supports


def _said(answer: Answer) -> str:
    """The text; OmniTraceError if there is none."""
    if answer.text is None or answer.refusal:
        why = f" ({one_line(answer.refusal, 100)})" if answer.refusal else ""
        raise OmniTraceError(f"it was refused{why}")
    return answer.text


def open_labels(out: Path, config: JudgeConfig) -> Rows[Labels]:
    """What the labels file holds already, a torn last line taken away.

    CommandError if it holds another labeller's.
    """
    if not out.exists():
        return Rows(out, {}, {})
    _mend(out)
    rows = read_labels(out)
    for id, row in rows.by_id.items():
        if row.labeller != config.model:
            raise CommandError(
                f"{rows.where(id)}: labels by '{one_line(row.labeller)}', not by '{config.model}'; "
                "name another file."
            )
    return rows


def _mend(out: Path) -> None:
    """End the file with a whole line: the last one was torn if its newline is missing."""
    data = out.read_bytes()
    tail = data[data.rfind(b"\n") + 1 :]
    if not tail:
        return
    try:
        msgspec.json.decode(tail, type=Labels)
    except (msgspec.DecodeError, UnicodeDecodeError):
        os.truncate(out, len(data) - len(tail))
    else:
        with out.open("ab") as file:
            file.write(b"\n")


def append(out: Path, row: Labels) -> None:
    """Append one line, durably; CommandError if that cannot be done."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("ab") as file:
            file.write(msgspec.json.encode(row) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise CommandError(f"cannot write {out}: {error.strerror}.") from error


def cache_of(out: Path) -> Path:
    """The folder of the answers that were legal."""
    return out.with_name(f"{out.name}.cache")


def digest(config: JudgeConfig, chat: Sequence[Message]) -> str:
    """The sha256 of a request: the address, and all that is sent there but the key."""
    request: dict[str, Any] = {"base_url": config.base_url, **body_of(config, chat)}
    return hashlib.sha256(msgspec.json.encode(request, order="deterministic")).hexdigest()


def _from_cache(path: Path) -> str | None:
    """A cached answer; one that cannot be read is asked for again."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Kept).text
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def _to_cache(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"cannot write {path.parent}: {error.strerror}.") from error
    write_rows(path, [_Kept(text)])
