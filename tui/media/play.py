"""A part of a medium, played by a player of the system where there is one."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import wave
from pathlib import Path

from omnitrace import CommandError, OmniTraceError

PLAYERS = ("ffplay", "mpv", "aplay")


class Player:
    """Plays one part at a time; the next one ends the one before."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._cut: tempfile.TemporaryDirectory[str] | None = None

    def play(self, path: Path, start_s: float, end_s: float | None) -> str:
        """Start a player, and return its name; CommandError if there is none."""
        self.stop()
        player = next((name for name in PLAYERS if shutil.which(name)), None)
        if player is None:
            raise CommandError(f"playing needs one of {', '.join(PLAYERS)}; none is installed.")
        if player == "aplay":
            path = self.cut_out(path, start_s, end_s)
        try:
            self._process = subprocess.Popen(
                command(player, path, start_s, end_s),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            raise OmniTraceError(f"{player} does not start: {error.strerror}.") from error
        return player

    def stop(self) -> None:
        """End what is playing."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None
        if self._cut is not None:
            self._cut.cleanup()
            self._cut = None

    def cut_out(self, path: Path, start_s: float, end_s: float | None) -> Path:
        """The part as a file of its own, for a player that cannot seek."""
        self._cut = tempfile.TemporaryDirectory(prefix="omnitrace-")
        part = Path(self._cut.name) / "part.wav"
        try:
            with wave.open(str(path)) as whole, wave.open(str(part), "wb") as cut:
                rate = whole.getframerate()
                cut.setparams(whole.getparams())
                whole.setpos(min(int(start_s * rate), whole.getnframes()))
                left = whole.getnframes() - whole.tell()
                length = left if end_s is None else int((end_s - start_s) * rate)
                cut.writeframes(whole.readframes(min(length, left)))
        except (wave.Error, EOFError, OSError) as error:
            raise OmniTraceError(f"aplay plays plain WAV files only: {error}.") from error
        return part


def command(player: str, path: Path, start_s: float, end_s: float | None) -> list[str]:
    """The command of a player; the path is absolute, so that it is never read as an option."""
    file = str(path.resolve())
    length = None if end_s is None else f"{end_s - start_s:g}"
    if player == "ffplay":
        until = ["-t", length] if length else []
        quiet = ["-nodisp", "-autoexit", "-loglevel", "quiet"]
        return ["ffplay", *quiet, "-ss", f"{start_s:g}", *until, "-i", file]
    if player == "mpv":
        until = [f"--length={length}"] if length else []
        return ["mpv", "--no-terminal", "--no-video", f"--start={start_s:g}", *until, "--", file]
    return ["aplay", "-q", "--", file]
