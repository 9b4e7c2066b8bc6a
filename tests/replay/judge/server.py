"""A chat-completions server on this machine that behaves, or misbehaves as it is told to."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Turn = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Judge:
    """Takes its `turns` one after another, the last one for ever, and keeps what it was `asked`."""

    url: str = ""
    turns: list[Turn] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    freed: threading.Event = field(default_factory=threading.Event)


@contextmanager
def judging() -> Iterator[Judge]:
    """A running server."""
    judge = Judge()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            judge.asked.append(json.loads(body))
            judge.headers.append({k.lower(): v for k, v in self.headers.items()})
            judge.paths.append(self.path)
            judge.turns[min(len(judge.asked), len(judge.turns)) - 1](self)

        def log_message(self, *_: Any) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    judge.url = f"http://127.0.0.1:{running.server_port}/v1"
    try:
        yield judge
    finally:
        judge.freed.set()
        running.shutdown()
        running.server_close()
        thread.join()


def sends(body: bytes, status: int = 200, **headers: str) -> Turn:
    """A whole HTTP answer."""

    def turn(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return turn


def completion(text: str | None, **message: Any) -> bytes:
    """A chat completion as OpenAI's servers send it."""
    return json.dumps(
        {
            "id": "c-1",
            "object": "chat.completion",
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": text, **message},
                 "finish_reason": "stop"}
            ],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        }
    ).encode()  # fmt: skip


def says(text: str | None, **message: Any) -> Turn:
    """A good answer with this text."""
    return sends(completion(text, **message))


def cuts(handler: BaseHTTPRequestHandler) -> None:
    """Half an answer, and then no connection."""
    handler.send_response(200)
    handler.send_header("content-length", "5000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.close_connection = True


def resets(handler: BaseHTTPRequestHandler) -> None:
    """The connection is reset before a word is said."""
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.close()
    handler.close_connection = True


def hangs(judge: Judge) -> Turn:
    """Nothing, until the server is shut down."""

    def turn(handler: BaseHTTPRequestHandler) -> None:
        judge.freed.wait(20)
        handler.close_connection = True

    return turn


def drips(judge: Judge) -> Turn:
    """An answer of which a byte comes now and then, for ever."""

    def turn(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-length", "1000000")
        handler.end_headers()
        try:
            while not judge.freed.wait(0.02):
                handler.wfile.write(b" ")
                handler.wfile.flush()
        except OSError:
            pass
        handler.close_connection = True

    return turn
