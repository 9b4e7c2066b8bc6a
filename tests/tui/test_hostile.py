"""Untrusted text reaches the terminal as text: checked on the bytes that are written."""

from __future__ import annotations

import json
import os
import re
import select
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from omnitrace.store.adder import Adder
from omnitrace.store.kinds import ABLATIONS
from omnitrace.timeline import Medium
from replay import PRESETS
from tests.build import make_trace
from tests.replay.faithfulness.made import every_mask, needing
from tests.tui.samples import HOSTILE, damage, with_response, write_run

pty = pytest.importorskip("pty")
fcntl = pytest.importorskip("fcntl")
termios = pytest.importorskip("termios")

PATIENCE_S = 60.0
QUIET_S = 0.15
SIZE = (40, 120)
PROGRAM = """
import os, sys
from pathlib import Path
from omnitrace import open_run
from replay import PRESETS
from tui.app import Start, browse
from tui.labels import Labels
folder = Path(sys.argv[1])
os.chdir(folder)
labels, config = Labels.read(folder / "truth.jsonl"), PRESETS["release"]
start = Start(config=config, labels=labels, media=folder)
browse(open_run(folder / "run"), start, folder / "look.json")
"""
EVIL = "".join(HOSTILE)
# What Textual itself says: CSI sequences, DCS strings, the mouse's shape (OSC 22).
LEGAL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1bP[^\x1b]*\x1b\\|\x1b\]22;[a-z-]*\x07|\x1b[=>78]")
FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\U000e0000-\U000e0fff]"
)


class Terminal:
    """A program in a terminal of its own; all that it wrote is in `written`."""

    def __init__(self, colours: str, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *SIZE, 0, 0))
        environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": colours}
        environment |= {"OMNITRACE_CACHE": "", "TEXTUAL_ANIMATIONS": "none"}
        environment.pop("NO_COLOR", None)
        self._process = subprocess.Popen(
            arguments, stdin=slave, stdout=slave, stderr=slave, env=environment,
            start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.written = b""
        self._asked = 0  # how much was written when the last key was pressed

    def wait_for(self, text: str) -> None:
        """Read until the program has written `text`, since the last key."""
        end = time.monotonic() + PATIENCE_S
        while text.encode() not in self.written[self._asked :]:
            assert time.monotonic() < end, f"{text!r} missing in {self.written[self._asked :]!r}"
            self._read()

    def press(self, keys: str) -> None:
        """Press keys once the program has nothing more to say."""
        while select.select([self._master], [], [], QUIET_S)[0] and self._read():
            pass
        self._asked = len(self.written)
        os.write(self._master, keys.encode())

    def close(self) -> int:
        """Read to the end; returns the exit status."""
        while self._read():
            pass
        status = self._process.wait(PATIENCE_S)
        os.close(self._master)
        return status

    def kill(self) -> None:
        """End the program, if it has not ended."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _read(self) -> bool:
        if not select.select([self._master], [], [], 1.0)[0]:
            return self._process.poll() is None
        try:
            piece = os.read(self._master, 1 << 16)
        except OSError:  # the program has closed its side
            return False
        self.written += piece
        return bool(piece)


def write_hostile(folder: Path) -> None:
    """A run with ablations, labels and media names that try everything; one sample is damaged."""
    pieces = [*HOSTILE, "x" * 10**6, ".", " more", "."]
    media = tuple(
        Medium(kind, EVIL + kind, "0" * 64, duration_s=3.0, width=8, height=8)
        for kind in ("image", "audio", "video")
    )
    calm = make_trace().prompt_text
    prompt = calm[:6] + EVIL[: len(calm) - 6].ljust(len(calm) - 6, "x")
    evil = with_response(pieces, EVIL, media=media, prompt_text=prompt)
    broken = with_response(["broken", "."], EVIL + "broken")
    write_run(folder / "run", evil)
    with Adder.open(folder / "run", ABLATIONS, "mask", {}) as adder:
        trace = adder.run[evil.id]
        owner = trace.units(PRESETS["release"].units).owner_of_tokens(trace.n)
        adder.add(trace, every_mask(trace, owner, needing(0)))
    run = write_run(folder / "run", broken)
    damage(folder / "run", run, broken.id)
    sentences = [{"text": evil.response[a:b], "evidence": [{"part": 0}]} for a, b in evil.sentences]
    truth = {"id": EVIL, "answer": EVIL, "sentences": sentences}
    (folder / "truth.jsonl").write_text(json.dumps(truth) + "\n", "utf-8")


# Keys, and what they must bring to the screen: every widget shows untrusted text.
WALK = (
    ("\r", "units by mass"),
    ("s", "span 2"),
    ("G", "step 12 of 12"),
    ("v", "this step's unit"),
    ("v", "step 12"),
    ("2", "by source"),
    ("j", "traced to"),
    ("3", "really because"),
    ("jj", "loo"),
    ("b", "B default"),
    ("1", "step"),
    ("e", "configuration"),
    ("jjjjl", "edited"),
    ("e", "step"),
    ("z", "steps"),
    ("/", "pos:NOUN"),
    ("mor", "of 12 tokens"),
    ("\r", "step"),
    ("o", "."),
    ("x", "attribution.html"),
    ("\r", "written to"),
    ("]", "cannot be read"),
    ("q", ""),
)


@pytest.mark.parametrize(("colours", "walk"), [("truecolor", WALK), ("256", [*WALK[:3], WALK[-1]])])
def test_no_stranger_writes_to_the_terminal(
    tmp_path: Path, colours: str, walk: Sequence[tuple[str, str]]
) -> None:
    write_hostile(tmp_path)
    terminal = Terminal(colours, sys.executable, "-c", PROGRAM, str(tmp_path))
    try:
        terminal.wait_for("response · 2 samples")
        for keys, answer in walk:
            terminal.press(keys)
            terminal.wait_for(answer)
        assert terminal.close() == 0
    finally:
        terminal.kill()
    seen = terminal.written.decode("utf-8")
    assert "more" in seen
    rest = LEGAL.sub("", seen)
    assert [rest[max(0, m.start() - 20) : m.end() + 20] for m in FORBIDDEN.finditer(rest)] == []
    assert "\x1b[31m" not in seen
    assert "\x1b]52" not in seen
    assert ("\x1b[38;2;" in seen) == (colours == "truecolor")
