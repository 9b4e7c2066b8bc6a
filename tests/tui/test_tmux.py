"""The browser in tmux, as people use it over SSH: driven by keys, read as text. Where tmux is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tui.samples import planted_trace, write_run

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")

PATIENCE_S = 60.0
SIZES = [(80, 24), (200, 60)]


class Tmux:
    """A tmux server of its own with one window."""

    def __init__(self, socket: Path, size: tuple[int, int], command: list[str]) -> None:
        self._tmux = ["tmux", "-S", str(socket), "-f", os.devnull]
        columns, rows = map(str, size)
        environment = os.environ | {"OMNITRACE_CACHE": "", "XDG_STATE_HOME": str(socket.parent)}
        environment |= {"TERM": "xterm-256color", "TEXTUAL_ANIMATIONS": "none"}
        new = ["new-session", "-d", "-x", columns, "-y", rows, *command]
        subprocess.run([*self._tmux, *new], check=True, env=environment)

    def press(self, *keys: str) -> None:
        subprocess.run([*self._tmux, "send-keys", *keys], check=True)

    def screen(self) -> str:
        shown = [*self._tmux, "capture-pane", "-p"]
        return subprocess.run(shown, capture_output=True, text=True, check=False).stdout

    def wait_for(self, text: str, there: bool = True) -> str:
        """The screen, once it shows `text`, or no longer does."""
        end = time.monotonic() + PATIENCE_S
        while (text in (screen := self.screen())) != there:
            assert time.monotonic() < end, f"{text!r}: not {there} on\n{screen}"
            time.sleep(0.05)
        return screen

    def alive(self) -> bool:
        sessions = subprocess.run([*self._tmux, "ls"], capture_output=True, check=False)
        return sessions.returncode == 0

    def kill(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], capture_output=True, check=False)


@pytest.fixture(params=SIZES, ids=lambda size: "{}x{}".format(*size))
def tmux(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tmux]:
    write_run(tmp_path / "run", planted_trace("one"), planted_trace("two", 1))
    command = [sys.executable, "-m", "omnitrace", "browse", str(tmp_path / "run")]
    window = Tmux(tmp_path / "s", request.param, command)
    yield window
    window.kill()


def test_a_visit_in_tmux(tmux: Tmux) -> None:
    tmux.wait_for("2 samples")
    tmux.press("Enter")
    screen = tmux.wait_for("units by mass")
    assert "The parcel weighs" in screen
    tmux.press("s")
    tmux.wait_for("step 8 of 27")
    tmux.press("/")
    tmux.wait_for("pos:NOUN")
    tmux.press("square")
    tmux.wait_for("square: 1 of 27 tokens")
    tmux.press("Enter")
    tmux.wait_for("step 24 of 27")
    tmux.press("Escape")
    tmux.wait_for("Escape for all", there=False)
    tmux.press("2")
    tmux.wait_for("by source")
    tmux.press("]")
    tmux.wait_for("two")
    tmux.press("q")
    end = time.monotonic() + PATIENCE_S
    while tmux.alive():
        assert time.monotonic() < end
        time.sleep(0.05)
