"""Scribe against a server on this machine that behaves, and one that misbehaves in every way."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import soundfile

from omnitrace import CommandError, OmniTraceError
from omnitrace.errors import SampleError
from omnitrace.timeline import Medium
from recorder.config import SegmentConfig
from recorder.segmenters import RATE, AudioClip, Segmenter, load_segmenter, scribe
from tests.recorder.conftest import WAV_SECONDS

WORDS = [
    {"text": "Anna", "type": "word", "start": 0.1, "end": 0.4, "logprob": -0.1},
    {"text": " ", "type": "spacing", "start": 0.4, "end": 0.5},
    {"text": "came.", "type": "word", "start": 0.5, "end": 0.9, "speaker_id": "speaker_0"},
    {"text": "(door)", "type": "audio_event", "start": None, "end": None},
    {"text": " ", "type": "spacing", "start": 0.9, "end": 1.0},
    {"text": "Who?", "type": "word", "start": 1.0, "end": 1.5},
]
GOOD = {"language_code": "en", "language_probability": 0.9, "text": "…", "words": WORDS}


@dataclass
class Server:
    """Answers with `answers` in turn, the last one for ever: (status, headers, body)."""

    url: str = ""
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    asked: list[tuple[str, dict[str, str], dict[str, bytes]]] = field(default_factory=list)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    kept = Server(answers=[(200, {}, json.dumps(GOOD).encode())])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept.asked.append((self.path, dict(self.headers.items()), self.fields(body)))
            status, headers, answer = kept.answers[min(len(kept.asked), len(kept.answers)) - 1]
            if not status:
                return  # hangs up
            self.send_response(status)
            for name, value in {"content-length": str(len(answer)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def fields(self, body: bytes) -> dict[str, bytes]:
            head = f"content-type: {self.headers['content-type']}\r\n\r\n".encode()
            parts: Any = BytesParser().parsebytes(head + body).get_payload()
            name = "content-disposition"
            return {p.get_param("name", header=name): p.get_payload(decode=True) for p in parts}

        def log_message(self, *_: Any) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    kept.url = f"http://127.0.0.1:{running.server_port}"
    monkeypatch.setenv("ELEVENLABS_API_KEY", "secret")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield kept
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been waited."""
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    return waited


@pytest.fixture
def speech(folder: Path) -> AudioClip:
    return AudioClip(Medium("audio", "speech.wav", "0" * 64), WAV_SECONDS, folder / "speech.wav")


def asking(server: Server, **over: Any) -> Segmenter:
    config = replace(SegmentConfig(base_url=server.url + "/"), **over)
    return load_segmenter("scribe", config)


def test_the_request_is_as_documented(server: Server, speech: AudioClip) -> None:
    asking(server, language="en").segments(speech)
    [(path, headers, fields)] = server.asked
    assert path == "/v1/speech-to-text"
    assert headers["xi-api-key"] == "secret"
    sound = fields.pop("file")
    assert fields == {
        "model_id": b"scribe_v2", "timestamps_granularity": b"word",
        "tag_audio_events": b"false", "language_code": b"en",
    }  # fmt: skip
    samples, rate = soundfile.read(io.BytesIO(sound))
    assert rate == RATE
    assert len(samples) == pytest.approx(WAV_SECONDS * RATE, abs=2)


def test_words_and_sentences_with_their_times(server: Server, speech: AudioClip) -> None:
    words = asking(server, granularity="words").segments(speech)
    assert words.text == ("Anna", " came.", " Who?")
    assert (words.start_s.tolist(), words.end_s.tolist()) == ([0.1, 0.5, 1.0], [0.4, 0.9, 1.5])
    joined = asking(server).segments(speech)
    assert joined.text == ("Anna came.", " Who?")
    assert joined.start_s.tolist() == [0.1, 1.0]


def test_the_key_is_in_nothing_that_is_kept(server: Server) -> None:
    made = asking(server)
    assert "secret" not in repr(made) + json.dumps(dict(made.about))
    assert made.about["server"] == server.url


@pytest.mark.parametrize("status", [429, 500, 503, 0])
def test_a_busy_server_is_asked_again(
    server: Server, speech: AudioClip, waits: list[float], status: int
) -> None:
    server.answers[:0] = [(status, {}, b"busy")] * 2
    assert len(asking(server).segments(speech)) == 2
    assert len(server.asked) == 3
    assert waits == [1.0, 2.0]


def test_the_servers_own_wait_counts(server: Server, speech: AudioClip, waits: list[float]) -> None:
    server.answers[:0] = [(429, {"retry-after": "7"}, b""), (429, {"retry-after": "9999"}, b""),
                          (503, {"retry-after": "Mon, 1 Jan"}, b"")]  # fmt: skip
    asking(server).segments(speech)
    assert waits == [7.0, 60.0, 4.0]


def test_a_server_that_stays_busy_is_the_samples_failure(
    server: Server, speech: AudioClip, waits: list[float]
) -> None:
    server.answers = [(503, {}, b"down \x1b[2J for\nmaintenance")]
    with pytest.raises(OmniTraceError, match=r"503 down �\[2J for maintenance") as caught:
        asking(server).segments(speech)
    assert not isinstance(caught.value, CommandError)
    assert len(server.asked) == 1 + len(scribe.WAITS_S)


def test_a_server_that_hangs_up_or_is_not_there_ends_the_command(
    server: Server, speech: AudioClip, waits: list[float]
) -> None:
    server.answers = [(0, {}, b"")]
    with pytest.raises(CommandError, match="cannot reach http://127") as caught:
        asking(server).segments(speech)
    assert caught.value.exit_code == 1
    server.url = "http://127.0.0.1:1"
    with pytest.raises(CommandError, match="cannot reach http://127"):
        asking(server).segments(speech)


def test_a_slow_server_is_given_up(
    server: Server, speech: AudioClip, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scribe, "TIMEOUT", 0.05)
    monkeypatch.setattr(scribe, "WAITS_S", ())
    server.answers = [(200, {"content-length": "99"}, b"{")]
    with pytest.raises(CommandError, match="cannot reach"):
        asking(server).segments(speech)


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (401, CommandError, "refuses the key in ELEVENLABS_API_KEY: 401 no"),
        (404, CommandError, "Is --base-url right?"),
        (422, SampleError, "does not transcribe it: 422 no"),
        (302, SampleError, "does not transcribe it: 302 no"),
    ],
)
def test_a_server_that_says_no_is_not_asked_again(
    server: Server, speech: AudioClip, waits: list[float], status: int, kind: type, says: str
) -> None:
    server.answers = [(status, {"location": "http://127.0.0.1:1/"}, b"no")]
    with pytest.raises(OmniTraceError, match=says.replace("?", r"\?")) as caught:
        asking(server).segments(speech)
    assert type(caught.value) is kind
    assert (len(server.asked), waits) == (1, [])


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"", "truncated"),
        (b"<html>", "malformed"),
        (b"\xff", "malformed"),
        (b'{"text": "a"}', "missing required field `words`"),
        (b'{"words": [{"text": "a", "type": "word", "start": "0", "end": 1}]}', "float"),
        (b'{"words": [{"text": "a", "type": "word", "start": 0}]}', "the word 'a' has no time"),
        (b'{"words": [{"text": "a", "type": "word", "start": 2, "end": 1}]}', "none"),
    ],
)
def test_an_answer_that_is_no_transcript_is_the_samples_failure(
    server: Server, speech: AudioClip, answer: bytes, says: str
) -> None:
    server.answers = [(200, {}, answer)]
    with pytest.raises(OmniTraceError, match=says):
        asking(server).segments(speech)


def test_it_needs_a_key_and_an_address(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandError, match="is no http or https address"):
        load_segmenter("scribe", SegmentConfig(base_url="api.elevenlabs.io"))
    monkeypatch.delenv("ELEVENLABS_API_KEY")
    with pytest.raises(CommandError, match="set the environment variable ELEVENLABS_API_KEY"):
        asking(server)
