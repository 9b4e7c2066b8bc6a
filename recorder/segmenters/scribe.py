"""Scribe v2, ElevenLabs' speech recognition, over HTTP. It sends the audio to their server.

Knows the request and its answer; a request is repeated while the server is busy, not if it refuses.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx
import msgspec
import soundfile

from omnitrace.errors import CommandError, SampleError
from omnitrace.text import one_line
from omnitrace.timeline import Segments
from recorder.config import SegmentConfig
from recorder.segmenters import RATE, AudioClip
from recorder.segmenters.words import Piece, stretches

USUAL = "scribe_v2"
KEY = "ELEVENLABS_API_KEY"
WAITS_S = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Before each further attempt; a server's own Retry-After counts instead, up to a minute."""
LONGEST_WAIT_S = 60.0
TIMEOUT = httpx.Timeout(30.0, read=600.0, write=600.0)

_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.FORBIDDEN)


class _Word(msgspec.Struct):
    """`type` is word, spacing or audio_event; only words need their times."""

    text: str
    type: str
    start: float | None = None
    end: float | None = None


class _Answer(msgspec.Struct):
    words: list[_Word]


@dataclass(frozen=True)
class Scribe:
    """One server and key. The key is sent to no other server, and never stored."""

    server: str
    model: str
    granularity: str
    language: str
    key: str = field(repr=False)
    needs_files: bool = True

    @property
    def name(self) -> str:
        return f"scribe-{self.granularity}"

    @property
    def about(self) -> dict[str, Any]:
        return {
            "segmenter": "scribe",
            "model": self.model,
            "server": self.server,
            "granularity": self.granularity,
            "language": self.language,
        }

    def segments(self, clip: AudioClip) -> Segments:
        answer = self._ask(_flac(clip))
        try:
            words = msgspec.json.decode(answer, type=_Answer).words
            return stretches(_words(words), self.granularity)
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
            raise SampleError(
                f"{self.server} gave an answer that is no transcript: {one_line(str(error), 200)}."
            ) from error

    def _ask(self, flac: bytes) -> bytes:
        """The answer's body, after as many attempts as it takes."""
        for wait in (*WAITS_S, None):
            try:
                response = self._post(flac)
            except httpx.TransportError as error:
                if wait is None:
                    raise CommandError(
                        f"cannot reach {self.server}: {one_line(str(error), 200)}. Samples "
                        "finished before are kept; run the same command again later.",
                        exit_code=1,
                    ) from error
                time.sleep(wait)
                continue
            busy = response.status_code == HTTPStatus.TOO_MANY_REQUESTS or response.is_server_error
            if not busy or wait is None:
                return _body(response, self.server)
            time.sleep(_retry_after(response, wait))
        raise AssertionError("the last attempt returns or raises")

    def _post(self, flac: bytes) -> httpx.Response:
        spoken = {"language_code": self.language} if self.language else {}
        return httpx.post(
            f"{self.server}/v1/speech-to-text",
            headers={"xi-api-key": self.key},
            data={
                "model_id": self.model,
                "timestamps_granularity": "word",
                "tag_audio_events": "false",
            }
            | spoken,
            files={"file": ("sound.flac", flac, "audio/flac")},
            timeout=TIMEOUT,
        )


def load(config: SegmentConfig) -> Scribe:
    """CommandError without a key, or with a server that is no address."""
    key = os.environ.get(KEY, "").strip()
    if not key:
        raise CommandError(f"scribe needs a key of ElevenLabs: set the environment variable {KEY}.")
    server = config.base_url.rstrip("/")
    if not server.startswith(("https://", "http://")):
        raise CommandError(f"--base-url '{one_line(server)}' is no http or https address.")
    return Scribe(server, config.model or USUAL, config.granularity, config.language, key)


def _flac(clip: AudioClip) -> bytes:
    """The decoded audio as FLAC, so that times count from the beginning of the recorded audio."""
    file = io.BytesIO()
    soundfile.write(file, clip.samples(), RATE, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def _body(response: httpx.Response, server: str) -> bytes:
    if response.status_code == HTTPStatus.OK:
        return response.content
    reply = f"{response.status_code} {one_line(response.text, 200)}"
    if response.status_code in _REFUSED:
        raise CommandError(f"{server} refuses the key in {KEY}: {reply}.")
    if response.status_code == HTTPStatus.NOT_FOUND:
        raise CommandError(f"{server} has no speech recognition: {reply}. Is --base-url right?")
    raise SampleError(f"{server} does not transcribe it: {reply}.")


def _retry_after(response: httpx.Response, wait: float) -> float:
    stated = response.headers.get("retry-after", "")
    return min(float(stated), LONGEST_WAIT_S) if stated.isdigit() else wait


def _words(words: list[_Word]) -> Iterator[Piece]:
    """The words, each with the spacing before it; ValueError for one without times."""
    before = ""
    for word in words:
        if word.type == "spacing":
            before += word.text
        elif word.type == "word":
            if word.start is None or word.end is None:
                raise ValueError(f"the word '{one_line(word.text)}' has no time")
            yield word.start, word.end, before + word.text
            before = ""
