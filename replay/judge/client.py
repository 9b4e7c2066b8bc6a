"""Requests to an OpenAI-compatible server: one chat in, one answer out, with retries.

Waits and tries again where the server may recover. Knows no label and no prompt. The key is read
from the environment, and is in no message.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from omnitrace.errors import CommandError, SampleError, extra
from omnitrace.text import one_line
from replay.judge.config import JudgeConfig

if TYPE_CHECKING:
    from openai import APIStatusError, OpenAI

Message = dict[str, Any]
LARGEST_ANSWER = 2**24
LONGEST_WAIT = 60.0
NO_KEY = "none"
"""The key for servers that need none: the client insists on one."""


class ServerFailed(SampleError):
    """The server did not answer a chat in any of the tries."""


class _Temporary(Exception):
    """A failure that may pass; `wait`: seconds that the server wants to wait."""

    def __init__(self, what: str, wait: float | None = None) -> None:
        super().__init__(what)
        self.wait = wait


@dataclass(frozen=True)
class Answer:
    """The text of an answer, None if the model refused, and the tokens that the server counted."""

    text: str | None
    refusal: str = ""
    prompt_tokens: int = 0
    answer_tokens: int = 0


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    usage: _Usage | None = None


class Server:
    """A chat-completions server.

    `requests`: how many were sent; `failures`: how many chats in a row the server failed.
    """

    def __init__(self, config: JudgeConfig) -> None:
        """CommandError where the [judge] extra is not installed, or the key cannot be one."""
        self.config = config
        self.requests = 0
        self.failures = 0
        self._key = key_of(config)
        self._client = _client(config, self._key)

    def ask(self, messages: Sequence[Message]) -> Answer:
        """The model's answer.

        ServerFailed after `tries` temporary failures; SampleError if the server refuses this chat;
        CommandError if it refuses every chat: a wrong key, model or address.
        """
        for attempt in range(self.config.tries):
            try:
                answer = self._once(messages)
            except _Temporary as error:
                what, wait = self._without_key(str(error)), error.wait
            else:
                self.failures = 0
                return answer
            if attempt + 1 < self.config.tries:
                time.sleep(min(2.0**attempt if wait is None else wait, LONGEST_WAIT))
        self.failures += 1
        raise ServerFailed(f"{self.config.place} {what}, {self.config.tries} times")

    def _once(self, messages: Sequence[Message]) -> Answer:
        import openai

        self.requests += 1
        create: Any = self._client.chat.completions.with_streaming_response.create
        request = body_of(self.config, messages)
        deadline = time.monotonic() + self.config.timeout
        try:
            with create(**request) as response:
                return _answer(_read(response.iter_bytes(), deadline))
        except openai.APIStatusError as error:
            raise self._refused(error) from error
        except openai.APITimeoutError as error:
            raise _Temporary(f"did not answer within {self.config.timeout:g} s") from error
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            why = one_line(str(cause)) or type(cause).__name__
            raise _Temporary(f"cannot be reached ({why})") from error

    def _refused(self, error: APIStatusError) -> Exception:
        """The exception for an HTTP error: temporary, of this sample, or of the command."""
        status, message = error.status_code, self._without_key(one_line(error.message, 200))
        if status in (408, 409, 425, 429) or status >= 500:
            return _Temporary(f"says {status}", _seconds(error.response.headers.get("retry-after")))
        if status in (401, 403, 404, 405):
            return CommandError(
                f"{self.config.place} says {status} to model '{self.config.model}': {message}. "
                f"Check --base-url, --model and the key in {self.config.api_key_env}."
            )
        self.failures = 0
        return SampleError(f"{self.config.place} says {status}: {message}")

    def _without_key(self, text: str) -> str:
        return text if self._key == NO_KEY else text.replace(self._key, "…")


def key_of(config: JudgeConfig) -> str:
    """The key in the environment, else a placeholder; CommandError if no header can hold it."""
    key = os.environ.get(config.api_key_env, "").strip() or NO_KEY
    if not (key.isascii() and key.isprintable()):
        raise CommandError(f"the key in {config.api_key_env} has characters that no key has.")
    return key


def body_of(config: JudgeConfig, messages: Sequence[Message]) -> dict[str, Any]:
    """The whole request, but for its headers."""
    return {
        "model": config.model,
        "messages": list(messages),
        "temperature": config.temperature,
    }


def _client(config: JudgeConfig, key: str) -> OpenAI:
    with extra("judge", "judging needs"):
        from openai import OpenAI

    return OpenAI(base_url=config.base_url, api_key=key, timeout=config.timeout, max_retries=0)


def _read(pieces: Iterable[bytes], deadline: float) -> bytes:
    """The body of an answer, within bounds of size and time."""
    data = bytearray()
    for piece in _unbroken(pieces):
        data += piece
        if len(data) > LARGEST_ANSWER:
            raise _Temporary(f"sent more than {LARGEST_ANSWER} bytes")
        if time.monotonic() > deadline:
            raise _Temporary("did not finish its answer in time")
    return bytes(data)


def _unbroken(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces of a body; _Temporary if the connection breaks off.

    The openai client has errors of its own for what breaks before the body. What breaks within it
    comes from the HTTP library that the client was built on.
    """
    try:
        yield from pieces
    except Exception as error:
        raise _Temporary(f"broke off ({one_line(str(error)) or type(error).__name__})") from error


def _answer(body: bytes) -> Answer:
    try:
        completion = msgspec.json.decode(body, type=_Completion)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        start = one_line(body[:80].decode("utf-8", "replace"))
        raise _Temporary(f"sent no chat completion but '{start}'") from error
    if not completion.choices:
        raise _Temporary("sent an answer without choices")
    message, usage = completion.choices[0].message, completion.usage or _Usage()
    return Answer(
        message.content, message.refusal or "", usage.prompt_tokens, usage.completion_tokens
    )


def _seconds(header: str | None) -> float | None:
    """A Retry-After in seconds; None if there is none, or a date, which clocks may disagree on."""
    try:
        return max(0.0, float(header or ""))
    except ValueError:
        return None
