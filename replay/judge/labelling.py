"""Labelling a run: each sample is sent, its answer checked like a labels file, and kept at once.

A line is appended to the labels file as soon as it is known; a cache in a folder next to it, by the
sha256 of the whole request, makes the same request free. Knows the server only by its `ask`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from omnitrace.errors import CommandError, OmniTraceError, SampleError
from omnitrace.media.folder import MediaFolder
from omnitrace.samples import each_sample
from omnitrace.text import one_line
from omnitrace.trace import Trace
from replay.evaluation.labels import Labels, Supports, check_labels, read_labels, sentences_of
from replay.evaluation.rows import Rows, write_rows
from replay.evaluation.space import judging_space
from replay.judge.client import Answer, Message, Server, ServerFailed, body_of
from replay.judge.config import JudgeConfig
from replay.judge.media import shown
from replay.judge.prompts import messages, modalities_of, retry_messages

MOST_QUOTED = 4000
"""Characters of an illegal answer that are sent back."""
FAILURES_IN_A_ROW = 3
"""Samples without an answer after which the server is taken to be gone."""


class _CachedAnswer(msgspec.Struct):
    """An answer in the cache."""

    text: str


class ServerGone(CommandError):
    """The server failed several samples in a row. Exit status 1."""


@dataclass
class LabelSummary:
    """How many samples were labelled (`done`), how many of these from the cache, the tokens that
    the server counted, and the failures by id."""

    done: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Labeller:
    """One judge and one labels file."""

    config: JudgeConfig
    out: Path
    media: MediaFolder | None
    server: Server
    summary: LabelSummary = field(default_factory=LabelSummary)

    def label_all(self, run: Mapping[str, Trace], ids: Iterable[str]) -> None:
        """Label the samples of `ids` in order, each appended at once.

        What is wrong with one sample goes to `summary.failed`, and the rest go on. ServerGone after
        `FAILURES_IN_A_ROW` samples without an answer, CommandError if none can be had at all.
        """
        for _ in each_sample(run, ids, self._label, self.summary.failed):
            self.summary.done += 1

    def _label(self, trace: Trace) -> None:
        try:
            supports = self._supports(trace)
        except ServerFailed as error:
            if self.server.failures < FAILURES_IN_A_ROW:
                raise
            raise ServerGone(
                f"{error}, for {FAILURES_IN_A_ROW} samples on end. What is labelled so far is in "
                f"{self.out}; run the same again to go on.",
                exit_code=1,
            ) from error
        sentences, labeller = sentences_of(trace), self.config.model
        append(self.out, Labels(trace.id, supports, sentences=sentences, labeller=labeller))

    def _supports(self, trace: Trace) -> tuple[Supports, ...]:
        if not len(trace.sentences) or not modalities_of(trace, self.config.text_only):
            raise SampleError("there is nothing to ask: no sentence, or no source")
        chat = self.chat(trace)
        cache = cache_of(self.out) / f"{digest(self.config, chat)}.json"
        cached = _from_cache(cache)
        if cached is not None:
            self.summary.cached += 1
            return parse_answer(trace, self.config, cached)
        text = self._legal_answer(trace, chat)
        _to_cache(cache, text)
        return parse_answer(trace, self.config, text)

    def chat(self, trace: Trace) -> list[Message]:
        """The messages about a sample; SampleError if a medium cannot be attached."""
        parts = {} if self.media is None else shown(trace, self.media, self.config.frames)
        return messages(trace, parts, self.config.text_only)

    def _legal_answer(self, trace: Trace, chat: Sequence[Message]) -> str:
        """A legal answer; each illegal one is quoted back with what is wrong with it."""
        talk, violation = list(chat), ""
        for _ in range(self.config.tries):
            answer = self.server.ask(talk)
            self.summary.prompt_tokens += answer.prompt_tokens
            self.summary.answer_tokens += answer.answer_tokens
            text = answer.text or ""
            try:
                parse_answer(trace, self.config, _text_of(answer))
            except OmniTraceError as error:
                violation = str(error)
                quoted = text[:MOST_QUOTED] or "(nothing)"
                talk = [*chat, *retry_messages(trace, quoted, violation)]
                continue
            return text
        raise SampleError(f"no legal answer in {self.config.tries} tries; last: {violation}")


def parse_answer(trace: Trace, config: JudgeConfig, text: str) -> tuple[Supports, ...]:
    """The labels in a judge's answer; OmniTraceError naming the violation if it is not legal."""
    try:
        supports = msgspec.json.decode(text.encode("utf-8", "replace"), type=tuple[Supports, ...])
    except msgspec.DecodeError as error:
        raise SampleError(f"it is not the JSON that was asked for ({error})") from error
    wanted = [f"{name}_source" for name in modalities_of(trace, config.text_only)]
    for number, one in enumerate(supports):
        if list(one.lists) != wanted:
            raise SampleError(
                f"object {number} has the keys {', '.join(one.lists) or 'none'}; it must have "
                f"exactly {', '.join(wanted)}"
            )
    check_labels(trace, judging_space(trace), Labels(trace.id, supports))
    return supports


def _text_of(answer: Answer) -> str:
    """The text; SampleError if there is none."""
    if answer.text is None or answer.refusal:
        why = f" ({one_line(answer.refusal, 100)})" if answer.refusal else ""
        raise SampleError(f"it was refused{why}")
    return answer.text


def open_labels(out: Path, config: JudgeConfig) -> Rows[Labels]:
    """The labels that the file holds already; an incomplete last line is removed.

    CommandError if it holds another labeller's.
    """
    if not out.exists():
        return Rows(out, {}, {})
    _repair_last_line(out)
    rows = read_labels(out)
    for id, row in rows.by_id.items():
        if row.labeller != config.model:
            raise CommandError(
                f"{rows.where(id)}: labels by '{one_line(row.labeller)}', not by '{config.model}'; "
                "name another file."
            )
    return rows


def _repair_last_line(out: Path) -> None:
    """End the file with a whole line: the last one may be incomplete if its newline is missing."""
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
    """The folder of the legal answers."""
    return out.with_name(f"{out.name}.cache")


def digest(config: JudgeConfig, chat: Sequence[Message]) -> str:
    """The sha256 of a request: the address, and all that is sent there but the key."""
    request: dict[str, Any] = {"base_url": config.base_url, **body_of(config, chat)}
    return hashlib.sha256(msgspec.json.encode(request, order="deterministic")).hexdigest()


def _from_cache(path: Path) -> str | None:
    """A cached answer; None if there is none, or it cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_CachedAnswer).text
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def _to_cache(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"cannot write {path.parent}: {error.strerror}.") from error
    write_rows(path, [_CachedAnswer(text)])
