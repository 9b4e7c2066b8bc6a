"""A browser whose terminal vanishes without a signal, as a cut connection may leave it, ends."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tui.samples import planted_trace, write_run

PATIENCE_S = 30.0


@pytest.mark.parametrize("keys", [b"", b"\r" + b"ls" * 200], ids=["idle", "amid drawing"])
def test_a_vanished_terminal_ends_the_browser(tmp_path: Path, keys: bytes) -> None:
    write_run(tmp_path / "run", planted_trace("one"), planted_trace("two", 1))
    command = [sys.executable, "-m", "omnitrace", "browse", str(tmp_path / "run")]
    variables = {"TERM": "xterm-256color", "OMNITRACE_CACHE": "", "XDG_STATE_HOME": str(tmp_path)}
    ours, theirs = pty.openpty()
    # A session of its own has no controlling terminal, and so gets no SIGHUP.
    browser = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | variables,
        start_new_session=True,
    )  # fmt: skip
    try:
        os.close(theirs)
        seen = b""
        while b"two" not in seen:
            seen += os.read(ours, 4096)
        os.write(ours, keys)
        os.close(ours)
        assert browser.wait(PATIENCE_S) == 0
    finally:
        browser.kill()
        browser.wait()
    assert (tmp_path / "omnitrace" / "browse.json").is_file()  # it left as by the key
